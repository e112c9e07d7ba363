"""Options files by name: in the working folder, or among those that the package brings."""

from __future__ import annotations

import difflib
import site
import sys
from pathlib import Path

from galr.common.errors import UserError


def find_options(name: str | Path) -> Path:
    """The options file that ``name`` means.

    ``name`` is a path, or the name of a file in options/ of the working folder or in the folder of
    shipped files, ``.yaml`` being optional: `UCM_GaLR`, `recipes/rsicd_cpu_30min`. Raises UserError
    where there is none, with the names that are most like it.
    """
    path = Path(name).expanduser()
    folders = [Path("options"), *_shipped_folders()]
    inside = path.relative_to("options") if path.parts[:1] == ("options",) else path
    places = [path] if path.is_absolute() else [path, *(folder / inside for folder in folders)]
    for place in places:
        for file in (place, place.parent / f"{place.name}.yaml"):
            if file.is_file():
                return file
    what = "is a folder" if path.is_dir() else "there is no such options file"
    raise UserError(name, f"{what} (looked for in {Path.cwd()} and among the shipped ones)",
                    _remedy(path, folders))  # fmt: skip


def _shipped_folders() -> list[Path]:
    """Where the files of options/ are: beside the package, or where pip installed them."""
    beside = Path(__file__).resolve().parents[2]
    prefixes = (beside, Path(sys.prefix), Path(site.getuserbase()))
    installed = [prefix / "share" / "galr" / "options" for prefix in prefixes]
    return [folder for folder in (beside / "options", *installed) if folder.is_dir()]


def _remedy(path: Path, folders: list[Path]) -> str:
    known = {
        file.relative_to(folder).with_suffix("").as_posix()
        for folder in folders
        for file in folder.rglob("*.yaml")
    }
    near = difflib.get_close_matches(path.name.removesuffix(".yaml"), known, n=3, cutoff=0.4)
    return f"did you mean {', '.join(near)}?" if near else "name a file with --path_opt"
