"""An archive of images that is searched by sentences and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galr.search.archive import Archive

__all__ = ["Archive"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    # imported on first use, so that --help does not wait for torch
    if name != "Archive":
        raise AttributeError(f"module 'galr.search' has no attribute {name!r}")
    from galr.search.archive import Archive

    return Archive
