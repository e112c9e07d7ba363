"""Each guarantee of SECURITY.md and docs/reliability.md names an existing test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    (page, row)
    for page in ("SECURITY.md", "docs/reliability.md")
    for table in re.findall(
        r"^\| guarantee .*\n\| ---.*\n((?:\|.*\n)+)", (ROOT / page).read_text(), re.M
    )
    for row in table.splitlines()
]


@pytest.mark.parametrize(("page", "row"), ROWS)
def test_a_promise_is_held_by_a_test(page, row):
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text()
