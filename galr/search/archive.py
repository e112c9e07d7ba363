"""An archive opened to be searched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from galr.common.errors import UserError
from galr.common.sql import overlaps
from galr.image_input import Picture
from galr.images.places import ImageFile, ImagePlace
from galr.metrics.similarities import FeatureProduct
from galr.model.comparison import alike
from galr.scenes.arguments import Box
from galr.scenes.tiles import Tile, best_of_places, read_scene, read_tile, scene_of
from galr.search.asked import Asked, embed
from galr.search.encoder import Encoder, Model, Own, comparison_of, import_encoder, read_model
from galr.search.images import Images, Near, best
from galr.search.reranking import MULTIVARIATE, Corrected, Hit, Reranking, Why
from galr.search.schema import Floats, vectors_of
from galr.search.store import DAMAGED, INDEX, Store
from galr.search.tiles import Tiles


class Match(NamedTuple):
    """An image that a query found; ``number`` is its place in the archive."""

    rank: int  # 1 is best
    number: int
    name: str  # relative to the folder of images
    score: float  # cosine similarity with the query
    why: Why | Corrected | None = None  # with re-ranking
    tile: Tile | None = None  # in an archive of tiles


class Archive:
    """Images by their embeddings, and the model that encodes a query.

    archive = Archive.open("archive.index")
    archive.query("many planes beside a terminal", k=5)
    archive.query(image="scene.tif")
    archive.query("with a pond", image="scene.tif", weight=0.3, where="month >= 6")
    """

    def __init__(
        self, store: Store, device: str | torch.device, encoder: Encoder | None = None
    ) -> None:
        self.store, self.device = store, device
        self.manifest, self._own = store.manifest(), encoder and Own(encoder)
        if "images" not in self.manifest.versions:
            remedy = f"run the same {INDEX} command again to resume"
            raise UserError(store.address, "is not finished", remedy)
        if encoder is not None and encoder.identity != self.manifest.checkpoint:
            what = f"was built with {self.manifest.encoder}, not with {encoder.identity}"
            raise UserError(store.address, what, "give the encoder that it was built with")
        self.place = ImagePlace(self.manifest.folder)
        self.files = Images(store, self.manifest)

    @classmethod
    def open(
        cls, path: str | Path = "archive.index", *, images: str | Path | None = None,
        device: str | torch.device = "cpu", encoder: Encoder | str | None = None,
    ) -> Archive:  # fmt: skip
        """Opens what ``python -m galr.search index`` made, as it is now.

        ``path`` may be an address such as ``s3://bucket/archive``. ``images``: folder or address of
        images that have moved. ``encoder``: the one that the archive was built with, where it does
        not hold it, or its ``module:function``. What others write later is not seen. The model is
        read with the first query. Raises UserError where there is no archive, or another encoder.
        """
        own = import_encoder(encoder) if isinstance(encoder, str) else encoder
        archive = cls(Store(path), device, own)
        if images is not None:
            archive.place = ImagePlace(images)
        return archive

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def encoder(self) -> Model:
        """The archive's model."""
        if self._own is None and self.manifest.own:
            remedy = "give it: Archive.open(path, encoder=...), or --encoder module:function"
            raise UserError(self.store.address, f"was built with {self.manifest.encoder}", remedy)
        return self._own or read_model(self.store, self.device)

    @cached_property
    def captions(self) -> tuple[list[str], Floats]:
        """The captions that rerank compares with, and their embeddings; both may be empty."""
        version = self.manifest.versions.get("captions")
        if version is None:
            return [], np.empty((0, self.files.dim), dtype=np.float32)
        rows = self.store.rows("captions", version)
        return rows["text"].to_pylist(), vectors_of(rows["vector"])

    @cached_property
    def tiles(self) -> Tiles | None:
        """Where the images lie, in an archive of tiles of scenes."""
        if self.manifest.tiles is None:
            return None
        scenes = self.store.rows("scenes", self.manifest.versions.get("scenes"))
        return Tiles(self.files.rows, scenes, self.manifest.tiles)

    @property
    def embeddings(self) -> Floats:
        """The embeddings (I, D) of all images by their numbers, read into memory."""
        return self.files.all_vectors

    def query(
        self, text: str | None = None, *, image: Picture | None = None, like: int | None = None,
        k: int = 20, weight: float = 0.5, rerank: bool | str = False, box: Box | None = None,
        where: str | None = None,
    ) -> list[Match]:  # fmt: skip
        """The k images nearest to a sentence, to an image, or to both, best first.

        ``image`` is a file or an RGB picture; ``like`` the number of an image of the archive.
        Where a sentence comes with an image, ``weight`` (0 to 1) is the sentence's share.
        ``rerank``, for a sentence alone: True or ``multivariate`` orders the k by the paper's
        score, another method of ``postprocessing.methods`` all images. In an archive of tiles,
        overlapping ones are one match, the best of them, and ``box`` (west, south, east, north in
        degrees) admits those that share ground with it. ``where`` admits the images that meet a
        condition of SQL on columns: ``class = 'harbour' AND month >= 6``.
        Raises UserError for an empty sentence, no query at all, an image that cannot be decoded, a
        condition that cannot be read, or a method that cannot be used for a single query.
        """
        asked = Asked(text, image, like, weight)
        query = self.embed_all([asked])[0]
        return self.found(query, asked, k=k, rerank=rerank, box=box, where=where)

    def found(
        self, query: Floats, asked: Asked, *, k: int = 20, rerank: bool | str = False,
        box: Box | None = None, where: str | None = None,
    ) -> list[Match]:  # fmt: skip
        """``query`` for what was asked and its embedding (D,)."""
        if k < 1 or not 0 <= asked.weight <= 1:
            raise ValueError(f"k must be at least 1 and weight in 0..1, got {k} and {asked.weight}")
        if box is not None and (self.tiles is None or rerank):
            what = "applies to all images" if rerank else "needs an archive of scene tiles"
            raise UserError("--bbox" if not rerank else "--rerank", what, "omit --bbox")
        if rerank and not asked.is_text:
            raise UserError("--rerank", "works for sentence queries only", "omit the image")
        conditions = [] if box is None else [f"({overlaps(*box)})"]
        if where and where.strip():
            self.files.check(where)
            conditions.append(f"({where})")
        admitted = " AND ".join(conditions) or None
        if rerank:
            method = "multivariate" if rerank is True else rerank
            return self._matches(self._reranked(query, k, method, admitted), k)

        def near(most: int) -> Near:
            return self._nearest_to(query, most, admitted, text=asked.is_text)

        if self.tiles is None:
            found = near(k)
        elif total := self.files.admitted(admitted):
            found = self.tiles.nearest(near, k, total)
        else:
            return []
        return self._matches([Hit(int(n), float(s)) for n, s in zip(*found, strict=True)], k)

    def _matches(self, hits: Sequence[Hit], k: int) -> list[Match]:
        """Of overlapping tiles the first is one match for all."""
        kept: list[tuple[Hit, Tile | None]] = [(hit, None) for hit in hits]
        if self.tiles is not None:
            tiles = self.tiles.all_of([hit.number for hit in hits])
            both = zip(*best_of_places(tiles, k), strict=True)
            kept = [(hits[one], tiles[one]._replace(merged=count)) for one, count in both]
        return [
            Match(rank, hit.number, self.files[hit.number].name, hit.score, hit.why, tile)
            for rank, (hit, tile) in enumerate(kept, start=1)
        ]

    def _reranked(self, query: Floats, k: int, method: str, where: str | None) -> list[Hit]:
        work = Reranking(self.store, self.manifest, self.files, self.encoder, self.captions[1])
        if method in MULTIVARIATE:
            nearest = self._nearest_to(query, k, where, text=True).numbers
            return work.multivariate(query, nearest, method)
        if where is not None:
            raise UserError("--rerank", f"{method} applies to all images", "omit --where")
        return work.corrected(query, k, method)

    def _nearest_to(self, query: Floats, k: int, where: str | None = None, *, text: bool) -> Near:
        """``nearest`` of one embedding (D,), of a sentence or an image: (K,) each."""
        compare = comparison_of(self.encoder)
        if compare is None:
            return self.nearest(query[None], k, where).first

        def similar(images: Floats) -> Floats:
            if text:
                return FeatureProduct(images, query[None], compare).T[:].numpy()
            return FeatureProduct(query[None], images, alike)[:].numpy()

        return self.files.best(similar, 1, k, where).first

    def nearest(self, queries: Floats, k: int, where: str | None = None) -> Near:
        """The numbers of the k images nearest to each of queries (Q, D), and their similarities."""
        return self.files.nearest(queries, k, where)

    def embed(
        self, text: str | None = None, *, image: Picture | None = None, like: int | None = None,
        weight: float = 0.5,
    ) -> Floats:  # fmt: skip
        """The embedding (D,) of a query, of length 1; arguments as in ``query``."""
        return self.embed_all([Asked(text, image, like, weight)])[0]

    def embed_all(self, asked: Sequence[Asked]) -> list[Floats]:
        """The embedding (D,) of each query; sentences and images are encoded in one batch each."""
        return embed(self.encoder, asked, self.files.vectors)

    def closest_captions(self, number: int, k: int = 5) -> list[tuple[str, float]]:
        """The reference captions that the model finds nearest to an image, with similarities."""
        captions, embeddings = self.captions
        image = self.files.vectors([number])
        similar = FeatureProduct(image, embeddings, comparison_of(self.encoder))[:].numpy()
        rows, scores = best(np.arange(len(captions))[None], similar, k).first
        return [(captions[row], float(score)) for row, score in zip(rows, scores, strict=True)]

    def number_of(self, name: str) -> int:
        """The number of the image of that name; UserError where there is none."""
        return self.files.number_of(name)

    def file_of(self, number: int) -> ImageFile:
        """The file of an image, or of a tile's scene, as it is now; UserError where it has gone."""
        name = scene_of(self.files[number].name)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            what = "names a file outside its folder of images"
            raise UserError(self.store.address, what, DAMAGED)
        return self.place.stat(name)

    def image(self, number: int) -> Image.Image:
        """An image of the archive as RGB."""
        name = self.file_of(number).name
        if self.tiles is None:
            return self.place.decode(name, self.encoder.scaling)
        window = self.tiles.of(number).window
        return read_tile(self.place.folder / name, self.tiles.scenes[name], window)

    def scene(self, number: int, longest: int) -> Image.Image:
        """The scene of a tile, its longer side reduced to at most ``longest`` pixels."""
        if self.tiles is None:
            raise ValueError("an archive of whole images has no scenes")
        name = self.file_of(number).name
        return read_scene(self.place.folder / name, self.tiles.scenes[name], longest)
