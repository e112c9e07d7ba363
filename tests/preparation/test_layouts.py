"""Every layout of captions gives the same data folder."""

import csv
import json

import pytest
from PIL import Image

from galr.common.errors import UserError
from galr.preparation.layouts.rows import Wanted
from galr.preparation.own_data import Choices, prepare_own
from tests.preparation.conftest import LAYOUTS, WITH_PICTURES, dump, picture, write_table


def prepared(own, captions, name, images=True, **choices):
    done = prepare_own(
        captions, own.images if images else None, own.root / name, own.root / f"{name}.json",
        Choices(**choices),
    )  # fmt: skip
    return done, {path.name: path.read_bytes() for path in sorted((own.root / name).glob("*.txt"))}


def lines(files, part):
    return [files[f"{part}_{kind}.txt"].decode().splitlines() for kind in ("filename", "caps")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_content_gives_equal_folders(own, layout):
    _, expected = prepared(own, write_table(own, "reference.csv"), "reference")
    has_pictures = layout in WITH_PICTURES
    done, found = prepared(own, LAYOUTS[layout](own), "found", images=not has_pictures)
    assert found == expected
    assert (own.root / "found.json").read_bytes() == (own.root / "reference.json").read_bytes()
    assert "20 images with 40 captions" in done.said[0]
    with Image.open(own.root / "found" / "images" / "plane_0.png") as image:
        assert image.tobytes() == picture(0).tobytes()


def test_the_order_is_that_of_names_and_texts(own):
    own.captions["plane_0.png"] = ["b", "a", "a"]
    _, files = prepared(own, write_table(own), "data")
    parts = (zip(*lines(files, part), strict=True) for part in ("train", "val", "test"))
    pairs = [pair for part in parts for pair in part]
    assert [text for name, text in pairs if name == "plane_0.png"] == ["a", "a", "b"]
    train, _ = lines(files, "train")
    assert train == sorted(train)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_though_captions_hold_others(own, delimiter):
    own.captions["plane_0.png"] = ["one; two, three | four\tfive"]
    done, files = prepared(own, write_table(own, delimiter=delimiter), "data")
    assert "one; two, three | four five" in b"".join(files.values()).decode()
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    assert f"separated by {names[delimiter]}" in done.said[0]


def test_columns_that_are_named(own):
    path = write_table(own, header=("Bild", "Satz"))
    with pytest.raises(UserError, match="its columns are 'Bild', 'Satz'; name them by --image-col"):
        prepared(own, path, "data")
    done, _ = prepared(own, path, "data", wanted=Wanted("Bild", ("Satz",)))
    assert "images in 'Bild', captions in 'Satz'" in done.said[0]


def test_numbers_as_names(own):
    rows = []
    for number, name in enumerate(own.captions):
        (own.images / name).rename(own.images / f"{number}.png")
        rows.append({"id": number if number % 2 else float(number), "caption": f"no {number}"})
    _, files = prepared(own, dump(own, rows), "data")
    assert "12.png" in b"".join(files.values()).decode()


def test_missing_captions_are_named(own):
    own.captions["plane_0.png"] = ["", " "]
    own.captions["harbor_1.png"][0] = ""
    picture(90).save(own.images / "extra.png")
    done, files = prepared(own, write_table(own), "data")
    said = "\n".join(done.said)
    assert "left out, without a caption: 1: plane_0.png" in said
    assert "1 empty captions of images that have others" in said
    assert "no caption is about: 1: extra.png" in said
    assert "plane_0.png\t" in (own.root / "data" / "left_out.tsv").read_text()
    assert "plane_0.png" not in b"".join(files.values()).decode()


def test_class_folders_with_templates(own):
    for name in own.captions:
        folder = own.images / ("BaseballField" if name < "f" else "storage_tank")
        folder.mkdir(exist_ok=True)
        (own.images / name).rename(folder / name)
    templates = ("an aerial picture of a {class}", "{class}")
    done, files = prepared(own, None, "data", templates=templates)
    assert "folders of classes" in done.said[0]
    assert set(lines(files, "train")[1]) == {
        "an aerial picture of a baseball field", "baseball field",
        "an aerial picture of a storage tank", "storage tank",
    }  # fmt: skip


def test_a_name_with_its_folder_never_means_another_folder(own):
    for folder in ("airport", "harbor"):
        (own.images / folder).mkdir()
        picture(len(folder)).save(own.images / folder / "1.png")
    rows = {name: texts for name, texts in own.captions.items()}
    _, files = prepared(own, dump(own, {**rows, "airport/1.jpg": ["planes"]}), "data")
    assert "airport/1.png" in b"".join(files.values()).decode()
    with pytest.raises(UserError, match=r"1.jpg may be airport/1.png or harbor/1.png"):
        prepared(own, dump(own, {**rows, "1.jpg": ["planes"]}), "data")
    with pytest.raises(UserError, match="there is no image"):
        prepared(own, dump(own, {**rows, "bridge/1.png": ["planes"]}), "data")


def test_coco_of_karpathy_with_folders_and_restval(own):
    images = []
    for number, (name, texts) in enumerate(own.captions.items()):
        folder = own.images / f"part{number % 2}"
        folder.mkdir(exist_ok=True)
        (own.images / name).rename(folder / name)
        split = ("train", "restval", "val", "test")[number % 4]
        images.append(
            {"filepath": folder.name, "filename": name, "split": split,
             "sentences": [{"raw": text, "tokens": []} for text in texts]}
        )  # fmt: skip
    done, files = prepared(own, dump(own, {"images": images}), "data")
    assert done.images == {"train": 10, "val": 5, "test": 5}
    assert "part1/harbor_1.png" in lines(files, "train")[0]
    assert "using the splits given with the captions" in done.said


def test_lists_named_after_splits(own):
    folder = own.root / "pir"
    folder.mkdir()
    rows = [{"image": f"images/{name}", "caption": text} for name, text in own.captions.items()]
    for part, chosen in (("train", rows[:14]), ("val", rows[14:17]), ("test", rows[17:])):
        (folder / f"own_{part}.json").write_text(json.dumps(chosen))
    done, _ = prepared(own, folder, "data")
    assert done.images == {"train": 14, "val": 3, "test": 3}


@pytest.mark.parametrize("places", [("train", "test"), ("",)])
def test_an_imagefolder_with_a_folder_for_each_split(own, places):
    folder = own.root / "hub"
    rows = {place: [("file_name", "text")] for place in places}
    for number, (name, texts) in enumerate(own.captions.items()):
        part = ("train", "test")[number % 4 == 0]
        (folder / part).mkdir(parents=True, exist_ok=True)
        (own.images / name).rename(folder / part / name)
        written = name if part in rows else f"{part}/{name}"
        rows[part if part in rows else ""] += [(written, text) for text in texts]
    for place, own_rows in rows.items():
        with (folder / place / "metadata.csv").open("w", newline="") as file:
            csv.writer(file).writerows(own_rows)
    done, files = prepared(own, folder, "data", images=False)
    assert done.images == {"train": 15, "test": 5}
    assert "test/plane_0.png" in lines(files, "test")[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("image,caption\na.png,one, two\n", r"captions.csv:2: has 3 fields.*put quotes around"),
        ('image,caption\na.png,"one\n', r"captions.csv:2: is no row of a table"),
        ("", "is empty"),
        ("image,caption\nb.png,\xff", "is not UTF-8 text"),
        ("image,caption\nnowhere.png,one\n", r"captions.csv:2: there is no image .*nowhere.png"),
        ("image,caption\n,one\n", r"captions.csv:2: names no image"),
        ("image,caption,split\nplane_0.png,one,later\n", r"captions.csv:2: is of split 'later'"),
        ("image,caption,split\nplane_0.png,a,train\nplane_0.png,b,test\n", "in one split"),
        ("image,caption,split\nplane_0.png,a,train\nharbor_1.png,b,\n", "harbor_1.png: has no"),
    ],
)
def test_bad_tables_are_one_line_and_write_nothing(own, text, what):
    path = own.root / "captions.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=what) as caught:
        prepared(own, path, "data")
    assert "\n" not in str(caught.value)
    assert not (own.root / "data").exists()
    assert [p.name for p in own.root.iterdir() if ".tmp" in p.name] == []


@pytest.mark.parametrize("content", [[], {}, 3, {"a": 1}, [1], [{"image": "plane_0.png"}]])
def test_json_in_no_layout(own, content):
    with pytest.raises(UserError):
        prepared(own, dump(own, content), "data")


def test_a_shard_cannot_write_elsewhere(own):
    import tarfile

    from tests.preparation.conftest import add

    path = own.root / "bad.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "../x.png", (own.images / "plane_0.png").read_bytes())
    with pytest.raises(UserError, match="leads out of the folder"):
        prepared(own, path, "data", images=False)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UserError, match="is no whole tar file"):
        prepared(own, path, "data", images=False)


def test_a_cell_of_any_length(own):
    own.captions["plane_0.png"] = ["word " * 100_000]
    path = own.root / "long.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *own.pairs])
    prepared(own, path, "data")
