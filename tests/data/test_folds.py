import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.common.errors import UserError
from galr.data.folds import make_folds


@given(
    images=st.integers(6, 60),
    mode=st.sampled_from(["random", "kfold"]),
    nums=st.integers(2, 6),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
)
def test_the_parts_of_a_fold_share_no_image_and_leave_none_out(images, mode, nums, share, seed):
    folds = make_folds(images, mode, nums, share, seed)
    assert len(folds) == nums
    for train, validation in folds:
        assert len(train) > 0
        assert len(validation) > 0
        assert np.union1d(train, validation).tolist() == list(range(images))
        assert len(np.intersect1d(train, validation)) == 0
        assert (np.diff(train) > 0).all()
        assert (np.diff(validation) > 0).all()


def test_kfold_validates_with_each_image_once():
    parts = [fold.validation for fold in make_folds(23, "kfold", 4, 0.2, 1)]
    assert sorted(np.concatenate(parts)) == list(range(23))
    assert [len(part) for part in parts] == [6, 6, 6, 5]


def test_random_folds_hold_out_the_share_and_do_not_depend_on_their_number():
    three, five = (make_folds(100, "random", nums, 0.2, 7) for nums in (3, 5))
    assert [len(fold.validation) for fold in five] == [20] * 5
    for fold, same in zip(three, five, strict=False):
        assert (fold.validation == same.validation).all()
    assert (three[0].validation != three[1].validation).any()


def test_the_seed_decides():
    folds = [make_folds(50, "random", 1, 0.2, seed)[0].validation for seed in (1, 1, 2)]
    assert (folds[0] == folds[1]).all()
    assert (folds[0] != folds[2]).any()


@pytest.mark.parametrize(("images", "mode"), [(1, "random"), (0, "random"), (3, "kfold")])
def test_too_few_images(images, mode):
    with pytest.raises(UserError, match=r"k_fold: .* cannot be split into 4 folds"):
        make_folds(images, mode, 4, 0.2, 0)
