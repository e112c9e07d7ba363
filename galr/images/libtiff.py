"""What libtiff prints about odd files: nothing, since what matters is raised."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from pathlib import Path

import PIL
from PIL import Image

# of the wheels for Linux and macOS; a library of the system has other users as well
_PLACES = ("../pillow.libs/libtiff*", ".dylibs/libtiff*")


@functools.cache
def silence_libtiff() -> None:
    """Takes away the functions by which Pillow's libtiff prints warnings and errors."""
    Image.init()  # loads what the library needs
    folder = Path(PIL.__file__).parent
    for path in (path for place in _PLACES for path in folder.glob(place)):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path))
            library.TIFFSetWarningHandler(None)
            library.TIFFSetErrorHandler(None)
