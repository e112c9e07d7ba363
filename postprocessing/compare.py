"""python -m postprocessing.compare: re-ranking methods side by side, for anybody's model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.data.annotations import caption_groups
from galr.metrics.similarities import FeatureProduct
from postprocessing.arguments import (
    add_bank_arguments,
    add_correction_arguments,
    add_part_arguments,
    add_settings_arguments,
    method_of,
    part_of,
    task_of,
    write,
)
from postprocessing.banks import Bank
from postprocessing.comparison import compare
from postprocessing.feature_files import (
    Features,
    check_width,
    read_captions,
    read_features,
    read_own_images,
)
from postprocessing.methods import METHODS, MethodSettings
from postprocessing.rerank import whole_if_small
from postprocessing.similarity_files import read_part
from postprocessing.task import NO_BANKS, Banks, RetrievalTask

DESCRIPTION = """\
Compares re-ranking methods: recalls both ways, seconds, what each method reads, hubness, and a
paired bootstrap of the differences (docs/rerank.md).

  python -m postprocessing.compare --similarity sims.npy --captions-per-image 5 --out compared
  python -m postprocessing.compare --features test --bank train --validation validation

sims.npy holds similarities (images, captions). The folders hold images.npy (I, D), captions.npy
(C, D) and, but for the bank's, caption_to_image.npy (C,), all written by numpy.save; captions.txt
has a caption a line, where there is one. test.py --save-features writes such folders. Embeddings
are multiplied as they are: normalise them where cosines are meant.
"""


class Input(NamedTuple):
    """What is compared on, where numbers are chosen, and the captions where they are known."""

    task: RetrievalTask
    validation: RetrievalTask | None
    captions: list[str] | None


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, compares, prints the tables, and writes what is asked for."""
    arguments = _parser().parse_args(argv)
    given = _from_features(arguments) if arguments.features else _from_similarity(arguments)
    rows = compare(
        given.task,
        _settings(arguments, given.task.banks),
        groups=None if given.captions is None else caption_groups(given.captions),
        validation=given.validation,
        draws=arguments.draws,
        seed=arguments.seed,
    )
    # matplotlib takes a second, which wrong arguments need not wait for
    from postprocessing import comparison_table as tables

    parts = tables.recall_lines(rows), tables.difference_lines(rows), tables.hubness_lines(rows)
    write("\n\n".join("\n".join(lines) for lines in parts))
    if arguments.out:
        folder = Path(arguments.out)
        images, captions = given.task.i2t.shape
        head = {"images": images, "captions": captions, "draws": arguments.draws,
                "seed": arguments.seed, "tuned": given.validation is not None}  # fmt: skip
        write_json(folder / "compare.json", {**head, "methods": [row.as_json() for row in rows]})
        tables.write_csv(folder / "compare.csv", rows)
        tables.draw_occurrences(folder / "k_occurrences.png", rows)
        write(f"\nresults: {folder / 'compare.json'}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m postprocessing.compare")
    add_part_arguments(parser, required=False)
    add_bank_arguments(parser)
    parser.add_argument("--features", metavar="DIR", help="embeddings of images and captions")
    parser.add_argument("--bank", metavar="DIR", help="with --features: those of a bank")
    parser.add_argument(
        "--captions", metavar="FILE",
        help="a caption a line: equal ones count as right in mR* (default: captions.txt of "
        "--features, where there is one)",
    )  # fmt: skip
    parser.add_argument(
        "--validation", metavar="FILE or DIR",
        help="choose each method's numbers on these similarities (test.py --save-similarity) or "
        "features",
    )  # fmt: skip
    parser.add_argument(
        "--methods", metavar="LIST", default=",".join(METHODS),
        help="methods with commas (default: all)",
    )  # fmt: skip
    add_settings_arguments(parser)
    add_correction_arguments(parser)
    parser.add_argument(
        "--draws", type=cli.at_least_1, default=2000, metavar="N",
        help="of the bootstrap (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="write JSON, CSV and a picture there")
    return parser


def _settings(arguments: argparse.Namespace, banks: Banks) -> list[MethodSettings]:
    base = method_of(arguments)
    names = arguments.methods.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise UserError("--methods", f"no method {unknown[0]!r}", f"choose of {', '.join(METHODS)}")
    has_candidates = banks.i2t is not None and banks.i2t.candidates is not None
    if "dual_bank" in names and not has_candidates:
        if names != list(METHODS):
            raise UserError("dual_bank", "needs a bank of both kinds", "use --features and --bank")
        names.remove("dual_bank")
    return [base.changed(method=name) for name in names]


def _from_similarity(arguments: argparse.Namespace) -> Input:
    if arguments.similarity is None:
        raise UserError("compare", "similarities of what?", "give --similarity or --features")
    if arguments.bank:
        raise UserError("--bank", "is of --features", "use --bank-images and --bank-captions")
    part = part_of(arguments)
    task, validation = task_of(arguments, part), None
    if arguments.validation:
        if task.banks.some:
            raise UserError(
                "--validation",
                "the banks' similarities are with the test part alone",
                "use --features, or leave the banks out",
            )
        # captions in another order are named beside the validation file
        chosen = read_part(arguments.validation, arguments.captions_per_image)
        validation = RetrievalTask.of(chosen.similarity, chosen.caption_to_image)
    captions = arguments.captions and read_captions(arguments.captions, part.similarity.shape[1])
    return Input(task, validation, captions or None)


def _from_features(arguments: argparse.Namespace) -> Input:
    others = ("similarity", "captions_per_image", "bank_images", "bank_captions")
    wrong = [name for name in others if getattr(arguments, name) is not None]
    if wrong:
        option = f"--{wrong[0].replace('_', '-')}"
        raise UserError(option, "does not go with --features", "leave one of them out")
    features = read_features(arguments.features)
    bank = read_features(arguments.bank) if arguments.bank else None
    beside = Path(arguments.features) / "captions.txt"
    path = arguments.captions or (beside if beside.exists() else None)
    captions = None if path is None else read_captions(path, len(features.captions))
    validation = None
    if arguments.validation:
        chosen = read_features(arguments.validation)
        validation = _task(arguments.validation, chosen, bank, None)
    task = _task(arguments.features, features, bank, arguments.caption_to_image)
    return Input(task, validation, captions)


def _task(
    folder: str, features: Features, bank: Features | None, caption_to_image: str | None
) -> RetrievalTask:
    own = read_own_images(folder, features, caption_to_image)
    whole = FeatureProduct(features.images, features.captions)
    return RetrievalTask.of(whole_if_small(whole), own, _banks(Path(folder), features, bank))


def _banks(folder: Path, features: Features, bank: Features | None) -> Banks:
    if bank is None:
        return NO_BANKS
    check_width(folder, features.images, bank.images)

    def compared(
        queries: NDArray[np.floating], others: NDArray[np.floating], to: NDArray[np.floating]
    ) -> Bank:
        both = (FeatureProduct(part.astype(to.dtype, copy=False), to) for part in (queries, others))
        return Bank(*map(whole_if_small, both))

    return Banks(
        compared(bank.images, bank.captions, features.captions),
        compared(bank.captions, bank.images, features.images),
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
