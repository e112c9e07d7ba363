"""Damaged and hostile image files: one line, within seconds and little memory."""

import io
import random
import resource
import struct
import time
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from galr.common.errors import UserError
from galr.images.decoding import decode_image, image_size
from galr.images.scaling import Scaling

ONE_BAND = Scaling((0, 3000), (1,))
NUMBERS = np.random.default_rng(0).integers(0, 3001, (40, 48, 5), dtype=np.uint16)


def tiff(values=NUMBERS[..., :3], **how):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **{"photometric": "rgb", **how})
    return file.getvalue()


def picture(kind):
    file = io.BytesIO()
    Image.fromarray((NUMBERS[..., :3] >> 4).astype(np.uint8)).save(file, kind)
    return file.getvalue()


SEEDS = {
    "rgb": tiff(),
    "bands": tiff(NUMBERS, photometric="minisblack", planarconfig="contig"),
    "planes": tiff(np.moveaxis(NUMBERS, -1, 0), photometric="minisblack", planarconfig="separate"),
    "pages": tiff(np.moveaxis(NUMBERS, -1, 0), photometric="minisblack"),
    "tiles": tiff(tile=(16, 16), compression="zlib"),
    "lzw": tiff(compression="lzw", predictor=True),
    "zstd": tiff(compression="zstd"),
    "jpeg2000": tiff(compression="jpeg2000"),
    "floats": tiff(NUMBERS[..., 0].astype("f4"), photometric="minisblack", compression="zlib"),
    "big": tiff(NUMBERS[..., :3].astype("i2"), bigtiff=True, byteorder=">"),
    "png": imagecodecs.png_encode(NUMBERS[..., :3].copy()),
    "jp2": imagecodecs.jpeg2k_encode(NUMBERS[..., :3].copy()),
    **{kind: picture(kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "JPEG2000", "GIF")},
}


def mutated(content, seed):
    """A few bytes changed, numbers made huge, pieces cut out or doubled; mostly in the header."""
    draw, data = random.Random(seed), bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 4, 8])):
        place = draw.randrange(min(len(data), 512) if draw.random() < 0.7 else len(data))
        kind = draw.randrange(4)
        if kind == 0:
            data[place] = draw.randrange(256)
        elif kind == 1:
            width = draw.choice([2, 4, 8])
            number = draw.choice([0, 1, 0xFFFF, 10**5, 10**6, 10**7, 2**31, 2**32 - 1, 2**63])
            order = draw.choice(["little", "big"])
            data[place : place + width] = (number % 256**width).to_bytes(width, order)
        elif kind == 2:
            del data[place : place + draw.randrange(1, 64)]
        else:
            data[place:place] = data[place : place + draw.randrange(1, 64)]
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_file_is_read_or_refused_at_once(tmp_path, name):
    path = tmp_path / "a.img"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(60):
        path.write_bytes(mutated(SEEDS[name], f"{name} {number}"))
        started = time.monotonic()
        errors = []
        for read in (lambda: decode_image(path, ONE_BAND), lambda: image_size(path)):
            try:
                read()
            except UserError as error:
                errors.append(str(error))
        assert all("a.img" in line and "\n" not in line for line in errors)
        assert time.monotonic() - started < 5
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000  # KiB


def with_tags(content, changes):
    """The little-endian TIFF with the first value of tags changed."""
    data = bytearray(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        for code, value in changes.items():
            tag = file.pages.first.tags[code]
            form = {3: "<H", 4: "<I"}[tag.dtype]
            struct.pack_into(form, data, tag.valueoffset, value)
    return bytes(data)


WIDTH, LENGTH, OFFSETS, ROWS, COUNTS, TILE = 256, 257, 273, 278, 279, 322


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_tags(SEEDS["rgb"], {WIDTH: 10_000, LENGTH: 9_000, ROWS: 9_000}), "claims|need more"),
        (with_tags(SEEDS["rgb"], {LENGTH: 41, ROWS: 41}), "need more than the 11,520 bytes"),
        (with_tags(SEEDS["rgb"], {COUNTS: 2_000_000_000}), "beyond the end of the file"),
        (with_tags(SEEDS["rgb"], {OFFSETS: 2_000_000_000}), "beyond the end of the file"),
        (with_tags(SEEDS["rgb"], {ROWS: 1}), "fewer than its 40 strips or tiles"),
        (with_tags(SEEDS["tiles"], {WIDTH: 9_000, LENGTH: 9_000}), "fewer than its|claims"),
        (with_tags(SEEDS["tiles"], {TILE: 60_000}), r"its numbers take|claims|fewer than"),
        (with_tags(SEEDS["lzw"], {WIDTH: 9_000, LENGTH: 9_000, ROWS: 9_000}), "claims"),
        (with_tags(SEEDS["rgb"], {WIDTH: 0}), "its axes are"),
    ],
)
def test_a_file_that_only_claims_a_size_is_refused(tmp_path, content, message):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(UserError, match=message):
        decode_image(tmp_path / "a.tif", ONE_BAND)


def test_pictures_that_claim_more_than_they_can_hold_are_refused(tmp_path):
    png = bytearray(SEEDS["PNG"])
    png[16:24] = struct.pack(">II", 9_900, 9_900)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(UserError, match=r"claims 98 MB but has .* bytes"):
        decode_image(tmp_path / "a.png")


def test_a_ring_of_pages_ends(tmp_path):
    content = bytearray(SEEDS["pages"])
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        last = file.pages[4]
        next_page = last.offset + 2 + 12 * len(last.tags)
        struct.pack_into("<I", content, next_page, file.pages[0].offset)
    (tmp_path / "a.tif").write_bytes(content)
    found = np.asarray(decode_image(tmp_path / "a.tif", Scaling((0, 3000), (5,))))
    assert np.array_equal(found[..., 0], np.rint(NUMBERS[..., 4] * 255.0 / 3000).astype(np.uint8))


def test_a_scan_repeated_without_end_is_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4000, 4000, 3), np.uint8)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start = content.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:start] + content[start:-2] * 100 + content[-2:])
    with pytest.raises(UserError, match=r"it has \d+ scans of 4000 x 4000 pixels"):
        decode_image(tmp_path / "a.jpg")


def test_numbers_are_scaled_alike_in_blocks(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(SEEDS["rgb"])
    whole = np.asarray(decode_image(tmp_path / "a.tif", Scaling((0, 3000))))
    monkeypatch.setattr("galr.images.scaling.NUMBERS_A_BLOCK", 1000)
    assert np.array_equal(np.asarray(decode_image(tmp_path / "a.tif", Scaling((0, 3000)))), whole)
