"""Small real files, mutated: every reader gives what it promises or one line of UserError.

GALR_FUZZ=N makes N mutations of each file instead of 20, and GALR_FUZZ_SEED=S other ones.
benchmarks/fuzz.py makes thousands, and watches memory, processes and files as well.
"""

import os
import random
import time

import pytest

from tests.fuzz_readers import FILES, make_files, mutated, outcome, put

MUTATIONS = int(os.environ.get("GALR_FUZZ", "20"))
SEED = os.environ.get("GALR_FUZZ_SEED", "0")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    return root, make_files(root)


def check(root, name, path, read):
    path = root / path if isinstance(path, str) else path(root)
    original = path.read_bytes()
    assert outcome(read, root) == ""  # the real file is read
    try:
        for number in range(MUTATIONS):
            content = mutated(original, random.Random(f"{SEED} {name} {number}"))
            put(path, content)
            started = time.monotonic()
            said = outcome(read, root)
            assert not said.startswith("!"), f"mutation {number}: {content[:3000]!r}{said}"
            assert "\n" not in said
            assert time.monotonic() - started < 10
    finally:
        put(path, original)


@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_is_one_line_or_a_right_result(made, name):
    check(made[0], name, *FILES[name])


@pytest.mark.parametrize("kind", ["image", "captions"])
def test_a_mutated_image_or_table_is_one_line_or_a_right_result(made, kind):
    root, files = made
    for name in files.keys() - FILES.keys():
        if name.startswith(kind):
            check(root, name, *files[name])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class numbers", b"names:\n  ? [0, 1]\n  : plane\n"),
        ("captions table.csv", b"image,caption\r\n"),
        ("captions lines.jsonl", b"\n"),
    ],
)
def test_what_was_found_is_one_line_or_a_right_result(made, name, content):
    root, files = made
    path, read = root / files[name][0], files[name][1]
    original = path.read_bytes()
    put(path, content)
    said = outcome(read, root)
    put(path, original)
    assert not said.startswith("!"), said
