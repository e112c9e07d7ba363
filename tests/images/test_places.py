"""Lists of images, and addresses, that are none."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from galr.common.errors import UserError
from galr.images.places import ImagePlace, read_list


@pytest.mark.parametrize(
    ("paths", "column", "what"),
    [
        (["a.png"], "file", "has no column 'path'"),
        (["a.png", "a.png"], "path", "names an image twice"),
        ([], "path", "names no image"),
        (["a.png", "/b.png"], "path", "has paths of several kinds"),
        (["../a.png"], "path", "names images outside one folder"),
    ],
)
def test_odd_lists_are_one_line(tmp_path, paths, column, what):
    column_of = pa.array(paths, pa.string())
    pa.parquet.write_table(pa.table({column: column_of}), tmp_path / "list.parquet")
    with pytest.raises(UserError, match=what):
        read_list(tmp_path / "list.parquet")


def test_a_password_is_not_kept():
    place = ImagePlace("s3://me:secret@bucket/images")
    assert place.address == "s3://bucket/images"


def test_an_address_of_nothing_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for address, what in (
        ((tmp_path / "empty").as_uri(), "holds no image files"),
        ((tmp_path / "no").as_uri(), "cannot be read"),
        ("nosuch://bucket/images", "cannot be read"),
    ):
        with pytest.raises(UserError, match=what):
            ImagePlace(address).files()
