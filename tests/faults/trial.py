"""One fault in one command, and whether anything was lost by it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults.contents import contents, difference
from tests.faults.world import PATIENCE, Command, Run, World

NOISE = ("Traceback", "unexpected ", "Exception ignored", "Fatal Python error", "core dumped")
# of torchrun and torch.distributed themselves, which report with tracebacks
LAUNCHERS = ("torch.distributed.run", "torch/distributed", "ChildFailedError")
DAY = 86_400


@dataclass(frozen=True)
class Undisturbed:
    """What a command makes where nothing happens, how long it takes, how often it writes."""

    made: Any
    seconds: float
    writes: int
    size: int  # bytes below the work folder


@dataclass
class Trial:
    """A command that is disturbed at moments drawn from a seed."""

    world: World
    command: Command
    usual: Undisturbed
    dice: random.Random
    losses: list[str] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)

    def start(self, *more: str, **environment: str) -> Run:
        """Starts the command."""
        return self.world.start(self.command, [*self.argv, *more], environment)

    def pause(self, least: float = 0.0, most: float = 1.0) -> float:
        """Waits for a moment between shares of the usual time; returns how long."""
        seconds = self.dice.uniform(least, most) * self.usual.seconds
        time.sleep(seconds)
        return seconds

    def judge(self, run: Run, killed_by: tuple[int, ...] = (), *, compares: bool = True) -> None:
        """Waits for the end, which must be right, or said in a line, or of our own signal."""
        run.status = run.wait(PATIENCE)
        if run.status is None:
            self.losses.append("hangs")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process, signal.SIGKILL)
            run.wait(PATIENCE)
        self._await_others(run)
        said = run.err.read_text(errors="replace")
        if run.status == 0:
            if compares and (told := difference(self.command.made(self.world), self.usual.made)):
                self.losses.append(f"status 0, but {told}")
        elif run.status is not None and run.status < 0:
            if -run.status not in killed_by:
                self.losses.append(f"died by signal {-run.status}")
        elif run.status is not None:
            self._check_said(said)
        if run.status == 0 and any(word in said for word in NOISE):
            self.losses.append(f"status 0, but says {_noise(said)}")

    def _check_said(self, said: str) -> None:
        lines = [line for line in said.splitlines() if line.strip()]
        if self.command.launcher:
            # the ranks' own lines; torchrun adds its report
            if not any(line.startswith(("error: ", "stopped by")) for line in lines):
                self.losses.append(f"no clear line, but {lines[-1:] or 'nothing'}")
            return
        if any(word in said for word in NOISE):
            self.losses.append(f"no clear line, but {_noise(said)}")
        elif not lines or not lines[-1].startswith(("error: ", "stopped by")):
            self.losses.append(f"no clear line, but {lines[-1:] or 'nothing'}")
        elif sum(line.startswith("error: ") for line in lines) > 1:
            self.losses.append(f"several lines of errors: {lines[-2:]}")

    def _await_others(self, run: Run, seconds: float = 20.0) -> None:
        """Processes that a command started must end with it."""
        deadline = time.monotonic() + seconds
        while run.members():
            if time.monotonic() > deadline:
                self.losses.append(f"{len(run.members())} processes go on after the command")
                for member in run.members():
                    os.kill(member, signal.SIGKILL)
                return
            time.sleep(0.05)

    def end(self) -> None:
        """Runs the command once more, which must end as one that was never disturbed."""
        run = self.start(*self.command.again)
        run.status = run.wait(PATIENCE)
        said = run.err.read_text(errors="replace")
        finished = self.command.finished
        if run.status != 0 and not (finished and run.status == 2 and finished in said):
            self.losses.append(f"again: status {run.status}, {said.strip().splitlines()[-1:]}")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process, signal.SIGKILL)
            return
        if told := difference(self.command.made(self.world), self.usual.made):
            self.losses.append(f"again: {told}")


def _noise(said: str) -> str:
    return next(
        (line for line in said.splitlines() if any(word in line for word in NOISE)), ""
    ) + " ... " + (said.strip().splitlines() or [""])[-1]  # fmt: skip


def send(run: Run, number: int, *, to_all: bool) -> None:
    """A signal to the command, or to all that it started as well."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if to_all else os.kill)(run.process, number)


def kill(trial: Trial) -> None:
    """SIGKILL, to the command alone or to all of its processes."""
    run = trial.start()
    trial.pause()
    send(run, signal.SIGKILL, to_all=trial.dice.random() < 0.5)
    trial.judge(run, (signal.SIGKILL,))


def terminate(trial: Trial) -> None:
    """SIGTERM, to the command alone or to all of its processes."""
    run = trial.start()
    trial.pause()
    send(run, signal.SIGTERM, to_all=trial.dice.random() < 0.5)
    trial.judge(run)


def interrupt_once(trial: Trial) -> None:
    """Ctrl-C in the first part of the run; the command must stop."""
    run = trial.start()
    trial.pause(0.05, 0.6)
    send(run, signal.SIGINT, to_all=True)
    at = time.monotonic()
    trial.judge(run)
    if run.status == 0 and time.monotonic() - at > trial.usual.seconds:
        trial.losses.append("Ctrl-C had no effect")


