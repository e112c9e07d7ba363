#!/usr/bin/env python
"""Evaluates one checkpoint on the test part; see --help."""

import sys

from galr.commands.test_single import main
from galr.common import cli

if __name__ == "__main__":
    sys.exit(cli.run(main))
