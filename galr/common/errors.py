"""The exceptions that commands report as one line and an exit status."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Something the user can fix: a wrong file, option or argument.

    Printed as one line, ``place: what; remedy``, and the script exits with ``status``.
    """

    status = 2

    def __init__(self, place: str | Path, what: str, remedy: str) -> None:
        super().__init__(place, what, remedy)
        self.place = str(place)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        # one line, even if the parts contain the text of another library's exception
        return " ".join(f"{self.place}: {self.what}; {self.remedy}".split())


class RunError(UserError):
    """A failure at run time with good input, such as a full disk or a NaN loss."""

    status = 1
