"""The stages of a quickstart: prepare, regions, training, test, archive."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from galr.common import interrupts
from galr.common.atomic import write_text
from galr.common.errors import RunError, UserError
from galr.common.progress import WholeProgress, whole_progress
from galr.options import load_options
from galr.preparation.options_file import Entry, Recipe, choose_recipe, write_options
from galr.preparation.own_data import Choices, prepare_own
from galr.quickstart.regions import find_regions_in_time
from galr.quickstart.state import State
from galr.report.write import report_of_test
from galr.search.build import build_archive
from galr.training.trainer import Trainer

logger = logging.getLogger(__name__)

# what test, report and archive take: seconds, a share of the minutes, and the images once more,
# which are decoded as they were when the data were prepared
SECONDS_AFTER, SHARE_AFTER, PASSES_AFTER = 10.0, 0.08, 2.0
# frozen encoders: their features of an image, and the epochs on them
SECONDS_A_FROZEN_PICTURE = 0.1
LEAST_TRAINING = 10.0  # seconds
ARCHIVE, LOCAL = "archive.index", "local_features.h5"


@dataclass(frozen=True)
class Request:
    """What a quickstart is asked for; either captions (or templates) or a checkpoint."""

    images: Path | None
    captions: Path | None
    out: Path
    minutes: float
    checkpoint: Path | None
    choices: Choices

    def signature(self) -> dict[str, Any]:
        """What must be the same for a stopped quickstart to go on."""
        captions = self.captions
        stamp = None
        if captions is not None and captions.is_file():
            stat = captions.stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
        files = {
            name: None if path is None else str(path.resolve())
            for name, path in (
                ("images", self.images), ("captions", captions), ("checkpoint", self.checkpoint)
            )
        }  # fmt: skip
        choices = {f"choice {key}": str(value) for key, value in asdict(self.choices).items()}
        return {**files, "minutes": self.minutes, "state of the captions": stamp, **choices}


def quickstart(request: Request) -> Path:
    """Runs the stages that are not done; returns the archive, which ``galr.search`` opens.

    Raises UserError for input that is wrong, too few minutes, and a folder that holds something
    else.
    """
    state = State(request.out, request.signature())
    with whole_progress(60 * request.minutes, state.seconds) as whole:
        try:
            return (
                _archive_of(request, state) if request.checkpoint else _run(request, state, whole)
            )
        except KeyboardInterrupt:
            message = f"{interrupts.told()}; run the same command again to resume"
            raise KeyboardInterrupt(message) from None
        finally:
            state.passed(whole.passed)


def say(*lines: str) -> None:
    """Lines of the result, above the bar."""
    for line in lines:
        tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def _archive_of(request: Request, state: State) -> Path:
    assert request.checkpoint is not None
    assert request.images is not None
    archive = request.out / ARCHIVE
    built = build_archive(request.images, request.checkpoint, archive)
    state.done("archive")
    say(f"{archive}: {built.images:,} images indexed with {request.checkpoint}")
    return archive


def _run(request: Request, state: State, whole: WholeProgress) -> Path:
    out = request.out
    parts = _prepared(request, state)["images"]
    recipe = choose_recipe(parts["train"], has_gpu=torch.cuda.is_available())
    local = _regions(request, state, recipe)
    _options(request, state, whole, parts, recipe, local)
    options = load_options(out / "options.yaml")
    trainer = Trainer(options)
    if "training" not in state.stages:
        state.passed(whole.passed)
        (best,) = trainer.fit(resume=True)
        state.done("training", mR=best.best_mR, epochs=best.epoch + 1)
        say(f"training: {best.epoch + 1} epochs, validation mR {best.best_mR:.1f}")
    if "test" not in state.stages:
        evaluation = trainer.test()
        report = None
        try:
            report = str(report_of_test(options, evaluation.similarities))
        except RunError as error:  # the search page needs none
            logger.warning("%s", error)
        state.done("test", table=evaluation.table, report=report)
    say("", state.stages["test"]["table"])
    if state.stages["test"]["report"]:
        say(f"report: {state.stages['test']['report']}")
    archive = out / ARCHIVE
    built = build_archive(
        out / "data" / "images",
        options.experiment_folder / "0" / "best.pth",
        archive,
        local=local,
        captions=out / "data" / "train_caps.txt",
    )
    state.done("archive")
    say(
        f"{archive}: {built.images:,} images indexed; to serve the page again:",
        f"  python -m galr.search serve --index {archive}",
    )
    return archive


def _prepared(request: Request, state: State) -> dict[str, Any]:
    if "prepare" not in state.stages:
        out, started = request.out, time.monotonic()
        prepared = prepare_own(
            request.captions, request.images, out / "data", out / "vocabulary.json", request.choices
        )
        say(*prepared.said)
        seconds = round(time.monotonic() - started, 1)
        state.done("prepare", images=prepared.images, seconds=seconds)
    return state.stages["prepare"]


def _regions(request: Request, state: State, recipe: Recipe) -> Path | None:
    """The store of local features; None where there was no time for it."""
    out = request.out
    store = out / LOCAL
    if "regions" not in state.stages and recipe.is_frozen:
        why = "no regions: the recipe's encoders have no local branch"
        state.done("regions", classes=[], why=why)
        say(why)
    if "regions" not in state.stages:
        detections = out / "detections"
        shutil.rmtree(detections, ignore_errors=True)  # of a run that was stopped
        found = find_regions_in_time(
            out / "data" / "images", detections, store, 60 * request.minutes, request.choices
        )
        state.done("regions", classes=found.classes, why=found.why)
        say(found.why)
    return store if state.stages["regions"]["classes"] else None


def _options(
    request: Request,
    state: State,
    whole: WholeProgress,
    parts: dict[str, int],
    recipe: Recipe,
    local: Path | None,
) -> None:
    """Writes options.yaml with the seconds that are left for training, once."""
    if "options" in state.stages:
        return
    out = request.out
    total = 60 * request.minutes
    once = state.stages["prepare"]["seconds"]
    after = SECONDS_AFTER + SHARE_AFTER * total + PASSES_AFTER * once
    seconds = total - whole.passed - after
    if seconds < LEAST_TRAINING:
        raise UserError(
            f"--minutes {request.minutes:g}",
            f"leaves no time for training: {whole.passed:.0f} seconds are spent, and test, "
            f"report and archive will take about {after:.0f}",
            f"give --minutes {(whole.passed + after) / 30 + 1:.0f} or more",
        )
    more = [
        Entry("logs", "ckpt_save_path", str(out / "checkpoint"), "results"),
        Entry("k_fold", "experiment_name", "model", "its folder there"),
        Entry("k_fold", "nums", 1, "folds"),
        Entry("dataset", "image_cache", str(out / "image_cache"), "decoded images"),
    ]
    if not recipe.is_frozen or SECONDS_A_FROZEN_PICTURE * parts["train"] > seconds:
        left = f"what remains of {request.minutes:g} minutes"
        more += [
            Entry("optim", "budget_seconds", int(seconds), left),
            Entry("optim", "budget_clock", "wall", "elapsed time"),
        ]
    if local is not None:
        classes = state.stages["regions"]["classes"]
        more += [
            Entry("dataset", "local_path", str(local), "regions that stand out"),
            Entry("dataset", "drea", {"classes": classes}, "their pseudo-classes"),
        ]
    name = out.resolve().name
    write_options(
        out / "options.yaml", name, out / "data", out / "vocabulary.json", parts, recipe,
        request.choices, more,
    )  # fmt: skip
    seed = f"\nseed: {request.choices.seed}  # of weights, folds and batches\n"
    text = (out / "options.yaml").read_text(encoding="utf-8")
    write_text(out / "options.yaml", text + seed)
    state.done("options", seconds=int(seconds))
    say(f"training for at most {seconds:.0f} seconds, recipe for {recipe.why}")
