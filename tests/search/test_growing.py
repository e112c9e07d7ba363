"""Archives that grow: columns, several writers, kills, old versions, earlier formats."""

import json
import re
import shutil
import struct
import subprocess
import sys
import threading

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from galr.common import cli
from galr.common.errors import UserError
from galr.search import Archive, store
from galr.search.__main__ import main
from galr.search.build import build_archive
from galr.search.schema import table_of
from galr.search.store import Store
from tests.tiny import ROOT


def run(capsys, *arguments):
    status = cli.run(main, [str(argument) for argument in arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def grown(archive_path, tmp_path):
    """A copy of the archive, which a test may change."""
    return shutil.copytree(archive_path, tmp_path / "archive.index")


@pytest.fixture(scope="module")
def index(learned, test_images):
    return ["index", "--images", test_images, "--checkpoint", learned.checkpoint, "--out"]


def test_columns_of_csv_are_joined_by_name(grown, index, tmp_path, capsys, caplog):
    rows = ["name,month,place", "test_0.png,6,north", "test_1.png,7,", "more/test_5.png,2,south"]
    (tmp_path / "months.csv").write_text("\n".join([*rows, "gone.png,1,x\n"]))
    status, out, err = run(capsys, *index, grown, "--columns", tmp_path / "months.csv")
    assert (status, out) == (0, f"{grown}: 6 images, 0 newly encoded\n"), err
    assert "gone.png names no image of the archive (1 in all)" in caplog.text
    assert "test_2.png is the first image without a row (3 in all)" in caplog.text
    archive = Archive.open(grown)
    where = "month >= 6 AND (place IS NULL OR place = 'north')"
    found = archive.query("a square", where=where)
    assert {match.name for match in found} == {"test_0.png", "test_1.png"}
    assert archive.files.rows([found[0].number])[0]["month"] in (6, 7)
    assert [match.name for match in archive.query("a square", where="class = 'more'")] == [
        "more/test_5.png"
    ]
    reranked = archive.query("a square", where=where, rerank=True)
    assert {match.name for match in reranked} == {"test_0.png", "test_1.png"}
    with pytest.raises(UserError, match="nnn applies to all images; omit --where"):
        archive.query("a square", where=where, rerank="nnn")
    status, out, _ = run(capsys, "query", "a square", "--index", grown, "--where", "month = 2")
    assert (status, out.count("\n"), "more/test_5.png" in out) == (0, 2, True)
    # an image that is encoded anew keeps what was joined, and a new file changes it
    build_archive(*index[2:5:2], grown, overwrite=False)
    table = pa.table({"name": ["test_0.png"], "month": ["12"], "class": ["harbour"]})
    pa.parquet.write_table(table, tmp_path / "tiles.parquet")
    build_archive(*index[2:5:2], grown, columns=tmp_path / "tiles.parquet")
    (match,) = Archive.open(grown).query("a square", where="class = 'harbour' AND month = 12")
    assert match.name == "test_0.png"
    assert len(archive.query("a square", where="month = 2")) == 1  # as it was when it was opened


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("nme,month\na,1\n", "has no column name beside others"),
        ("name,month\na,1\na,2\n", "has 'a' twice"),
        ("name,vector\na,1\n", "has the column vector, which every archive has"),
        ("name,cloud cover\na,1\n", "has a column 'cloud cover', which no condition could name"),
        ("name,month\na,1,2\n", "cannot be read"),
    ],
)
def test_odd_columns_are_one_line(content, what, grown, index, tmp_path, capsys):
    (tmp_path / "odd.csv").write_text(content)
    status, _, err = run(capsys, *index, grown, "--columns", tmp_path / "odd.csv")
    assert (status, err.count("\n")) == (2, 1), err
    assert f"odd.csv: {what}" in err


def test_columns_of_a_large_archive_are_indexed(grown, index, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "INDEXED_ROWS", 6)
    rows = ["name,month,place", "test_0.png,6,north", "test_1.png,7,", "more/test_5.png,2,south"]
    (tmp_path / "months.csv").write_text("\n".join(rows))
    build_archive(*index[2:5:2], grown, columns=tmp_path / "months.csv")
    archive = Archive.open(grown)
    table = archive.files.table
    indexed = {one.columns[0] for one in table.list_indices()}
    assert indexed == {*archive.files.columns} >= {"month", "place", "class", "objects", "name"}
    for where, names in {
        "month >= 6 AND (place IS NULL OR place = 'north')": {"test_0.png", "test_1.png"},
        "class = 'more'": {"more/test_5.png"},
        "array_has(objects, 'plane')": set(),
        "name LIKE 'more%' OR month IN (7)": {"test_1.png", "more/test_5.png"},
    }.items():
        assert {match.name for match in archive.query("a square", where=where)} == names
    plan = table.search().where("month = 6").explain_plan()
    assert "ScalarIndexQuery" in plan
    # rows that come later are found before the index is extended, and columns that change
    (tmp_path / "months.csv").write_text("name,month\ntest_2.png,6\ntest_0.png,1\n")
    build_archive(*index[2:5:2], grown, columns=tmp_path / "months.csv")
    found = Archive.open(grown).query("a square", where="month = 6")
    assert {match.name for match in found} == {"test_2.png"}


