"""python -m postprocessing.compare: re-ranking methods compared, for any model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import (
    add_bank_arguments,
    add_caption_arguments,
    add_correction_arguments,
    add_settings_arguments,
    settings_of,
    write,
)
from postprocessing.settings import METHODS, MethodSettings

if TYPE_CHECKING:
    from postprocessing.comparison import Compared
    from postprocessing.inputs import Input
    from postprocessing.task import Banks

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


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, compares, prints the tables and writes the requested files."""
    arguments = _parser().parse_args(argv)
    # torch takes seconds, which --help does not wait for
    from galr.data.annotations import caption_groups
    from postprocessing.comparison import compare
    from postprocessing.inputs import compared_inputs

    paths, inputs = compared_inputs(arguments)
    settings = _settings(arguments, inputs[0].task.banks)
    # matplotlib takes another, which wrong arguments do not wait for
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
    from postprocessing.comparison import BASELINES

    base = settings_of(arguments, MethodSettings)
    return [replace(base, method=name) for name in dict.fromkeys((*BASELINES, *names))]


if __name__ == "__main__":
    sys.exit(cli.run(main))
