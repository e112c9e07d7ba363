import logging
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from galr.common.errors import RunError, UserError
from galr.data.annotations import Annotations
from galr.data.captions import caption_loader
from galr.data.image_cache import open_images
from galr.data.loaders import image_loader, training_loader
from galr.data.sampling import epoch_draws, epoch_order
from galr.data.transforms import place, rotate_and_crop
from galr.data.vocabulary import Vocabulary
from galr.options import DatasetOptions

IMAGES = 9
WORDS = ("plane", "ship", "road", "<unk>")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for index in range(IMAGES):
        pixels = random.integers(1, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    return tmp_path


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


def annotations(counts=(2,) * IMAGES):
    """``counts[i]`` captions of image i; caption c has 1 + c % 4 words."""
    caption_to_image = np.repeat(np.arange(len(counts)), counts)
    captions = [" ".join(WORDS[(c + k) % 3] for k in range(1 + c % 4)) for c in range(sum(counts))]
    names = tuple(f"{index}.png" for index in range(len(counts)))
    return Annotations("train", names, tuple(captions), caption_to_image)


def local_features():
    """Matrices that say which image they are of."""
    numbers = np.arange(IMAGES, dtype=np.float32)[:, None, None]
    return SimpleNamespace(
        representation=np.tile(numbers, (1, 5, 3)), adjacency=np.tile(numbers, (1, 5, 5))
    )


def options(folder, **changes):
    values = {
        "data_path": str(folder),
        "image_size": 32,
        "resize_size": 36,
        "batch_size": 5,
        "batch_size_val": 4,
        "workers": 0,
    }
    return DatasetOptions(**{**values, **changes})


def loader(folder, vocabulary, *, seed=7, rank=0, world_size=1, counts=(2,) * IMAGES, **changes):
    chosen = options(folder, **changes)
    part = annotations(counts)
    images = open_images(chosen, part, chosen.resize_size)
    local = local_features()
    return training_loader(
        part, vocabulary, images, local, chosen, seed=seed, rank=rank, world_size=world_size
    )


def epoch(batches, number):
    batches.sampler.set_epoch(number)
    return list(batches)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name, part in one._asdict().items():
            assert torch.equal(part, getattr(other, name)), name


def test_a_batch_is_what_its_definition_says(folder, vocabulary):
    chosen, part = options(folder), annotations()
    images = open_images(chosen, part, 36)
    batches = epoch(loader(folder, vocabulary), 3)
    order, draws = epoch_order(7, 3, 18), epoch_draws(7, 3, 18)
    assert [len(batch.tokens) for batch in batches] == [5, 5, 5, 3]
    for start, batch in zip(range(0, 18, 5), batches, strict=True):
        for row, caption in enumerate(order[start : start + 5]):
            image = caption // 2
            ids = vocabulary.encode(part.captions[caption])
            assert batch.tokens[row].tolist() == ids + [0] * (batch.tokens.shape[1] - len(ids))
            assert batch.lengths[row] == len(ids)
            assert batch.image_index[row] == image
            assert (batch.representation[row] == image).all()
            assert (batch.adjacency[row] == image).all()
            out = np.empty((32, 32, 3), np.uint8)
            rotate_and_crop(images[image], place(draws[caption, 1:], 36, 32, 90.0), out)
            assert np.array_equal(batch.images[row].permute(1, 2, 0), out)


def test_shapes_and_types(folder, vocabulary):
    batch = epoch(loader(folder, vocabulary), 0)[0].to("cpu")
    assert batch.images.shape == (5, 3, 32, 32)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.representation.shape == (5, 5, 3)
    assert batch.adjacency.shape == (5, 5, 5)
    assert batch.representation.dtype == batch.adjacency.dtype == torch.float32
    assert batch.tokens.dtype == batch.lengths.dtype == batch.image_index.dtype == torch.int64
    assert batch.tokens.shape == (5, int(batch.lengths.max()))


def test_every_caption_comes_once(folder, vocabulary):
    batches = loader(folder, vocabulary, counts=(3, 1, 2, 1, 1, 5, 1, 1, 2))
    images = torch.cat([batch.image_index for batch in epoch(batches, 0)])
    assert np.bincount(images).tolist() == [3, 1, 2, 1, 1, 5, 1, 1, 2]
    assert batches.sampler.pairs == 17


@pytest.mark.parametrize("sampling", ["captions", "images"])
@pytest.mark.parametrize("cache", ["auto", "off"])
def test_workers_change_nothing(folder, vocabulary, sampling, cache):
    changes = {"sampling": sampling, "image_cache": cache}
    alone = loader(folder, vocabulary, **changes)
    helped = loader(folder, vocabulary, workers=2, **changes)
    for number in (0, 1):
        assert_same(epoch(helped, number), epoch(alone, number))


def test_an_epoch_does_not_depend_on_those_before(folder, vocabulary):
    straight, walked = loader(folder, vocabulary, workers=2), loader(folder, vocabulary, workers=2)
    for number in range(3):
        epoch(walked, number)
    assert_same(epoch(straight, 3), epoch(walked, 3))


def test_an_epoch_left_halfway_can_be_begun_again(folder, vocabulary):
    batches = loader(folder, vocabulary, workers=2)
    expected = epoch(batches, 0)
    next(iter(batches))
    assert_same(epoch(batches, 0), expected)


def test_seeds_and_epochs_differ(folder, vocabulary):
    first = epoch(loader(folder, vocabulary), 0)[0].images
    assert not torch.equal(first, epoch(loader(folder, vocabulary), 1)[0].images)
    assert not torch.equal(first, epoch(loader(folder, vocabulary, seed=8), 0)[0].images)


def test_nothing_is_drawn_from_the_global_generators(folder, vocabulary):
    batches = loader(folder, vocabulary, workers=2)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    epoch(batches, 0)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_have_the_batches_of_one(folder, vocabulary, world_size):
    one = epoch(loader(folder, vocabulary), 2)
    ranks = [
        epoch(loader(folder, vocabulary, rank=rank, world_size=world_size), 2)
        for rank in range(world_size)
    ]
    for step, whole in enumerate(one):
        for rank in range(world_size):
            part = ranks[rank][step]
            assert torch.equal(part.images, whole.images[rank::world_size])
            assert torch.equal(part.lengths, whole.lengths[rank::world_size])
            width = part.tokens.shape[1]  # a rank pads to its own longest caption
            assert torch.equal(part.tokens, whole.tokens[rank::world_size, :width])


def test_sampling_by_image_draws_one_of_its_captions(folder, vocabulary):
    counts = (3, 1, 2, 1, 1, 4, 1, 1, 2)
    batches = loader(folder, vocabulary, counts=counts, sampling="images")
    assert batches.sampler.pairs == IMAGES
    seen = set()
    for number in range(40):
        found = epoch(batches, number)
        images = torch.cat([batch.image_index for batch in found])
        assert sorted(images.tolist()) == list(range(IMAGES))
        lengths = torch.cat([batch.lengths for batch in found])
        seen |= set(zip(images.tolist(), lengths.tolist(), strict=True))
    part = annotations(counts)
    every = zip(part.caption_to_image, part.captions, strict=True)
    assert seen == {(int(image), len(caption.split())) for image, caption in every}


def test_a_single_pair_left_over_is_dropped(folder, vocabulary):
    batches = loader(folder, vocabulary, counts=(2,) * 8 + (1,), batch_size=4)
    assert [len(batch.tokens) for batch in epoch(batches, 0)] == [4] * 4
    assert len(batches) == 4
    assert batches.sampler.pairs == 16


def test_without_local_features_there_are_none(folder, vocabulary):
    chosen, part = options(folder), annotations()
    images = open_images(chosen, part, 36)
    batch = next(iter(training_loader(part, vocabulary, images, None, chosen, seed=0)))
    assert batch.representation is None
    assert batch.to("cpu").adjacency is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_one_line_whoever_finds_it(folder, vocabulary, workers):
    batches = loader(folder, vocabulary, workers=workers, image_cache="off")
    (folder / "images" / "4.png").write_text("text")
    with pytest.raises(UserError, match=r"4\.png: is not an image of a known kind"):
        epoch(batches, 0)


def test_a_worker_that_dies_is_an_error_with_a_remedy(folder, vocabulary, monkeypatch):
    # torch looks after its workers every 5 seconds
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    batches = loader(folder, vocabulary, workers=1)
    iterator = iter(batches)
    next(iterator)
    workers = batches._iterator._workers
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].join()
    with pytest.raises(RunError, match=r"dataset\.workers: a process that loads images has died"):
        list(batches)


