"""One's own images and captions, in any layout -> a data folder."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galr.common.atomic import temporary_name
from galr.common.errors import UserError
from galr.data.vocabulary import build_vocabulary, check_words
from galr.images.decoding import AS_IT_IS, measured
from galr.images.scaling import Scaling
from galr.leakage.ties import tie_together
from galr.preparation.gather import Gathered, LeftOut, collect, gather
from galr.preparation.image_names import ImageNames, list_image_names
from galr.preparation.karpathy import Described
from galr.preparation.layouts.rows import USUAL, Wanted
from galr.preparation.layouts.source import open_source
from galr.preparation.left_out import LEFT_OUT, say_left_out, write_left_out
from galr.preparation.prepare import about_survey, check_place, link_images, write_parts
from galr.preparation.splitting import PARTS, cut, read_shares
from galr.preparation.survey import survey_images

SPLIT = "80/10/10"
# a word of the vocabulary occurs so often where there are fewer captions than this, else 5 times
THRESHOLDS = {100: 1, 5_000: 2}


@dataclass(frozen=True)
class Choices:
    """What ``prepare`` leaves to the user.

    split: shares of training, validation and test where the captions name no splits; max_bad:
    share of the images that may be missing or damaged with ``skip_bad``.
    """

    wanted: Wanted = USUAL
    templates: tuple[str, ...] = ()
    split: str = SPLIT
    seed: int = 0
    keep_duplicates_together: bool = True
    skip_bad: bool = False
    max_bad: float = 0.05
    val_into_train: bool = False
    scaling: Scaling = AS_IT_IS
    tokenizer: str = "nltk"


@dataclass(frozen=True)
class Prepared:
    """said: lines about what was found and written; images: of each part."""

    said: list[str]
    images: dict[str, int]


def prepare_own(
    captions: str | Path | None,
    images: str | Path | None,
    out: str | Path,
    vocab_path: str | Path,
    choices: Choices = Choices(),
) -> Prepared:
    """Finds out the layout of the captions, checks everything, and writes a data folder.

    ``captions``: a file or folder in any layout of docs/own_data.md (default: ``images``);
    ``images``: the folder of the images (default: where the captions are). Images are in the
    order of their names and the captions of each in alphabetical order, so that equal content
    gives equal folders from any layout. Nothing is written before everything is checked. Raises
    UserError for what is not understood, missing or damaged.
    """
    out = Path(out)
    shares = read_shares(choices.split)
    with _unpacked(out) as unpacked:
        source = open_source(
            None if captions is None else Path(captions),
            None if images is None else Path(images),
            unpacked,
            list_image_names,
            choices.wanted,
            choices.templates,
        )
        found = collect(source.rows)
        names = ImageNames(source.images)
        gathered = gather(found, names)
        count = sum(len(image.captions) for image in gathered.images)
        said = [f"{source.said()}: {len(gathered.images):,} images with {count:,} captions"]
        if not source.holds_images:
            check_place(out, source.images)
        left_out, hashes = _checked(gathered, source.images, choices, said)
        bad = {one.name for one in left_out}
        chosen = [image for image in gathered.images if image.name not in bad]
        if not chosen:
            raise UserError(source.images, "has no intact image with a caption", "add some")
        say_left_out(gathered, left_out, said)
        parts = _parts(chosen, hashes, choices, shares, said, ties_captions=source.ties_captions)
        _check_parts(parts, captions or source.images)
        texts = [caption for image in parts["train"] for caption in image.captions]
        threshold = next((n for most, n in THRESHOLDS.items() if len(texts) < most), 5)
        vocabulary = build_vocabulary(texts, threshold=threshold, tokenizer=choices.tokenizer)
        check_words(vocabulary, captions or source.images)
        if source.holds_images:
            _keep(unpacked, out / "images")
            said.append(f"{out}/images: {len(names.names):,} images from inside the captions")
        said += write_parts(parts, out)
        if not source.holds_images:
            said += link_images(out, source.images)
        said += write_left_out(out / LEFT_OUT, [*gathered.bare, *left_out])
    vocabulary.save(vocab_path)
    said.append(
        f"{vocab_path}: {len(vocabulary.words):,} words that occur {threshold} times or more in "
        "the training captions"
    )
    unknown = sum(not vocabulary.knows_a_word(text) for text in texts)
    if unknown:
        said.append(f"{vocab_path}: {unknown:,} training captions contain none of these words")
    return Prepared(said, {part: len(own) for part, own in parts.items()})


@contextmanager
def _unpacked(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` for images that come with their captions; gone afterwards."""
    absolute = out.absolute()
    folder = temporary_name(absolute)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(
    gathered: Gathered, folder: Path, choices: Choices, said: list[str]
) -> tuple[list[LeftOut], NDArray[np.bool_]]:
    """What is missing or damaged, and the hashes (I, 64) of the other images."""
    left_out = list(gathered.missing)
    if left_out and not choices.skip_bad:
        first = left_out[0]
        raise UserError(
            first.place,
            f"{first.why} ({len(left_out)} of {len(left_out) + len(gathered.images)} are missing)",
            "correct --images or the names, or skip them with --skip-bad",
        )
    names = [image.name for image in gathered.images]
    for name in names:
        if name != name.strip() or len(name.splitlines()) != 1:
            raise UserError(folder, f"the name {name!r} cannot stand on a line", "rename the file")
    scaling = measured(choices.scaling, folder, names, folder)
    survey = survey_images(folder, names, scaling)
    damaged = [LeftOut(names[i], survey.bad[i], str(folder / names[i])) for i in sorted(survey.bad)]
    if damaged and not choices.skip_bad:
        others = f" ({len(damaged) - 1} other images are bad)" if len(damaged) > 1 else ""
        raise UserError(
            folder, f"{damaged[0].why}{others}", "replace them, or skip them with --skip-bad"
        )
    left_out += damaged
    most = choices.max_bad * (len(gathered.missing) + len(names))
    if len(left_out) > most:
        raise UserError(
            left_out[0].place,
            f"{left_out[0].why} ({len(left_out)} of {len(gathered.missing) + len(names)} images "
            f"are missing or damaged, more than {choices.max_bad:.3g} of them)",
            "correct --images, or raise --max-bad",
        )
    said += about_survey(folder, names, survey, scaling)
    whole = [index for index in range(len(names)) if index not in survey.bad]
    return left_out, survey.hashes[whole]


