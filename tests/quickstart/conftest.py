"""What the tests of the quickstart share."""

from galr.options import load_options
from galr.preparation import options_file
from galr.quickstart import run
from tests.preparation.conftest import own

__all__ = ["own", "train_an_epoch"]  # the first is a fixture


def train_an_epoch(monkeypatch):
    """However many minutes there are."""
    changes = ["optim.budget_seconds=null", "optim.epochs=1", "logs.eval_step=1"]
    # as on a machine without the packages of pretrained encoders
    monkeypatch.setattr(options_file, "CPU_RECIPES", options_file.CPU_RECIPES[1:])
    monkeypatch.setattr(run, "load_options", lambda path: load_options(path, changes))
