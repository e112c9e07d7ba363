"""A small world of files, and the commands that work in it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.faults.contents import contents
from tests.tiny import ROOT, make_data

# of the networks that torchvision and timm have, those with the smallest checkpoints
BACKBONE = "timm:test_efficientnet" if find_spec("timm") else "shufflenet_v2_x0_5"
PATIENCE = 300.0  # seconds without an end after which a command hangs
WITHOUT_MODEL = ("train", "local_features build", "local_features detect", "data prepare",
                 "skipthoughts", "sweep", "train on 2 ranks")  # fmt: skip
QUERIES = ("a red square on the ground", "one blue frame")


class World:
    """``root``: data that commands read; ``work``: the folder that they write to, made anew."""

    def __init__(
        self, root: Path, shim: Path | None = None, imported: tuple[str, ...] = ()
    ) -> None:
        """``imported``: modules that forks find imported, by default those of all commands."""
        self.root, self.work, self.shim = root, root / "work", shim
        self.work.mkdir(parents=True)
        (root / "said").mkdir()
        self.options = make_data(root)
        tree = yaml.safe_load(self.options.read_text())
        tree["model"]["backbone"]["name"] = BACKBONE
        tree["dataset"]["image_cache"] = str(self.work / "cache")
        tree["logs"]["ckpt_save_path"] = str(self.work / "checkpoint")
        tree["device"] = "cpu"
        self.options.write_text(yaml.safe_dump(tree))
        self.images = root / "data" / "tiny_precomp" / "images"
        self.data = self.images.parent
        self._write_detections_and_captions()
        self.runs = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        environment |= {"MPLBACKEND": "agg"}
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self.environment = environment
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks", *imported],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment, cwd=ROOT,
        )  # fmt: skip
        self._answer()

    def _write_detections_and_captions(self) -> None:
        (self.root / "detections").mkdir()
        names = sorted(path.name for path in self.images.iterdir())
        for number, name in enumerate(names):
            lines = [f"plane 0.{9 - k} {2 * k} {number % 7} {5 + k} 6" for k in range(number % 4)]
            path = self.root / "detections" / f"{name.rpartition('.')[0]}.txt"
            path.write_text("".join(f"{line}\n" for line in lines))
        with (self.root / "captions.csv").open("w", newline="") as file:
            rows = [(name, f"a {name[:4]} picture of kind {k % 5}") for k, name in enumerate(names)]
            csv.writer(file).writerows([("image", "caption"), *rows])
        text = "".join(
            f"a {thing} is on the {side}\nthe {thing} is there\nno {thing} is left\n\n"
            for thing in ("plane", "ship", "river", "house")
            for side in ("left", "right", "middle")
        )
        (self.root / "corpus.txt").write_text(text)

    def close(self) -> None:
        """Ends the server of forks."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(PATIENCE)
        self._server.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """The server's answer."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def start(self, command: Command, argv: list[str], environment: Mapping[str, str]) -> Run:
        """Starts a command in a session of its own."""
        self.runs += 1
        out, err = (self.root / "said" / f"{self.runs}.{end}" for end in ("out", "err"))
        if command.launcher:
            with out.open("w") as opened, err.open("w") as errors:
                process = subprocess.Popen(
                    [sys.executable, *command.launcher, command.module, *argv],
                    stdin=subprocess.DEVNULL, stdout=opened, stderr=errors, cwd=self.root,
                    env={**self.environment, **environment}, start_new_session=True,
                )  # fmt: skip
            return Run(self, process.pid, out, err, process)
        answer = self.ask(
            module=command.module, argv=argv, folder=str(self.root),
            environment=dict(environment), out=str(out), err=str(err),
        )  # fmt: skip
        while not err.exists():  # it has a session of its own then
            time.sleep(0.001)
        return Run(self, answer["process"], out, err)

    def fresh(self, command: Command) -> None:
        """Empties the work folder and puts what ``command`` needs into it."""
        self._empty()
        if command.name not in WITHOUT_MODEL:
            self.prepare_trained()
            self._empty()
        command.set_up(self)

    def _empty(self) -> None:
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def prepare_trained(self) -> None:
        """Trains the experiment that some commands read, and keeps it beside the work folder."""
        if (self.root / "trained").exists():
            return
        run = self.run(TRAIN, TRAIN.argv(self))
        assert run.status == 0, run.err.read_text()
        (self.root / "trained").mkdir()
        (self.work / "checkpoint").rename(self.root / "trained" / "checkpoint")

    def run(self, command: Command, argv: list[str]) -> Run:
        """Runs a command to its end, undisturbed."""
        run = self.start(command, argv, {})
        run.status = run.wait(PATIENCE)
        return run


@dataclass
class Run:
    """A command that was started."""

    world: World
    process: int
    out: Path
    err: Path
    own: subprocess.Popen[bytes] | None = None
    status: int | None = None
    started: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float) -> int | None:
        """The exit status; None where it has not ended after ``seconds``."""
        if self.own is None:
            status: int | None = self.world.ask(wait=self.process, seconds=seconds)["status"]
            return status
        try:
            return self.own.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def members(self) -> list[int]:
        """The living processes of its session, zombies left out.

        The ranks of torchrun, which have sessions of their own, are known by the folder.
        """
        found, folder = [], f"{self.world.root}{os.sep}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    line = (entry / "cmdline").read_bytes() if self.own is not None else b""
                except OSError:
                    continue
                if (int(fields[3]) == self.process or folder in line) and fields[0] != "Z":
                    found.append(int(entry.name))
        return sorted(found)


@dataclass(frozen=True)
class Command:
    """A command of the project: how it begins, how it goes on, and what it leaves."""

    name: str
    module: str
    argv: Callable[[World], list[str]]
    again: tuple[str, ...] = ()  # added after an interruption
    set_up: Callable[[World], None] = lambda world: None
    made: Callable[[World], Any] = lambda world: contents(world.work)
    launcher: tuple[str, ...] = ()  # before the module; empty: forked
    workers: tuple[str, ...] = ()  # arguments by which other processes do a part
    finished: str | None = None  # what it says where another run has done all


def _options(*more: str) -> Callable[[World], list[str]]:
    return lambda world: ["--path_opt", str(world.options), *more]


def _with_trained(world: World) -> None:
    shutil.copytree(world.root / "trained" / "checkpoint", world.work / "checkpoint")


def _queried(world: World) -> Any:
    """What the archive finds, and which kinds of files it is of."""
    found = {}
    for sentence in QUERIES:
        argv = ["query", sentence, "--index", str(world.work / "archive"), "--k", "5"]
        run = world.run(SEARCH, argv)
        found[sentence] = run.out.read_text() if run.status == 0 else run.err.read_text()[-300:]
    left = [str(path) for path in world.work.rglob("*") if path.name.endswith(".tmp")]
    return {**found, "temporary": sorted(left)}


def _swept(world: World) -> Any:
    return {key: each for key, each in contents(world.work).items() if "sweep.log" not in key}


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")
LOADERS = ("--set", "dataset.workers=2", "--set", "dataset.image_cache=off")
BEST = "trained/checkpoint/tiny/0/best.pth"
SEARCH = Command("search", "galr.search.__main__", lambda world: [])
TRAIN = Command(
    "train", "galr.commands.train", _options(), ("--resume",), workers=LOADERS
)  # fmt: skip
COMMANDS = (
    TRAIN,
    Command("test", "galr.commands.test", _options(), set_up=_with_trained, workers=LOADERS),
    Command(
        "local_features build", "galr.local_features.__main__",
        lambda world: [
            "build", "--format", "paddledet", "--detections", str(world.root / "detections"),
            "--images", str(world.images), "--out", str(world.work / "local" / "local.h5"),
        ],
    ),
    Command(
        "local_features detect", "galr.local_features.__main__",
        lambda world: [
            "detect", "--method", "segments", "--images", str(world.images), "--out",
            str(world.work / "detections"),
        ],
        workers=("--seed", "0"), finished="is not empty",
    ),
    Command(
        "search index", "galr.search.__main__",
        lambda world: [
            "index", "--images", str(world.images), "--checkpoint", str(world.root / BEST),
            "--local", str(world.data / "local.h5"), "--out", str(world.work / "archive"),
            "--device", "cpu", "--batch-size", "4",
        ],
        made=_queried,
    ),
    Command(
        "data prepare", "galr.preparation.command",
        lambda world: [
            "prepare", "--captions", str(world.root / "captions.csv"), "--images",
            str(world.images), "--out", str(world.work / "mine_precomp"), "--vocab",
            str(world.work / "vocab.json"), "--options", str(world.work / "mine.yaml"),
        ],
        workers=("--seed", "0"),
    ),
    Command(
        "skipthoughts", "galr.skipthoughts_training.__main__",
        lambda world: [
            "--corpus", str(world.root / "corpus.txt"), "--out", str(world.work / "seq2vec"),
            "--epochs", "12", "--word-dim", "8", "--hidden-dim", "12", "--batch-size", "8",
            "--device", "cpu", "--checkpoint-steps", "2", "--held-out", "0.2", "--lr", "0.02",
        ],
        ("--resume",),
    ),
    Command(
        "sweep", "galr.sweep.__main__",
        lambda world: [
            str(world.options), "--vary", "optim.lr=1e-3,2e-3", "--jobs", "2", "--set",
            "optim.epochs=2", "--set", "k_fold.nums=1", "--out", str(world.work / "sweep"),
        ],
        made=_swept,
    ),
    Command(
        "train on 2 ranks", "galr.commands.train", _options("--set", "k_fold.nums=1"),
        ("--resume",), launcher=TWO,
    ),
    Command(
        "test on 2 ranks", "galr.commands.test", _options(), set_up=_with_trained, launcher=TWO,
    ),
)  # fmt: skip
