"""The demo's random choices: the same as numpy's, and stopped by Ctrl-C at any moment."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from galr.demo.choice import in_random_order, one_of, two_of

WORDS = ("a plane", "ship", "tank/tanks", "harbour")


def test_the_words_are_those_that_numpy_draws():
    ours, numpys = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        assert one_of(ours, WORDS) == numpys.choice(WORDS)
        assert two_of(ours, WORDS) == tuple(numpys.choice(WORDS, 2, replace=False))
        assert in_random_order(ours, WORDS) == list(numpys.permutation(WORDS))


@pytest.mark.parametrize("choose", [one_of, two_of, in_random_order])
def test_no_interruption_is_lost(choose):
    rng, rung = np.random.default_rng(0), []

    def interrupt(*_: object) -> None:
        rung.append(True)
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(200):
            rung.clear()
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - at any moment
                signal.setitimer(signal.ITIMER_REAL, 5e-5 + number * 1e-6)
                while not rung:
                    choose(rng, WORDS)
    finally:
        signal.signal(signal.SIGALRM, earlier)
