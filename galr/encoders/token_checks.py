"""What every text encoder checks of the token ids it is given."""

from __future__ import annotations

import torch
from torch import Tensor


def checked_lengths(tokens: Tensor, lengths: Tensor | None, rows: int) -> Tensor:
    """The length of each caption, (B,) int64 on the CPU, after checking ``tokens`` (B, T).

    ``lengths`` of None are the numbers of non-zero ids, as in the released code. Raises ValueError
    for wrong shapes or types, an id outside the embedding table of ``rows`` rows, an empty caption
    and a length beyond T.
    """
    if tokens.dim() != 2 or tokens.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"tokens must be (B, T) of int64, got {tuple(tokens.shape)} of {tokens.dtype}"
        )
    if tokens.numel():
        smallest, largest = (int(value) for value in torch.stack(torch.aminmax(tokens)))
        if smallest < 0 or largest >= rows:
            wrong = smallest if smallest < 0 else largest
            raise ValueError(
                f"token id {wrong} is outside the embedding table, whose ids are 0 to {rows - 1}"
            )
    if lengths is None:
        lengths = (tokens != 0).sum(dim=1)
    lengths = torch.as_tensor(lengths).to("cpu", torch.int64)
    if lengths.shape != tokens.shape[:1]:
        raise ValueError(f"lengths must be ({len(tokens)},), got {tuple(lengths.shape)}")
    if len(lengths) and (int(lengths.min()) < 1 or int(lengths.max()) > tokens.shape[1]):
        row = int(((lengths < 1) | (lengths > tokens.shape[1])).nonzero()[0])
        what = "is empty" if lengths[row] < 1 else f"has {int(lengths[row])} tokens"
        raise ValueError(f"caption {row} of the batch {what}; 1 to {tokens.shape[1]} are expected")
    return lengths
