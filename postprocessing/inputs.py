"""What the arguments of the re-ranking commands name: similarities, embeddings and banks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from galr.common.errors import UserError
from galr.metrics.similarities import FeatureProduct
from postprocessing.banks import Bank
from postprocessing.files import (
    Features,
    Floats,
    Part,
    check_width,
    read_bank,
    read_features,
    read_images,
    read_lines,
    read_part,
)
from postprocessing.multivariate import whole_if_small
from postprocessing.task import NO_BANKS, Banks, RetrievalTask


class Input(NamedTuple):
    """The task, the task that parameters are chosen on, and the captions if known."""

    task: RetrievalTask
    validation: RetrievalTask | None
    captions: list[str] | None


def part_of(arguments: argparse.Namespace) -> Part:
    """The similarities named by the arguments."""
    return read_part(arguments.similarity, arguments.captions_per_image, arguments.caption_to_image)


def task_of(arguments: argparse.Namespace, part: Part) -> RetrievalTask:
    """The part as a task, with the banks named by the arguments; UserError if only one is."""
    images, captions = part.similarity.shape
    paths = arguments.bank_images, arguments.bank_captions
    if paths == (None, None):
        return RetrievalTask.of(part.similarity, part.caption_to_image, NO_BANKS)
    if None in paths:
        missing = "--bank-images" if arguments.bank_images is None else "--bank-captions"
        raise UserError(missing, "is missing", "give both banks or neither")
    banks = Banks(Bank(read_bank(paths[0], captions)), Bank(read_bank(paths[1], images)))
    return RetrievalTask.of(part.similarity, part.caption_to_image, banks)


def compared_inputs(arguments: argparse.Namespace) -> tuple[list[str], list[Input]]:
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
