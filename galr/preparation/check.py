"""What is in a data folder: the figures of its parts, and what they share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from galr.common.errors import UserError
from galr.data.annotations import Annotations, annotation_files, read_annotations, read_lines
from galr.data.vocabulary import Vocabulary, build_vocabulary
from galr.images.decoding import AS_IT_IS, measured
from galr.images.folder import list_images
from galr.images.scaling import Scaling
from galr.language.plausibility import warn_of_shift, warn_of_swap
from galr.leakage.hashes import near_pairs
from galr.preparation.survey import Survey, survey_images

SPLITS = ("train", "val", "test")
LISTS = ("empty_caption_lines", "bad_images", "nearly_constant_images")


def check_folder(
    data_path: str | Path,
    image_folder: str | Path | None,
    vocab_path: str | Path | None,
    scaling: Scaling = AS_IT_IS,
    tokenizer: str = "nltk",
) -> dict[str, Any]:
    """The figures of a data folder, as plain data for JSON.

    Per split: images, captions, words and so on. For each two splits: captions, file names and
    near-duplicate images that they share. Warnings tell of shifted captions and swapped parts.
    Without ``image_folder`` the images are not looked at; without ``vocab_path`` a vocabulary is
    built as vocab.py does. Raises UserError for annotations that do not fit or images that are
    missing; damaged images are reported under ``bad_images``.
    """
    listing = None if image_folder is None else list_images(image_folder, "name it with --images")
    parts = _read(Path(data_path), image_folder)
    for name, part in parts.items():
        warn_of_shift(part.captions, part.caption_to_image, Path(data_path, f"{name}_caps.txt"))
    test = Path(data_path, "test_filename.txt")
    warn_of_swap(parts["train"].images, parts["test"].images, test)
    if vocab_path is None:
        captions = [c for s in ("train", "test") if s in parts for c in parts[s].captions]
        vocabulary = build_vocabulary(captions, tokenizer=tokenizer)
    else:
        vocabulary = Vocabulary.load(vocab_path)
    report: dict[str, Any] = {
        "folder": str(data_path),
        "vocabulary": {"file": vocab_path and str(vocab_path), "words": len(vocabulary.words)},
        "splits": {name: _figures(part, vocabulary) for name, part in parts.items()},
    }
    for name in parts:
        lines = read_lines(annotation_files(data_path, name)[0])
        empty = [number for number, line in enumerate(lines, start=1) if not line]
        report["splits"][name]["empty_caption_lines"] = empty
    surveys = {}
    if image_folder is not None and listing is not None:
        named = {name for part in parts.values() for name in part.images}
        report["images_not_named"] = sorted(set(listing.names) - named)
        scaling = measured(scaling, image_folder, parts["train"].images, data_path)
        report["pixel_range"] = scaling.pixel_range
        surveys = {
            name: survey_images(image_folder, part.images, scaling) for name, part in parts.items()
        }
        for name, survey in surveys.items():
            constant = [parts[name].images[index] for index in survey.constant]
            report["splits"][name]["nearly_constant_images"] = constant
            report["splits"][name]["bad_images"] = [survey.bad[i] for i in sorted(survey.bad)]
    names = list(parts)
    report["shared"] = {
        f"{left} and {right}": _shared(parts[left], parts[right], surveys, left, right)
        for place, left in enumerate(names)
        for right in names[place + 1 :]
    }
    return report


def _read(data_path: Path, image_folder: str | Path | None) -> dict[str, Annotations]:
    parts = {}
    for split in SPLITS:
        if split == "val" and not (data_path / "val_caps.txt").is_file():
            continue
        lines = read_lines(annotation_files(data_path, split)[0])
        empty = sum(not line for line in lines)
        parts[split] = read_annotations(data_path, split, image_folder, empty_captions=empty)
        if not parts[split].captions:
            raise UserError(data_path / f"{split}_caps.txt", "holds no caption", "write some")
    return parts


def _figures(part: Annotations, vocabulary: Vocabulary) -> dict[str, Any]:
    tokens = [vocabulary.tokenize(caption) for caption in part.captions]
    words = Counter(word for caption in tokens for word in caption)
    unknown = {word: count for word, count in words.items() if word not in vocabulary}
    a_image = np.bincount(part.caption_to_image)
    longest = max(range(len(tokens)), key=lambda index: len(tokens[index]))
    images_of: dict[str, set[int]] = {}
    for caption, image in zip(part.captions, part.caption_to_image.tolist(), strict=True):
        images_of.setdefault(caption, set()).add(image)
    shared = {caption for caption, images in images_of.items() if len(images) > 1}
    return {
        "images": len(part.images),
        "captions": len(part.captions),
        "captions_an_image": [int(a_image.min()), int(a_image.max())],
        "distinct_captions": len(images_of),
        "words": sum(words.values()),
        "distinct_words": len(words),
        "unknown_words": sum(unknown.values()),
        "distinct_unknown_words": len(unknown),
        "longest_caption": {"words": len(tokens[longest]), "caption": part.captions[longest]},
        "captions_without_words": sum(not caption for caption in tokens),
        "captions_of_unknown_words_only": sum(
            not vocabulary.knows_a_word(caption) for caption in part.captions
        ),
        "captions_of_several_images": sum(caption in shared for caption in part.captions),
    }


def _shared(
    left: Annotations, right: Annotations, surveys: dict[str, Survey], *names: str
) -> dict[str, Any]:
    texts = set(left.captions)
    found: dict[str, Any] = {
        "captions": sum(caption in texts for caption in right.captions),
        "files": sorted(set(left.images) & set(right.images)),
    }
    if surveys:
        first, second = (surveys[name] for name in names)
        whole = [np.flatnonzero(survey.sizes[:, 0]) for survey in (first, second)]
        pairs = near_pairs(first.hashes[whole[0]], second.hashes[whole[1]])
        found["near_duplicate_images"] = [
            [left.images[whole[0][i]], right.images[whole[1][j]], int(bits)] for i, j, bits in pairs
        ]
    return found


def described(report: dict[str, Any], listed: int = 5) -> str:
    """The report of ``check_folder`` as lines to read; at most ``listed`` items of a list."""
    lines = [report["folder"]]
    rows = [("", [*report["splits"]])]
    for key in next(iter(report["splits"].values())):
        if key in (*LISTS, "longest_caption", "captions_an_image"):
            continue
        rows.append(
            (key.replace("_", " "), [f"{split[key]:,}" for split in report["splits"].values()])
        )
    splits = report["splits"].values()
    rows.append(("captions an image", [_span(split["captions_an_image"]) for split in splits]))
    rows.append(("longest caption", [f"{s['longest_caption']['words']} words" for s in splits]))
    rows.append(("empty captions", [str(len(split["empty_caption_lines"])) for split in splits]))
    for key in ("bad_images", "nearly_constant_images"):
        if all(key in split for split in splits):
            rows.append((key.replace("_", " "), [str(len(split[key])) for split in splits]))
    lines += [f"  {name:28}" + "".join(f"{cell:>12}" for cell in cells) for name, cells in rows]
    vocabulary = report["vocabulary"]
    lines.append(
        f"  vocabulary of {vocabulary['words']:,} words: "
        f"{vocabulary['file'] or 'built from the train and test captions, as vocab.py does'}"
    )
    if report.get("pixel_range"):
        low, high = report["pixel_range"]
        lines.append(f"  more than 8 bits: numbers from {low:g} to {high:g} become 0 to 255")
    for name, split in report["splits"].items():
        constant = split.get("nearly_constant_images", [])
        lines += _listed(f"{name}: images that are nearly of one value", constant, listed)
        lines += _listed(f"{name}_caps.txt: empty lines", split["empty_caption_lines"], listed)
        lines += _listed(f"{name}: bad images", split.get("bad_images", []), listed)
    lines += _listed("images that no part names", report.get("images_not_named", []), listed)
    for names, shared in report["shared"].items():
        lines.append(f"  {names} share {shared['captions']:,} captions (of the latter)")
        lines += _listed(f"{names} share files", shared["files"], listed)
        near = [
            f"{a} ~ {b} ({bits} bits)" for a, b, bits in shared.get("near_duplicate_images", [])
        ]
        lines += _listed(f"{names} share near-duplicate images", near, listed)
    return "\n".join(lines)


def _span(bounds: list[int]) -> str:
    low, high = bounds
    return str(low) if low == high else f"{low}..{high}"


def _listed(what: str, items: list[Any], most: int) -> list[str]:
    if not items:
        return []
    rest = f", and {len(items) - most} more" if len(items) > most else ""
    return [f"  {what}: {len(items):,}: " + ", ".join(map(str, items[:most])) + rest]
