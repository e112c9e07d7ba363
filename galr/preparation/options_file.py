"""An options file for one's own data: the recipe that fits its amount and the machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from galr.common.atomic import write_text
from galr.common.options_files import find_options
from galr.common.processes import cores
from galr.options import load_options
from galr.preparation.own_data import Choices

# best first; a recipe that starts from a package's weights counts where the package is installed
CPU_RECIPES = (
    ("recipes/pretrained", "CPU: frozen pretrained encoders from two installed packages"),
    ("recipes/cpu_30min", "CPU: random initialisation, small images"),
)
GPU_RECIPE = ("recipes/gpu_1h", "GPU: ImageNet weights, an hour for 10,000 images")
# an image once in training at 64, then 96 pixels, measured on one core (docs/recipe_trials.md)
SECONDS_A_PICTURE = 0.01
PASSES = 50  # over the images; more overfits when there are few (docs/recipe.md)
HALF_AN_HOUR = 1750
FEW, MANY = 1_000, 20_000  # training images
VALIDATED = 2_000  # images at most


class Entry(NamedTuple):
    """A line of the file: the key's place, its value, and what it is."""

    section: str
    key: str
    value: Any
    comment: str


class Recipe(NamedTuple):
    """base: the shipped options to start from; why: in words; changes: what the amount asks for;
    is_frozen: whether the encoders are, so that there is no local branch and epochs are cheap."""

    base: str
    why: str
    changes: list[Entry]
    is_frozen: bool


def choose_recipe(images: int, *, has_gpu: bool) -> Recipe:
    """The recipe for so many training images: hundreds, thousands, or a hundred thousand."""
    base, why = (
        GPU_RECIPE
        if has_gpu
        else next(recipe for recipe in CPU_RECIPES if _has_its_packages(recipe[0]))
    )
    changes: list[Entry] = []
    is_frozen = base == "recipes/pretrained"  # its epochs cost little: features are computed once
    if not has_gpu and not is_frozen:
        seconds = min(HALF_AN_HOUR, max(60, round(PASSES * SECONDS_A_PICTURE * images, -1)))
        seconds = max(seconds, round(3 * SECONDS_A_PICTURE * images, -1))
        passes = seconds / (SECONDS_A_PICTURE * images)
        said = f"of CPU time: about {passes:.0f} epochs of {images:,} images"
        changes.append(Entry("optim", "budget_seconds", int(seconds), said))
    if images < FEW:
        size = 128 if is_frozen else 64
        changes += [
            Entry("dataset", "batch_size", size, "small enough for several steps per epoch"),
            Entry("k_fold", "validation_share", 0.1, "of the training images, for model selection"),
        ]
    if images > MANY and is_frozen:
        changes.append(Entry("optim", "epochs", 30, "enough for this number of images"))
    elif images > MANY:
        share = float(f"{min(0.05, VALIDATED / images):.2g}")
        changes += [
            Entry("dataset", "workers", min(cores(), 8), "data-loading processes"),
            Entry("logs", "eval_step", 1, "epochs between validations"),
            Entry("k_fold", "validation_share", share, f"of the training images: {VALIDATED:,}"),
        ]
    return Recipe(base, why, changes, is_frozen)


def _has_its_packages(recipe: str) -> bool:
    text = find_options(recipe).read_text(encoding="utf-8")
    names = re.findall(r"package:([\w-]+)|\b(timm|sentence-transformers):\w", text)
    names = [packaged or library for packaged, library in names]
    return all(importlib.util.find_spec(name.replace("-", "_")) for name in names)


def write_options(
    path: str | Path,
    name: str,
    data_path: str | Path,
    vocab_path: str | Path,
    images: dict[str, int],
    recipe: Recipe,
    choices: Choices,
    more: list[Entry] | None = None,
) -> None:
    """Writes an options file with a comment a line, and reads it back as a check.

    name: of the data, which the experiment is called after; images: of each part; more: further
    lines, which win over those of the recipe.
    """
    path = Path(path)
    base = find_options(recipe.base)
    plain = re.sub(r"\W+", "_", name)
    entries = [
        Entry("dataset", "datatype", plain, "data set name in tables and reports"),
        Entry("dataset", "data_path", str(data_path), "captions and image names"),
        Entry("dataset", "image_path", None, "image folder; null: images inside data_path"),
        Entry("dataset", "vocab_path", str(vocab_path), "vocabulary of the training captions"),
        Entry("k_fold", "experiment_name", path.stem, f"results in checkpoint/{path.stem}"),
        *(
            Entry("dataset", key, value, "for images with more than 8 bits or three bands")
            for key, value in choices.scaling._asdict().items()
            if value is not None
        ),
        *(
            [Entry("dataset", "tokenizer", choices.tokenizer, "for the language of the captions")]
            if choices.tokenizer != "nltk"
            else []
        ),
        *recipe.changes,
        *(more or []),
    ]
    counts = ", ".join(f"{count:,} {part}" for part, count in images.items())
    lines = [
        f"# {name}: {counts} images. All keys: docs/options.md",
        "",
        f"base: {_quoted(_relative(base, path))}  # for {recipe.why}",
    ]
    merged = {(entry.section, entry.key): entry for entry in entries}
    for section in dict.fromkeys(entry.section for entry in entries):
        lines += ["", f"{section}:"]
        lines += [
            f"  {entry.key}: {_quoted(entry.value)}  # {entry.comment}"
            for entry in merged.values()
            if entry.section == section
        ]
    write_text(path, "\n".join(lines) + "\n")
    load_options(path)


def _relative(base: Path, path: Path) -> str:
    """``base`` as seen from the options file where both are below the working folder."""
    base, folder = base.resolve(), path.resolve().parent
    here = Path.cwd().resolve()
    if here in base.parents and here in path.resolve().parents:
        return os.path.relpath(base, folder)
    return str(base)


def _quoted(value: Any) -> str:  # noqa: ANN401 - a YAML value
    """JSON is YAML, and quotes only what is text; plain words stay plain."""
    text = json.dumps(value if not isinstance(value, tuple) else list(value), ensure_ascii=False)
    words = re.fullmatch(r'"([A-Za-z][\w./-]*)"', text)
    if words and words[1].lower() not in ("null", "true", "false", "yes", "no", "on", "off"):
        return words[1]
    return text
