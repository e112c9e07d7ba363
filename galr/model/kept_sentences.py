"""Vectors of captions that a frozen encoder gives, each encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CAPTIONS_A_STEP = 64  # more would be padding


class KeptSentences:
    """What ``encode`` gave of captions, in UTF-8; copies of a network share it."""

    def __init__(self, encode: Callable[[list[str], torch.device], Tensor]) -> None:
        """``encode``: captions, device -> (captions, D) on it."""
        self.encode = encode
        self.rows: dict[bytes, int] = {}
        self.table = torch.empty(0)

    def __deepcopy__(self, memo: dict[int, object]) -> KeptSentences:
        return self

    def add(self, texts: set[bytes], device: torch.device) -> None:
        """Encodes those of ``texts`` that are not yet, in an order that depends on these alone."""
        new = sorted(texts - self.rows.keys(), key=lambda text: (len(text), text))
        if not new:
            return
        vectors = self._encoded(new, device)
        self.table = torch.cat([self.table.to(device), vectors]) if self.rows else vectors
        self.rows |= {text: row for row, text in enumerate(new, start=len(self.rows))}

    def vectors(self, texts: Sequence[bytes], width: int, device: torch.device) -> Tensor:
        """Those of ``texts`` (B, ``width``), kept ones and others, which are not kept."""
        found = torch.empty(len(texts), width, device=device)
        rows = torch.tensor([self.rows.get(text, -1) for text in texts], dtype=torch.int64)
        known = (rows >= 0).nonzero()[:, 0]
        if len(known):
            self.table = self.table.to(device)
            found[known.to(device)] = self.table[rows[known].to(device)]
        others: dict[bytes, list[int]] = {}
        for place in (rows < 0).nonzero()[:, 0].tolist():
            others.setdefault(texts[place], []).append(place)
        if others:
            new = self._encoded(list(others), device)
            for places, vector in zip(others.values(), new, strict=True):
                found[places] = vector
        return found

    @torch.no_grad()
    def _encoded(self, texts: Sequence[bytes], device: torch.device) -> Tensor:
        with torch.autocast(device.type, enabled=False):
            blocks = [
                self.encode(
                    [text.decode() for text in texts[start : start + CAPTIONS_A_STEP]], device
                )
                for start in range(0, len(texts), CAPTIONS_A_STEP)
            ]
        return torch.cat(blocks).float()
