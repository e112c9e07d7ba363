"""Numbers of a sensor: bit depths, bands, signs, no-data, and one scale for a data set."""

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from galr.common.cli import ArgumentParser, add_scaling_arguments
from galr.common.errors import UserError
from galr.data.image_cache import open_images
from galr.data.part import read_split
from galr.evaluation.evaluator import evaluate_experiment
from galr.images.decoding import decode_image, image_size, is_nearly_constant, measured
from galr.images.scaling import Scaling
from galr.options import DatasetOptions, load_options
from galr.preparation.check import check_folder, described
from galr.search.archive import Archive
from galr.search.build import build_archive
from galr.training.trainer import Trainer
from tests.tiny import make_data

REFLECTANCE = Scaling((0, 3000))


def numbers(height=20, width=30, bands=3, top=3000, seed=0):
    shape = (height, width, bands)
    return np.random.default_rng(seed).integers(0, top + 1, shape, dtype=np.uint16)


def in_bytes(values, low=0, high=3000):
    return np.rint(np.clip((values - float(low)) * 255 / (high - low), 0, 255)).astype(np.uint8)


def write_tiff(path, values, **how):
    if values.ndim == 3 and "planarconfig" not in how:
        how["planarconfig"] = "contig"
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **how})
    return path


def decoded(path, scaling=REFLECTANCE):
    return np.asarray(decode_image(path, scaling))


