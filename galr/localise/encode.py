"""Embeddings of the windows of a scene; an interrupted run resumes from those that are done."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from galr.common.atomic import check_writable, write_json
from galr.common.progress import Progress
from galr.images.decoding import resize_to_square
from galr.localise.dense import check_dense, encode_grid
from galr.scenes.scene import Scene, Window
from galr.scenes.windows import Windows, blocks_of, step_of
from galr.trained_model import TrainedModel

BATCH = 64
BLOCK = 8  # windows in a row and in a column of a block
LEAST_VALID = 0.5  # share of a window's pixels; a window with fewer is not compared with anything

Floats = NDArray[np.float32]


def encode_windows(
    scene: Scene,
    windows: Windows,
    encoder: TrainedModel,
    model_digest: str,
    folder: Path,
    *,
    dense: bool = False,
) -> Floats:
    """Embeddings (W, D) of windows (W, 4); NaN for a window of which most pixels hold no data.

    ``dense``: overlapping windows share the backbone's maps (``galr.localise.dense``). What is done
    is kept in ``folder`` until ``forget_windows``; another scene, model or set of windows starts
    anew.
    """
    if dense:
        check_dense(windows, encoder)
    tasks = _tasks(windows, encoder.side)
    key = _key(scene, windows, model_digest, dense)
    state, rows = folder / "windows.json", folder / "windows.npy"
    check_writable(state)
    done = _done(state, key, len(tasks))
    shape = (len(windows), encoder.model.embed_dim)
    embeddings = _kept_rows(rows, shape) if done else None
    if embeddings is None:
        done = 0
        embeddings = np.lib.format.open_memmap(rows, mode="w+", dtype=np.float32, shape=shape)
    with Progress(f"{scene.path.name}", total=len(windows), unit="windows") as progress:
        progress.advance(sum(len(task.numbers) for task in tasks[:done]))
        for task, read in _read_ahead(scene, windows, tasks[done:], encoder.side):
            embeddings[task.numbers] = _encoded(read, encoder, dense)
            embeddings.flush()
            done += 1
            write_json(state, {"key": key, "done": done})
            progress.advance(len(task.numbers))
    return np.array(embeddings)


def forget_windows(folder: Path) -> None:
    """Deletes what ``encode_windows`` keeps for a resume."""
    for name in ("windows.json", "windows.npy"):
        (folder / name).unlink(missing_ok=True)


class Task(NamedTuple):
    """Windows that are read and encoded together, by their numbers (B,)."""

    numbers: NDArray[np.int64]
    block: bool  # neighbours in rows and columns, which are read and resized as one image


class Picture(NamedTuple):
    """A block of windows as one image (H, W, 3), and which of them hold enough data (B,).

    They are the squares of the model's side that lie ``step`` pixels apart, row by row.
    """

    pixels: NDArray[np.uint8]
    usable: NDArray[np.bool_]
    step: int


class Squares(NamedTuple):
    """Windows as the model sees them (B, S, S, 3), and which hold enough data (B,)."""

    pixels: NDArray[np.uint8]
    usable: NDArray[np.bool_]


def _read_squares(scene: Scene, windows: Windows, side: int) -> Squares:
    """The windows (B, 4) of a scene, resized; neighbours in a row are read at once."""
    pixels = np.zeros((len(windows), side, side, 3), dtype=np.uint8)
    usable = np.zeros(len(windows), dtype=bool)
    breaks = np.flatnonzero((np.diff(windows[:, [1, 3]], axis=0) != 0).any(axis=1)) + 1
    for numbers in np.split(np.arange(len(windows)), breaks):
        left, right = windows[numbers, 0].min(), windows[numbers, 2].max()
        top, bottom = windows[numbers[0], 1], windows[numbers[0], 3]
        colours, valid = scene.read(
            Window(int(left), int(top), int(right - left), int(bottom - top))
        )
        strip, all_valid = Image.fromarray(colours), bool(valid.all())
        for number in numbers:
            start, end = (windows[number, [0, 2]] - left).tolist()
            usable[number] = all_valid or _enough(valid[:, start:end])
            if usable[number]:
                window = strip.crop((start, 0, end, strip.height))
                pixels[number] = resize_to_square(window, side)
    return Squares(pixels, usable)


def _tasks(windows: Windows, side: int) -> list[Task]:
    blocks = blocks_of(windows, side, BLOCK)
    rest = np.setdiff1d(np.arange(len(windows)), np.concatenate([[], *blocks]))
    return [Task(block, True) for block in blocks] + [
        Task(rest[start : start + BATCH], False) for start in range(0, len(rest), BATCH)
    ]


def _read_ahead(
    scene: Scene, windows: Windows, tasks: list[Task], side: int
) -> Iterator[tuple[Task, Picture | Squares]]:
    """What the tasks need, in turn; the next one is read while one is encoded."""

    def read(task: Task) -> Picture | Squares:
        own = windows[task.numbers]
        return _read_block(scene, own, side) if task.block else _read_squares(scene, own, side)

    with ThreadPoolExecutor(1) as reader:  # an open scene is read by one thread at a time
        ahead: deque[tuple[Task, Future[Picture | Squares]]] = deque()
        for task in tasks:
            ahead.append((task, reader.submit(read, task)))
            if len(ahead) > 1:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()


def _read_block(scene: Scene, windows: Windows, side: int) -> Picture:
    left, top = windows[:, :2].min(axis=0).tolist()
    right, bottom = windows[:, 2:].max(axis=0).tolist()
    scale = side / int(windows[0, 2] - windows[0, 0])
    colours, valid = scene.read(Window(left, top, right - left, bottom - top))
    size = round((right - left) * scale), round((bottom - top) * scale)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BILINEAR)
    all_valid = bool(valid.all())
    usable = [
        all_valid or _enough(valid[own[1] - top : own[3] - top, own[0] - left : own[2] - left])
        for own in windows.tolist()
    ]
    step = round(step_of(windows - [left, top, left, top]) * scale) or side
    return Picture(np.array(picture), np.array(usable), step)


def _enough(valid: NDArray[np.bool_]) -> bool:
    return bool(np.count_nonzero(valid) >= LEAST_VALID * valid.size)


def _encoded(read: Picture | Squares, encoder: TrainedModel, dense: bool) -> Floats:
    usable = read.usable
    embeddings = np.full((len(usable), encoder.model.embed_dim), np.nan, dtype=np.float32)
    if not usable.any():
        return embeddings
    if isinstance(read, Picture) and dense:
        return np.where(usable[:, None], encode_grid(encoder, read.pixels, read.step), np.nan)
    squares = read.pixels
    if isinstance(read, Picture):
        parts = sliding_window_view(squares, (encoder.side, encoder.side), axis=(0, 1))
        parts = parts[:: read.step, :: read.step].transpose(0, 1, 3, 4, 2)
        squares = parts.reshape(-1, *parts.shape[2:])
    embeddings[usable] = encoder.encode_pixels(squares[usable]).numpy()
    return embeddings


def _key(scene: Scene, windows: Windows, model_digest: str, dense: bool) -> str:
    status = scene.path.stat()
    facts = [
        str(scene.path.resolve()), status.st_size, status.st_mtime_ns, scene.bands,
        list(scene.stretch), hashlib.sha256(windows.tobytes()).hexdigest(), model_digest,
        dense,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _done(state: Path, key: str, tasks: int) -> int:
    """How many of the tasks an earlier run has done; 0 where its file does not tell."""
    try:
        stored = json.loads(state.read_text(encoding="utf-8"))
        done = int(stored["done"]) if stored["key"] == key else 0
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0
    return done if 0 <= done <= tasks else 0


def _kept_rows(path: Path, shape: tuple[int, int]) -> np.memmap[Any, Any] | None:
    try:
        rows = np.lib.format.open_memmap(path, mode="r+")
    except (OSError, ValueError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float32 else None
