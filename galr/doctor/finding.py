"""One check: its subject, what was found, and the problem, if any."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from galr.common.errors import UserError


class Finding(NamedTuple):
    """``problem`` is empty if there is none."""

    name: str
    found: str
    problem: str = ""

    def __str__(self) -> str:
        mark = "wrong" if self.problem else "ok"
        text = "; ".join(part for part in (self.found, self.problem) if part)
        return f"{mark:6} {self.name:15} {text}"


def finding(name: str, look: Callable[[], str]) -> Finding:
    """The text that ``look`` returns, or the UserError it raises as the problem."""
    try:
        return Finding(name, look())
    except UserError as error:
        return Finding(name, "", str(error))
