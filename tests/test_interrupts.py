"""Ctrl-C and SIGTERM: never lost, and never in the way of what they have begun."""

import gc
import signal
import time

import pytest

from galr.common import cli, interrupts
from galr.common.errors import RunError
from galr.common.progress import Progress


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number=signal.SIGINT):
    signal.raise_signal(number)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "stopped by Ctrl-C\n"), (signal.SIGTERM, 143, "stopped by SIGTERM\n")],
)
def test_each_signal_is_a_line_and_its_status(capsys, number, status, said):
    assert cli.run(lambda _: send(number), []) == status
    assert capsys.readouterr().err == said
    assert not interrupts.came()


def test_one_that_was_swallowed_stops_the_next_round(capsys):
    class Swallows:
        def __del__(self):
            send()

    def main(_):
        with Progress("rounds", total=3, unit="images") as progress:
            for _ in range(3):
                held = Swallows()
                del held
                gc.collect()
                progress.advance(1)
                pytest.fail("went on")

    assert cli.run(main, []) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_a_second_one_does_not_keep_the_first_from_clearing_up(capsys):
    cleared = []

    def main(_):
        try:
            send()
        finally:
            send()
            cleared.append(True)

    assert cli.run(main, []) == 130
    assert cleared
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


@pytest.mark.parametrize("error", [RunError("disk", "is full", "wait"), ValueError("odd")])
def test_an_error_that_a_library_makes_of_it_is_not_told(capsys, error):
    def main(_):
        try:
            send()
        except KeyboardInterrupt:
            raise error from None

    assert cli.run(main, []) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert cli.run(lambda _: None, []) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_no_interruption_of_a_loop_is_lost(capsys):
    """At many moments, whatever the loop is doing then."""

    def main(_):
        signal.setitimer(signal.ITIMER_REAL, 1e-4)
        signal.signal(signal.SIGALRM, lambda *_: send())
        end = time.monotonic() + 5
        with Progress("rounds", total=1, unit="images") as progress:
            while time.monotonic() < end:
                held = [Exception() for _ in range(10)]
                del held
                progress.advance(1)

    earlier = signal.getsignal(signal.SIGALRM)
    try:
        for _ in range(50):
            assert cli.run(main, []) == 130
    finally:
        signal.signal(signal.SIGALRM, earlier)
