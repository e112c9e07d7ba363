"""docs/tour.ipynb runs from its first cell to its last (python -m pytest -m tour)."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.tiny import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def shown(notebook):
    """What every code cell shows: its number, and the kinds of its outputs."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = [[sorted(one.get("data", [one.output_type])) for one in cell.outputs] for cell in cells]
    return list(zip([cell.execution_count for cell in cells], kinds, strict=True))


@pytest.mark.tour  # over a minute
@pytest.mark.filterwarnings("default")  # of Jupyter's packages
def test_the_tour_runs_and_shows_what_was_committed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # as galr.common.cli
    committed = nbformat.read(TOUR, as_version=4)
    run = nbformat.from_dict(committed)
    place = {"metadata": {"path": str(TOUR.parent)}}
    NotebookClient(run, timeout=300, resources=place).execute()  # an error in a cell is raised
    assert shown(run) == shown(committed)
    assert [number for number, _ in shown(committed)] == [*range(1, len(shown(committed)) + 1)]
