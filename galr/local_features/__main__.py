"""python -m galr.local_features: from a detector's output to the objects that the model sees."""

import sys

from galr.common import cli
from galr.detectors.command import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
