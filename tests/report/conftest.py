"""An experiment that was trained once for all tests of the report."""

import pytest
import yaml

from galr.options import load_options
from galr.training.trainer import Trainer
from tests.tiny import make_data


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    """Folder of two tiny folds, without results.json."""
    path = make_data(tmp_path_factory.mktemp("report"))
    tree = yaml.safe_load(path.read_text())
    tree["optim"]["epochs"] = 2
    path.write_text(yaml.safe_dump(tree))
    options = load_options(path)
    Trainer(options).fit()
    return options.experiment_folder
