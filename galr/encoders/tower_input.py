"""The entry of results.json on the input of an open_clip model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from galr.encoders.open_clip_towers import ClipImages, ClipSentences, normalisation
from galr.options import Options


def tower_input(
    sentences: nn.Module, images: nn.Module, options: Options, captions: Sequence[str]
) -> dict[str, Any] | None:
    """How images and ``captions`` are preprocessed, in which evaluations of a model may differ.

    ``sentences`` and ``images``: the model's encoders of both; None unless they are of open_clip.
    """
    if not isinstance(sentences, ClipSentences):
        return None
    assert isinstance(images, ClipImages)
    tokenizer, side = sentences.tokenizer, options.dataset.image_size
    ids = tokenizer(list(dict.fromkeys(captions)))
    mean, deviation = normalisation(images.visual)
    return {
        "model": options.model.image_text.name,
        "weights": options.model.image_text.weights,
        "tokens": type(tokenizer).__name__,
        "context_length": ids.shape[1],
        "captions_that_fill_it": int((ids[:, -1] != 0).sum()),  # and may have been cut
        "prompt": None,
        "normalisation": {"mean": list(mean), "std": list(deviation)},
        "resize": f"to {side} x {side} pixels, not proportional, bilinear with antialiasing",
        "crop": None,
    }
