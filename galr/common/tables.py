"""Tables that people give, as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galr.common.errors import UserError


def read_table(path: str | Path, remedy: str) -> tuple[Any, bytes]:
    """A ``pyarrow.Table``, and the content of its file; an empty field of a CSV file is no value.

    Raises UserError, which says ``remedy``, for what is none.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(path, "is neither .csv nor .parquet", remedy)
    try:
        content = path.read_bytes()
        file = pa.BufferReader(pa.py_buffer(content))
        if path.suffix.lower() == ".parquet":
            return parquet.read_table(file), content
        empty = csv.ConvertOptions(strings_can_be_null=True)
        return csv.read_csv(file, convert_options=empty), content
    except FileNotFoundError:
        raise UserError(path, "there is no such file", remedy) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        what = f"cannot be read ({str(error).partition(chr(10))[0][:120]})"
        raise UserError(path, what, remedy) from None


def named_table(path: str | Path, remedy: str, name: str = "name") -> tuple[Any, bytes]:
    """As ``read_table``, of one row an image, which its column ``name`` tells as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table, content = read_table(path, remedy)
    columns = table.column_names
    if name not in columns or len(columns) < 2:
        raise UserError(path, f"has no column {name} beside others", remedy)
    for column in columns:
        if columns.count(column) > 1:
            raise UserError(path, f"has the column {column} twice", "rename one of them")
    names = pc.cast(table[name], pa.string())
    counts = pc.value_counts(names)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if names.null_count or len(twice):
        told = f"{twice[0]['values'].as_py()!r} twice" if len(twice) else f"a row without a {name}"
        raise UserError(path, f"has {told}", "give one row an image")
    return table.set_column(columns.index(name), name, names), content
