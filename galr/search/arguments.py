"""The arguments of the commands."""

from __future__ import annotations

import argparse

from galr.common import cli
from galr.scenes import arguments as tiling

# fmt: off

def add_index(parser: argparse.ArgumentParser) -> None:
    """Of ``index``."""
    add = parser.add_argument
    add("--images", metavar="DIR", required=True,
        help="folder of images, read recursively; or an address such as s3://bucket/images, or a "
        ".parquet list with a column path")
    add("--checkpoint", metavar="FILE", help="best.pth from train.py, or a folder of galr.export")
    _add_encoder(parser)
    add("--out", metavar="ARCHIVE", default="archive.index",
        help="archive to write, a folder or an address such as s3://... (default: %(default)s)")
    add("--local", metavar="FILE", help="local features of the images (HDF5)")
    add("--tiles", type=tiling.sides, metavar="S,S,...",
        help="for scenes (GeoTIFF or other): cut into tiles with these sides in pixels")
    add("--overlap", type=tiling.overlap, metavar="X",
        help="overlap of neighbouring tiles, as a fraction of their side (default: 0.5)")
    add("--bands", type=tiling.bands, metavar="R,G,B",
        help="three bands or one, counted from 1 (default: the first three, or the first)")
    add("--captions", metavar="FILE", help="captions for --rerank, one per line (train_caps.txt)")
    add("--kind", choices=("flat", "hnsw", "ivfpq"),
        help="index type: flat is exact; hnsw and ivfpq are approximate, for millions of images "
        "(default: that of the archive, flat for a new one)")
    add("--columns", metavar="FILE", help="CSV or Parquet file of columns for --where, by name")
    add("--only", metavar="FOLDER", action="append", default=[],
        help="look at this folder below --images and leave all others as they are (repeatable)")
    add("--thumbnails", type=cli.at_least_1, default=0, metavar="S",
        help="store small pictures whose longer side is S pixels (default: none)")
    add("--vocab", metavar="FILE", help="vocabulary, if the checkpoint has none")
    add("--path_opt", metavar="FILE", help="options, if the checkpoint has none")
    add("--batch-size", type=cli.at_least_1, default=64, help="images per batch (default: 64)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--engine", choices=("local", "ray"), default="local",
        help="ray: decode and encode on the machines of a Ray cluster (default: %(default)s; "
        "docs/scale.md)")
    add("--overwrite", action="store_true", help="rebuild the archive from scratch")


def add_query(parser: argparse.ArgumentParser) -> None:
    """Of ``query``."""
    add = parser.add_argument
    add("text", nargs="?", help="a sentence")
    add("--image", metavar="FILE", help="query image")
    add("--like", metavar="NAME", help="query image, by its name in the archive")
    _add_archive(parser)
    add("--k", type=cli.at_least_1, default=20, help="number of results (default: %(default)s)")
    add("--weight", type=cli.within(0, 1), default=0.5,
        help="weight of the sentence against an image, 0 to 1 (default: %(default)s)")
    add("--rerank", nargs="?", const="multivariate", default=False, metavar="METHOD",
        help="re-rank with the archive's captions as query bank: multivariate (default, the "
        "paper's, on the top k), inverted_softmax, qb_norm, csls, nnn, ... (docs/rerank.md)")
    add("--sheet", metavar="FILE", help="write a contact sheet of the results (PNG)")
    add("--bbox", type=tiling.box, metavar="W,S,E,N",
        help="only tiles that intersect this box, in degrees (--bbox=-5,40,3,44)")
    add("--where", metavar="CONDITION",
        help="only images whose columns meet this condition of SQL (\"class = 'harbour'\")")
    add("--geojson", metavar="FILE", help="write the tiles found as GeoJSON")


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Of ``serve``."""
    add = parser.add_argument
    _add_archive(parser)
    add("--local", metavar="FILE", help="local features of the archive, to show objects")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=cli.within(0, 65535, int), default=8000,
        help="port to listen on; 0: any free port (default: %(default)s)")
    add("--allow-host", metavar="NAME", action="append", default=[],
        help="additional host name to accept (repeatable)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--workers", type=cli.at_least_1, default=1,
        help="processes that answer, each with its own copy of the model (default: %(default)s)")
    add("--log", choices=("text", "json"), default="text",
        help="json: one JSON object per line, with a line for each request (default: %(default)s)")


def add_clean(parser: argparse.ArgumentParser) -> None:
    """Of ``clean``."""
    _add_index_name(parser)
    parser.add_argument("--older-than", type=cli.within(0, 36500), default=7.0, metavar="DAYS",
        help="age of the versions to delete, at least (default: %(default)g)")


def add_migrate(parser: argparse.ArgumentParser) -> None:
    """Of ``migrate``."""
    parser.add_argument("old", metavar="OLD", help="the archive, which stays as it is")
    parser.add_argument("new", metavar="NEW", help="folder or address to write")


def _add_archive(parser: argparse.ArgumentParser) -> None:
    _add_index_name(parser)
    _add_encoder(parser)
    parser.add_argument("--images", metavar="DIR", help="folder of the images, if moved")


def _add_index_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", metavar="ARCHIVE", default="archive.index",
        help="archive, a folder or an address (default: %(default)s)")


def _add_encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", metavar="MODULE:FUNCTION",
        help="function that returns an encoder of your own, in place of a checkpoint")
