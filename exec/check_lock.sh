#!/usr/bin/env bash
# Checks that requirements.lock can be installed in place of requirements.txt.
#
#   bash exec/check_lock.sh            each pin is within the ranges and has a hash; no network
#   bash exec/check_lock.sh --resolve  and the index still has these files: nothing is missing for any system and Python
#                                      from 3.10 on, and each hash is one that it publishes; a quarter of a minute
#   bash exec/check_lock.sh --install  and these files are installed by their hashes, all that this system takes but torch
#                                      and CUDA, which are gigabytes, and the project imports them; a quarter of a minute
#
# Both may be given. Where the index cannot be reached a line says so, and the status is 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements-dev.txt

"$PYTHON" - <<'END'
import re
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pins, wrong = {}, []
for entry in re.split(r"\n(?=[A-Za-z0-9])", open("requirements.lock", encoding="utf-8").read()):
    if (found := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\\n]+)", entry)) is not None:
        pins.setdefault(canonicalize_name(found[1]), []).append(found[2])
        if "--hash=sha256:" not in entry:
            wrong.append(f"{found[1]} has no hash")
for line in open("requirements.txt", encoding="utf-8"):
    if line := line.partition("#")[0].strip():
        wanted = Requirement(line)
        versions = pins.get(canonicalize_name(wanted.name), [])
        if not versions:
            wrong.append(f"{wanted.name} is not in it")
        wrong += [f"{wanted.name}=={v} is outside {wanted}" for v in versions if v not in wanted.specifier]
if wrong:
    sys.exit(f"requirements.lock: {'; '.join(wrong)}; make it anew as its first line says")
print(f"requirements.lock: {len(pins)} packages, each with hashes, within requirements.txt")
END

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
# ends with status 0 where the output of uv says that there is no network, else with 1
give_up() {
  if grep -qE "Failed to fetch|Request failed|network was disabled|client error" "$folder/errors"; then
    echo "requirements.lock: not $1, since the index cannot be reached"
    exit 0
  fi
  cat "$folder/errors" >&2
  exit 1
}

if [[ " $* " == *" --resolve "* ]]; then
  grep -E '^[A-Za-z0-9].*==' requirements.lock | sed 's/ \\$//' >"$folder/pins.txt"
  # made anew from the pins alone, since uv would copy the hashes of a lock
  if ! "$PYTHON" -m uv pip compile requirements.txt -c "$folder/pins.txt" --generate-hashes --universal \
    --python-version 3.10 -q -o "$folder/new.lock" >/dev/null 2>"$folder/errors"; then
    give_up "compared with the index"
  fi
  "$PYTHON" - requirements.lock "$folder/new.lock" <<'END'
import re
import sys


def hashes(path):
    found = {}
    for line in open(path, encoding="utf-8"):
        if pin := re.match(r"([A-Za-z0-9._-]+==[^ ;\\]+)", line):
            current = found.setdefault(pin[1], set())
        current_hash = re.search(r"--hash=(sha256:\w+)", line)
        if current_hash:
            current.add(current_hash[1])
    return found


lock, index = (hashes(path) for path in sys.argv[1:])
wrong = [f"{pin} is not needed or not to be had" for pin in lock.keys() - index.keys()]
wrong += [f"{pin} is missing" for pin in index.keys() - lock.keys()]
wrong += [f"{pin} has hashes that the index does not know" for pin in lock.keys() & index.keys() if lock[pin] - index[pin]]
if wrong:
    sys.exit(f"requirements.lock: {'; '.join(sorted(wrong))}; make it anew as its first line says")
print(f"requirements.lock: the index has all {sum(map(len, lock.values()))} files, by their hashes")
END
fi

if [[ " $* " == *" --install "* ]]; then
  "$PYTHON" - "$folder/small.lock" <<'END'
import re
import sys

entries = re.split(r"\n(?=[A-Za-z0-9])", open("requirements.lock", encoding="utf-8").read())
small = [entry for entry in entries[1:] if not re.match(r"(torch|torchvision|triton|nvidia|cuda)[-\w]*==", entry)]
open(sys.argv[1], "w", encoding="utf-8").write("\n".join(small))
END
  if ! "$PYTHON" -m uv pip install --require-hashes --no-deps -q -r "$folder/small.lock" --python "$PYTHON" \
    --target "$folder/installed" 2>"$folder/errors"; then
    give_up "installed"
  fi
  PYTHONPATH="$folder/installed" "$PYTHON" - "$folder/installed" <<'END'
import sys
from pathlib import Path

import h5py
import matplotlib
import nltk
import numpy
import PIL
import pydantic
import tifffile

import galr.commands.train
import galr.evaluation.evaluator
import galr.training.trainer

folder = Path(sys.argv[1])
elsewhere = [m.__name__ for m in (h5py, matplotlib, nltk, numpy, PIL, pydantic, tifffile) if folder not in Path(m.__file__).parents]
assert not elsewhere, elsewhere
count = len([*folder.glob("*.dist-info")])
print(f"requirements.lock: {count} packages installed by their hashes, and the project imports them; torch and CUDA left out")
END
fi
