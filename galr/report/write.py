"""The report of an experiment: report.html, and its figures in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from torch import Tensor

from galr.atomic import write_text
from galr.options import Options
from galr.report.curves import training_curves
from galr.report.experiment import Experiment, read_experiment
from galr.report.files import ReportFiles, drawing
from galr.report.outcome import Outcome, evaluate_folds
from galr.report.page import Html, element, joined, section, whole_page
from galr.report.recall import rank_histogram, recall_curve, recall_table
from galr.report.setting import setting_part


def write_report(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    options: Options | None = None,
    overrides: Sequence[str] = (),
    fold: int | None = None,
    similarities: Mapping[int, Tensor] | None = None,
) -> Path:
    """Writes the report of an experiment's folder, or of one checkpoint; returns its path.

    ``out`` is report.html in the folder unless it is given; the figures go to report_files beside
    it. ``options`` are those of the experiment unless they are given; ``fold``, the one whose
    queries are shown, is the best validated; ``similarities`` (I, C) of the test part by fold spare
    the encoding. Raises UserError for what is missing, damaged or does not fit.
    """
    experiment = read_experiment(folder, overrides, options)
    outcome = evaluate_folds(experiment, fold, similarities)
    path = Path(out) if out is not None else experiment.folder / "report.html"
    with drawing():
        files = ReportFiles(path.with_name(f"{path.stem}_files"))
        page = _page(experiment, outcome, files)
    # a folder's name need not be text
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def _page(experiment: Experiment, outcome: Outcome, files: ReportFiles) -> str:
    dataset = experiment.options.dataset.datatype
    sections = [
        section("recall", "Recall", recall_table(files, outcome, dataset)),
        section("recall-at-k", "Recall by k", recall_curve(files, outcome)),
        section("ranks", "Ranks", rank_histogram(files, outcome)),
        section("training", "Training", training_curves(files, experiment.folds)),
        section("setting", "Options and versions", setting_part(experiment, outcome)),
    ]
    return whole_page(f"{experiment.name}: report", _lead(outcome, files), sections)


def _lead(outcome: Outcome, files: ReportFiles) -> Html:
    test = outcome.test.annotations
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return joined(
        [
            element(
                "p",
                f"How well images find their captions and captions their images, on "
                f"{len(test.images)} test images and {len(test.captions)} captions that the "
                "training did not see. A query is ranked against all candidates; rank 1 is best, "
                "and R@k is the share of queries whose right answer is among the first k.",
            ),
            element(
                "p",
                f"Made {made}. Every figure lies beside this page in {files.folder.name}/, "
                "with its numbers as CSV.",
                class_="note",
            ),
        ]
    )
