"""python -m postprocessing.compare: re-ranking methods compared, for any model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.data.annotations import caption_groups
from galr.metrics.similarities import FeatureProduct
from postprocessing.arguments import (
    add_bank_arguments,
    add_caption_arguments,
    add_correction_arguments,
    add_settings_arguments,
    settings_of,
    task_of,
    write,
)
from postprocessing.banks import Bank
from postprocessing.comparison import BASELINES, Compared, compare
from postprocessing.files import (
    Features,
    Floats,
    check_width,
    read_features,
    read_images,
    read_lines,
    read_part,
)
from postprocessing.methods import METHODS, MethodSettings
from postprocessing.multivariate import whole_if_small
from postprocessing.task import Banks, RetrievalTask

DESCRIPTION = """\
Compares re-ranking methods: recall@k both ways, seconds, what each method reads, hubness, and a
paired bootstrap of the differences (docs/rerank.md).

  python -m postprocessing.compare --similarity sims.npy --captions-per-image 5 --out compared
  python -m postprocessing.compare --features test --bank train --validation validation
  python -m postprocessing.compare --similarity seed1.npy seed2.npy seed3.npy --captions-per-image 5

sims.npy holds similarities (images, captions); .csv and .pt files work too. Folders hold images.npy
(I, D), captions.npy (C, D) and, except for a bank, caption_to_image.npy (C,); captions.txt, one
caption per line, is optional. test.py --save-features writes such folders. Embeddings are
multiplied as they are: normalise them for cosine similarities.

Several files or folders are compared one by one, followed by their means. --bank, --validation,
--captions and --caption-to-image then take one value for all or one each.
"""


class Input(NamedTuple):
    """The task, the task that parameters are chosen on, and the captions if known."""

    task: RetrievalTask
    validation: RetrievalTask | None
    captions: list[str] | None


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, compares, prints the tables and writes the requested files."""
    arguments = _parser().parse_args(argv)
    paths, inputs = _inputs(arguments)
    settings = _settings(arguments, inputs[0].task.banks)
    # importing matplotlib takes a second, which wrong arguments need not wait for
    from postprocessing import comparison_tables as tables

    runs: list[list[Compared]] = []
    for path, given in zip(paths, inputs, strict=True):
        rows = compare(
            given.task,
            settings,
            groups=None if given.captions is None else caption_groups(given.captions),
            validation=given.validation,
            draws=arguments.draws,
            seed=arguments.seed,
        )
        write(tables.text(rows) if len(paths) == 1 else f"{path}\n{tables.text(rows)}\n")
        if arguments.out:
            folder = Path(arguments.out, *([str(len(runs))] if len(paths) > 1 else []))
            tables.write_files(folder, rows, _head(arguments, path, given))
        runs.append(rows)
    if len(runs) > 1:
        write(f"mean of {len(runs)} ± standard deviation\n{tables.mean_table(runs)}")
        if arguments.out:
            means = {"runs": paths, "methods": tables.mean_json(runs)}
            write_json(Path(arguments.out, "compare.json"), means)
    if arguments.out:
        write(f"\nresults: {Path(arguments.out, 'compare.json')}")


def _head(arguments: argparse.Namespace, path: str, given: Input) -> dict[str, Any]:
    images, captions = given.task.i2t.shape
    return {
        "input": path,
        "images": images,
        "captions": captions,
        "draws": arguments.draws,
        "seed": arguments.seed,
        "tuned": given.validation is not None,
    }


