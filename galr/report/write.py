"""The report of an experiment: report.html, and its figures in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from markupsafe import Markup
from torch import Tensor

from galr.common.atomic import write_text
from galr.common.errors import RunError, UserError
from galr.options import Options
from galr.report.attention import attention_part
from galr.report.classes import class_part, read_classes
from galr.report.curves import training_curves
from galr.report.direction import directions
from galr.report.experiment import Experiment, read_experiment
from galr.report.files import ReportFiles, drawing
from galr.report.moved import moved_part
from galr.report.objects import object_part
from galr.report.outcome import Outcome, evaluate_folds
from galr.report.page import Section, joined, part, whole_page
from galr.report.pairs import similarity_distribution
from galr.report.queries import Thumbnails, best_and_worst, query_part
from galr.report.recall import rank_histogram, recall_curve, recall_table
from galr.report.setting import setting_part

QUERIES = 4  # best ones, and worst ones, that are shown of a direction


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
    if out is not None and Path(out).is_dir():
        raise UserError(out, "is a folder", f"name a file, such as {Path(out) / 'report.html'}")
    experiment = read_experiment(folder, overrides, options)
    outcome = evaluate_folds(experiment, fold, similarities)
    path = Path(out) if out is not None else experiment.folder / "report.html"
    with drawing():
        files = ReportFiles(path.with_name(f"{path.stem}_files"))
        page = _page(experiment, outcome, files)
    # a folder's name need not be text
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def report_of_test(
    options: Options, similarities: Mapping[int, Tensor], results: str | Path | None = None
) -> Path:
    """The report of an experiment that was just tested, beside its results; returns its path.

    ``results`` names their file where it is not results.json of the experiment. Raises RunError
    where it cannot be written, whatever the reason: the results are there.
    """
    out = None
    if results is not None:
        out = Path(results).with_name(f"{Path(results).stem}_report.html")
    folder = options.experiment_folder
    try:
        return write_report(folder, out, options=options, similarities=similarities)
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        raise RunError(
            folder,
            f"no report was written ({kind}{error})",
            f"the results are complete; python -m galr.report {folder} tries again",
        ) from error


def _page(experiment: Experiment, outcome: Outcome, files: ReportFiles) -> str:
    options, annotations = experiment.options, outcome.test.annotations
    dataset = options.dataset.datatype
    pair = list(directions(outcome))
    thumbnails = Thumbnails(options.dataset.image_folder, annotations.images, outcome.scaling)
    classes = read_classes(annotations.images)
    looked_at = [image for images in best_and_worst(pair[0], 2) for image in images]
    sections = [
        Section("recall", "Recall", recall_table(files, outcome, dataset)),
        Section("recall-at-k", "Recall by k", recall_curve(files, outcome)),
        Section("ranks", "Ranks", rank_histogram(files, outcome)),
        Section("similarities", "Similarities", similarity_distribution(files, outcome)),
        Section("classes", "Classes", class_part(files, classes, pair)),
        Section(
            "queries",
            "Best and worst queries",
            joined(
                [
                    _about_queries(experiment, outcome),
                    *(query_part(files, direction, thumbnails, QUERIES) for direction in pair),
                ]
            ),
        ),
        Section("rerank", "What rerank moved", moved_part(files, pair, options.rerank)),
        Section("attention", "Where MVSA looks", attention_part(files, outcome, looked_at)),
        Section(
            "objects",
            "Objects and edges",
            object_part(files, outcome, looked_at, options.dataset),
        ),
        Section("training", "Training", training_curves(files, experiment.folds)),
        Section("setting", "Options and versions", setting_part(experiment, outcome)),
    ]
    return whole_page(f"{experiment.name}: report", _lead(outcome, files), sections)


def _about_queries(experiment: Experiment, outcome: Outcome) -> Markup:
    fold = f" of fold {outcome.shown.fold}" if len(experiment.folds) > 1 else ""
    rerank = ", after rerank" if "with_rerank" in outcome.variants else ""
    return part(
        "paragraph",
        f"The top results of the model{fold}{rerank}, with their cosine similarity. A solid green "
        "frame marks the correct result, a dotted one a result with the same text; a correct "
        "result that is not among the top ones is shown last, with its rank.",
    )


def _lead(outcome: Outcome, files: ReportFiles) -> Markup:
    test = outcome.test.annotations
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return joined(
        [
            part(
                "paragraph",
                f"Image-to-caption and caption-to-image retrieval on {len(test.images)} test "
                f"images and {len(test.captions)} captions that were not used in training. All "
                "candidates are ranked for each query; rank 1 is best, and R@k is the fraction "
                "of queries with a correct result among the top k.",
            ),
            part(
                "note",
                f"Generated {made}. All figures are also in {files.folder.name}/, next to this "
                "page, with their data as CSV.",
            ),
        ]
    )
