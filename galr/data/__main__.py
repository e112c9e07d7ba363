"""python -m galr.data {prepare,check}: data folders from downloaded files, and what is in them."""

import sys

from galr.common import cli
from galr.preparation.command import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
