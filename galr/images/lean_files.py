"""Image files without what their pixels do not need, and what would stop or delay Pillow."""

from __future__ import annotations

import io
import re
from typing import IO

from galr.images.raster import file_size

_PNG, _METADATA = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_PLAIN = (b"P1", b"P2", b"P3")  # the kinds of PPM that are text
_COMMENT = re.compile(rb"#[^\r\n]*")  # its line end stays, which parts numbers


def lean_file(file: IO[bytes]) -> IO[bytes]:
    """``file`` at its start, or its content without texts, colour profile and comments.

    Large texts of a PNG stop Pillow; each comment of a plain PPM costs it a pass over the rest.
    """
    file.seek(0)
    start = file.read(len(_PNG))
    if start == _PNG:
        return _without_metadata(file)
    file.seek(0)
    return io.BytesIO(_COMMENT.sub(b"", file.read())) if start.startswith(_PLAIN) else file


def _without_metadata(file: IO[bytes]) -> IO[bytes]:
    rest = file_size(file)
    file.seek(len(_PNG))
    kept = [_PNG]
    while len(head := file.read(8)) == 8:
        content = file.read(min(int.from_bytes(head[:4], "big") + 4, rest))  # and its check sum
        if head[4:] not in _METADATA:
            kept += [head, content]
    return io.BytesIO(b"".join(kept))