@pytest.mark.parametrize(("changes", "words"), [({"batch_size": 1}, "nothing to compare with")])
def test_a_batch_of_one_is_refused(folder, vocabulary, changes, words):
    with pytest.raises(UserError, match=words):
        loader(folder, vocabulary, **changes)


def test_too_few_pairs_are_refused(folder, vocabulary):
    part = annotations((1,))
    images = open_images(options(folder), part, 36)
    with pytest.raises(UserError, match="too few for a batch of 2"):
        training_loader(part, vocabulary, images, None, options(folder), seed=0)


def test_parts_that_do_not_fit_are_a_wrong_call(folder, vocabulary):
    images = open_images(options(folder), annotations(), 36).select([0, 1])
    with pytest.raises(ValueError, match="same images"):
        training_loader(annotations(), vocabulary, images, None, options(folder), seed=0)


@pytest.mark.parametrize("cache", ["auto", "off"])
@pytest.mark.parametrize("indices", [None, [1, 3, 4, 5, 8]])
def test_each_image_comes_once_as_it_is(folder, cache, indices):
    chosen = options(folder, image_cache=cache, workers=1)
    images = open_images(chosen, annotations(), 32)
    batches = list(image_loader(images, local_features(), chosen, indices=indices))
    order = torch.cat([batch.image_index for batch in batches]).tolist()
    assert order == (list(range(IMAGES)) if indices is None else indices)
    pixels = torch.cat([batch.images for batch in batches])
    for row, index in enumerate(order):
        assert np.array_equal(pixels[row].permute(1, 2, 0), images[index])
    matrices = torch.cat([batch.representation for batch in batches])
    assert matrices[:, 0, 0].tolist() == order