def interrupt_twice(trial: Trial) -> None:
    """Ctrl-C, and again within half a second."""
    run = trial.start()
    trial.pause()
    send(run, signal.SIGINT, to_all=True)
    time.sleep(trial.dice.uniform(0, 0.5) ** 2)
    send(run, signal.SIGINT, to_all=True)
    trial.judge(run, (signal.SIGINT,))


def full_disk(trial: Trial) -> None:
    """A small disk from the start, or one that something else fills."""
    world, size, dice = trial.world, trial.usual.size, trial.dice
    needed = 4 * size + (1 << 20)
    small = dice.random() < 0.5
    with _tmpfs(world, trial.command, dice.randrange(1 << 16, needed // 2) if small else needed):
        run = trial.start()
        filler = world.work / "filler"
        if not small:
            trial.pause()
            _fill(filler, dice.choice((0, 0, 1 << 12, 1 << 16, size // 3)))
        trial.judge(run, compares=small)
        filler.unlink(missing_ok=True)
        _mount("-o", f"remount,size={4 * needed}", str(world.work))
        trial.end()


def bad_disk(trial: Trial) -> None:
    """EIO from a call to write, sync, truncate or rename on."""
    first = trial.dice.randint(1, max(2, trial.usual.writes))
    run = trial.start(GALR_FAULT_EIO=f"{first}:{errno.EIO}:{trial.world.work}/")
    trial.judge(run)


def read_only(trial: Trial) -> None:
    """The folders that it writes to become read-only, before or after it starts."""
    before = trial.dice.random() < 0.3
    run = None if before else trial.start()
    if not before:
        trial.pause()
    with _immutable(trial.world.work):
        run = run or trial.start()
        trial.judge(run)


def removed(trial: Trial) -> None:
    """The folders that it writes to are deleted or moved away while it runs."""
    world = trial.world
    run = trial.start()
    trial.pause()
    made_all = False
    for path in sorted(world.work.iterdir()):
        if path.name == "checkpoint" and trial.command.name.startswith("test"):
            continue  # what it reads
        if not path.is_dir():
            continue  # whole already: nobody could tell
        gone = world.root / "gone" / f"{world.runs} {path.name}"
        gone.mkdir(parents=True)
        with contextlib.suppress(OSError):
            path.rename(gone / path.name)
        made_all = made_all or _all_of(path.name, contents(gone), trial.usual.made)
        if trial.dice.random() < 0.5:
            shutil.rmtree(gone, ignore_errors=True)
    trial.judge(run, compares=not made_all)
    shutil.rmtree(world.root / "gone", ignore_errors=True)


def _all_of(folder: str, found: dict[str, Any], usual: dict[str, Any]) -> bool:
    """Whether a folder that was taken away was as it shall be: nobody could tell."""
    wanted = {name: each for name, each in usual.items() if name.startswith(f"{folder}{os.sep}")}
    return bool(wanted) and difference(found, wanted) is None


def clock_back(trial: Trial) -> None:
    """The clock jumps back by a day: during the run, or between a killed run and the next."""
    if trial.dice.random() < 0.4:
        after = trial.dice.uniform(0, trial.usual.seconds)
        trial.judge(trial.start(GALR_FAULT_CLOCK=f"-{DAY}:{after}"))
        return
    run = trial.start()
    trial.pause()
    send(run, signal.SIGKILL, to_all=True)
    trial.judge(run, (signal.SIGKILL,))
    again = trial.start(*trial.command.again, GALR_FAULT_CLOCK=f"-{DAY}:0")
    trial.judge(again)
    if again.status:
        trial.losses.append(f"by the earlier clock: {again.err.read_text()[-200:]}")


def second(trial: Trial) -> None:
    """A second run of the same command in the same folder."""
    first = trial.start()
    trial.pause()
    other = trial.start(*(trial.command.again if trial.dice.random() < 0.7 else ()))
    trial.judge(first, compares=False)
    trial.judge(other, compares=False)
    if first.status != 0:
        trial.losses.append(f"the first run failed: {first.err.read_text()[-200:]}")
    elif told := difference(trial.command.made(trial.world), trial.usual.made):
        trial.losses.append(f"after both: {told}")


def worker(trial: Trial) -> None:
    """One of the processes that load images is killed."""
    trial.argv += trial.command.workers
    if "dataset.image_cache=off" in trial.argv:
        made = {
            name: each
            for name, each in trial.usual.made.items()
            if name.split(os.sep)[0] != "cache"
        }
        trial.usual = replace(trial.usual, made=made)
    run = trial.start()
    deadline = time.monotonic() + trial.usual.seconds + 10
    while len(run.members()) < 2 and time.monotonic() < deadline:
        status = run.wait(0.01)
        if status is not None:
            return
    time.sleep(trial.dice.random() ** 2 * trial.usual.seconds)
    children = [member for member in run.members() if member != run.process]
    if children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(trial.dice.choice(children), signal.SIGKILL)
    trial.judge(run)


def rank(trial: Trial) -> None:
    """One rank of two is killed."""
    run = trial.start()
    deadline = time.monotonic() + PATIENCE
    while len(run.members()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    trial.pause(0.0, 0.9)
    ranks = [member for member in run.members() if member != run.process and _is_rank(member)]
    if ranks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(trial.dice.choice(ranks), signal.SIGKILL)
    run.status = run.wait(PATIENCE)
    said = run.err.read_text(errors="replace")
    trial._await_others(run, 60.0)
    if run.status is None:
        trial.losses.append("hangs")
        os.killpg(run.process, signal.SIGKILL)
    elif run.status and "error" not in said.lower():
        trial.losses.append("no line")


def _is_rank(process: int) -> bool:
    try:
        return b"galr.commands" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


FAULTS: dict[str, Callable[[Trial], None]] = {
    "SIGKILL": kill,
    "SIGTERM": terminate,
    "Ctrl-C": interrupt_once,
    "Ctrl-C twice": interrupt_twice,
    "ENOSPC": full_disk,
    "EIO": bad_disk,
    "read-only": read_only,
    "removed": removed,
    "clock back": clock_back,
    "second run": second,
    "worker killed": worker,
    "rank killed": rank,
}


def applies(fault: str, command: Command) -> bool:
    """Whether a command can meet a fault."""
    if command.launcher:
        return fault in ("rank killed", "SIGKILL")
    if fault == "rank killed":
        return False
    return fault != "worker killed" or bool(command.workers)


def why_not(fault: str, world: World) -> str | None:
    """Why a fault cannot be made here; None where it can."""
    if fault == "ENOSPC" and os.geteuid() != 0:
        return "only root may mount a small disk"
    if fault in ("EIO", "clock back") and world.shim is None:
        return "there is no C compiler for the library that fails"
    if fault == "read-only" and os.geteuid() == 0 and not _can_be_immutable(world.root):
        return "the file system has no attribute against changes, and root may write anywhere"
    return None


def usual(world: World, command: Command) -> Undisturbed:
    """Runs a command where nothing happens."""
    world.fresh(command)
    count = world.root / "count"
    count.unlink(missing_ok=True)
    environment = {
        "GALR_FAULT_EIO": f"{1 << 40}:{errno.EIO}:{world.work}/", "GALR_FAULT_COUNT": str(count),
    }  # fmt: skip
    run = world.start(command, command.argv(world), environment)
    began = time.monotonic()
    status = run.wait(PATIENCE)
    seconds = time.monotonic() - began
    if status != 0:
        raise RuntimeError(f"{command.name}: {run.err.read_text()}")
    counts = [int(line) for line in count.read_text().split()] if count.exists() else [0]
    size = sum(path.stat().st_size for path in world.work.rglob("*") if path.is_file())
    return Undisturbed(command.made(world), seconds, max(counts), size)


def disturb(world: World, command: Command, expected: Undisturbed, fault: str, seed: int) -> Trial:
    """Disturbs a command by ``fault`` at moments drawn from ``seed``."""
    world.fresh(command)
    trial = Trial(world, command, expected, random.Random(f"{command.name} {fault} {seed}"))
    trial.argv = command.argv(world)
    FAULTS[fault](trial)
    if fault != "ENOSPC":  # which ends on the disk that was full
        trial.end()
    return trial


def _fill(path: Path, left: int) -> None:
    """Takes all but ``left`` bytes of the disk."""
    free = shutil.disk_usage(path.parent).free - left
    block = bytes(1 << 16)
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while free > 0:
            free -= file.write(block[: max(free, 1)])


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def _tmpfs(world: World, command: Command, size: int) -> Iterator[None]:
    """The work folder on a disk of ``size`` bytes."""
    needed = sum(path.stat().st_size for path in world.work.rglob("*") if path.is_file())
    size += needed + (1 << 14) * len(list(world.work.rglob("*")))
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(world.work))
    try:
        command.set_up(world)
        yield
    finally:
        subprocess.run(["umount", "-l", str(world.work)], check=True)


def _folders(top: Path) -> list[str]:
    return [str(top), *(str(path) for path in top.rglob("*") if path.is_dir())]


@contextlib.contextmanager
def _immutable(top: Path) -> Iterator[None]:
    """No file can be made or removed below ``top``."""
    changed = _folders(top)
    try:
        _set_writable(changed, writable=False)
        yield
    finally:
        _set_writable(changed, writable=True)


def _set_writable(folders: list[str], *, writable: bool) -> None:
    if os.geteuid() == 0:
        flag = "-i" if writable else "+i"
        subprocess.run(["chattr", flag, *folders], check=False, capture_output=True)
    else:
        for folder in folders:
            Path(folder).chmod(0o755 if writable else 0o555)


def _can_be_immutable(folder: Path) -> bool:
    try:
        found = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, check=False)
        subprocess.run(["chattr", "-i", str(folder)], capture_output=True, check=False)
    except OSError:
        return False
    return found.returncode == 0
