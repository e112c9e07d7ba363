import numpy as np

from galr.data.part import read_split
from galr.options import load_options
from tests.tiny import make_data


def test_a_split_and_its_local_features_stay_aligned(tmp_path):
    options = load_options(make_data(tmp_path))
    part = read_split(options, "train").at(36)
    chosen = part.select(np.array([4, 2]))
    assert chosen.annotations.images == ("train_4.png", "train_2.png")
    assert np.array_equal(chosen.images[0], part.images[4])
    assert np.array_equal(chosen.local.representation, part.local.representation[[4, 2]])


def test_without_objects_the_whole_model_has_matrices_of_zeros(tmp_path):
    path = make_data(tmp_path)
    local = read_split(load_options(path, ["dataset.local_path=zeros"]), "test").local
    assert local.representation.shape == (6, 4, 6)
    assert local.adjacency.shape == (6, 4, 4)
    assert not local.representation.any()
    assert read_split(load_options(path, ["dataset.local_path=null"]), "test").local is None
    assert read_split(load_options(path, ["model.local=false"]), "test").local is None