@pytest.mark.parametrize(
    "how",
    [
        {"photometric": "rgb"},
        {"photometric": "minisblack"},
        {"photometric": "rgb", "compression": "lzw"},
        {"photometric": "rgb", "compression": "zstd", "predictor": True},
        {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"},
        {"photometric": "rgb", "bigtiff": True, "byteorder": ">"},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.float32, np.float64])
def test_three_bands_of_any_type_become_red_green_and_blue(tmp_path, how, dtype):
    values = numbers()
    path = write_tiff(tmp_path / "a.tif", values.astype(dtype), **how)
    assert np.array_equal(decoded(path), in_bytes(values))


def test_bands_may_lie_behind_each_other_or_in_pages(tmp_path):
    values = numbers()
    first = np.moveaxis(values, -1, 0)
    path = write_tiff(tmp_path / "a.tif", first, photometric="rgb", planarconfig="separate")
    assert np.array_equal(decoded(path), in_bytes(values))
    tifffile.imwrite(tmp_path / "pages.tif", numbers(bands=13).transpose(2, 0, 1))
    found = decoded(tmp_path / "pages.tif", Scaling((0, 3000), (4, 3, 2)))
    assert np.array_equal(found, in_bytes(numbers(bands=13)[..., [3, 2, 1]]))


@pytest.mark.parametrize("write", [imagecodecs.png_encode, imagecodecs.jpeg2k_encode])
def test_png_and_jpeg_2000_keep_their_sixteen_bits(tmp_path, write):
    values = numbers()
    (tmp_path / "a").write_bytes(write(values))
    assert np.array_equal(decoded(tmp_path / "a"), in_bytes(values))
    (tmp_path / "grey").write_bytes(write(values[..., 0].copy()))
    assert np.array_equal(decoded(tmp_path / "grey"), in_bytes(values[..., [0, 0, 0]]))


def test_a_format_that_defines_white_needs_no_range(tmp_path):
    values = numbers(top=255) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    (tmp_path / "a.ppm").write_bytes(b"P6 30 20 65535\n" + values.astype(">u2").tobytes())
    (tmp_path / "a.pgm").write_bytes(b"P5 30 20 65535\n" + values[..., 0].astype(">u2").tobytes())
    for name in ("a.png", "a.ppm"):
        assert np.array_equal(decoded(tmp_path / name, Scaling()), values // 257)
    grey = decoded(tmp_path / "a.pgm", Scaling())
    assert np.array_equal(grey, values[..., [0, 0, 0]] // 257)


def test_eight_bits_stay_as_they_are_whatever_the_range(tmp_path):
    values = numbers(bands=4, top=255).astype(np.uint8)
    Image.fromarray(values[..., :3]).save(tmp_path / "a.png")
    assert np.array_equal(decoded(tmp_path / "a.png"), values[..., :3])
    write_tiff(tmp_path / "b.tif", values)
    with pytest.raises(UserError, match=r"b\.tif: has 4 bands of 8 bits, but which are red"):
        decoded(tmp_path / "b.tif")
    found = decoded(tmp_path / "b.tif", Scaling(bands=(4, 2, 1)))
    assert np.array_equal(found, values[..., [3, 1, 0]])
    assert np.array_equal(decoded(tmp_path / "a.png", Scaling(bands=(2,)))[..., 0], values[..., 1])


@pytest.mark.parametrize(
    ("values", "scaling", "message"),
    [
        (numbers(), Scaling(), r"has 3 bands of 16 bits, but the values of black and white"),
        (numbers(bands=13), REFLECTANCE, r"has 13 bands of 16 bits.*dataset\.bands to three"),
        (
            numbers(),
            Scaling((0, 1), (5,)),
            r"has 3 bands .*, but dataset\.bands names band 5",
        ),
        (numbers()[..., 0].astype(np.complex64), REFLECTANCE, r"has 1 band of 64 complex bits"),
        (numbers()[..., 0].astype(np.float32), Scaling(), r"has 1 band of 32 floating-point bits"),
        (numbers()[..., 0].astype(np.int8), Scaling(), r"has 1 band of 8 signed bits"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_what_it_is(tmp_path, values, scaling, message):
    write_tiff(tmp_path / "a.tif", values)
    with pytest.raises(UserError, match=rf"a\.tif: {message}"):
        decoded(tmp_path / "a.tif", scaling)


def test_decibels_are_shown_by_their_range(tmp_path):
    decibels = np.linspace(-30, 5, 600, dtype=np.float32).reshape(20, 30)
    write_tiff(tmp_path / "a.tif", decibels)
    found = decoded(tmp_path / "a.tif", Scaling((-25, 0)))[..., 0]
    assert np.array_equal(found, in_bytes(decibels, -25, 0))
    assert found.min() == 0
    assert found.max() == 255


def test_pixels_without_data_are_black_and_not_measured(tmp_path):
    values = numbers(64, 64)[..., 0].astype(np.float32) + 500
    values[:40], values[40] = -9999, np.nan
    stated = [(42113, "s", 0, "-9999", True)]  # the tag of GDAL
    write_tiff(tmp_path / "a.tif", values, extratags=stated)
    write_tiff(tmp_path / "b.tif", values)
    for name, given in (("a.tif", Scaling()), ("b.tif", Scaling(no_data=-9999))):
        scaling = measured(given, tmp_path, [name], "test")
        assert 500 <= scaling.pixel_range[0] < 700
        assert 3300 < scaling.pixel_range[1] <= 3500
        found = decoded(tmp_path / name, scaling)
        assert not found[:41].any()
        assert np.array_equal(found[41:, :, 0], in_bytes(values[41:], *scaling.pixel_range))


def test_the_range_is_that_of_the_set_and_not_of_an_image(tmp_path, caplog):
    caplog.set_level("INFO")
    names = [f"{number}.tif" for number in range(20)]
    for number, name in enumerate(names):
        write_tiff(tmp_path / name, numbers(seed=number), photometric="rgb")
    bright = numbers(seed=3)
    bright[0, 0] = 11_000  # a cloud of one pixel
    write_tiff(tmp_path / names[3], bright, photometric="rgb")
    scaling = measured(Scaling(), tmp_path, names, "set")
    low, high = scaling.pixel_range
    assert low == pytest.approx(30, abs=15)
    assert high == pytest.approx(2970, abs=15)
    found = decoded(tmp_path / names[3], scaling)
    assert np.array_equal(found[1:], in_bytes(numbers(seed=3), low, high)[1:])
    assert f"numbers from {low:g} to {high:g} (percentiles 1 and 99 of 20 images)" in caplog.text


def test_images_of_eight_bits_are_not_measured(tmp_path):
    Image.fromarray(numbers(top=255).astype(np.uint8)).save(tmp_path / "a.tif")
    assert measured(Scaling(), tmp_path, ["a.tif", "missing.png"], "set") == Scaling()
    assert measured(REFLECTANCE, tmp_path, ["a.tif"], "set") == REFLECTANCE


def test_constant_images_have_a_range_too(tmp_path):
    write_tiff(tmp_path / "a.tif", np.full((9, 9), 700, np.uint16))
    scaling = measured(Scaling(), tmp_path, ["a.tif"], "set")
    assert is_nearly_constant(decode_image(tmp_path / "a.tif", scaling))


def test_a_cut_file_of_deep_numbers_is_an_error(tmp_path):
    content = write_tiff(tmp_path / "a.tif", numbers(), photometric="rgb").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match=r"a\.tif: "):
            decoded(tmp_path / "a.tif")


def test_more_pixels_or_numbers_than_admitted_are_refused_before_they_are_read(tmp_path):
    write_tiff(tmp_path / "a.tif", np.zeros((50, 50), np.uint16))
    with pytest.raises(UserError, match=r"has 50 x 50 pixels, more than 2,000"):
        decode_image(tmp_path / "a.tif", REFLECTANCE, most=2000)
    write_tiff(tmp_path / "b.tif", np.zeros((40, 40, 20), np.float64))
    with pytest.raises(UserError, match=r"its numbers take 0\.0 GB"):
        decode_image(tmp_path / "b.tif", REFLECTANCE, most=2000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_range": [5, 5]}, "pixel range: 5 is not below 5"),
        ({"bands": [1, 2]}, "bands: are .* give one or three"),
        ({"bands": [0]}, "bands: are .* counted from 1"),
    ],
)
def test_options_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        Scaling.of(DatasetOptions(**changes))


def test_arguments_of_commands_are_those_of_the_options():
    parser = ArgumentParser("test")
    add_scaling_arguments(parser)
    arguments = parser.parse_args(
        ["--pixel-range", "-25", "0", "--bands", "4", "3", "2", "--no-data", "-9999"]
    )
    options = DatasetOptions(pixel_range=(-25, 0), bands=(4, 3, 2), no_data=-9999)
    assert Scaling.of(arguments) == Scaling.of(options) == Scaling((-25, 0), (4, 3, 2), -9999)
    assert Scaling.of(parser.parse_args([])) == Scaling()


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """The tiny data set, its images as 16-bit TIFF of reflectance; the options' path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    yaml = make_data(tmp_path)
    folder = tmp_path / "data" / "tiny_precomp"
    for path in (folder / "images").iterdir():
        values = np.asarray(Image.open(path)).astype(np.float64)
        # under the same name: the kind of a file is told by its first bytes
        write_tiff(path, (values / 255 * 3000).astype(np.uint16), photometric="rgb")
    return yaml


def test_a_data_set_of_reflectance_goes_all_the_way(deep, tmp_path, caplog):
    options = load_options(deep, ["k_fold.nums=1", "optim.epochs=1", "device=cpu"])
    Trainer(options).fit()
    best = options.experiment_folder / "0" / "best.pth"
    stored = torch.load(best, weights_only=True)["options"]["dataset"]
    low, high = stored["pixel_range"]
    assert 0 <= low < 1200
    assert 2000 < high <= 3000
    images = read_split(options, "test").at(32).images
    assert all(not is_nearly_constant(image) for image in images)
    evaluate_experiment(options)
    assert "options that differ from the training's" not in caplog.text
    folder, out = options.dataset.image_folder, tmp_path / "a.index"
    build_archive(folder, best, out, device="cpu")
    archive = Archive.open(out)
    (match,) = archive.query(image=folder / "test_0.png", k=1)
    assert match.name == "test_0.png"
    assert archive.encoder.scaling.pixel_range == (low, high)

    # by a model that has seen images of 8 bits, the range is measured on the archive's images
    state = torch.load(best, weights_only=True)
    state["options"]["dataset"]["pixel_range"] = None
    torch.save(state, tmp_path / "other.pth")
    build_archive(folder, tmp_path / "other.pth", tmp_path / "b.index", device="cpu")
    low, high = Archive.open(tmp_path / "b.index").encoder.scaling.pixel_range
    assert 0 <= low < 1200
    assert 2000 < high <= 3000


def test_check_and_the_cache_tell_of_nearly_constant_images(deep, caplog):
    dataset = load_options(deep).dataset
    folder, images = dataset.data_path, dataset.image_folder
    told = described(check_folder(folder, images, None, Scaling((0, 65535))))
    assert "nearly constant images                20           6" in told
    assert "train: images that are nearly of one value: 20: train_0.png" in told
    told = described(check_folder(folder, images, None))
    assert "images that are nearly of one value" not in told
    assert "more than 8 bits: numbers from" in told
    read_split(load_options(deep, ["dataset.pixel_range=[0,65535]"]), "test").at(32)
    assert "6 of 6 images are nearly constant, for example test_0.png" in caplog.text


def test_another_range_has_another_cache(deep, caplog):
    split = read_split(load_options(deep), "test")
    first = split.at(32).images[0].copy()
    caplog.set_level("INFO")
    dataset = split.options.dataset.model_copy(update={"pixel_range": (0.0, 3000.0)})
    second = open_images(dataset, split.annotations, 32)[0]
    assert not np.array_equal(first, second)
    assert "dataset.pixel_range, bands or no_data has changed; it is rebuilt" in caplog.text


def test_a_header_gives_the_size(tmp_path):
    write_tiff(tmp_path / "a.tif", numbers(bands=13))
    assert image_size(tmp_path / "a.tif") == (30, 20)
