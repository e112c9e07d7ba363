"""What queries show, sentences and images, as vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from galr.common.errors import UserError
from galr.image_input import Picture, square_pixels
from galr.search.encoder import Model, comparison_of
from galr.search.schema import Floats


class Asked(NamedTuple):
    """What one query shows; the fields are as in ``Archive.query``."""

    text: str | None = None
    image: Picture | None = None
    like: int | None = None
    weight: float = 0.5

    @property
    def is_text(self) -> bool:
        """Whether it is a sentence alone."""
        return self.text is not None and self.image is None and self.like is None


def embed(
    encoder: Model, asked: Sequence[Asked], known: Callable[[Sequence[int]], Floats]
) -> list[Floats]:
    """The vector (D,) of each query; sentences and images are encoded in one batch each.

    ``known`` gives the vectors (N, D) of images of the archive. Raises UserError for a query that
    is empty or mixes what the model cannot mix.
    """
    texts = list(dict.fromkeys(one.text for one in asked if one.text is not None))
    if not all(text.strip() for text in texts):
        raise UserError("the sentence", "is empty", "describe what the images should show")
    of_text = dict(zip(texts, encoder.encode_texts(texts).numpy(), strict=True)) if texts else {}
    images = [one.image for one in asked if one.image is not None]
    side, scaling = encoder.side, encoder.scaling
    pixels = [square_pixels(image, side, "the image", scaling) for image in images]
    of_image = iter(encoder.encode_pixels(np.stack(pixels)).numpy() if pixels else ())
    found = []
    for one in asked:
        parts = [] if one.text is None else [(one.weight, of_text[one.text])]
        if one.image is not None:
            parts.append((1 - one.weight, next(of_image)))
        if one.like is not None:
            parts.append((1 - one.weight, known([one.like])[0]))
        found.append(_mixed(encoder, parts, has_text=one.text is not None))
    return found


def _mixed(encoder: Model, parts: Sequence[tuple[float, Floats]], *, has_text: bool) -> Floats:
    if not parts:
        raise UserError("the query", "is empty", "give a sentence, an image or both")
    is_cosine = comparison_of(encoder) is None
    if len(parts) == 1 and (is_cosine or has_text):
        return parts[0][1]
    if not is_cosine and has_text:
        what = "combines a sentence and an image, which the archive's model has no joint space for"
        raise UserError("the query", what, "search by one of the two")
    mixed = np.sum([share * part for share, part in parts], axis=0, dtype=np.float32)
    return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), dtype=np.float32)
