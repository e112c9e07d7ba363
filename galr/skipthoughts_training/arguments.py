"""The arguments of ``python -m galr.skipthoughts_training``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli

DESCRIPTION = """\
Trains skip-thoughts, a sentence encoder that learns to predict the previous and next sentences.
Writes dictionary.txt, utable.npy and uni_skip.npz (or btable.npy and bi_skip.npz) to --out.

The captions of your own data sets (training split only), on a CPU:
  python -m galr.skipthoughts_training --captions data/rsicd_precomp --out seq2vec \\
    --word-dim 128 --hidden-dim 256
Any text, one sentence per line and a blank line between documents, in the official sizes:
  python -m galr.skipthoughts_training --corpus books.txt --out seq2vec
docs/text_encoders.md explains the rest."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The checked arguments."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.skipthoughts_training")
    _add_text(parser)
    _add_sizes(parser)
    _add_training(parser)
    arguments = parser.parse_args(argv)
    if not arguments.corpus and not arguments.captions:
        parser.error("name text files with --corpus or folders with --captions")
    if arguments.kind == "bi" and arguments.hidden_dim % 2:
        parser.error("--hidden-dim must be even for --kind bi, which halves it")
    if arguments.resume and arguments.overwrite:
        parser.error("--resume and --overwrite exclude each other")
    return arguments


def _add_text(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("text")
    for name, metavar, text in (
        ("--corpus", "FILE", "UTF-8 text: one sentence per line, blank lines between documents"),
        ("--captions", "FOLDER", "data folders; the training captions of an image form a document"),
        ("--exclude", "FILE", "exclude the sentences of these files, such as test_caps.txt"),
    ):
        group.add_argument(name, metavar=metavar, nargs="+", type=Path, default=[], help=text)
    group.add_argument(
        "--held-out",
        metavar="SHARE",
        type=cli.within(0, 0.9),
        default=0.05,
        help="fraction of documents held out to measure perplexity (default: %(default)s)",
    )
    for name, default, text in (
        ("--max-words", 64, "maximum sentence length in words"),
        ("--vocabulary", 20000, "maximum vocabulary size (most frequent words)"),
        ("--min-count", 2, "minimum frequency of a word"),
    ):
        _add_count(group, name, default, f"{text} (default: %(default)s)")
    group.add_argument(
        "--expand",
        metavar="FILE",
        type=Path,
        help="expand the vocabulary by a linear map from these word2vec or GloVe vectors (text)",
    )


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--kind",
        choices=("uni", "bi"),
        default="uni",
        help="uni: UniSkip, DropUniSkip, BayesianUniSkip; bi: BiSkip, BiGRU (default: uni)",
    )
    for name, default, text in (
        ("--word-dim", 620, "dimension of the word vectors"),
        ("--hidden-dim", 2400, "dimension of the sentence vectors"),
        ("--decoder-dim", None, "width of the decoders (default: --hidden-dim)"),
    ):
        _add_count(
            group, name, default, text if default is None else f"{text} (default: %(default)s)"
        )
    group.add_argument(
        "--softmax",
        choices=("adaptive", "full"),
        default="adaptive",
        help="output softmax (default: adaptive, which is full up to 2000 words)",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    for name, kind, default, text in (
        ("--epochs", cli.at_least_1, 10, "passes over the sentences"),
        ("--batch-size", cli.at_least_1, 128, "sentences per step"),
        ("--lr", cli.within(1e-9, 10), 1e-3, "learning rate of Adam"),
        ("--clip", cli.within(1e-9), 10.0, "maximum gradient norm"),
        ("--seed", cli.within(0, kind=int), 0, "seed of every random choice"),
        ("--checkpoint-steps", cli.at_least_1, 2000, "steps between checkpoints within an epoch"),
    ):
        group.add_argument(
            name, metavar="N", type=kind, default=default, help=f"{text} (default: %(default)s)"
        )
    group.add_argument(
        "--device", type=_device, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    group.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        default=Path("seq2vec"),
        help="output folder (default: %(default)s)",
    )
    group.add_argument("--resume", action="store_true", help="resume an interrupted training")
    group.add_argument(
        "--overwrite", action="store_true", help="overwrite an earlier training and start over"
    )


def _add_count(group: argparse._ArgumentGroup, name: str, default: int | None, text: str) -> None:
    group.add_argument(name, metavar="N", type=cli.at_least_1, default=default, help=text)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:N")
    return text
