"""Embeddings of the windows of a scene; an interrupted run resumes from those that are done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galr.common.atomic import check_writable, write_json
from galr.common.progress import Progress
from galr.data.images import resize_to_square
from galr.localise.scene import Scene, Window
from galr.localise.windows import Windows
from galr.trained_model import TrainedModel

BATCH = 64
LEAST_VALID = 0.5  # share of a window's pixels; a window with fewer is not compared with anything

Floats = NDArray[np.float32]


def encode_windows(
    scene: Scene, windows: Windows, encoder: TrainedModel, model_digest: str, folder: Path
) -> Floats:
    """Embeddings (W, D) of windows (W, 4); NaN for a window of which most pixels hold no data.

    What is done is kept in ``folder`` until ``forget_windows``; another scene, model or set of
    windows starts anew.
    """
    key = _key(scene, windows, model_digest)
    state, rows = folder / "windows.json", folder / "windows.npy"
    check_writable(state)
    done = _done(state, key)
    shape = (len(windows), encoder.model.embed_dim)
    if done and rows.exists():
        embeddings = np.lib.format.open_memmap(rows, mode="r+")
    else:
        done = 0
        embeddings = np.lib.format.open_memmap(rows, mode="w+", dtype=np.float32, shape=shape)
    with Progress(f"{scene.path.name}", total=len(windows), unit="windows") as progress:
        progress.advance(done)
        for start in range(done, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            embeddings[start : start + len(batch)] = _encoded(scene, batch, encoder)
            embeddings.flush()
            write_json(state, {"key": key, "done": start + len(batch)})
            progress.advance(len(batch))
    return np.array(embeddings)


def forget_windows(folder: Path) -> None:
    """Deletes what ``encode_windows`` keeps for a resume."""
    for name in ("windows.json", "windows.npy"):
        (folder / name).unlink(missing_ok=True)


def _encoded(scene: Scene, windows: Windows, encoder: TrainedModel) -> Floats:
    pixels = np.zeros((len(windows), encoder.side, encoder.side, 3), dtype=np.uint8)
    usable = np.zeros(len(windows), dtype=bool)
    for index, (left, top, right, bottom) in enumerate(windows.tolist()):
        colours, valid = scene.read(Window(left, top, right - left, bottom - top))
        usable[index] = valid.mean() >= LEAST_VALID
        if usable[index]:
            pixels[index] = resize_to_square(Image.fromarray(colours), encoder.side)
    embeddings = np.full((len(windows), encoder.model.embed_dim), np.nan, dtype=np.float32)
    if usable.any():
        embeddings[usable] = encoder.encode_pixels(pixels[usable]).numpy()
    return embeddings


def _key(scene: Scene, windows: Windows, model_digest: str) -> str:
    status = scene.path.stat()
    facts = [
        str(scene.path.resolve()), status.st_size, status.st_mtime_ns, scene.bands,
        list(scene.stretch), hashlib.sha256(windows.tobytes()).hexdigest(), model_digest,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _done(state: Path, key: str) -> int:
    try:
        stored = json.loads(state.read_text(encoding="utf-8"))
        return int(stored["done"]) if stored["key"] == key else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
