"""Prints docs/options.md, made from the schema: ``python -m galr.options > docs/options.md``."""

from __future__ import annotations

import sys

from galr.commands.options_reference import options_reference

if __name__ == "__main__":
    sys.stdout.write(options_reference())
