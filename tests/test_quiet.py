"""Ignored warnings: those of the category alone, whatever other threads ignore."""

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from galr.common.quiet import without_warnings


def test_only_the_category_is_ignored_and_only_meanwhile():
    with without_warnings(UserWarning):
        warnings.warn("nobody needs it", UserWarning, stacklevel=1)
        with without_warnings():  # inside another
            warnings.warn("nor this", DeprecationWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("this is told", DeprecationWarning, stacklevel=1)
    with pytest.raises(UserWarning):
        warnings.warn("told again", UserWarning, stacklevel=1)


def test_a_thread_does_not_end_the_silence_of_another():
    begun = threading.Event()

    def first():
        with without_warnings(UserWarning):
            begun.set()
            time.sleep(0.1)

    def second():
        begun.wait()
        with without_warnings(UserWarning):
            time.sleep(0.2)  # the first has ended by now
            warnings.warn("nobody needs it", UserWarning, stacklevel=1)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
