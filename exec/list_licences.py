"""Writes docs/licences.md: the licence that each package of requirements.lock states.

python exec/list_licences.py      in an environment where requirements.txt is installed
"""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Licences of the dependencies

The packages of `requirements.lock`, and the licence that the installed version of each states of
itself; written by `python exec/list_licences.py`. Packages that its environment lacks, for other
systems mostly, are listed as not installed.

| package | versions in the lock | licence |
| --- | --- | --- |
"""


def licence(name: str) -> str:
    """The SPDX expression, the trove classifiers, or the first line of the free text."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if expression := stated.get("License-Expression"):
        return str(expression)
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in stated.get_all("Classifier") or []
        if each.startswith("License :: ")
    ]
    text = (stated.get("License") or "").strip().partition("\n")[0][:60]
    return ", ".join(classifiers) or text or "not stated"


def main() -> None:
    """Writes the table."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", lock, re.MULTILINE)
    versions: dict[str, list[str]] = {}
    for name, version in sorted(set(pins)):
        versions.setdefault(name, []).append(version)
    rows = [
        f"| {name} | {', '.join(found)} | {licence(name)} |\n" for name, found in versions.items()
    ]
    (ROOT / "docs" / "licences.md").write_text(HEAD + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
