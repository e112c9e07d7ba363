"""Several views of an image in the cache of frozen maps, and what comes after the frozen part."""

import numpy as np
import pytest
import torch

from galr.common.errors import UserError
from galr.data.feature_cache import Views
from galr.data.part import Part, read_split
from galr.data.transforms import normalise
from galr.data.vocabulary import Vocabulary
from galr.local_features.detections import Detections
from galr.local_features.drea import build_local_features
from galr.local_features.store import write_local_features
from galr.model.build import build_model
from galr.options import load_options
from galr.training.backbone import with_cached_features
from galr.training.data import read_training_data
from galr.training.fold_trainer import FoldTrainer
from galr.training.trainer import Trainer
from tests.tiny import make_data

CPU = torch.device("cpu")
KEPT = [
    "model.backbone.train=none", "model.backbone.batch_norm=frozen", "device=cpu",
    "model.backbone.cache_features=true", "model.multiscale.enabled=false", "k_fold.nums=1",
]  # fmt: skip


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return make_data(tmp_path)


def opened(yaml, views, *changes, seed=1):
    options = load_options(yaml, [*KEPT, f"model.backbone.cache_views={views}", *changes])
    torch.manual_seed(3)
    model = build_model(options, Vocabulary.load(options.dataset.vocab_path).words).eval()
    split = read_split(options, "train")
    part = Part(split.annotations, split.files(), split.local)
    encoder = model.image_encoder
    return with_cached_features(part, encoder, options.dataset, views, seed).images, encoder, split


@torch.inference_mode()
def test_views_are_the_turned_and_mirrored_image(yaml):
    kept, encoder, split = opened(yaml, 8)
    upright = split.at(32).images
    for index in (0, 7):
        pixels = torch.from_numpy(upright[index].copy()).permute(2, 0, 1)[None]
        for view in range(8):
            turned = pixels.flip(3) if view >= 4 else pixels
            turned = torch.rot90(turned, view % 4, (2, 3))
            found = kept.batch([index], np.array([(view + 0.5) / 8]))
            expected = encoder.forward_features(normalise(turned))
            torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-3)
    turned = [kept.batch([3], np.array([view / 8])) for view in range(4)]
    assert torch.equal(kept.batch([3]), torch.stack(turned, dim=1))  # in evaluation


def test_features_of_another_pyramid_are_computed_anew(yaml):
    changes = ["dataset.image_size=96", "dataset.resize_size=96"]
    rows = {
        side: opened(yaml, 1, *changes, f"model.multiscale.pyramid=[{side}]")[0].batch([0])
        for side in (32, 64)
    }
    last = rows[32].shape[1] // 2
    assert torch.equal(rows[32][:, :last], rows[64][:, :last])
    assert not torch.equal(rows[32][:, last:], rows[64][:, last:])


def test_crops_are_a_function_of_the_seed(yaml):
    changes = ["dataset.augment.crop_scale=0.5"]
    options = load_options(yaml, [*KEPT, *changes])
    files = read_split(options, "train").files()
    one, again, more, other = (
        Views(files, count, options.dataset, seed)
        for count, seed in ((10, 1), (10, 1), (12, 1), (10, 2))
    )
    assert one(0).shape == (10, 32, 32, 3)
    assert np.array_equal(one(0), again(0))
    assert np.array_equal(one(0), more(0)[:10])
    assert not np.array_equal(one(0)[8:], other(0)[8:])
    assert not np.array_equal(one(0)[8], one(0)[9])
    assert len({one.key, more.key, other.key}) == 3


