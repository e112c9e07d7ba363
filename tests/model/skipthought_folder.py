"""A tiny folder in the official format, written key by key and not by our own export."""

from pathlib import Path

import numpy as np

DICTIONARY = ("eos", "UNK", "plane", "harbor", "many", "ships")
WORD_DIM, UNI_DIM, BI_DIM = 4, 6, 3


def uni_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    return _direction(np.random.default_rng(seed), "encoder_", UNI_DIM)


def bi_arrays(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return _direction(rng, "encoder_", BI_DIM) | _direction(rng, "encoder_r_", BI_DIM)


def table(seed: int = 2, rows: int = len(DICTIONARY)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, WORD_DIM)).astype(np.float32)


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dictionary.txt").write_text("".join(f"{word}\n" for word in DICTIONARY))
    np.save(folder / "utable.npy", table(2))
    np.save(folder / "btable.npy", table(3))
    np.savez(folder / "uni_skip.npz", **uni_arrays())
    np.savez(folder / "bi_skip.npz", **bi_arrays())
    return folder


def last_state(arrays: dict[str, np.ndarray], prefix: str, vectors: np.ndarray) -> np.ndarray:
    """Kiros et al. 2015, equations 1 to 4, in the official layout: vectors (T, word_dim) -> (H,).

    The official arrays hold the update gate as the second half of W, U and b.
    """
    return all_states(arrays, prefix, vectors)[-1]


def all_states(arrays: dict[str, np.ndarray], prefix: str, vectors: np.ndarray) -> np.ndarray:
    """The states (T, H) of ``last_state``."""
    w, wx, u, ux, b, bx = (arrays[prefix + key] for key in ("W", "Wx", "U", "Ux", "b", "bx"))
    size = ux.shape[0]
    state, states = np.zeros(size), []
    for x in vectors.astype(np.float64):
        gates = 1 / (1 + np.exp(-(x @ w + state @ u + b)))
        reset, update = gates[:size], gates[size:]
        new = np.tanh(x @ wx + reset * (state @ ux) + bx)
        state = (1 - update) * new + update * state
        states.append(state)
    return np.array(states)


def _direction(rng: np.random.Generator, prefix: str, size: int) -> dict[str, np.ndarray]:
    shapes = {
        "W": (WORD_DIM, 2 * size),
        "Wx": (WORD_DIM, size),
        "b": (2 * size,),
        "bx": (size,),
        "U": (size, 2 * size),
        "Ux": (size, size),
    }
    return {
        prefix + name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
