"""Where MVSA looks: its attended map over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galr.data.dataset import ImageDataset
from galr.data.transforms import normalise
from galr.model.mvsa import MVSA, ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.report.files import ReportFiles
from galr.report.outcome import Outcome
from galr.report.page import part

SQUEEZED = 97  # percentile of a map that gets the full colour: single peaks would hide the rest


def attention_part(files: ReportFiles, outcome: Outcome, images: Sequence[int]) -> Markup:
    """The attended maps of ``images``, or a note that says why there are none."""
    maps = attended_maps(outcome, images)
    if maps is None:
        note = "This model has no MVSA (model.multiscale.enabled is false)."
        return part("note", note)
    names = [outcome.test.annotations.images[image] for image in images]
    pictures = [outcome.test.images[image] for image in images]
    rows = [
        [name, row, column, float(value)]
        for name, grid in zip(names, maps, strict=True)
        for (row, column), value in np.ndenumerate(grid)
    ]
    return files.figure(
        "attention",
        _drawn(names, pictures, maps),
        "Top: the image as the network sees it. Bottom: the attention map of MVSA, relative to its "
        "median in the image (red: more weight, blue: less); each image has its own colour scale.",
        ["image", "row", "column", "attended"],
        rows,
    )


@torch.inference_mode()
def attended_maps(outcome: Outcome, images: Sequence[int]) -> NDArray[np.float32] | None:
    """The map A of MVSA of some test images, (images, S/16, S/16); None without MVSA."""
    model: RetrievalModel = outcome.shown.model
    encoder = model.image_encoder
    if not isinstance(encoder, ImageEncoder) or not isinstance(encoder.head, MVSA):
        return None
    weight = next(model.parameters())
    batch = ImageDataset(outcome.test.images, None)[images].to(weight.device)
    levels = encoder.trunk(normalise(batch.images).to(weight.dtype))
    maps: NDArray[np.float32] = encoder.head.attended(levels)[:, 0].float().cpu().numpy()
    return maps


def _drawn(
    names: Sequence[str], pictures: Sequence[NDArray[np.uint8]], maps: NDArray[np.float32]
) -> Figure:
    columns = len(names)
    figure = Figure(figsize=(2.6 * columns + 1, 5.6), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for above, below, name, picture, grid in zip(*axes, names, pictures, maps, strict=True):
        side = picture.shape[0]
        above.imshow(picture)
        above.set_title(name, fontsize=9)
        # around the usual value, since a map's own level says nothing about places
        centred = grid - np.median(grid)
        strongest = float(np.percentile(np.abs(centred), SQUEEZED)) or 1.0
        below.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255)
        drawn = below.imshow(
            centred / strongest,
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            alpha=0.55,
            extent=(-0.5, side - 0.5, side - 0.5, -0.5),
            interpolation="nearest",
        )
        below.set_title(f"1 stands for {strongest:.2g}", fontsize=9)
        for each in (above, below):
            each.set_axis_off()
    figure.colorbar(drawn, ax=axes[1], label="attended, less its median", shrink=0.8)
    return figure
