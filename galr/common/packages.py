"""Files that an installed package carries, named without an absolute path: ``package:NAME``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from galr.common.errors import UserError

PREFIX = "package:"


def is_packaged(place: str) -> bool:
    """Whether ``place`` names an installed package."""
    return place.startswith(PREFIX)


def require(package: str, place: str, remedy: str) -> None:
    """Raises UserError, which begins with ``place``, where an optional package is not installed."""
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise UserError(place, f"the optional package {package} is not installed", remedy)


def packaged(place: str, option: str, patterns: Sequence[str]) -> Path:
    """The file that ``package:NAME`` or ``package:NAME/PATH`` means; no code of it is run.

    NAME is that of the package in Python or on the registry. Without PATH it is the only file of
    the package that fits one of ``patterns``. Raises UserError, which begins with ``option``, where
    the package is not installed, or has no such file or several.
    """
    name, _, inside = place.removeprefix(PREFIX).partition("/")
    try:
        # of a name without a dot, this looks for the folder and imports nothing
        spec = importlib.util.find_spec(name.replace("-", "_"))
    except (ImportError, ValueError):
        spec = None
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    if not name.replace("-", "_").isidentifier() or not folders:
        raise UserError(
            f"{option}: {place}",
            f"the package {name} is not installed",
            f"pip install {name.replace('_', '-')}",
        )
    folder = Path(next(iter(folders))).resolve()
    if inside:
        file = folder.joinpath(inside).resolve()
        if file.exists() and file.is_relative_to(folder):
            return file
        raise UserError(f"{option}: {place}", f"there is no {inside} in {folder}", "correct it")
    found = sorted({file for pattern in patterns for file in folder.rglob(pattern)})
    if len(found) == 1:
        return found[0]
    what = f"{folder} holds no file {' or '.join(patterns)}"
    remedy = "name another package, or a file"
    if found:
        first = found[0].relative_to(folder)
        what = f"{folder} holds {len(found)} files {' or '.join(patterns)}"
        remedy = f"name one, as {PREFIX}{name}/{first}"
    raise UserError(f"{option}: {place}", what, remedy)
