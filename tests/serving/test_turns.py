"""Work in turns: what is refused, and what is not begun."""

import asyncio
import threading
import time

from galr.serving.limits import Limits, Refused
from galr.serving.metrics import Metrics
from galr.serving.turns import Turns, each


def test_turns_are_refused_by_the_time_that_they_would_take():
    async def run():
        limits = Limits(seconds=0.5)
        turns = Turns("search", each, limits, Metrics())
        await turns.do(lambda: time.sleep(0.2))  # by which the following are estimated
        asked = [turns.do(lambda: time.sleep(0.02)) for _ in range(6)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        turns.close()
        return answers

    answers = asyncio.run(run())
    refused = [one for one in answers if isinstance(one, Refused)]
    assert answers[:2] == [None, None]
    assert [(one.status_code, one.headers) for one in refused] == [(503, {"retry-after": "1"})] * 4


def test_a_task_that_nobody_waits_for_is_not_begun():
    async def run():
        done, go_on = [], threading.Event()
        turns = Turns("search", each, Limits(), Metrics())
        first = asyncio.ensure_future(turns.do(lambda: go_on.wait(10)))
        second = asyncio.ensure_future(turns.do(lambda: done.append("second")))
        third = asyncio.ensure_future(turns.do(lambda: done.append("third")))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, third)
        turns.close()
        return done

    assert asyncio.run(run()) == ["third"]
