"""The files of options/ and the page that describes them."""

from pathlib import Path

import pytest
import yaml

from galr.commands.options_reference import options_reference
from galr.options import load_options

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "options").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_loads_without_a_complaint(path, caplog):
    load_options(path)
    assert not caplog.records


@pytest.mark.parametrize("path", sorted((ROOT / "options/ablations").glob("*.yaml")), ids=str)
def test_an_ablation_changes_its_base_and_has_a_folder_of_its_own(path):
    changed, base = (
        load_options(path),
        load_options(path.parent / yaml.safe_load(path.read_text())["base"]),
    )
    assert changed.k_fold.experiment_name != base.k_fold.experiment_name
    fields = ("model", "dataset", "optim", "rerank")
    assert any(getattr(changed, name) != getattr(base, name) for name in fields)


@pytest.mark.parametrize("name", ["RSITMD", "RSICD", "UCM", "Sydney"])
def test_the_four_data_sets_have_the_training_settings_of_the_paper(name):
    options = load_options(ROOT / f"options/{name}_GaLR.yaml")
    assert (options.optim.lr, options.optim.lr_update_epoch, options.optim.lr_decay_param) == (
        2e-4,
        20,
        0.7,
    )
    assert (options.optim.margin, options.dataset.batch_size, options.model.embed.embed_dim) == (
        0.2,
        100,
        512,
    )
    assert options.model.seq2vec.type == "BayesianUniSkip"
    assert options.uses_local


def test_the_reference_page_is_what_the_schema_says():
    assert (ROOT / "docs/options.md").read_text() == options_reference()
