"""Memory that a process frees stays with it: the next batch needs as much again."""

from __future__ import annotations

import contextlib
import ctypes

# parameters of mallopt(3)
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Makes glibc reuse large blocks; where there is no glibc, nothing happens.

    A step on the CPU allocates gigabytes in blocks of tens of megabytes. glibc would map each of
    them anew and give it back, and the system clears every page each time.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
