"""Code whose warnings nobody needs, in one of several threads."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

_MARK = "(?#nobody needs it)"  # a pattern that matches any text; the filters here are known by it
_lock = threading.Lock()
_users: Counter[type[Warning]] = Counter()


@contextlib.contextmanager
def without_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Ignores warnings of ``category`` meanwhile, in all threads; none waits for another."""
    with _lock:
        _users[category] += 1
        warnings.filterwarnings("ignore", _MARK, category)
    try:
        yield
    finally:
        with _lock:
            _users[category] -= 1
            if not _users[category]:
                filters: Any = warnings.filters  # a list, which typeshed does not tell
                filters[:] = [each for each in filters if not _is_own(each, category)]


def _is_own(entry: tuple[object, ...], category: type[Warning]) -> bool:
    return getattr(entry[1], "pattern", None) == _MARK and entry[2] is category
