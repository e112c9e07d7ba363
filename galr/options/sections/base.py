"""What the sections of the options share: closed, frozen, and strict about types."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Side = Annotated[int, Field(ge=32, multiple_of=32)]  # of an image, in pixels


def _admits(field: FieldInfo, kind: type) -> bool:
    annotation = field.annotation
    return annotation is kind or (
        get_origin(annotation) is not None and kind in get_args(annotation)
    )


class Section(BaseModel):
    """A closed, frozen part of the options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML held
        if values is None:  # a section whose keys are all commented out
            return {}
        if not isinstance(values, dict):
            return values
        plain = dict(values)
        for name, field in cls.model_fields.items():
            value = plain.get(name)
            # the released files write None where YAML reads text
            if value == "None" and _admits(field, type(None)):
                plain[name] = None
            # pydantic would read true as 1; nobody means that
            elif (
                isinstance(value, bool)
                and (_admits(field, int) or _admits(field, float))
                and not _admits(field, bool)
            ):
                raise ValueError(f"{name}: expected a number, got {str(value).lower()}")
        return plain
