#!/usr/bin/env python
"""Evaluates one checkpoint on the test part; see --help."""

import sys

from galr import cli
from galr.commands.test_single import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
