"""What a request may ask of an archive."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galr.scenes.arguments import Box, box
from galr.serving import limits as serving
from galr.serving.limits import Refused


@dataclass(frozen=True)
class Limits(serving.Limits):
    """More than this is refused."""

    sentence: int = 1_000  # letters
    question_bytes: int = 32 << 10  # JSON, in which a letter may take 12 bytes
    upload_bytes: int = 16 << 20
    upload_pixels: int = 25_000_000
    results: int = 100
    batch: int = 32  # searches whose sentences and images are encoded together


class Question(BaseModel):
    """What a search asks for; an image comes as the body of its request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    like: int | None = Field(default=None, ge=0)  # the number of an image of the archive
    k: int = Field(default=24, ge=1)
    weight: float = Field(default=0.5, ge=0, le=1)  # the sentence's share beside an image
    rerank: bool = False
    where: str = Field(default="", max_length=1000)  # a condition on columns
    bbox: str = Field(default="", max_length=120)  # W,S,E,N in degrees, of an archive of tiles

    @classmethod
    def of(cls, given: bytes | dict[str, str], limits: Limits) -> Question:
        """From JSON, or from the parameters of an address; raises Refused for what is none."""
        try:
            if isinstance(given, bytes):
                question = cls.model_validate_json(given, strict=True)
            else:
                question = cls.model_validate_strings(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = "".join(f"{part}: " for part in first["loc"])[:40]
            raise Refused(422, f"Invalid query: {place}{first['msg'][:160]}.") from None
        if len(question.text) > limits.sentence:
            what = f"The sentence has {len(question.text):,} characters"
            raise Refused(413, f"{what}; the limit is {limits.sentence:,}.")
        if question.k > limits.results:
            raise Refused(422, f"At most {limits.results} results can be asked for.")
        return question

    @property
    def sentence(self) -> str | None:
        """The text in one line without control characters; None where nothing is left."""
        shown = "".join(letter if letter.isprintable() else " " for letter in self.text)
        return " ".join(shown.split()) or None

    @property
    def box(self) -> Box | None:
        """The box in degrees; None without one. Raises Refused for what is none."""
        try:
            return box(self.bbox) if self.bbox.strip() else None
        except ArgumentTypeError:
            raise Refused(422, "A box must be west,south,east,north in degrees.") from None