def test_rows_tell_of_their_images(learned, test_images, tmp_path):
    build_archive(test_images, learned.checkpoint, tmp_path / "a", thumbnails=8)
    archive = Archive.open(tmp_path / "a")
    row = archive.files.rows([archive.number_of("more/test_5.png")])[0]
    stat = (test_images / "more" / "test_5.png").stat()
    with Image.open(test_images / "more" / "test_5.png") as image:
        size = image.size
    assert (row["width"], row["height"], row["class"]) == (*size, "more")
    assert (row["size"], row["time"]) == (stat.st_size, stat.st_mtime_ns)
    assert len(row["digest"]) == 64
    assert archive.files.taken([0], ["thumbnail"])["thumbnail"][0].as_py()[:2] == b"\xff\xd8"


def test_a_run_over_a_folder_leaves_the_others(learned, test_images, tmp_path):
    folder, out = shutil.copytree(test_images, tmp_path / "images"), tmp_path / "a"
    build_archive(folder, learned.checkpoint, out)
    (folder / "test_0.png").unlink()
    shutil.copy(folder / "test_1.png", folder / "more" / "new.png")
    built = build_archive(folder, learned.checkpoint, out, only=["more"])
    assert (built.images, built.encoded) == (7, 1)
    (folder / "more" / "new.png").unlink()
    assert build_archive(folder, learned.checkpoint, out, only=["more"]).images == 6
    assert build_archive(folder, learned.checkpoint, out).images == 5


