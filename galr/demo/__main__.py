"""``python -m galr.demo``: makes the built-in demo data."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from galr.common import cli
from galr.demo.folder import DemoOptions, make_demo
from galr.demo.large_scene import make_large_scene

DESCRIPTION = """\
Generates a small synthetic data set of aerial scenes (airports, harbors, courts, ...): images, five
captions per image, a training and a test part, and simulated detections. The same seed gives the
same data. A folder that already holds it is left unchanged.

  python -m galr.demo --out data/demo_precomp
  python -m galr.demo --large-scene --out data/demo_scene   # for python -m galr.localise evaluate
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, makes the folder and prints one line of what there is."""
    default = DemoOptions()
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.demo")
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="data/demo_precomp",
        help="folder to write (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=cli.within(0, kind=int),
        default=default.seed,
        help="seed of the generator (default: %(default)s)",
    )
    for part, images in (("train", default.train), ("test", default.test)):
        parser.add_argument(
            f"--{part}",
            metavar="N",
            type=cli.at_least_1,
            default=images,
            help=f"images in the {part} part (default: %(default)s)",
        )
    parser.add_argument(
        "--small-objects",
        action="store_true",
        help="different scenes, whose captions depend on objects a few pixels in size",
    )
    parser.add_argument(
        "--large-scene",
        action="store_true",
        help="instead, one scene of 4000 x 3000 pixels with annotated polygons",
    )
    arguments = parser.parse_args(argv)
    if arguments.large_scene:
        width, height = make_large_scene(arguments.out, arguments.seed)
        print(f"{arguments.out}: a scene of {width} x {height} pixels, seed {arguments.seed}")  # noqa: T201
        return
    options = DemoOptions(arguments.seed, arguments.train, arguments.test, arguments.small_objects)
    started = time.monotonic()
    made = make_demo(arguments.out, options)
    took = f"drawn in {time.monotonic() - started:.1f} s" if made else "already there"
    print(  # noqa: T201 - the script's result
        f"{arguments.out}: {options.train} training and {options.test} test images with "
        f"{5 * (options.train + options.test)} captions, seed {options.seed}, {took}"
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
