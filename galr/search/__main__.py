"""python -m galr.search: an archive of images, and what is found in it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galr.common import cli
from galr.common.errors import UserError
from galr.search import tile_arguments

if TYPE_CHECKING:
    from galr.search.archive import Match

logger = logging.getLogger(__name__)

Commands = argparse._SubParsersAction

DESCRIPTION = """\
Indexes a folder of images as an archive and searches it by sentence, by image, or by both.

  python -m galr.search index --images DIR --checkpoint best.pth --out archive.index
  python -m galr.search query "many planes beside a terminal" --k 20
  python -m galr.search query --image scene.tif --sheet found.png
  python -m galr.search serve --index archive.index
"""

INDEX = """\
Encodes every image below a folder once.

Run the same command again to resume an interrupted build, or to update a finished archive: new and
changed images are encoded, deleted ones are removed.
"""

QUERY = """\
Prints the images closest to a sentence, an image, or both: rank, cosine similarity, name.
"""

MIGRATE = """\
Writes an archive of an earlier version as one of today; no image is encoded again.
"""

CLEAN = """\
Deletes old versions of an archive and joins its small files.

A process that has opened one of these versions can no longer read it.
"""

SERVE = """\
Serves a search page for an archive until Ctrl-C or SIGTERM (docs/web.md, docs/serving.md).

