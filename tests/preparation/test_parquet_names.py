"""Parquet files whose names of columns are damaged."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from galr.common.errors import UserError
from galr.preparation.layouts.tables import open_parquet


def test_a_name_that_is_no_text_is_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"caption": ["a"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"caption", b"cap\xffion"))
    with pytest.raises(UserError, match="is no Parquet"):
        open_parquet(path)
