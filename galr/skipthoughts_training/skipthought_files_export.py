"""Writes trained skip-thoughts in the format that ``skipthought_files`` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from galr.common.atomic import atomic_path, write_text
from galr.weights.skipthought_files import (
    DICTIONARY,
    GRUS,
    PREFIXES,
    TABLES,
    Array,
    GruWeights,
)


def dictionary_text(words: Sequence[str]) -> str:
    """The content of dictionary.txt: one word per line, in the order of the table's rows."""
    return "".join(f"{word}\n" for word in words)


def write_skipthoughts(
    directory: str | Path,
    layout: str,
    words: Sequence[str],
    blocks: Iterable[Array],
    grus: Sequence[GruWeights],
) -> list[Path]:
    """Writes the dictionary, the table and the GRU of ``layout`` (`uni` or `bi`).

    ``blocks``: the table's rows in the order of ``words``, in blocks (n, word_dim), so that the
    table may be larger than memory. Returns the three paths.
    """
    directory = Path(directory)
    paths = [directory / name for name in (DICTIONARY, TABLES[layout], GRUS[layout])]
    write_text(paths[0], dictionary_text(words))
    _write_table(paths[1], len(words), blocks)
    with atomic_path(paths[2]) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **_official_arrays(layout, grus))
    return paths


def _write_table(path: Path, rows: int, blocks: Iterable[Array]) -> None:
    table, start = None, 0
    with atomic_path(path) as temporary:
        for block in blocks:
            if table is None:
                shape = (rows, block.shape[1])
                table = np.lib.format.open_memmap(
                    temporary, mode="w+", dtype=np.float32, shape=shape
                )
            table[start : start + len(block)] = block
            start += len(block)
        if table is None or start != rows:
            raise ValueError(f"blocks must hold {rows} rows, got {start}")
        table.flush()


def _official_arrays(layout: str, grus: Sequence[GruWeights]) -> dict[str, Array]:
    """The gates [r, i] and n separately, each (in, out)."""
    arrays = {}
    for prefix, gru in zip(PREFIXES[layout], grus, strict=True):
        both = 2 * gru.recurrent_weight.shape[1]
        for name, whole in (
            ("W", gru.input_weight.T),
            ("U", gru.recurrent_weight.T),
            ("b", gru.input_bias),
        ):
            arrays[f"{prefix}{name}"] = whole[..., :both]
            arrays[f"{prefix}{name}x"] = whole[..., both:]
    return arrays