def _parts(
    images: list[Described],
    hashes: NDArray[np.bool_],
    choices: Choices,
    shares: tuple[float, float, float],
    said: list[str],
    *,
    ties_captions: bool,
) -> dict[str, list[Described]]:
    given = Counter(image.split for image in images)
    if given[""] and len(given) > 1:
        first = next(image for image in images if not image.split)
        raise UserError(
            first.name,
            f"has no split ({given['']} of {len(images)} images have none)",
            "complete the column, or create a new split with --split-column none",
        )
    if set(given) > {""} or len(given) > 1:
        splits = [image.split for image in images]
        said.append("using the splits given with the captions")
    else:
        if given[""]:
            how = "the captions name no split"
        else:
            how = f"all captions are of split {next(iter(given))}"
        group = np.arange(len(images))
        if choices.keep_duplicates_together:
            captions = [image.captions for image in images] if ties_captions else None
            ties = tie_together(captions, hashes)
            said += ties.said
            group = ties.group
        splits = [PARTS[part] for part in cut(group, shares, choices.seed)]
        said.append(f"{how}: cut {choices.split} by seed {choices.seed}")
    parts: dict[str, list[Described]] = {part: [] for part in PARTS}
    for image, split in zip(images, splits, strict=True):
        parts["train" if choices.val_into_train and split == "val" else split].append(image)
    return {part: own for part, own in parts.items() if own or part != "val"}


def _check_parts(parts: dict[str, list[Described]], place: str | Path) -> None:
    for part in ("train", "test"):
        if not parts[part]:
            raise UserError(
                place,
                f"leaves the {part} part empty",
                "create a new split with --split-column none, change --split, or add images",
            )


def _keep(unpacked: Path, images: Path) -> None:
    """Moves the unpacked images to their place, where the very same may lie already."""
    if os.path.lexists(images):
        if images.is_symlink() or _sizes(images) != _sizes(unpacked):
            raise UserError(
                images, "already exists with other images", "choose another --out or remove it"
            )
        return
    images.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unpacked, images)


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
