"""A checkpoint as a folder to share, without pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.model.build import build_model, model_of
from galr.options import Options, load_options, stored_options
from galr.trained_model import read_complete
from galr.weights.exported import OPTIONS, TRAINING, WEIGHTS, write_exported
from galr.weights.released import from_released, is_released


def export(
    checkpoint: str | Path | None,
    folder: str | Path,
    path_opt: str | Path | None = None,
    vocab: str | Path | None = None,
) -> None:
    """Writes ``checkpoint`` to ``folder``.

    ``path_opt``, ``vocab``: options and vocabulary, if the checkpoint contains none. Without a
    checkpoint, writes the untrained model of ``model.image_text`` in ``path_opt``. Raises UserError
    for a checkpoint that is damaged, does not fit its options, or lacks options or vocabulary.
    """
    if checkpoint is None:
        entries = _untrained(path_opt)
        checkpoint = str(path_opt)
    else:
        entries = read_complete(checkpoint, path_opt, vocab)
    options = stored_options(entries["options"], checkpoint)
    model_of(entries, checkpoint, options, words=entries["vocabulary"])  # refused here if wrong
    if is_released(entries["model"]):
        entries["model"] = from_released(entries["model"], checkpoint)
    write_exported(Path(folder), entries, options, model_card(entries, options))


def _untrained(path_opt: str | Path | None) -> dict[str, Any]:
    options = None if path_opt is None else load_options(path_opt)
    if options is None or options.model.image_text.name is None:
        raise UserError(
            "--checkpoint",
            "is missing, and --path_opt names no options with model.image_text",
            "give a checkpoint or such options",
        )
    model = build_model(options, ())
    return {
        "model": model.state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": [],
    }


def model_card(entries: dict[str, Any], options: Options) -> str:
    """What the model is, what it was trained on and how to use it, as Markdown."""
    model, dataset, fold = options.model, options.dataset, entries.get("fold", {})
    weights = sum(tensor.numel() for tensor in entries["model"].values())
    validated = (entries.get("progress") or {}).get("best_mR", -1.0)
    figures = {
        "backbone": f"{model.image_name}, images of {dataset.image_size} pixels",
        "global branch": model.global_branch,
        "fusion": f"{model.fusion.type}, gate {model.fusion.gate}",
        "text encoder": model.text_name,
        "embedding": f"{model.embed.embed_dim} numbers",
        "parameters and buffers": f"{weights:,}",
        "training data": dataset.datatype,
        "training images": len(fold["train"]) if "train" in fold else "unknown",
        "loss, learning rate": f"{options.optim.loss}, {options.optim.lr:g}",
        "seed, fold": f"{options.seed}, {fold.get('index', 'unknown')}",
        "epoch": entries.get("epoch", "unknown"),
        "mR on its validation images": f"{validated:.2f}" if validated >= 0 else "unknown",
        "versions": ", ".join(f"{k} {v}" for k, v in (entries.get("versions") or {}).items()),
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    return f"""\
---
library_name: galr-torch
pipeline_tag: feature-extraction
tags: [remote-sensing, image-text-retrieval, galr]
---

# GaLR: {options.k_fold.experiment_name}

Encodes remote-sensing images and English captions into one space, in which the cosine similarity
ranks captions for an image and images for a caption (Yuan et al., IEEE TGRS 2022).

| | |
| --- | --- |
{rows}

```python
import galr

model = galr.load("THIS_FOLDER")
model.similarity(["scene.tif"], ["many planes beside a terminal"])
```

Validation chose the epoch, so its mR is optimistic and of a smaller gallery than a test part's.
`{WEIGHTS}` holds the weights, `{OPTIONS}` the options of the training, `{TRAINING}` the vocabulary
and the names of the fold's images. No file of the folder is a pickle.
"""
