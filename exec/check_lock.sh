#!/usr/bin/env bash
# Checks that requirements.lock satisfies requirements.txt, and that it resolves by its hashes.
#
#   bash exec/check_lock.sh            ranges, and that each pin has a hash; no network
#   bash exec/check_lock.sh --resolve  and resolves it by its hashes with uv, which must be installed; installs nothing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements.txt

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

if [ "${1:-}" = "--resolve" ]; then
  # uv reads metadata where pip would download gigabytes to hash them
  "$PYTHON" -m uv pip install --dry-run --reinstall --require-hashes --python "$PYTHON" -q -r requirements.lock
  echo "requirements.lock: it resolves by its hashes"
fi
