#!/usr/bin/env python
"""Builds the vocabulary of a data set; see --help."""

import sys

from galr.commands.vocab import main
from galr.common import cli

if __name__ == "__main__":
    sys.exit(cli.run(main))