The server is reachable from this machine only, unless --host says otherwise. There is no password.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.search")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_index(commands)
    _add_query(commands)
    _add_serve(commands)
    _add_clean(commands)
    _add_migrate(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _add_command(
    commands: Commands[cli.ArgumentParser], name: str, text: str
) -> cli.ArgumentParser:
    return commands.add_parser(name, description=text, help=text.partition("\n")[0])


def _add_index(commands: Commands[cli.ArgumentParser]) -> None:
    parser = _add_command(commands, "index", INDEX)
    parser.add_argument(
        "--images", metavar="DIR", required=True, help="folder of images, read recursively"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="best.pth from train.py, or a folder from galr.export"
    )
    _add_encoder(parser)
    parser.add_argument(
        "--out",
        metavar="ARCHIVE",
        default="archive.index",
        help="archive to write, a folder or an address as s3://... (default: %(default)s)",
    )
    parser.add_argument("--local", metavar="FILE", help="local features of the images (HDF5)")
    parser.add_argument(
        "--tiles", type=tile_arguments.sides, metavar="S,S,...",
        help="for scenes (GeoTIFF or other): cut into tiles with these sides in pixels",
    )  # fmt: skip
    parser.add_argument(
        "--overlap", type=tile_arguments.overlap, metavar="X",
        help="overlap of neighbouring tiles, as a fraction of their side (default: 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--bands", type=tile_arguments.bands, metavar="R,G,B",
        help="three bands or one, counted from 1 (default: the first three, or the first)",
    )  # fmt: skip
    parser.add_argument(
        "--captions", metavar="FILE", help="captions for --rerank, one per line (train_caps.txt)"
    )
    parser.add_argument(
        "--kind",
        choices=("flat", "hnsw", "ivfpq"),
        help="index type: flat is exact; hnsw and ivfpq are approximate, for millions of images "
        "(default: that of the archive, flat for a new one)",
    )
    parser.add_argument(
        "--columns", metavar="FILE", help="CSV or Parquet file of columns for --where, by name"
    )
    parser.add_argument(
        "--only", metavar="FOLDER", action="append", default=[],
        help="look at this folder below --images and leave all others as they are (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--thumbnails", type=cli.at_least_1, default=0, metavar="S",
        help="store small pictures whose longer side is S pixels (default: none)",
    )  # fmt: skip
    parser.add_argument("--vocab", metavar="FILE", help="vocabulary, if the checkpoint has none")
    parser.add_argument("--path_opt", metavar="FILE", help="options, if the checkpoint has none")
    parser.add_argument(
        "--batch-size",
        type=cli.at_least_1,
        default=64,
        help="images per batch (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="rebuild the archive from scratch")
    parser.set_defaults(run=_index)


def _add_query(commands: Commands[cli.ArgumentParser]) -> None:
    parser = _add_command(commands, "query", QUERY)
    parser.add_argument("text", nargs="?", help="a sentence")
    parser.add_argument("--image", metavar="FILE", help="query image")
    parser.add_argument("--like", metavar="NAME", help="query image, by its name in the archive")
    _add_archive(parser)
    parser.add_argument(
        "--k", type=cli.at_least_1, default=20, help="number of results (default: %(default)s)"
    )
    parser.add_argument(
        "--weight",
        type=_share,
        default=0.5,
        help="weight of the sentence against an image, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--rerank", nargs="?", const="multivariate", default=False, metavar="METHOD",
        help="re-rank with the archive's captions as query bank: multivariate (default, the "
        "paper's, on the top k), inverted_softmax, qb_norm, csls, nnn, ... (docs/rerank.md)",
    )  # fmt: skip
    parser.add_argument(
        "--sheet", metavar="FILE", help="write a contact sheet of the results (PNG)"
    )
    parser.add_argument(
        "--bbox", type=tile_arguments.box, metavar="W,S,E,N",
        help="only tiles that intersect this box, in degrees (--bbox=-5,40,3,44)",
    )  # fmt: skip
    parser.add_argument(
        "--where", metavar="CONDITION",
        help="only images whose columns meet this condition of SQL (\"class = 'harbour'\")",
    )  # fmt: skip
    parser.add_argument("--geojson", metavar="FILE", help="write the tiles found as GeoJSON")
    parser.set_defaults(run=_query)


def _add_serve(commands: Commands[cli.ArgumentParser]) -> None:
    parser = _add_command(commands, "serve", SERVE)
    _add_archive(parser)
    parser.add_argument(
        "--local", metavar="FILE", help="local features the archive was built with, to show objects"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="port to listen on; 0: any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="additional host name to accept (repeatable)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--workers", type=cli.at_least_1, default=1,
        help="processes that answer, each with its own copy of the model (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--log", choices=("text", "json"), default="text",
        help="json: one JSON object per line, with a line for each request (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=_serve)


def _add_clean(commands: Commands[cli.ArgumentParser]) -> None:
    parser = _add_command(commands, "clean", CLEAN)
    _add_index_name(parser)
    parser.add_argument(
        "--older-than", type=_days, default=7.0, metavar="DAYS",
        help="age of the versions to delete, at least (default: %(default)g)",
    )  # fmt: skip
    parser.set_defaults(run=_clean)


def _add_migrate(commands: Commands[cli.ArgumentParser]) -> None:
    parser = _add_command(commands, "migrate", MIGRATE)
    parser.add_argument("old", metavar="OLD", help="the archive, which stays as it is")
    parser.add_argument("new", metavar="NEW", help="folder or address to write")
    parser.set_defaults(run=_migrate)


def _add_index_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--index", metavar="ARCHIVE", default="archive.index", help="(default: %(default)s)"
    )


def _add_encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder", metavar="MODULE:FUNCTION",
        help="function that returns an encoder of your own, in place of a checkpoint",
    )  # fmt: skip


def _add_archive(parser: argparse.ArgumentParser) -> None:
    _add_index_name(parser)
    _add_encoder(parser)
    parser.add_argument("--images", metavar="DIR", help="folder of the images, if moved")


def _index(arguments: argparse.Namespace) -> None:
    from galr.search.build import build_archive
    from galr.search.encoder import import_encoder
    from galr.search.store import Tiling

    values = {key: value for key, value in vars(arguments).items() if key != "run"}
    sides, overlap, bands = (values.pop(key) for key in ("tiles", "overlap", "bands"))
    if sides is None and (overlap is not None or bands is not None):
        raise UserError("--overlap, --bands", "need --tiles", "add --tiles 256, or omit them")
    tiles = None
    if sides is not None:
        tiles = Tiling(sides=sides, overlap=0.5 if overlap is None else overlap, bands=bands)
    name = values.pop("encoder")
    built = build_archive(**values, tiles=tiles, encoder=name and import_encoder(name))
    line = f"{arguments.out}: {built.images} images, {built.encoded} newly encoded"
    if built.unreadable:
        line += f"; {len(built.unreadable)} could not be read and were left out"
    sys.stdout.write(f"{line}\n")


def _query(arguments: argparse.Namespace) -> None:
    from galr.common.atomic import write_json
    from galr.search.archive import Archive
    from galr.search.encoder import import_encoder
    from galr.search.tiles import geojson

    archive = Archive.open(
        arguments.index,
        images=arguments.images,
        encoder=arguments.encoder and import_encoder(arguments.encoder),
    )
    text, rerank = arguments.text, arguments.rerank
    if rerank and text is None and " " in rerank:  # --rerank "a sentence"
        text, rerank = rerank, "multivariate"
    if text and text.strip() and not archive.encoder.knows_a_word(text):
        words = getattr(archive.encoder, "vocabulary", None)
        learned = 0 if words is None else len(words.words) - 1  # without <unk>
        known = f"the {learned} words of its training captions" if learned > 0 else "words"
        raise UserError("the sentence", "contains no word that the model knows", f"use {known}")
    like = None if arguments.like is None else archive.number_of(arguments.like)
    matches = archive.query(
        text,
        image=arguments.image,
        like=like,
        k=arguments.k,
        weight=arguments.weight,
        rerank=rerank,
        box=arguments.bbox,
        where=arguments.where,
    )
    if arguments.geojson is not None:
        if archive.tiles is None:
            raise UserError(
                "--geojson", "needs an archive of tiles", "build one with index --tiles"
            )
        features = [(each.rank, each.score, each.tile) for each in matches if each.tile]
        asked = " + ".join(part for part in (text, arguments.image, arguments.like) if part)
        write_json(Path(arguments.geojson), geojson(features, asked))
    unknown = archive.encoder.unknown_words(text or "")
    if unknown:
        logger.warning("words not in the vocabulary: %s", ", ".join(unknown))
    if arguments.sheet is None:
        sys.stdout.write(_table(matches))
        return
    from galr.search.sheet import contact_sheet, write_sheet

    title = " + ".join(part for part in (text, arguments.image, arguments.like) if part)
    write_sheet(arguments.sheet, contact_sheet(archive, matches, title))
    sys.stdout.write(f"{arguments.sheet}\n")


def _clean(arguments: argparse.Namespace) -> None:
    from galr.search.store import Store

    freed = Store(arguments.index).clean(arguments.older_than)
    sys.stdout.write(f"{arguments.index}: {freed} old versions deleted\n")


def _migrate(arguments: argparse.Namespace) -> None:
    from galr.search.migrate import migrate

    sys.stdout.write(f"{arguments.new}: {migrate(arguments.old, arguments.new)} images\n")


def _serve(arguments: argparse.Namespace) -> None:
    from galr.search.serve.command import serve

    serve(**{key: value for key, value in vars(arguments).items() if key != "run"})


def _table(matches: Sequence[Match]) -> str:
    """A line an image; after rerank with its place before, and the score that decided."""
    lines = ["rank   score  image"]
    if any(match.why for match in matches):
        lines = ["rank  was   score  rerank  image"]
    for match in matches:
        why = match.why
        was, decided = (f"{why.was:>5}", f"  {why.score:6.4f}") if why else ("", "")
        lines.append(
            f"{match.rank:>4}{was}  {match.score:6.4f}{decided}  {match.tile or match.name}"
        )
    return "".join(f"{line}\n" for line in lines)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 0 or more")
    return days


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, which is a number up to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(cli.run(main))
