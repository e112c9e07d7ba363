"""Where an archive's images come from, what is said of them, and commits that a disk has torn."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from galr.common import cli
from galr.common.errors import UserError
from galr.scenes.tiles import Tiling
from galr.search import Archive
from galr.search.__main__ import main
from galr.search.build import build_archive
from galr.search.starting import COMMIT_END
from galr.search.store import Store


class Colours:
    """An encoder without a model."""

    identity, side = "colours", 8

    def encode_pixels(self, pixels):
        return pixels.reshape(len(pixels), -1, 3).mean(axis=1) / 255 - 0.5

    def encode_texts(self, texts):
        return [
            [0.5 if word in text else -0.5 for word in ("red", "green", "blue")] for text in texts
        ]


def build(images, out, **options):
    return build_archive(images, None, out, encoder=Colours(), **options)


def names_of(out):
    return sorted(file.name for file in Archive.open(out, encoder=Colours()).files)


@pytest.fixture
def folder(tmp_path):
    """Four images with some noise, one of them in a folder of its own."""
    rng = np.random.default_rng(0)
    made = tmp_path / "images"
    (made / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "more/d.png"):
        Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).save(made / name)
    (made / "notes.txt").write_text("no image")
    return made


def write_list(path, paths, column="path"):
    pa.parquet.write_table(pa.table({column: paths}), path)
    return path


@pytest.mark.parametrize("kind", ["relative", "absolute", "address"])
def test_a_list_names_the_images(folder, tmp_path, kind, capsys):
    chosen = ["b.png", "more/d.png"]
    given = {
        "relative": chosen,
        "absolute": [str(folder / name) for name in chosen],
        "address": [(folder / name).as_uri() for name in chosen],
    }[kind]
    listed = write_list((folder if kind == "relative" else tmp_path) / "list.parquet", given)
    arguments = ["index", "--images", listed, "--out", tmp_path / "a",
                 "--encoder", f"{__name__}:Colours"]  # fmt: skip
    assert cli.run(main, list(map(str, arguments))) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a'}: 2 images, 2 newly encoded\n"
    assert names_of(tmp_path / "a") == chosen
    archive = Archive.open(tmp_path / "a", encoder=Colours())
    assert archive.image(0).size == (9, 9)
    assert build(listed, tmp_path / "a").encoded == 0


def test_a_listed_image_that_is_missing_is_told(folder, tmp_path):
    for given in (["x.png"], [(folder / "x.png").as_uri()]):
        listed = write_list(folder / "list.parquet", given)
        with pytest.raises(UserError, match=r"x\.png: there is no such image file"):
            build(listed, tmp_path / "a")


def test_a_list_without_images_is_told(folder, tmp_path):
    for given, what in (
        (pa.array([], pa.string()), "names no image"),
        (["a.png", None], "has a row without an image"),
        (["a.png", "a.png"], "names an image twice"),
    ):
        listed = write_list(folder / "list.parquet", given)
        with pytest.raises(UserError, match=rf"list\.parquet: {what}"):
            build(listed, tmp_path / "a")


@pytest.mark.parametrize("tiles", [None, Tiling(sides=(4,), overlap=0.5)])
def test_a_folder_of_only_that_is_nowhere_is_told(folder, tmp_path, tiles):
    for _ in range(2):  # without an archive, and with one
        with pytest.raises(UserError, match="--only nowhere: holds no images in"):
            build(folder, tmp_path / "a", tiles=tiles, only=["nowhere", "more"])
        build(folder, tmp_path / "a", tiles=tiles)
    shutil.rmtree(folder / "more")
    build(folder, tmp_path / "a", tiles=tiles, only=["more"])  # what was there goes
    assert {name.partition("#")[0] for name in names_of(tmp_path / "a")} == {
        "a.png", "b.png", "c.png"
    }  # fmt: skip
    with pytest.raises(UserError, match="--only more: holds no images in"):
        build(folder, tmp_path / "a", tiles=tiles, only=["more"])


def test_only_of_another_place_is_warned_of(folder, tmp_path, caplog):
    build(folder, tmp_path / "a", only=["more"])
    assert not caplog.messages
    build(folder.rename(tmp_path / "moved"), tmp_path / "a", only=["more"])
    assert f"looked for in {tmp_path / 'moved'} from now on, no longer in {folder}" in caplog.text


def test_an_encoder_that_is_none_is_told(folder, tmp_path, capsys):
    arguments = ["index", "--images", folder, "--out", tmp_path / "a", "--encoder", "os:getcwd"]
    assert cli.run(main, list(map(str, arguments))) == 2
    assert "os:getcwd: returns an object without identity" in capsys.readouterr().err


def test_columns_that_do_not_fit_change_nothing(folder, tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("name,month\na.png,1\n")
    build(folder, tmp_path / "a", columns=table)
    version = Store(tmp_path / "a").table("images").version
    for content, what in (
        ("name,month,new\na.png,May,1\n", "has a column month that is no int64 as in the archive"),
        ("name,month,month\na.png,1,2\n", "has the column month twice"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=rf"c\.csv: {what}"):
            build(folder, tmp_path / "a", columns=table)
    assert Store(tmp_path / "a").table("images").version == version


def test_an_address_is_read_as_its_folder(folder, tmp_path):
    built = build(folder.as_uri(), tmp_path / "remote")
    assert built == build(folder, tmp_path / "local")
    remote, local = (
        Archive.open(tmp_path / each, encoder=Colours()) for each in ("remote", "local")
    )
    assert remote.files[:] == local.files[:]
    assert np.array_equal(remote.embeddings, local.embeddings)
    assert np.array_equal(np.asarray(remote.image(3)), np.asarray(local.image(3)))
    assert build(folder.as_uri(), tmp_path / "remote").encoded == 0
    (folder / "b.png").write_bytes(b"damaged")
    built = build(folder.as_uri(), tmp_path / "remote")
    assert (built.images, built.unreadable) == (3, ("b.png",))


def test_images_of_one_value_are_warned_of_once(folder, tmp_path, caplog):
    for name in ("flat_0.png", "flat_1.png"):
        Image.new("RGB", (9, 9), (40, 41, 42)).save(folder / name)
    build(folder, tmp_path / "a", batch_size=1)
    told = [one for one in caplog.messages if "nearly constant" in one]
    assert len(told) == 1
    assert told[0].startswith("2 of 6 images are nearly constant, for example flat_0.png")
    caplog.clear()
    build(folder, tmp_path / "a")
    assert "nearly constant" not in caplog.text


def commits(out, table):
    return sorted((out / f"{table}.lance" / "_versions").glob("*.manifest"))


@pytest.mark.parametrize("table", ["archive", "images", "encoder", "captions"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_torn_commit_is_taken_back(folder, tmp_path, table, left, caplog):
    (tmp_path / "captions.txt").write_text("a red one\n")
    out = tmp_path / "a"
    build(folder, out, captions=tmp_path / "captions.txt")
    if table == "encoder":
        Store(out).put("encoder", pa.table({"key": ["model"], "content": [b"x"]}), on="key")
    latest = max(commits(out, table), key=lambda path: path.stat().st_mtime_ns)
    latest.write_bytes(latest.read_bytes()[:left])
    built = build(folder, out, captions=tmp_path / "captions.txt")
    assert built.images == 4
    assert "a half written commit is taken back" in caplog.text
    assert names_of(out) == ["a.png", "b.png", "c.png", "more/d.png"]
    assert Archive.open(out, encoder=Colours()).captions[0] == ["a red one"]


def test_of_a_commit_only_the_end_is_read(folder, tmp_path, monkeypatch):
    out = tmp_path / "a"
    build(folder, out)
    torn = commits(out, "images")[0].with_name("9.manifest")
    torn.write_bytes(COMMIT_END[1:])
    monkeypatch.delattr(Path, "read_bytes")
    assert build(folder, out).images == 4
    assert not torn.exists()


def test_the_exact_kind_has_no_settings_of_an_index(folder, tmp_path, monkeypatch):
    build(folder, tmp_path / "a")
    monkeypatch.delattr("lancedb.index.HnswSq")
    Store(tmp_path / "a").index("flat")
    with pytest.raises(ImportError):
        Store(tmp_path / "a").index("hnsw")


def test_a_beginning_that_failed_is_no_archive(folder, tmp_path):
    out = tmp_path / "a"
    (out / "archive.lance" / "data").mkdir(parents=True)  # without any commit
    assert build(folder, out).images == 4
    store = Store(tmp_path / "b", create=True)
    store.database.create_table("archive", schema=pa.schema([("key", pa.string())]))
    assert build(folder, tmp_path / "b").images == 4