def test_two_writers_lose_nothing(grown):
    """Each writes rows of its own and some of both, one after the other, and publishes."""
    store = Store(grown)
    dim = Archive.open(grown).files.dim
    stop: list[BaseException] = []

    def write(own):
        try:
            store = Store(grown)
            for step in range(8):
                names = [f"{own}_{step}.png", f"both_{step}.png"]
                rows = [{"name": name, "size": 1, "time": 1} for name in names]
                store.put("images", table_of(rows, np.eye(2, dim, dtype="f4"), tiles=False))
                store.publish()
        except BaseException as error:  # noqa: BLE001 - told below
            stop.append(error)

    writers = [threading.Thread(target=write, args=(own,)) for own in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not stop
    archive = Archive.open(grown)
    names = sorted(file.name for file in archive.files[:])
    assert len(archive) == 6 + 3 * 8
    assert len(set(names)) == len(names)
    assert archive.manifest.versions["images"] == store.table("images").version


def test_a_writer_that_is_killed_leaves_whole_rows():
    command = [sys.executable, "benchmarks/kill_writer.py", "--kills", "5", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5 kills, " in done.stdout


def test_old_versions_are_cleaned(grown, index, capsys):
    store = Store(grown)
    for step in range(4):
        rows = [{"name": f"{step}.png", "size": 1, "time": 1}]
        store.put("images", table_of(rows, np.eye(1, 16, dtype="f4"), tiles=False))
    status, _, err = run(capsys, "clean", "--index", grown)
    assert status == 2
    assert "has a build that is not finished" in err
    store.publish()
    before = {row: vector for row, vector in enumerate(Archive.open(grown).embeddings.tolist())}
    status, out, _ = run(capsys, "clean", "--index", grown)
    assert status == 0, "none is a week old"
    status, out, _ = run(capsys, "clean", "--index", grown, "--older-than", 0)
    assert int(out.split()[1]) > 4
    assert dict(enumerate(Archive.open(grown).embeddings.tolist())) == before
    built = build_archive(*index[2:5:2], grown)
    assert (built.images, built.encoded) == (6, 0)


def old_archive(path, new):
    """``new`` as an archive of format 1."""
    archive = Archive.open(new)
    path.mkdir()
    content = archive.store.table("encoder").search().to_arrow()["content"][0].as_py()
    (path / "model.pth").write_bytes(content)
    files, told = archive.files[:], archive.manifest
    with h5py.File(path / "images-0a.h5", "w") as file:
        file.create_dataset("names", data=[one.name for one in files], dtype=h5py.string_dtype())
        file.create_dataset("sizes", data=[one.size for one in files])
        file.create_dataset("modified", data=[one.modified for one in files])
        file.create_dataset("embeddings", data=archive.embeddings)
    with h5py.File(path / "captions-0b.h5", "w") as file:
        file.create_dataset("captions", data=archive.captions[0], dtype=h5py.string_dtype())
        file.create_dataset("embeddings", data=archive.captions[1])
    tiles = told.tiles and told.tiles.model_dump(mode="json")
    manifest = {
        "version": 1, "folder": told.folder, "checkpoint": told.checkpoint, "local": None,
        "kind": "flat", "images": "images-0a.h5", "approximate": None,
        "captions": "captions-0b.h5", "tiles": tiles, "unreadable": list(told.unreadable),
    }  # fmt: skip
    (path / "archive.json").write_text(json.dumps(manifest))
    if tiles:
        scenes = sorted(archive.tiles.scenes)
        found = [archive.tiles.of(number) for number in range(len(archive))]
        nowhere = np.full((4, 2), np.nan)
        np.savez(
            path / "tiles-0a.npz",
            scene=[scenes.index(tile.scene) for tile in found],
            windows=[tile.window for tile in found],
            footprints=[nowhere if tile.footprint is None else tile.footprint for tile in found],
            scenes=np.frombuffer(
                json.dumps([[name, *archive.tiles.scenes[name][:5]] for name in scenes]).encode(),
                np.uint8,
            ),
        )
    return path


def test_an_earlier_archive_is_moved(archive_path, learned, index, tmp_path, capsys):
    old = old_archive(tmp_path / "old", archive_path)
    status, _, err = run(capsys, "query", "a square", "--index", old)
    assert (status, err.count("\n")) == (2, 1)
    assert f"run python -m galr.search migrate {old} NEW" in err
    assert f"run python -m galr.search migrate {old} NEW" in run(capsys, *index, old)[2]
    new = tmp_path / "new"
    assert run(capsys, "migrate", old, new)[:2] == (0, f"{new}: 6 images\n")
    for rerank in (False, True, "csls"):
        assert Archive.open(new).query(learned.pairs[0][0], rerank=rerank) == Archive.open(
            archive_path
        ).query(learned.pairs[0][0], rerank=rerank)
    assert build_archive(*index[2:5:2], new).encoded == 0
    assert "is an archive already" in run(capsys, "migrate", old, new)[2]
    (old / "images-0a.h5").write_bytes(b"damaged")
    assert "old: is damaged or unfinished" in run(capsys, "migrate", old, tmp_path / "n")[2]


def documented(name):
    """The class of that name in the documentation."""
    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    made = {}
    exec(re.search(rf"```python\n(class {name}:.*?)```", text, re.DOTALL)[1], made)
    return made[name]


Colours = documented("Colours")


def test_an_encoder_of_ones_own(tmp_path, capsys, monkeypatch):
    folder, out = tmp_path / "images", tmp_path / "a"
    folder.mkdir()
    for name, colour in (("r", (250, 5, 5)), ("g", (5, 250, 5)), ("b", (5, 5, 250))):
        Image.new("RGB", (9, 9), colour).save(folder / f"{name}.png")
    index = ["index", "--images", folder, "--out", out, "--encoder", f"{__name__}:Colours"]
    assert run(capsys, *index)[:2] == (0, f"{out}: 3 images, 3 newly encoded\n")
    query = ["query", "a green thing", "--index", out, "--k", 1]
    status, told, err = run(capsys, *query, "--encoder", f"{__name__}:Colours")
    assert (status, told.split()[-1]) == (0, "g.png"), err
    archive = Archive.open(out, encoder=Colours())
    assert archive.query("blue", k=1)[0].name == "b.png"
    assert archive.query(image=folder / "r.png", k=1)[0].score == pytest.approx(1)
    assert "was built with mean colours, version 1; give it" in run(capsys, *query)[2]
    assert "cannot be called" in run(capsys, *query, "--encoder", "nosuch:thing")[2]
    monkeypatch.setattr(Colours, "identity", "version 2")
    with pytest.raises(
        UserError, match="was built with mean colours, version 1, not with version 2"
    ):
        Archive.open(out, encoder=Colours())
    told = run(capsys, *index)[2]
    assert "another checkpoint: mean colours, version 1, not version 2" in told


def test_a_version_whose_length_is_damaged_is_one_line(grown, capsys):
    for path in grown.glob("*/_versions/*.manifest"):
        content = bytearray(path.read_bytes())
        (place,) = struct.unpack_from("<Q", content, len(content) - 16)
        struct.pack_into("<I", content, place, 0xFFFFFFF0)
        path.write_bytes(content)
    status, out, err = run(capsys, "query", "a square", "--index", grown)
    assert (status, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"{grown}: is missing or damaged" in errors[0]
