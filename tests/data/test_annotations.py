import numpy as np
import pytest

from galr.common.errors import UserError
from galr.data.annotations import read_annotations


def write(folder, captions, names, split="train", end="\n"):
    folder.mkdir(exist_ok=True)
    for kind, lines in (("caps", captions), ("filename", names)):
        (folder / f"{split}_{kind}.txt").write_bytes("".join(x + end for x in lines).encode())
    return folder


CAPTIONS = ["a river", "two rivers", "trees", "many trees", "a port", "ships"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "names", [["r.tif", "t.tif", "p.tif"], ["r.tif", "r.tif", "t.tif", "t.tif", "p.tif", "p.tif"]]
)
def test_a_name_an_image_or_a_name_a_caption(tmp_path, names, end):
    read = read_annotations(write(tmp_path / "d", CAPTIONS, names, end=end), "train")
    assert read.images == ("r.tif", "t.tif", "p.tif")
    assert read.captions == tuple(CAPTIONS)
    assert read.caption_to_image.tolist() == [0, 0, 1, 1, 2, 2]


def test_any_number_of_captions_an_image(tmp_path):
    names = ["r.tif", "t.tif", "t.tif", "t.tif", "r.tif", "p.tif"]
    read = read_annotations(write(tmp_path / "d", CAPTIONS, names), "train")
    assert read.caption_to_image.tolist() == [0, 1, 1, 1, 0, 2]
    chosen = read.select(np.array([2, 0]))
    assert chosen.images == ("p.tif", "r.tif")
    assert chosen.captions == ("ships", "a river", "a port")
    assert chosen.caption_to_image.tolist() == [0, 1, 1]


def test_a_byte_order_mark_and_a_missing_last_line_end_do_not_matter(tmp_path):
    folder = write(tmp_path / "d", CAPTIONS, ["r", "t", "p"])
    (folder / "train_caps.txt").write_text("\n".join(CAPTIONS), encoding="utf-8-sig")
    assert read_annotations(folder, "train").captions == tuple(CAPTIONS)


def test_known_empty_captions_are_left_out_with_their_images(tmp_path):
    captions = ["a river", "", "", "", "a port", "ships"]
    folder = write(tmp_path / "d", captions, ["r.tif", "t.tif", "p.tif"])
    read = read_annotations(folder, "train", empty_captions=3)
    assert read.images == ("r.tif", "p.tif")
    assert read.captions == ("a river", "a port", "ships")
    assert read.caption_to_image.tolist() == [0, 1, 1]


@pytest.mark.parametrize("known", [0, 1, 3])
def test_another_number_of_empty_captions_is_an_error(tmp_path, known):
    captions = ["a river", "two rivers", "trees", " ", "", "ships"]
    folder = write(tmp_path / "d", captions, ["r", "t", "p"])
    with pytest.raises(UserError, match=r"train_caps\.txt:4: is an empty caption \(2 in the file"):
        read_annotations(folder, "train", empty_captions=known)


@pytest.mark.parametrize(
    ("captions", "names", "message"),
    [
        (CAPTIONS, ["r", "t", "p", "x"], r"train_caps\.txt: .*6 captions for 4 lines"),
        (CAPTIONS[:5], ["r", "t", "p"], r"train_caps\.txt: .*5 captions for 3 lines"),
        (CAPTIONS, ["r"] * 7, r"train_caps\.txt: .*6 captions for 7 lines"),
        (CAPTIONS, ["r", "t", "r"], r"train_filename\.txt:3: names r again"),
        (CAPTIONS, ["r", "", "p"], r"train_filename\.txt:2: names no image"),
        (CAPTIONS, [], r"train_filename\.txt: is empty"),
        ([], ["r"], r"train_caps\.txt: .*0 captions for 1 lines"),
    ],
)
def test_files_that_do_not_fit(tmp_path, captions, names, message):
    with pytest.raises(UserError, match=message):
        read_annotations(write(tmp_path / "d", captions, names), "train")


def test_bytes_that_are_no_text_name_their_line(tmp_path):
    folder = write(tmp_path / "d", CAPTIONS, ["r", "t", "p"])
    (folder / "train_caps.txt").write_bytes(b"a\nb\n\xff\xfe\nc\nd\ne\n")
    with pytest.raises(UserError, match=r"train_caps\.txt:3: is not UTF-8"):
        read_annotations(folder, "train")


def test_missing_folder_file_and_image(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: there is no such data folder"):
        read_annotations(tmp_path / "nowhere", "train")
    folder = write(tmp_path / "d", CAPTIONS, ["r.png", "s/t.png", "p.png"])
    with pytest.raises(UserError, match=r"test_caps\.txt: there is no such file"):
        read_annotations(folder, "test")
    images = tmp_path / "images"
    with pytest.raises(UserError, match=r"images: there is no such image folder"):
        read_annotations(folder, "train", images)
    (images / "s").mkdir(parents=True)
    for name in ("r.png", "s/t.png"):
        (images / name).touch()
    with pytest.raises(UserError, match=r"train_filename\.txt:3: there is no image .*p\.png"):
        read_annotations(folder, "train", images)
    (images / "p.png").touch()
    assert len(read_annotations(folder, "train", images).images) == 3


@pytest.mark.parametrize(
    ("name", "split", "images", "captions"),
    [
        ("rsitmd", "train", 4291 - 4, 21455 - 20),
        ("rsitmd", "test", 452, 2260),
        ("rsicd", "train", 9828, 49140),
        ("rsicd", "test", 1093, 5465),
        ("ucm", "train", 1480, 7400),
        ("sydney", "train", 497, 2485),
        ("rsicd_mini", "test", 120, 600),
    ],
)
def test_the_published_annotations(data_root, name, split, images, captions):
    read = read_annotations(data_root / f"{name}_precomp", split, empty_captions=20)
    assert (len(read.images), len(read.captions)) == (images, captions)
    assert np.bincount(read.caption_to_image).tolist() == [5] * images
