"""The console command ``galr``: every script and module of the project by one name."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from galr import __version__
from galr.common import cli

# subcommand: the module whose main(argv) it runs, and what it does
COMMANDS = {
    "quickstart": ("galr.quickstart.__main__", "from images and captions to a search page"),
    "train": ("galr.commands.train", "train over the folds of an experiment"),
    "test": ("galr.commands.test", "evaluate all folds on the test part"),
    "test-single": ("galr.commands.test_single", "evaluate one checkpoint"),
    "vocab": ("galr.commands.vocab", "build the vocabulary of a data set"),
    "doctor": ("galr.doctor.__main__", "what is wrong with this machine or a planned run"),
    "data": ("galr.preparation.command", "prepare, check and export data folders"),
    "demo": ("galr.demo.__main__", "draw the demo data"),
    "local-features": ("galr.detectors.command", "DREA from the output of detectors"),
    "skipthoughts": ("galr.skipthoughts_training.__main__", "train skip-thought vectors"),
    "warm-start": ("galr.warm_start.__main__", "pretrain the backbone on images alone"),
    "sweep": ("galr.sweep.__main__", "train and test over options, values and seeds"),
    "report": ("galr.report.__main__", "a page about an experiment"),
    "rerank": ("postprocessing.rerank.__main__", "re-rank a similarity matrix"),
    "compare": ("postprocessing.compare", "compare re-ranking methods"),
    "search": ("galr.search.__main__", "index, query and serve an archive of images"),
    "localise": ("galr.localise.__main__", "find a sentence in a large scene"),
    "export": ("galr.export.__main__", "a checkpoint as a folder to share"),
}


def main() -> int:
    """Runs the subcommand in ``sys.argv``; returns the exit status."""
    name = (sys.argv[1:2] or ["--help"])[0]
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name == "--version":
        sys.stdout.write(f"galr {__version__}\n")
        return 0
    if name not in COMMANDS:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}?" if nearest else "see galr --help"
        sys.stderr.write(f"galr: there is no command {name}; {hint}\n")
        return 2
    cli.called_as = f"galr {name}"
    return cli.run(lambda _: _run(COMMANDS[name][0], sys.argv[2:]))


def _run(module: str, argv: Sequence[str] | None) -> None:
    importlib.import_module(module).main(argv)


def _help() -> str:
    lines = [f"  {name:16}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["usage: galr COMMAND [--help] ...", "", *lines, "", "  --version       the version", ""]
    )
