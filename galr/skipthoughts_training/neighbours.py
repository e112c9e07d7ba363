"""``python -m galr.skipthoughts_training.neighbours``: nearest neighbours of captions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from galr.common import cli
from galr.common.errors import UserError
from galr.data.annotations import annotation_files, read_annotations, read_lines
from galr.data.captions import caption_loader
from galr.data.vocabulary import build_vocabulary
from galr.model.skipthoughts import KINDS, build_skipthoughts
from galr.options import DatasetOptions

DESCRIPTION = """\
Prints captions and their nearest neighbours by cosine similarity of skip-thought vectors.

  python -m galr.skipthoughts_training.neighbours --files seq2vec --captions data/rsicd_precomp"""


def main(argv: Sequence[str] | None = None) -> None:
    """Encodes the captions of a split and prints neighbours of some."""
    arguments = parse(argv)
    captions, vectors = encode(arguments)
    if len(captions) < 2:
        raise UserError(
            arguments.captions, "has fewer than two distinct captions", "name another folder"
        )
    rng = np.random.default_rng(arguments.seed)
    for query in rng.permutation(len(captions))[: arguments.queries].tolist():
        similarity = vectors @ vectors[query]
        similarity[query] = -torch.inf
        best = similarity.topk(min(arguments.neighbours, len(captions) - 1))
        lines = [
            f"  {value:.3f}  {captions[index]}"
            for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        sys.stdout.write("\n".join([captions[query], *lines]) + "\n")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The checked arguments."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.skipthoughts_training.neighbours")
    parser.add_argument(
        "--files", metavar="FOLDER", type=Path, default=Path("seq2vec"),
        help="folder of the skip-thought files (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--captions", metavar="FOLDER", type=Path, required=True, help="data folder"
    )
    parser.add_argument("--split", default="test", help="split to read (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, default="UniSkip", help="default: %(default)s")
    for name, default, text in (("queries", 10, "captions"), ("neighbours", 3, "neighbours each")):
        parser.add_argument(
            f"--{name}", metavar="N", type=cli.at_least_1, default=default,
            help=f"{text} (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="chooses the captions")
    return parser.parse_args(argv)


@torch.inference_mode()
def encode(arguments: argparse.Namespace) -> tuple[list[str], Tensor]:
    """The n distinct captions of the split and their unit vectors (n, S)."""
    empty = read_lines(annotation_files(arguments.captions, arguments.split)[0]).count("")
    part = read_annotations(arguments.captions, arguments.split, empty_captions=empty)
    vocabulary = build_vocabulary(part.captions, threshold=1, stop_words=True)
    encoder = build_skipthoughts(arguments.kind, arguments.files, vocabulary.words).eval()
    captions, vectors = [], []
    for batch in caption_loader(part, vocabulary, DatasetOptions(batch_size_val=512)):
        vectors.append(encoder(batch.tokens, batch.lengths))
        first_of_row = np.unique(batch.rows.numpy(), return_index=True)[1]
        captions += [part.captions[i] for i in batch.caption_index[first_of_row].tolist()]
    return captions, normalize(torch.cat(vectors))


if __name__ == "__main__":
    sys.exit(cli.run(main))
