#!/usr/bin/env python
"""Evaluates all folds of an experiment on the test part; see --help."""

import sys

from galr.commands.test import main
from galr.common import cli

if __name__ == "__main__":
    sys.exit(cli.run(main))
