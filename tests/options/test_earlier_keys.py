"""Renamed options are accepted under their earlier names, with a warning that names the new one."""

import logging

import pytest

from galr.common.errors import UserError
from galr.options import load_options, options_from_dict, stored_options
from galr.options.earlier_keys import RENAMED_KEYS
from galr.options.reading import _key_paths
from galr.options.schema import Options

OLD, NEW = "model.backbone.cache_maps", "model.backbone.cache_features"
FROZEN = "model: {backbone: {train: none, batch_norm: frozen, %s}}\n"


@pytest.fixture(autouse=True)
def _all_logged(caplog):
    caplog.set_level(logging.INFO)


def written(path, entry):
    path.write_text(FROZEN % entry)
    return path


def test_a_renamed_key_is_no_option_and_stays_in_its_section():
    known = set(_key_paths(Options))
    for old, new in RENAMED_KEYS.items():
        assert new in known
        assert old not in known
        assert old.rpartition(".")[0] == new.rpartition(".")[0]


def test_an_options_file_may_use_the_earlier_name(tmp_path, caplog):
    path = written(tmp_path / "a.yaml", "cache_maps: true")
    assert load_options(path).model.backbone.cache_features
    assert caplog.messages == [f"{path}: {OLD} is now {NEW}"]


@pytest.mark.parametrize(
    "override",
    [f"{OLD}=true", "model.backbone={train: none, batch_norm: frozen, cache_maps: true}"],
)
def test_an_override_may_use_the_earlier_name_and_wins_over_the_file(tmp_path, caplog, override):
    path = written(tmp_path / "a.yaml", "cache_features: false")
    assert load_options(path, [override]).model.backbone.cache_features
    key = override.partition("=")[0]
    assert caplog.messages == [f"--set {key}: {OLD} is now {NEW}"]


def test_a_file_with_the_earlier_name_overrides_its_base(tmp_path):
    written(tmp_path / "base.yaml", "cache_features: true")
    path = written(tmp_path / "a.yaml", "cache_maps: false")
    path.write_text("base: base.yaml\n" + path.read_text())
    assert not load_options(path).model.backbone.cache_features


def test_both_names_in_one_file_are_refused(tmp_path):
    path = written(tmp_path / "a.yaml", "cache_features: true, cache_maps: true")
    with pytest.raises(UserError, match=f"{OLD}: is the earlier name of {NEW}.*remove {OLD}"):
        load_options(path)


def test_options_stored_under_the_earlier_name_load_silently(caplog):
    options = options_from_dict(
        {"model": {"backbone": {"train": "none", "batch_norm": "frozen", "cache_features": True}}},
        "x",
    )
    stored = options.model_dump(mode="json")
    stored["model"]["backbone"]["cache_maps"] = stored["model"]["backbone"].pop("cache_features")
    assert stored_options(stored, "best.pth") == options
    assert caplog.messages == []
    with pytest.raises(UserError, match=r"best\.pth \(its options\) with --set: optim\.lr"):
        stored_options(stored, "best.pth", ["optim.lr=0"])
