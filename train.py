#!/usr/bin/env python
"""Trains GaLR over the folds of an experiment; see --help."""

import sys

from galr import cli
from galr.commands.train import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
