"""Starts commands as forks of a process that has imported torch: a second each in place of ten.

Requests are lines of JSON on standard input, and so are the answers on standard output:

``{"module": M, "argv": [...], "folder": D, "environment": {...}, "out": F, "err": F}`` runs
``M.main(argv)`` as its script would, in a session of its own -> ``{"process": P}``
``{"wait": P, "seconds": S}`` -> ``{"status": N}``, as os.waitstatus_to_exitcode, or null
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

IMPORTED = (
    "torchvision.models", "tensorboard.backend.event_processing.event_file_loader", "timm",
    "sklearn.cluster", "pydantic", "h5py", "nltk", "tqdm", "yaml", "matplotlib.figure",
    "galr.training.trainer", "galr.report.write", "galr.evaluation.evaluator",
    "galr.encoders.timm_maps", "galr.detectors.build", "galr.detectors.detect_segments",
    "galr.preparation.own_data", "galr.preparation.command", "galr.detectors.command",
    "galr.skipthoughts_training.__main__", "galr.commands.train", "galr.commands.test",
)  # fmt: skip

ENDING = (signal.SIGTERM, signal.SIGINT)


def serve() -> Callable[[], int]:
    """Answers requests until the input ends; in a fork, returns what it shall do."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = {"status": _status(request["wait"], request["seconds"])}
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until the command can hear them
            process = os.fork()
            if process == 0:
                return lambda request=request: _become(request)  # type: ignore[misc]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            answer = {"process": process}
        print(json.dumps(answer), flush=True)
    return lambda: 0


def _status(process: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.01)


def _become(request: dict) -> int:
    from galr.common import cli

    os.setsid()
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [request["module"], *request["argv"]]

    def main(argv: Sequence[str] | None) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        importlib.import_module(request["module"]).main(argv)

    status = cli.run(main)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # all is done
    return status


def _leave(status: int) -> None:
    """As Python ends, but for destructors of C++: Arrow's wait for threads that no fork has."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if "GALR_FAULT_COUNT" in os.environ:
        ctypes.CDLL(None).tell_calls()
    os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for module in sys.argv[1:] or IMPORTED:
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            importlib.import_module(module)
    gc.freeze()
    print("{}", flush=True)
    server = os.getpid()
    status = serve()()
    if os.getpid() != server:
        _leave(status)
