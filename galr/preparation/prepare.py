"""The files that people download -> a data folder: annotations, images, vocabulary."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.data.vocabulary import build_vocabulary, check_words
from galr.images.decoding import AS_IT_IS, measured
from galr.images.folder import found_names, list_images
from galr.images.scaling import Scaling
from galr.local_features.names import NameIndex
from galr.preparation.karpathy import Described, read_karpathy
from galr.preparation.survey import Survey, survey_images

SPLITS = ("train", "val", "test")


def prepare(
    json_path: str | Path,
    image_folder: str | Path,
    out: str | Path,
    vocab_path: str | Path,
    *,
    val_into_train: bool = False,
    scaling: Scaling = AS_IT_IS,
    tokenizer: str = "nltk",
    skip_bad: bool = False,
) -> list[str]:
    """Checks JSON and images, writes the annotation files and the vocabulary; what was found.

    ``out``/images becomes a link to ``image_folder`` where it is not there yet. Nothing is written
    before everything is checked. Raises UserError for a JSON that is not in the Karpathy layout,
    an unknown split, an image that is missing or damaged, or another data set in ``out``.
    """
    images = read_karpathy(json_path)
    left_out: list[str] = []
    if skip_bad:
        images, left_out = _without_missing(images, image_folder)
    images, others = _with_files(images, image_folder, json_path)
    parts = _parts(images, json_path, val_into_train=val_into_train)
    said, bad = _check_images(images, image_folder, json_path, scaling, skip_bad=skip_bad)
    parts = _parts(
        [image for image in images if image.name not in bad],
        json_path,
        val_into_train=val_into_train,
    )
    said += [f"left out: {line}" for line in (*left_out, *bad.values())]
    if others:
        said.append(f"{image_folder}: {others} images are not named by {json_path}")
    out = Path(out)
    check_place(out, Path(image_folder))
    read_by_released = [
        caption
        for split in ("train", "test")
        for image in parts[split]
        for caption in image.captions
    ]
    vocabulary = build_vocabulary(read_by_released, tokenizer=tokenizer)
    check_words(vocabulary, json_path)
    said += write_parts(parts, out)
    said += link_images(out, image_folder)
    vocabulary.save(vocab_path)
    said.append(f"{vocab_path}: {len(vocabulary.words)} words of the train and test captions")
    unknown = sum(not vocabulary.knows_a_word(caption) for caption in read_by_released)
    if unknown:
        said.append(f"{out}: {unknown} of these captions have no word of it")
    return said


def write_parts(parts: dict[str, list[Described]], out: Path) -> list[str]:
    """Writes the annotation files of each part, and removes those of a part that is not there."""
    said = []
    for split in SPLITS:
        if split not in parts:
            for name in ("filename", "caps"):
                (out / f"{split}_{name}.txt").unlink(missing_ok=True)
    for split, part in parts.items():
        # one name a caption: images may then have different numbers of captions
        for kind, lines in (
            ("filename", (image.name for image in part for _ in image.captions)),
            ("caps", (caption for image in part for caption in image.captions)),
        ):
            with (
                atomic_path(out / f"{split}_{kind}.txt") as temporary,
                temporary.open("w", encoding="utf-8", newline="\n") as file,
            ):
                file.writelines(f"{line}\n" for line in lines)
        captions = sum(len(image.captions) for image in part)
        said.append(f"{out}/{split}_caps.txt: {captions} captions of {len(part)} images")
    return said


def link_images(out: Path, image_folder: str | Path) -> list[str]:
    """Makes ``out``/images a link to the folder of the images, unless it is that already."""
    if (out / "images").exists():
        return []
    try:
        os.symlink(os.path.abspath(image_folder), out / "images")
    except OSError as error:  # some file systems have none
        return [
            f"{out}/images: no link to {image_folder} can be made ({error.strerror}); name the "
            "folder by dataset.image_path"
        ]
    return [f"{out}/images: a link to {image_folder}"]


def _parts(
    images: list[Described], path: str | Path, *, val_into_train: bool
) -> dict[str, list[Described]]:
    parts: dict[str, list[Described]] = {split: [] for split in SPLITS}
    for number, image in enumerate(images):
        if image.split not in parts:
            raise UserError(
                f"{path}: images[{number}]",
                f"{image.name} is of split {image.split!r}",
                f"the splits are {', '.join(SPLITS)}",
            )
        filled = tuple(caption for caption in image.captions if caption)
        if filled:
            to_train = val_into_train and image.split == "val"
            split = "train" if to_train else image.split
            parts[split].append(image._replace(captions=filled))
    for split in ("train", "test"):
        if not parts[split]:
            raise UserError(
                path, f"has no captioned image of split {split!r}", "train and test need some"
            )
    return {split: part for split, part in parts.items() if part}


def _without_missing(
    images: list[Described], folder: str | Path
) -> tuple[list[Described], list[str]]:
    """The images that have a file, and a line for each other one."""
    index = NameIndex(list_images(folder, "name it with --images").names)
    kept = [image for image in images if index.rows(image.name)]
    missing = [image.name for image in images if not index.rows(image.name)]
    return kept, [f"there is no image {Path(folder) / name}" for name in missing]


def _with_files(
    images: list[Described], folder: str | Path, json_path: str | Path
) -> tuple[list[Described], int]:
    """The images by the names of their files, and how many other images lie there."""
    listing = list_images(folder, "name it with --images")
    place = f"{json_path}: images[%d]"
    names = found_names(
        [image.name for image in images],
        folder,
        lambda index: place % index,
        "put it there, correct --images, or leave out what is missing by --skip-bad",
    )
    found = [image._replace(name=name) for image, name in zip(images, names, strict=True)]
    return found, len(set(listing.names) - set(names))


def _check_images(
    images: list[Described],
    folder: str | Path,
    json_path: str | Path,
    scaling: Scaling,
    *,
    skip_bad: bool,
) -> tuple[list[str], dict[str, str]]:
    """What is said of the images, and what is wrong with bad ones, by name, where these are left
    out; UserError where they are not."""
    names = [image.name for image in images]
    training = [image.name for image in images if image.split == "train"]
    scaling = measured(scaling, folder, training, folder)
    survey = survey_images(folder, names, scaling)
    if survey.bad and not (skip_bad and len(survey.bad) < len(names)):
        first = survey.bad[min(survey.bad)]
        others = len(survey.bad) - 1
        raise UserError(
            folder,
            f"{first} ({others} other images are bad)" if others else first,
            "correct this and run again, or skip them with --skip-bad",
        )
    captions = [caption for image in images for caption in image.captions]
    said = [
        f"{json_path}: {len(images)} images, {len(captions)} captions",
        *about_survey(folder, names, survey, scaling),
    ]
    empty = sum(not caption for caption in captions)
    if empty:
        without = sum(not any(image.captions) for image in images)
        said.append(f"left out: {empty} empty captions; {without} images have no caption otherwise")
    return said, {names[index]: what for index, what in sorted(survey.bad.items())}


def about_survey(
    folder: str | Path, names: list[str], survey: Survey, scaling: Scaling
) -> list[str]:
    """Lines about the whole images of a survey: their sizes, numbers, and flat ones."""
    sizes = survey.sizes[survey.sizes[:, 0] > 0]
    if not len(sizes):
        return []
    bad = f"{len(survey.bad)} are damaged, the others" if survey.bad else "all images"
    said = [f"{folder}: {bad} are whole, {_span(sizes[:, 0])} x {_span(sizes[:, 1])} pixels"]
    if scaling.pixel_range is not None:
        low, high = scaling.pixel_range
        said.append(f"{folder}: more than 8 bits, numbers from {low:g} to {high:g} become 0 to 255")
    if survey.constant:
        said.append(
            f"{folder}: {len(survey.constant)} images are nearly of one value, for example "
            f"{names[survey.constant[0]]}"
        )
    return said


def _span(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}..{high}"


def check_place(out: Path, image_folder: Path) -> None:
    """Raises UserError where ``out``/images is another folder."""
    link = out / "images"
    if os.path.lexists(link) and not (link.exists() and link.samefile(image_folder)):
        raise UserError(
            link,
            f"already exists and is not {image_folder}",
            "choose another folder with --out, or remove it",
        )
