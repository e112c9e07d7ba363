"""Images that somebody has sent."""

from __future__ import annotations

import io

from PIL import Image

from galr.common.errors import UserError
from galr.images.decoding import AS_IT_IS, FORMATS, decode_image
from galr.images.scaling import Scaling
from galr.serving.limits import Refused, shown_bytes


def read_upload(
    body: bytes, most_bytes: int, most_pixels: int, scaling: Scaling = AS_IT_IS
) -> Image.Image:
    """The image of a body as RGB; Refused (413, 415, 422) where it is none, or too large."""
    if not body:
        raise Refused(422, "The image is empty.")
    try:
        return decode_image(io.BytesIO(body), scaling, most=most_pixels)
    except UserError as error:
        what = error.what.partition(" (")[0]  # in brackets stands what the decoder says
        status = 413 if "pixels" in what else 415 if "known kind" in what else 422
        takes = f"{', '.join(FORMATS)}, at most {shown_bytes(most_bytes)}"
        takes = f"{takes} and {most_pixels / 1e6:g} million pixels"
        raise Refused(status, f"The image {what}. Accepted: {takes}.") from None
