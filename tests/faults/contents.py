"""What a folder holds, apart from times: two runs agree when these are equal."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# of the machine and its load, in checkpoints, logs and results
TIMES = {"cpu_seconds", "setup_seconds", "images_per_second", "cost", "versions", "seconds"}
SETTINGS = {"workers", "image_cache"}  # which change no number
EVENTS = "events.out.tfevents"
MEMO = "image_digests.json"  # saves time, and is made where it can be


def contents(folder: Path) -> dict[str, Any]:
    """Every file below ``folder`` by its name; event files as the curves that TensorBoard shows."""
    found: dict[str, Any] = {}
    for place, _, names in os.walk(folder):
        if any(name.startswith(EVENTS) for name in names):
            found[f"{Path(place).relative_to(folder)}/curves"] = curves(Path(place))
        for name in names:
            path = Path(place, name)
            if not name.startswith(EVENTS) and name != MEMO:
                found[str(path.relative_to(folder))] = content(path)
    return found


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each curve, in the order in which TensorBoard has them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(each.step, each.value) for each in events.Scalars(tag)]
        if tag.rpartition("/")[2] not in TIMES
        else [(each.step, 0.0) for each in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def content(path: Path) -> Any:
    """What a file says, so that equal runs have equal ones."""
    if path.is_symlink():
        return os.readlink(path)
    if path.suffix == ".pth":
        return digest(torch.load(path, weights_only=True))
    if path.suffix in (".h5", ".npz"):
        opened = h5py.File(path) if path.suffix == ".h5" else np.load(path)
        with opened as file:
            return {name: digest(np.asarray(file[name])) for name in file}
    if path.suffix == ".json":
        return digest(json.loads(path.read_text()))
    if path.name == "options.yaml":
        return digest(yaml.safe_load(path.read_text()))
    if path.name == "log.csv":
        with path.open(newline="") as file:
            return digest(list(csv.DictReader(file)))
    if path.suffix in (".html", ".log", ".svg", ".png"):  # hold dates and times
        return "there"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(value: Any) -> Any:
    """``value`` without its times; arrays by their bytes."""
    if isinstance(value, dict):
        return {
            str(key): digest(each) for key, each in value.items() if key not in TIMES | SETTINGS
        }
    if isinstance(value, (list, tuple)):
        return [digest(each) for each in value]
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return [each.decode() for each in value.ravel()]
        whole = np.ascontiguousarray(value)
        return f"{value.dtype} {value.shape} {hashlib.sha256(whole.tobytes()).hexdigest()}"
    return repr(value)


def difference(found: Any, wanted: Any, place: str = "") -> str | None:
    """The first place where two contents differ, in words; None where they do not."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if key not in found or key not in wanted:
                return f"{place}{key} is {'missing' if key in wanted else 'too many'}"
            if told := difference(found[key], wanted[key], f"{place}{key}: "):
                return told
        return None
    return None if found == wanted else f"{place}{str(found)[:80]} is not {str(wanted)[:80]}"
