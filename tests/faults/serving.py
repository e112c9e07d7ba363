"""The search server under faults: it ends with a line or answers as before, and starts again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing

from tests.faults.trial import Trial, Undisturbed, send
from tests.faults.world import COMMANDS, PATIENCE, QUERIES, SEARCH, Run, World

INDEX = next(command for command in COMMANDS if command.name == "search index")
SERVED = ("SIGKILL", "SIGTERM", "Ctrl-C", "Ctrl-C twice", "removed", "second run")


def free_port() -> int:
    """A port that nobody listens at."""
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def answer(port: int, text: str) -> list[str]:
    """The names of the images that the server finds."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/search",
        json.dumps({"text": text, "k": 5}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as opened:
        found = json.load(opened)
    key = next(key for key in ("results", "matches", "images") if key in found)
    return [each["name"] for each in found[key]]


def started(world: World, port: int) -> Run:
    """A server that answers."""
    argv = ["serve", "--index", str(world.work / "archive"), "--port", str(port)]
    run = world.start(SEARCH, argv, {})
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            answer(port, QUERIES[0])
        except (OSError, urllib.error.URLError):
            if (status := run.wait(0.1)) is not None:
                raise RuntimeError(f"status {status}: {run.err.read_text()}") from None
        else:
            return run
    raise RuntimeError("the server does not answer")


def disturb_server(world: World, fault: str, seed: int) -> Trial:
    """Disturbs a server that is being asked, at a moment drawn from ``seed``."""
    dice = random.Random(f"serve {fault} {seed}")
    trial = Trial(world, SEARCH, Undisturbed(None, 1.0, 0, 0), dice)
    world.fresh(INDEX)
    built = world.run(INDEX, INDEX.argv(world))
    assert built.status == 0, built.err.read_text()
    shutil.copytree(world.work / "archive", world.root / "kept", dirs_exist_ok=True)
    port = free_port()
    run = started(world, port)
    right = [answer(port, text) for text in QUERIES]
    asking = threading.Thread(target=_ask_for_ever, args=(trial, port, right), daemon=True)
    asking.start()
    trial.pause()
    if fault == "removed":
        shutil.rmtree(world.work / "archive")
        time.sleep(0.5)
        shutil.copytree(world.root / "kept", world.work / "archive")
    elif fault == "second run":
        argv = ["serve", "--index", str(world.work / "archive"), "--port", str(port)]
        trial.judge(world.start(SEARCH, argv, {}), compares=False)
    number = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}.get(fault, signal.SIGINT)
    send(run, number, to_all=fault != "SIGTERM")
    if fault == "Ctrl-C twice":
        time.sleep(dice.uniform(0, 0.3))
        send(run, number, to_all=True)
    trial.judge(run, (number,), compares=False)
    asking.join(PATIENCE)
    again = started(world, port := free_port())
    if [answer(port, text) for text in QUERIES] != right:
        trial.losses.append("again: other images are found")
    send(again, signal.SIGTERM, to_all=False)
    trial.judge(again, compares=False)
    shutil.rmtree(world.root / "kept")
    return trial


def _ask_for_ever(trial: Trial, port: int, right: list[list[str]]) -> None:
    """Until the server ends each answer is right, or an error of HTTP."""
    while True:
        try:
            found = answer(port, QUERIES[0])
        except urllib.error.HTTPError:
            continue
        except (OSError, ValueError):
            return
        if found != right[0]:
            trial.losses.append(f"answers {found}")
            return
