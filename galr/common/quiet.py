"""Code whose warnings nobody needs, in one of several threads."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

# warnings.catch_warnings changes a global state: one thread at a time
_lock = threading.RLock()


@contextlib.contextmanager
def without_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Ignores warnings of ``category`` meanwhile; other threads that ask for the same wait."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