def _parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m postprocessing.compare")
    for name, metavar, what in (
        ("similarity", "FILE", "similarities (images, captions): .npy, .csv or .pt"),
        ("features", "DIR", "embeddings of images and captions"),
        ("bank", "DIR", "with --features: embeddings of a bank"),
        ("validation", "FILE or DIR", "choose each method's parameters on these similarities "
         "(test.py --save-similarity) or features"),
        ("captions", "FILE", "one caption per line, to count equal captions as correct in mR* "
         "(default: captions.txt in --features, if present)"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", metavar=metavar, nargs="+", help=what)
    add_caption_arguments(parser, nargs="+")
    add_bank_arguments(parser)
    parser.add_argument(
        "--methods", metavar="LIST", default=",".join(METHODS),
        help="comma-separated methods (default: all)",
    )  # fmt: skip
    add_settings_arguments(parser)
    add_correction_arguments(parser)
    parser.add_argument(
        "--draws", type=cli.at_least_1, default=2000, metavar="N",
        help="bootstrap draws (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the bootstrap (default: %(default)s)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write compare.json, compare.csv and a plot there"
    )
    return parser


def _settings(arguments: argparse.Namespace, banks: Banks) -> list[MethodSettings]:
    names = arguments.methods.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise UserError("--methods", f"no method {unknown[0]!r}", f"use {', '.join(METHODS)}")
    if "dual_bank" in names and (banks.i2t is None or banks.i2t.candidates is None):
        if names != list(METHODS):
            raise UserError(
                "dual_bank", "needs a bank of both modalities", "use --features and --bank"
            )
        names.remove("dual_bank")
    base = settings_of(arguments, MethodSettings)
    return [replace(base, method=name) for name in dict.fromkeys((*BASELINES, *names))]


def _inputs(arguments: argparse.Namespace) -> tuple[list[str], list[Input]]:
    """The paths to compare, and what was read from each."""
    given = [name for name in ("similarity", "features") if getattr(arguments, name)]
    if len(given) != 1:
        what = "give either --similarity or --features"
        raise UserError("compare", "needs one kind of input", what)
    paths: list[str] = getattr(arguments, given[0])
    named = ("bank", "validation", "captions", "caption_to_image")
    values = {name: getattr(arguments, name) or [None] for name in named}
    for name, own in values.items():
        if len(own) not in (1, len(paths)):
            option = f"--{name.replace('_', '-')}"
            raise UserError(option, f"has {len(own)} values", f"give 1 or {len(paths)}")
    read = _from_similarity if given == ["similarity"] else _from_features
    single = [
        argparse.Namespace(**{
            **vars(arguments), given[0]: path,
            **{name: own[number % len(own)] for name, own in values.items()},
        })
        for number, path in enumerate(paths)
    ]  # fmt: skip
    return paths, [read(each) for each in single]


def _from_similarity(arguments: argparse.Namespace) -> Input:
    if arguments.bank:
        raise UserError("--bank", "requires --features", "use --bank-images and --bank-captions")
    part = read_part(arguments.similarity, arguments.captions_per_image, arguments.caption_to_image)
    task, validation = task_of(arguments, part), None
    if arguments.validation:
        if task.banks.some:
            raise UserError(
                "--validation",
                "the bank similarities only cover the test part",
                "use --features, or omit the banks",
            )
        # captions in another order are named beside the validation file
        chosen = read_part(arguments.validation, arguments.captions_per_image)
        validation = RetrievalTask.of(chosen.similarity, chosen.caption_to_image)
    captions = None
    if arguments.captions:
        captions = read_lines(arguments.captions, part.similarity.shape[1], "caption")
    return Input(task, validation, captions)


def _from_features(arguments: argparse.Namespace) -> Input:
    for name in ("captions_per_image", "bank_images", "bank_captions"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UserError(option, "cannot be combined with --features", "use one or the other")
    features = read_features(arguments.features)
    bank = read_features(arguments.bank) if arguments.bank else None
    beside = Path(arguments.features, "captions.txt")
    path = arguments.captions or (beside if beside.exists() else None)
    captions = None if path is None else read_lines(path, len(features.captions), "caption")
    validation = None
    if arguments.validation:
        validation = _task(arguments.validation, read_features(arguments.validation), bank, None)
    task = _task(arguments.features, features, bank, arguments.caption_to_image)
    return Input(task, validation, captions)


def _task(
    folder: str, features: Features, bank: Features | None, caption_to_image: str | None
) -> RetrievalTask:
    path = Path(caption_to_image or Path(folder, "caption_to_image.npy"))
    own = read_images(path, len(features.images), len(features.captions))
    whole = whole_if_small(FeatureProduct(features.images, features.captions))
    if bank is None:
        return RetrievalTask.of(whole, own)
    check_width(folder, features.images, bank.images)
    banks = Banks(
        _bank(bank.images, bank.captions, features.captions),
        _bank(bank.captions, bank.images, features.images),
    )
    return RetrievalTask.of(whole, own, banks)


def _bank(queries: Floats, others: Floats, candidates: Floats) -> Bank:
    return Bank(*(
        whole_if_small(FeatureProduct(part.astype(candidates.dtype, copy=False), candidates))
        for part in (queries, others)
    ))  # fmt: skip


if __name__ == "__main__":
    sys.exit(cli.run(main))
