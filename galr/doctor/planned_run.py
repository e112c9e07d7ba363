"""Checks a planned run: its data, its model, and the disk space for its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.folds import make_folds
from galr.data.part import read_split
from galr.data.vocabulary import read_tokenizer
from galr.doctor.finding import Finding, finding
from galr.doctor.machine import available_memory, memory, shared_memory
from galr.images.content import cache_folders
from galr.images.decoding import decode_image
from galr.images.scaling import Scaling
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options

# weights, gradients and two moments of Adam; last.pth has all but the gradients
COPIES_IN_MEMORY, COPIES_ON_DISK = 4, 4
PREFETCHED = 2  # batches per worker, torch's default
LOOKED_AT = 8  # images that are decoded


def planned_run(options: Options) -> Iterator[Finding]:
    """Reads what training reads at the start; writes nothing."""
    parts: dict[str, Annotations] = {}
    for split in ("train", "test"):
        yield finding(f"{split} part", partial(_part, options, split, parts))
    if len(parts) == 2:
        yield finding("parts", lambda: _apart(parts["train"], parts["test"]))
    if "train" in parts:
        yield finding("folds", lambda: _folds(options, len(parts["train"].images)))
    built: list[RetrievalModel] = []
    yield finding("model", lambda: _model(options, built))
    if built:
        weights = sum(weight.nbytes for weight in built[0].state_dict().values())
        yield memory(available_memory(), COPIES_IN_MEMORY * weights, "the model without a batch")
        yield from disks(_room(options, weights, built[0], parts))
    dataset = options.dataset
    if dataset.workers:
        image = 3 * max(dataset.resize_size, dataset.image_size) ** 2
        yield shared_memory(image * dataset.batch_size * PREFETCHED * dataset.workers)


def _part(options: Options, split: str, parts: dict[str, Annotations]) -> str:
    """Summary of a split: reads all text and local features, and some images."""
    read = read_split(options, split)
    parts[split] = found = read.annotations
    scaling = Scaling.of(read.options.dataset)
    for name in found.images[:: max(1, len(found.images) // LOOKED_AT)]:
        decode_image(options.dataset.image_folder / name, scaling)
    local = "without local features" if read.local is None else "with local features"
    return f"{len(found.images)} images, {len(found.captions)} captions, {local}"


def _apart(train: Annotations, test: Annotations) -> str:
    shared = sorted(set(train.images) & set(test.images))
    if shared:
        raise UserError(
            "dataset.data_path",
            f"{len(shared)} test images are also training images, for example {shared[0]}",
            "remove them from one part; otherwise the test is meaningless",
        )
    texts = set(train.captions)
    same = sum(caption in texts for caption in test.captions)
    return f"no image is in both; {same} test captions equal a training caption"


def _folds(options: Options, images: int) -> str:
    k_fold = options.k_fold
    if k_fold.group_duplicates:  # finding the groups would require decoding all images
        share = 1 / k_fold.nums if k_fold.mode == "kfold" else k_fold.validation_share
        return f"{k_fold.nums}, each validated with about {round(share * images)} images in groups"
    folds = make_folds(images, k_fold.mode, k_fold.nums, k_fold.validation_share, options.seed)
    first = folds[0]
    return f"{len(folds)}, the first with {len(first.train)} and {len(first.validation)} images"


def _model(options: Options, built: list[RetrievalModel]) -> str:
    words = read_tokenizer(options).words
    built.append(build_model(options, words))
    parameters = sum(weight.numel() for weight in built[0].parameters())
    return f"{parameters / 1e6:.1f} million parameters, {len(words)} words"


def _room(
    options: Options, weights: int, model: RetrievalModel, parts: Mapping[str, Annotations]
) -> dict[Path, int]:
    """Bytes the run will write, by folder: checkpoints of all folds, and missing caches."""
    # a second copy of last.pth while it is replaced
    copies = COPIES_ON_DISK * options.k_fold.nums + COPIES_ON_DISK - 1
    needed = {options.experiment_folder: copies * weights}
    dataset, backbone = options.dataset, options.model.backbone
    if dataset.image_cache == "off":
        return needed
    rows: dict[str, int] = {}
    for split, part in parts.items():
        for side in {dataset.image_size, dataset.resize_size if split == "train" else 0} - {0}:
            rows[f"{split}_{side}px.h5"] = len(part.images) * 3 * side**2
    if (
        backbone.cache_features
        and "train" in parts
        and isinstance(model.image_encoder, ImageEncoder)
    ):
        row = 2 * model.image_encoder.num_features * backbone.cache_views
        rows["features"] = len(parts["train"].images) * row
    places = cache_folders(dataset)
    missing = sum(
        size for name, size in rows.items() if not any((place / name).exists() for place in places)
    )
    needed[places[0]] = needed.get(places[0], 0) + missing
    return needed


def disks(needed: Mapping[Path, int]) -> Iterator[Finding]:
    """A finding for each disk; ``needed``: bytes by folder."""
    by_disk: dict[int, tuple[Path, int]] = {}
    for folder, size in needed.items():
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            yield Finding("disk", f"{there}", f"{folder} cannot be written: name another folder")
            continue
        first, so_far = by_disk.get(there.stat().st_dev, (there, 0))
        by_disk[there.stat().st_dev] = first, so_far + size
    for folder, size in by_disk.values():
        free = shutil.disk_usage(folder).free
        found = (
            f"{free / 1e9:.2f} GB free at {folder}, checkpoints and caches need {size / 1e9:.2f} GB"
        )
        yield Finding("disk", found, "free some space, or use another disk" if free < size else "")
