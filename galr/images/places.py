"""Where images lie: in a folder of this machine, or at an address such as s3://bucket/images."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import Image

from galr.common.errors import UserError
from galr.common.tables import read_table
from galr.images.decoding import AS_IT_IS, decode_image
from galr.images.folder import list_images
from galr.images.scaling import Scaling
from galr.local_features.names import IMAGE

REMEDY = "name a folder of images, an address such as s3://bucket/images, or a .parquet list"
COLUMN = "path"  # of a list


class ImageFile(NamedTuple):
    """By which a file is known again: another size or time is another image."""

    name: str  # relative to its place, with slashes
    size: int  # bytes
    modified: int  # ns


class ImagePlace:
    """A place of images; an address is read by ``pyarrow.fs``, a folder by its path.

    ``address`` holds no name and password that the given one may have.
    """

    def __init__(self, address: str | Path) -> None:
        self.is_remote = "://" in str(address)
        self.folder = Path(address)  # as it was named
        self._given = str(address)
        self.address = str(self.folder.resolve())
        if self.is_remote:
            self.address = re.sub(r"//[^/@]*@", "//", self._given)

    def files(self, names: Sequence[str] | None = None) -> list[ImageFile]:
        """The image files below the place, or those of ``names``, by name.

        Raises UserError where there are none, or one of ``names`` is missing.
        """
        if not self.is_remote:
            chosen = (
                list_images(self.folder, "name one by --images").names if names is None else names
            )
            return [self.stat(name) for name in sorted(chosen)]
        system, root = self._system
        from pyarrow.fs import FileSelector

        asked = FileSelector(root, recursive=True)
        try:
            found = system.get_file_info(asked if names is None else [f"{root}/{n}" for n in names])
        except OSError as error:
            raise self._failed(error) from None
        files = [ImageFile(one.path[len(root) + 1 :], one.size, one.mtime_ns or 0) for one in found]
        if names is None:
            files = [one for one in files if one.size is not None and IMAGE.search(one.name)]
        if not files:
            raise UserError(self.address, "holds no image files", REMEDY)
        for one in files:
            if one.size is None:
                raise UserError(f"{self.address}/{one.name}", "there is no such image file", REMEDY)
        return sorted(files)

    def stat(self, name: str) -> ImageFile:
        """One file; UserError where there is none."""
        if self.is_remote:
            return self.files([name])[0]
        try:
            stat = os.stat(self.folder / name)
        except OSError:
            remedy = "correct the list of images or the folder"
            raise UserError(self.folder / name, "there is no such image file", remedy) from None
        return ImageFile(name, stat.st_size, stat.st_mtime_ns)

    def decode(self, name: str, scaling: Scaling = AS_IT_IS) -> Image.Image:
        """An image of the place, as ``decode_image`` gives it, and with its errors."""
        if not self.is_remote:
            return decode_image(self.folder / name, scaling)
        system, root = self._system
        try:
            with system.open_input_stream(f"{root}/{name}") as stream:
                content = stream.read()
            return decode_image(io.BytesIO(content), scaling)
        except OSError as error:
            raise self._failed(error, name) from None
        except UserError as error:
            raise UserError(f"{self.address}/{name}", error.what, error.remedy) from None

    @cached_property
    def _system(self) -> tuple[Any, str]:
        """The file system of the address, and the path there."""
        from pyarrow.fs import FileSystem

        try:
            system, path = FileSystem.from_uri(self._given)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None
        return system, path.rstrip("/")

    def _failed(self, error: Exception, name: str = "") -> UserError:
        place = f"{self.address}/{name}" if name else self.address
        return UserError(
            place, f"cannot be read ({str(error).partition(chr(10))[0][:200]})", REMEDY
        )


def read_list(path: str | Path) -> tuple[ImagePlace, list[str]]:
    """The place of the images of a Parquet list, and their names there.

    The list has a column ``path``. Paths that are not absolute are relative to the list's folder;
    the place of absolute ones, or of addresses, is the deepest folder that holds all. Raises
    UserError for a list that cannot be read, is empty, or names an image twice or elsewhere.
    """
    remedy = f"give a Parquet file with a column {COLUMN!r}, one row an image"
    table, _ = read_table(path, remedy)
    if COLUMN not in table.column_names:
        raise UserError(path, f"has no column {COLUMN!r}", remedy)
    given = [str(one or "") for one in table[COLUMN].to_pylist()]
    for is_wrong, what in (
        (not given, "names no image"),
        (not all(given), "has a row without an image"),
        (len(set(given)) < len(given), "names an image twice"),
    ):
        if is_wrong:
            raise UserError(path, what, remedy)
    kinds = {one.partition("://")[0] if "://" in one else one[:1] == "/" for one in given}
    if len(kinds) > 1:
        raise UserError(path, "has paths of several kinds", "write all in one way")
    (kind,) = kinds
    names, place = given, str(Path(path).parent)
    if kind:
        scheme = f"{kind}://" if isinstance(kind, str) else ""
        parts = [PurePosixPath(one.removeprefix(scheme)) for one in given]
        common = os.path.commonpath([one.parent for one in parts])
        names, place = [one.relative_to(common).as_posix() for one in parts], f"{scheme}{common}"
    if place.endswith("://") or any(".." in PurePosixPath(name).parts for name in names):
        raise UserError(path, "names images outside one folder", "write whole paths")
    return ImagePlace(place), names
