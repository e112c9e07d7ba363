import contextlib
import struct
import threading
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from galr.common.errors import UserError
from galr.image_input import square_pixels
from galr.images import decoding as images
from galr.images.decoding import decode_image, image_size, resize_to_square
from galr.images.scaling import Scaling


def scene(height=20, width=30, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "ppm"])
def test_lossless_files_give_their_pixels(tmp_path, ending):
    pixels = scene()
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
    assert np.array_equal(np.asarray(decode_image(tmp_path / f"a.{ending}")), pixels)


def test_jpeg_is_what_pillow_decodes(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(np.asarray(decode_image(tmp_path / "a.jpg")), np.asarray(image))


def test_grey_is_repeated_and_transparency_dropped(tmp_path):
    grey, transparent = scene()[:, :, 0], scene(channels=4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(transparent).save(tmp_path / "transparent.png")
    assert np.array_equal(
        np.asarray(decode_image(tmp_path / "grey.png")), np.repeat(grey[:, :, None], 3, axis=2)
    )
    assert np.array_equal(
        np.asarray(decode_image(tmp_path / "transparent.png")), transparent[:, :, :3]
    )


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("CMYK", "jpg"), ("CMYK", "tif"), ("RGBA", "tif"), ("LA", "png"), ("1", "png"), ("P", "gif")],
)
def test_any_colour_space_becomes_what_pillow_makes_of_it(tmp_path, mode, ending):
    image = Image.new("RGB", (30, 20), (200, 40, 90)).convert(mode)
    image.save(tmp_path / f"a.{ending}")
    with Image.open(tmp_path / f"a.{ending}") as stored:
        expected = np.asarray(stored.convert("RGB"))
    assert np.array_equal(np.asarray(decode_image(tmp_path / f"a.{ending}")), expected)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = Image.fromarray(scene()).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(16)))
    assert decode_image(tmp_path / "a.png").mode == "RGB"


