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
from galr.search import arguments

if TYPE_CHECKING:
    from galr.search.archive import Match

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Indexes images as an archive and searches it by sentence, by image, or by both.

  python -m galr.search index --images DIR --checkpoint best.pth --out archive.index
  python -m galr.search query "many planes beside a terminal" --k 20
  python -m galr.search query --image scene.tif --sheet found.png
  python -m galr.search serve --index archive.index
"""

INDEX = """\
Encodes images once: those below a folder or an address, or those of a list.

Run the same command again to resume an interrupted build, or to update a finished archive: new and
changed images are encoded, deleted ones are removed.
"""

SERVE = """\
Serves a search page for an archive until Ctrl-C or SIGTERM (docs/web.md, docs/serving.md).

The server is reachable from this machine only, unless --host says otherwise. There is no password.
"""

CLEAN = """\
Deletes old versions of an archive and joins its small files.

A process that has opened one of these versions can no longer read it.
"""

QUERY = "Prints the images closest to a sentence, an image, or both: rank, cosine similarity, name."
MIGRATE = "Converts an archive of an earlier version to today's format; no image is encoded again."


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.search")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, add, run in (
        ("index", INDEX, arguments.add_index, _index),
        ("query", QUERY, arguments.add_query, _query),
        ("serve", SERVE, arguments.add_serve, _serve),
        ("clean", CLEAN, arguments.add_clean, _clean),
        ("migrate", MIGRATE, arguments.add_migrate, _migrate),
    ):
        command = commands.add_parser(name, description=text, help=text.partition("\n")[0])
        add(command)
        command.set_defaults(run=run)
    values = vars(parser.parse_args(argv))
    values.pop("run")(argparse.Namespace(**values))


def _index(asked: argparse.Namespace) -> None:
    from galr.scenes.tiles import Tiling
    from galr.search.build import build_archive
    from galr.search.encoder import import_encoder
    from galr.search.rows import Encoding

    values = vars(asked)
    sides, overlap, bands = (values.pop(key) for key in ("tiles", "overlap", "bands"))
    if sides is not None:
        overlap = 0.5 if overlap is None else overlap
        values["tiles"] = Tiling(sides=sides, overlap=overlap, bands=bands)
    elif overlap is not None or bands is not None:
        raise UserError("--overlap, --bands", "need --tiles", "add --tiles 256, or omit them")
    if values.pop("engine") == "ray":
        values["engine"] = Encoding.run_on_ray
    name = values.pop("encoder")
    built = build_archive(**values, encoder=name and import_encoder(name))
    line = f"{asked.out}: {built.images} images, {built.encoded} newly encoded"
    if built.unreadable:
        line += f"; {len(built.unreadable)} could not be read and were left out"
    sys.stdout.write(f"{line}\n")


def _query(asked: argparse.Namespace) -> None:
    from galr.common.atomic import atomic_path, write_json
    from galr.scenes.tiles import geojson
    from galr.search.archive import Archive
    from galr.search.sheet import contact_sheet

    archive = Archive.open(asked.index, images=asked.images, encoder=asked.encoder)
    text, rerank = asked.text, asked.rerank
    if rerank and text is None and " " in rerank:  # --rerank "a sentence"
        text, rerank = rerank, "multivariate"
    if text and text.strip() and not archive.encoder.knows_a_word(text):
        words = getattr(archive.encoder, "vocabulary", None)
        learned = 0 if words is None else len(words.words) - 1  # without <unk>
        known = f"the {learned} words of its training captions" if learned > 0 else "words"
        raise UserError("the sentence", "contains no word that the model knows", f"use {known}")
    if asked.geojson is not None and archive.tiles is None:
        raise UserError("--geojson", "needs an archive of tiles", "build one with index --tiles")
    like = None if asked.like is None else archive.number_of(asked.like)
    matches = archive.query(
        text, image=asked.image, like=like, k=asked.k, weight=asked.weight, rerank=rerank,
        box=asked.bbox, where=asked.where,
    )  # fmt: skip
    if unknown := archive.encoder.unknown_words(text or ""):
        logger.warning("words not in the vocabulary: %s", ", ".join(unknown))
    if not matches:
        logger.warning("no image of the archive meets the conditions")
    title = " + ".join(part for part in (text, asked.image, asked.like) if part)
    if asked.geojson is not None:
        features = [(each.rank, each.score, each.tile) for each in matches if each.tile]
        write_json(Path(asked.geojson), geojson(features, title))
    if asked.sheet is None:
        sys.stdout.write(_table(matches))
        return
    with atomic_path(asked.sheet) as temporary:
        contact_sheet(archive, matches, title).save(temporary, format="PNG")
    sys.stdout.write(f"{asked.sheet}\n")


def _clean(asked: argparse.Namespace) -> None:
    from galr.search.store import Store

    freed = Store(asked.index).clean(asked.older_than)
    sys.stdout.write(f"{asked.index}: {freed} old versions deleted\n")


def _migrate(asked: argparse.Namespace) -> None:
    from galr.search.migrate import migrate

    sys.stdout.write(f"{asked.new}: {migrate(asked.old, asked.new)} images\n")


def _serve(asked: argparse.Namespace) -> None:
    from galr.search.serve.command import serve

    serve(**vars(asked))


def _table(matches: Sequence[Match]) -> str:
    """A line an image; after rerank with its place before, and the score that decided."""
    lines = ["rank   score  image"]
    if any(match.why for match in matches):
        lines = ["rank  was   score  rerank  image"]
    for match in matches:
        why, shown = match.why, match.tile or match.name
        was, decided = (f"{why.was:>5}", f"  {why.score:6.4f}") if why else ("", "")
        lines.append(f"{match.rank:>4}{was}  {match.score:6.4f}{decided}  {shown}")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(cli.run(main))
