"""The model that an archive keeps: what a checkpoint holds, without the state of its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.common.scaling import Scaling
from galr.data.images import measured
from galr.data.vocabulary import Vocabulary
from galr.model.build import read_checkpoint
from galr.options import load_options, options_from_dict
from galr.search.encoder import Encoder


def keep_model(
    checkpoint: str | Path,
    path: Path,
    vocab: str | Path | None = None,
    path_opt: str | Path | None = None,
    *,
    images: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Copies weights, options and vocabulary of ``checkpoint`` to ``path``.

    ``vocab`` and ``path_opt`` are taken where it holds none. Where ``images``, a folder and names,
    have more than 8 bits and the options no range of their numbers, it is measured and added.
    Raises UserError for a checkpoint that is damaged, or that captions cannot be encoded with.
    """
    entries = read_checkpoint(checkpoint)
    kept = {name: entries.get(name) for name in ("model", "options", "vocabulary")}
    if vocab is not None:
        words = list(Vocabulary.load(vocab).words)
        if isinstance(kept["vocabulary"], list) and kept["vocabulary"] != words:
            raise UserError(
                vocab, "is not the vocabulary that the checkpoint holds", "leave --vocab out"
            )
        kept["vocabulary"] = words
    if path_opt is not None:
        kept["options"] = load_options(path_opt).model_dump(mode="json")
    for name, flag in (("vocabulary", "--vocab FILE"), ("options", "--path_opt FILE")):
        if kept[name] is None:
            what = f"does not hold the {name} that it was trained with"
            raise UserError(checkpoint, what, f"name them by {flag}")
    if images is not None:
        options = kept["options"] or {}
        dataset = options_from_dict(options, f"{checkpoint} (its options)").dataset
        scaling = measured(Scaling.of(dataset), *images, images[0])
        if scaling.pixel_range is not None:
            options.setdefault("dataset", {})["pixel_range"] = list(scaling.pixel_range)
    with atomic_path(path) as temporary:
        torch.save(kept, temporary)
        try:
            Encoder.load(temporary)  # so that a wrong one is refused here, and by its own name
        except UserError as error:
            place = error.place.replace(str(temporary), str(checkpoint))
            raise UserError(place, error.what, error.remedy) from None
