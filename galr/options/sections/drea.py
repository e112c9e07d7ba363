"""From detections to the local features."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from galr.options.sections.base import Section

DOTA_CLASSES = (
    "plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle",
    "ship", "tennis-court", "basketball-court", "storage-tank", "soccer-ball-field", "roundabout",
    "harbor", "swimming-pool", "helicopter",
)  # fmt: skip


class DreaOptions(Section):
    """DREA: from detections to the representation and adjacency matrices (docs/drea.md)."""

    classes: tuple[str, ...] = Field(
        DOTA_CLASSES,
        min_length=1,
        description="object classes, in one-hot order; detections are matched by class name. "
        "Default: the fifteen classes of DOTA",
    )
    objects: PositiveInt = Field(20, description="N, maximum number of objects kept per image")
    min_score: float = Field(0.3, ge=0.0, le=1.0, description="minimum score of a detection")
    denoise: bool = Field(
        True,
        description="drop objects that duplicate a kept one; `false`: keep the N most confident",
    )
    max_similarity: float = Field(
        0.98,
        ge=-1.0,
        le=1.0,
        description="maximum cosine similarity between the rows of two kept objects of the same "
        "class",
    )
    enhance: bool = Field(
        True, description="strengthen the edges of prominent objects; `false`: proximity only"
    )
    radius: PositiveFloat = Field(
        0.2, description="range of the proximity, as a fraction of the image diagonal"
    )
    gain: NonNegativeFloat = Field(1.0, description="how strongly prominence enhances an edge")

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or not all(name.strip() for name in classes):
            raise ValueError("the names of classes must differ and must not be empty")
        return classes

    @property
    def features(self) -> int:
        """F, the numbers that describe an object: one-hot class, centre, size, score."""
        return len(self.classes) + 5
