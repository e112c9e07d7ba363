"""The exceptions of numpy for damaged and foreign files."""

import struct
import tokenize
import zipfile
import zlib

# the header is parsed as Python, a shape in it may ask for any memory, and .npz is a zip archive
DAMAGED_ARRAYS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,  # an array where an archive is expected
    EOFError,
    SyntaxError,
    MemoryError,
    OverflowError,  # a length of more than 64 bits
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)
