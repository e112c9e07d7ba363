"""Tables of captions: CSV in any of its dialects, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from galr.common.errors import UserError
from galr.preparation.layouts.rows import Columns, Row, looks_like_image

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LOOKED_AT = 50  # rows that the delimiter is found by
CELL = 1 << 24  # characters of a cell at most
ROWS_AT_A_TIME = 4096


class Dialect(NamedTuple):
    """How a text file is a table; ``header``: its column names, and whether they are in it."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    has_header: bool

    def __str__(self) -> str:
        without = "" if self.has_header else ", without a header"
        return f"a table separated by {DELIMITERS[self.delimiter]}s{without}"


def find_dialect(path: Path, columns: Columns) -> Dialect:
    """Raises UserError where the file is empty or no delimiter gives columns that are known."""
    encoding = _encoding(path)
    found: list[tuple[int, Dialect]] = []
    wrong: UserError | None = None
    for delimiter in DELIMITERS:
        rows = []
        with path.open(encoding=encoding, newline="") as file:
            try:
                for row in islice(_cells(file, delimiter, path), LOOKED_AT):
                    rows.append(row)
            except UserError as error:
                wrong = wrong or error
        if not rows:
            continue
        header = _distinct([cell.strip() for cell in rows[0][1]])
        if columns.fits(header):
            return Dialect(encoding, delimiter, header, True)
        has_header = len(header) == 1 or not looks_like_image(rows[0][1][0])
        if not has_header:
            header = ("image", *(f"caption_{n}" for n in range(1, len(header))))
            has_header = not columns.fits(header)
        even = sum(len(cells) == len(header) > 1 for _, cells in rows)
        found.append((even, Dialect(encoding, delimiter, header, has_header)))
    if not found:
        raise wrong or UserError(path, "is empty", "name a file with captions by --captions")
    return max(found, key=lambda pair: pair[0])[1]


def read_table(path: Path, dialect: Dialect, columns: Columns, split: str | None) -> Iterator[Row]:
    """The rows of a file with one delimiter; raises UserError with the line for what is wrong."""
    header = dialect.header
    with path.open(encoding=dialect.encoding, newline="") as file:
        lines = _cells(file, dialect.delimiter, path)
        for number, cells in islice(lines, int(dialect.has_header), None):
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise UserError(
                    f"{path}:{number}",
                    f"has {len(cells)} fields, and the first row has {len(header)}",
                    f"put quotes around texts that hold a {DELIMITERS[dialect.delimiter]}",
                )
            cells += [""] * (len(header) - len(cells))
            yield columns.row(dict(zip(header, cells, strict=False)), f"{path}:{number}", split)


def _cells(file: TextIO, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the last line of each row that is not blank, and its cells."""
    csv.field_size_limit(CELL)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(
            f"{path}:{reader.line_num}",
            f"is no row of a table ({error})",
            'a text in quotes ends before the delimiter, and quotes in it are doubled: "a ""b"""',
        ) from None
    except UnicodeError:
        raise UserError(
            f"{path}:{reader.line_num + 1}", "is not UTF-8 text", "save the file as UTF-8"
        ) from None


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    # what Excel calls Unicode text
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Column names, of which repeated ones get a number."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(result)


def read_json_lines(path: Path, columns: Columns, split: str | None) -> Iterator[Row]:
    """The rows of a file with a JSON object a line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise UserError(
                    place, f"is no JSON ({error})", "write a JSON object a line"
                ) from None
            if not isinstance(record, dict):
                raise UserError(place, "is no object", 'write {"image": ..., "caption": ...}')
            yield columns.row(record, place, split)


def open_parquet(path: Path) -> ParquetFile:
    """Raises UserError without pyarrow, and for a file that is no Parquet."""
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise UserError(
            path,
            "needs the package pyarrow, which is not installed",
            "pip install pyarrow (requirements-prepare.txt), or save the table as CSV",
        ) from None
    try:
        return ParquetFile(path)
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"is no Parquet ({error})", "get the file again") from None


def parquet_records(
    path: Path, file: ParquetFile, names: list[str], at_a_time: int = ROWS_AT_A_TIME
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the columns ``names`` of each row, some rows at a time."""
    from pyarrow.lib import ArrowException

    number = 0
    try:
        for batch in file.iter_batches(at_a_time, columns=names, use_threads=False):
            for record in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", record
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"is damaged ({error})", "get the file again") from None


def read_parquet(path: Path, columns: Columns, split: str | None) -> Iterator[Row]:
    """The rows of a Parquet file whose images are files."""
    file = open_parquet(path)
    keys = columns.keys(file.schema_arrow.names, path)
    names = [name for name in (keys.image, keys.folder, *keys.captions, keys.split) if name]
    for place, record in parquet_records(path, file, names):
        yield columns.row(record, place, split)
