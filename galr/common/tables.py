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