def test_each_caption_comes_once_and_equal_ones_share_a_row(folder, vocabulary):
    part = annotations()
    batches = caption_loader(part, vocabulary, options(folder))
    found = {}
    for batch in batches:
        assert batch.lengths.tolist() == sorted(batch.lengths.tolist())
        for row, caption in zip(batch.rows.tolist(), batch.caption_index.tolist(), strict=True):
            assert caption not in found
            found[caption] = batch.tokens[row, : batch.lengths[row]].tolist()
    assert found == {i: vocabulary.encode(c) for i, c in enumerate(part.captions)}
    assert sum(len(batch.tokens) for batch in batches) == len(set(part.captions))
    longest = [int(batch.lengths.max()) for batch in batches]
    assert longest == sorted(longest)


def test_a_share_of_the_captions_keeps_its_indices(folder, vocabulary):
    shares = [
        caption_loader(annotations(), vocabulary, options(folder), indices=range(rank, 18, 2))
        for rank in range(2)
    ]
    found = [index for share in shares for batch in share for index in batch.caption_index.tolist()]
    assert sorted(found) == list(range(18))


def test_long_captions_are_cut_and_counted_once(folder, vocabulary, caplog):
    caplog.set_level(logging.INFO)
    batches = epoch(loader(folder, vocabulary, max_words=3), 0)
    assert max(int(batch.lengths.max()) for batch in batches) == 3
    lines = [record.getMessage() for record in caplog.records if "max_words" in record.getMessage()]
    assert lines == ["train captions: 4 of 18 are longer than dataset.max_words = 3 and were cut"]


def test_a_caption_without_words_is_read_as_one_unknown_word(folder, vocabulary, caplog):
    part = annotations()
    silent = Annotations("train", part.images, (" .", *part.captions[1:]), part.caption_to_image)
    with caplog.at_level("INFO"):
        batches = caption_loader(silent, vocabulary, options(folder))
    assert "train captions: 1 have no words and are read as <unk>" in caplog.text
    (row,) = [
        batch.tokens[batch.rows[place]]
        for batch in batches
        for place, index in enumerate(batch.caption_index)
        if index == 0
    ]
    assert row[0] == vocabulary.unknown
    assert not row[1:].any()


def test_several_captions_of_an_image_are_all_different(folder, vocabulary):
    changes = {"sampling": "images", "captions_per_image": 3}
    batches = loader(folder, vocabulary, counts=(2, 5, 1, 3, 4, 1, 1, 2, 2), **changes)
    part = annotations((2, 5, 1, 3, 4, 1, 1, 2, 2))
    written = [vocabulary.encode(caption) for caption in part.captions]
    own = {image: [] for image in range(IMAGES)}
    for caption, image in enumerate(part.caption_to_image):
        own[image].append(written[caption])
    for batch in epoch(batches, 0):
        assert batch.captions_per_image == 3
        assert len(batch.images) == len(batch.image_index)
        for row, image in enumerate(batch.image_index.tolist()):
            rows = slice(3 * row, 3 * row + 3)
            drawn = [
                tokens[:length].tolist()
                for tokens, length in zip(batch.tokens[rows], batch.lengths[rows], strict=True)
            ]
            assert all(caption in own[image] for caption in drawn)
            used = {own[image].index(caption) for caption in drawn}
            distinct = {tuple(caption) for caption in own[image]}
            assert len(used) == min(3, len(distinct))


@pytest.mark.parametrize("sampling", ["captions", "images"])
def test_captions_are_the_same_by_their_text_and_not_by_their_ids(folder, sampling):
    chosen = options(folder, batch_size=9, sampling=sampling, rotation_degrees=0.0)
    texts = ["a zebra", "two yachts", "a zebra", "a  zebra", "ship", "ship", "road", ".", "?"]
    part = Annotations("train", tuple(f"{i}.png" for i in range(9)), tuple(texts), np.arange(9))
    images = open_images(chosen, part, chosen.resize_size)
    (batch,) = training_loader(part, Vocabulary(["ship", "<unk>"]), images, None, chosen, seed=1)
    same = batch.caption_group[:, None] == batch.caption_group[None, :]
    named = [texts[index] for index in batch.image_index]
    assert same.tolist() == [[one == other for other in named] for one in named]
