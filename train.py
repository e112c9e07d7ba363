#!/usr/bin/env python
"""Trains GaLR over the folds of an experiment; see --help."""

import sys

from galr.commands.train import main
from galr.common import cli

if __name__ == "__main__":
    sys.exit(cli.run(main))