def test_an_epoch_draws_a_view_of_each_image_by_the_seed(yaml):
    options = load_options(yaml, [*KEPT, "model.backbone.cache_views=4"])
    trainer = FoldTrainer(read_training_data(options, CPU), 0, CPU)
    dataset = trainer.loader.dataset.dataset

    def rows(epoch):
        trainer.loader.sampler.set_epoch(epoch)
        found = {}
        for batch in trainer.loader:
            found |= dict(zip(batch.image_index.tolist(), batch.images, strict=True))
        return found

    first, again, second = rows(0), rows(0), rows(1)
    assert all(torch.equal(first[index], again[index]) for index in first)
    assert any(not torch.equal(first[index], second[index]) for index in first)
    seen = set()
    for index, row in first.items():
        views = torch.from_numpy(np.array(dataset.images[index]))
        matches = [view for view in range(4) if torch.equal(views[view], row)]
        assert matches
        seen |= set(matches)
    assert len(seen) > 1


def test_one_view_is_the_cache_as_it_was(yaml):
    kept, _, _ = opened(yaml, 1)
    assert kept.array.shape == (20, 96)
    with pytest.raises(UserError, match="cache_views is 4, which needs cache_features"):
        load_options(yaml, ["model.backbone.cache_views=4"])


def test_after_the_frozen_part_training_goes_on_with_images(yaml):
    changes = [
        *KEPT[1:], "model.backbone.train=layer4", "model.backbone.cache_views=4",
        "model.backbone.unfreeze_at=0.5", "optim.epochs=4", "optim.backbone_lr=1e-5",
    ]  # fmt: skip

    def trained(name, *more):
        options = load_options(yaml, [*changes, f"k_fold.experiment_name={name}", *more])
        last = options.experiment_folder / "0" / "last.pth"
        Trainer(options).fit(resume=last.exists())
        return torch.load(last, weights_only=True)["model"]

    before = FoldTrainer(read_training_data(load_options(yaml, changes), CPU), 0, CPU)
    start = {name: each.clone() for name, each in before.model.state_dict().items()}
    assert before.loader.dataset.dataset.images.shape[1] == 4
    after = trained("whole")
    for name, weight in after.items():
        if ".trunk." in name and "running" not in name and "num_batches" not in name:
            moved = not torch.equal(weight, start[name])
            assert moved == (".layer4." in name), name
            if moved:  # Adam moves a weight by about the learning rate a step
                assert (weight - start[name]).abs().max() < 5e-4
        if "running" in name:
            assert torch.equal(weight, start[name])


@pytest.mark.parametrize("cached", [False, True])
def test_objects_move_with_the_views_that_an_epoch_draws(yaml, cached):
    changes = ["dataset.augment.move_objects=true", "model.multiscale.enabled=false"]
    if cached:
        changes += [*KEPT, "model.backbone.cache_views=8"]
    else:
        changes += ["dataset.augment.right_angles=true", "dataset.rotation_degrees=0"]
    changes += ["dataset.resize_size=32", "device=cpu"]
    options = load_options(yaml, changes)
    drea = options.dataset.drea
    found = Detections(40, 40, ("x",), np.array([0.9]), np.array([[2.0, 4, 14, 20]]))
    representation, adjacency = build_local_features(found, drea)
    names = [f"{split}_{i}.png" for split, n in (("train", 20), ("test", 6)) for i in range(n)]
    rows = (np.stack([each] * len(names)) for each in (representation, adjacency))
    write_local_features(options.dataset.local_path, names, *rows, drea)
    trainer = FoldTrainer(read_training_data(options, CPU), 0, CPU)
    centres = {
        tuple(np.round(row[0, -5:-3].numpy(), 3))
        for batch in trainer.loader
        for row in batch.representation
    }
    x, y = 0.2, 0.3
    corners = {(x, y), (y, 1 - x), (1 - x, 1 - y), (1 - y, x)}
    mirrored = {(1 - each[0], each[1]) for each in corners}
    whole = {tuple(np.round(np.float32(each), 3)) for each in corners | mirrored}
    assert centres <= whole
    assert len(centres) > 3
    assert torch.allclose(
        torch.from_numpy(trainer.validation.local.representation[0]),
        torch.from_numpy(representation),
    )