@pytest.mark.parametrize("size", [(20, 30), (100, 64), (33, 33)])
def test_resize_is_bilinear_with_antialiasing(size):
    image = Image.fromarray(scene(*size))
    expected = np.asarray(image.resize((33, 33), Image.Resampling.BILINEAR))
    assert np.array_equal(resize_to_square(image, 33), expected)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: there is no such image file"):
        decode_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("content", [b"", b"just some text\n" * 40, b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_said_to_be_none(tmp_path, content):
    (tmp_path / "text.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"text\.jpg: (is not an image|cannot be decoded)"):
        decode_image(tmp_path / "text.jpg")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_an_error(tmp_path, ending, share):
    whole = tmp_path / f"whole.{ending}"
    Image.fromarray(scene(64, 64)).save(whole)
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut\."):
        decode_image(cut)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UserError, match="cannot be decoded"):
        decode_image(tmp_path)


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UserError, match="is not an image"):
        decode_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("limit", [1000, 100])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch, limit):
    # 1500 pixels: above Pillow's own warning in the first case, above its error in the second
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    Image.fromarray(scene(30, 50)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: .*1500|a\.png: has 50 x 30 pixels"):
        decode_image(tmp_path / "a.png")


def test_random_bytes_after_a_header_never_escape_as_another_error(tmp_path):
    random = np.random.default_rng(0)
    for ending in ("jpg", "png", "tif", "gif", "bmp", "webp", "jp2"):
        whole = tmp_path / f"a.{ending}"
        Image.fromarray(scene(40, 40)).save(whole)
        content = np.frombuffer(whole.read_bytes(), np.uint8)
        for _ in range(30):
            broken = content.copy()
            places = random.integers(0, len(broken), 20)
            broken[places] = random.integers(0, 256, 20)
            whole.write_bytes(broken.tobytes())
            with contextlib.suppress(UserError):
                assert decode_image(whole).mode == "RGB"


def test_threads_decode_side_by_side(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    found = []

    def decode():
        found.extend(np.asarray(decode_image(tmp_path / "a.png")).sum() for _ in range(20))

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert len(set(found)) == 1


def chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


# where the corner (0, 0) of a stored image lies in the upright one: (row, column), -1 is the last
CORNERS = {
    1: (0, 0),
    2: (0, -1),
    3: (-1, -1),
    4: (-1, 0),
    5: (0, 0),
    6: (0, -1),
    7: (-1, -1),
    8: (-1, 0),
}


def turned(path, orientation, dtype=np.uint8):
    """An image of 30 x 20 with one bright corner whose metadata says how it is turned."""
    pixels = np.zeros((20, 30, 3), dtype)
    pixels[:8, :8] = np.iinfo(dtype).max
    if path.suffix == ".tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[tag])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(pixels).save(path, exif=exif, quality=100)
    return path


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_an_image_is_turned_upright_and_its_size_too(tmp_path, ending, orientation):
    image = decode_image(turned(tmp_path / f"a.{ending}", orientation))
    assert image.size == ((30, 20) if orientation < 5 else (20, 30))
    assert image_size(tmp_path / f"a.{ending}") == image.size
    pixels = np.asarray(image)[..., 0]
    corners = {corner: pixels[corner] > 200 for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]}
    assert [corner for corner, is_bright in corners.items() if is_bright] == [CORNERS[orientation]]


@pytest.mark.parametrize("orientation", CORNERS)
def test_deep_images_are_turned_alike(tmp_path, orientation):
    flat = decode_image(turned(tmp_path / "a.tif", orientation))
    deep = turned(tmp_path / "b.tif", orientation, np.uint16)
    assert np.array_equal(decode_image(deep, Scaling((0, 65535))), flat)
    assert image_size(deep) == flat.size


def test_orientation_may_stand_behind_the_pixels_of_a_png(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    orientation = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    for dtype in (np.uint8, np.uint16):
        plain = imagecodecs.png_encode(scene().astype(dtype))
        (tmp_path / "a.png").write_bytes(plain[:-12] + orientation + plain[-12:])
        assert decode_image(tmp_path / "a.png").size == image_size(tmp_path / "a.png") == (20, 30)


def test_a_picture_of_pillow_is_turned_too(tmp_path):
    for ending in ("jpg", "tif"):
        path = turned(tmp_path / f"a.{ending}", 6)
        with Image.open(path) as image:
            pixels = square_pixels(image, 24, "picture")
        assert np.array_equal(pixels, square_pixels(path, 24, "picture"))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_damaged_metadata_does_not_matter(tmp_path, ending):
    Image.fromarray(scene()).save(tmp_path / f"a.{ending}", exif=b"Exif\0\0garbage")
    assert decode_image(tmp_path / f"a.{ending}").size == (30, 20)
    assert image_size(tmp_path / f"a.{ending}") == (30, 20)


LARGE = b" " * 3_000_000


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(LARGE)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LARGE)),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(LARGE)),
        chunk(b"tEXt", b"a\0" + LARGE[:900_000]) * 80,
    ],
    ids=["text", "XMP", "ICC", "many texts"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_metadata_of_a_png_does_not_matter(tmp_path, capfd, metadata, dtype):
    pixels = scene().astype(dtype) * (257 if dtype is np.uint16 else 1)
    plain = imagecodecs.png_encode(pixels)
    (tmp_path / "a.png").write_bytes(plain[:33] + metadata + plain[33:])
    assert np.array_equal(decode_image(tmp_path / "a.png"), scene())
    assert image_size(tmp_path / "a.png") == (30, 20)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("ending", "metadata"),
    [
        ("jpg", {"icc_profile": LARGE}),
        ("jpg", {"xmp": LARGE[:60_000]}),
        ("webp", {"icc_profile": LARGE, "xmp": LARGE}),
        ("tif", {"icc_profile": LARGE}),
        ("gif", {"comment": LARGE}),
    ],
)
def test_large_metadata_of_other_formats_does_not_matter(tmp_path, ending, metadata):
    Image.fromarray(scene()).save(tmp_path / f"plain.{ending}")
    Image.fromarray(scene()).save(tmp_path / f"a.{ending}", **metadata)
    plain = decode_image(tmp_path / f"plain.{ending}")
    assert np.array_equal(decode_image(tmp_path / f"a.{ending}"), plain)


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "jpeg"])
def test_a_damaged_tiff_is_one_line_though_libtiff_has_its_own(tmp_path, capfd, compression):
    image = Image.fromarray(scene()).convert("1" if compression == "group4" else "RGB")
    image.save(tmp_path / "a.tif", compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    for at in range(0, len(content), 7):  # into strips and tags
        (tmp_path / "a.tif").write_bytes(content[:at] + b"\xff\x01" + content[at + 2 :])
        with contextlib.suppress(UserError):
            decode_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_comments_of_a_plain_ppm_do_not_matter(tmp_path):
    lines = ["P3", "#a comment", "4 1#another", "255", "1 2 3", "4 5#", "6"]
    (tmp_path / "a.ppm").write_text("\n".join(lines) + "\n#" * 300_000 + "\n7 8 9 10 11 12\n")
    pixels = np.asarray(decode_image(tmp_path / "a.ppm"))
    assert pixels.tolist() == [[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]]
