"""What parts of the data share, and folds that keep it on one side."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.leakage.folds import grouped_folds
from galr.leakage.hash_cache import image_hashes
from galr.leakage.parts import shared
from galr.options import KFoldOptions, load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return make_data(tmp_path)


@settings(deadline=None)
@given(
    group=st.lists(st.integers(0, 30), min_size=20, max_size=80).filter(lambda g: len(set(g)) > 4),
    mode=st.sampled_from(["random", "kfold"]),
    nums=st.integers(2, 5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
)
def test_no_group_is_on_both_sides_and_no_image_is_left_out(group, mode, nums, share, seed):
    options = KFoldOptions(mode=mode, nums=nums, validation_share=share)
    folds = grouped_folds(np.array(group), options, seed)
    assert len(folds) == nums
    for train, validation in folds:
        assert np.union1d(train, validation).tolist() == list(range(len(group)))
        groups = [{group[index] for index in part} for part in (train, validation)]
        assert groups[0]
        assert groups[1]
        assert not groups[0] & groups[1]
    if mode == "kfold":
        validated = np.concatenate([fold.validation for fold in folds])
        assert sorted(validated) == list(range(len(group)))


def test_the_share_is_met_and_the_seed_decides():
    group = np.random.default_rng(0).integers(0, 400, 1000)
    options = KFoldOptions(validation_share=0.2, nums=2)
    folds = grouped_folds(group, options, 7)
    assert all(abs(len(fold.validation) - 200) < 5 for fold in folds)
    assert (folds[0].validation == grouped_folds(group, options, 7)[0].validation).all()
    assert len(np.setdiff1d(folds[0].validation, folds[1].validation))
    kfold = KFoldOptions(mode="kfold", nums=4)
    assert all(abs(len(fold.validation) - 250) < 5 for fold in grouped_folds(group, kfold, 7))


@pytest.mark.parametrize("mode", ["random", "kfold"])
def test_images_that_are_all_alike_cannot_be_parted(mode):
    with pytest.raises(UserError, match=r"group_duplicates: leaves 1 groups of the 9"):
        grouped_folds(np.zeros(9, np.int64), KFoldOptions(mode=mode), 0)


def test_a_trained_fold_shares_no_caption_with_its_validation_part(yaml):
    both = {}
    for grouped in ("true", "false"):
        changes = [
            f"k_fold.group_duplicates={grouped}",
            f"k_fold.experiment_name=grouped_{grouped}",
        ]
        options = load_options(yaml, [*changes, "k_fold.nums=1", "optim.epochs=1"])
        trainer = Trainer(options)
        trainer.fit()
        both[grouped] = trainer.test().results["folds"][0]["split"]
    # of the tiny images every twelfth has the same captions
    assert both["true"]["validation_captions_in_train"] == 0
    assert both["false"]["validation_captions_in_train"] > 0
    assert both["true"]["validation_near_duplicates_in_train"] == 0


def test_images_that_look_alike_are_counted_between_the_parts(yaml):
    options = load_options(yaml).dataset
    images = options.image_folder
    shutil.copy(images / "test_1.png", images / "train_3.png")
    shutil.copy(images / "train_0.png", images / "train_5.png")
    test = read_annotations(options.data_path, "test", images)
    names = [f"train_{number}.png" for number in range(20)]
    found = shared(options, test, {"train": names[4:], "validation": names[:4]})
    assert found["validation_near_duplicates_in_test"] >= 0.25
    assert found["validation_near_duplicates_in_train"] >= 0.25
    hashes = image_hashes(options, test)
    assert hashes.shape == (6, 64)
    again = image_hashes(options.model_copy(update={"image_cache": "off"}), test)
    assert (again == hashes).all()
    (images / "train_7.png").unlink()
    without = shared(options, test, {"train": names[4:], "validation": names[:4]})
    assert not [key for key in without if "near" in key]


def test_a_stale_cache_of_hashes_is_built_anew(yaml):
    options = load_options(yaml).dataset
    test = read_annotations(options.data_path, "test", options.image_folder)
    before = image_hashes(options, test)
    shutil.copy(options.image_folder / "test_1.png", options.image_folder / "test_2.png")
    after = image_hashes(options, test)
    assert (after[2] == before[1]).all()
    assert (after[0] == before[0]).all()


@pytest.mark.parametrize(("share", "images"), [(0.5, 10), (0.2, 4)])
def test_a_validation_is_told_beside_the_size_of_the_test(yaml, share, images):
    changes = [f"k_fold.validation_share={share}", "k_fold.nums=1", "optim.epochs=1"]
    trainer = Trainer(load_options(yaml, changes))
    (state,) = trainer.fit()
    (row,) = state.history
    results = trainer.test()
    split = results.results["folds"][0]["split"]
    assert split["validation_mR"] == row["mR"]
    said = split["validation_gallery"]
    assert said.startswith(f"{images} images, 6 in the test part")
    if images > 6:
        assert split["validation_mR_test_gallery"] == row["mR_test_gallery"] > row["mR"]
        assert f"mR {row['mR_test_gallery']:.2f} among as many" in said
    else:
        assert split["validation_mR_test_gallery"] is None
        assert "fewer, so this mR is higher" in said
    assert "ranked before it" in json.loads(results.path.read_text())["ties"]
