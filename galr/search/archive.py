"""An archive opened to be searched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from galr.common.errors import UserError
from galr.image_input import Picture, square_pixels
from galr.images.decoding import decode_image
from galr.metrics.similarities import Compare, FeatureProduct
from galr.model.comparison import alike
from galr.search.encoder import Encoder, Model, Own, comparison_of
from galr.search.images import Images, Near, best
from galr.search.kept_model import read_model
from galr.search.reranking import MULTIVARIATE, Corrected, Reranking, Why
from galr.search.store import DAMAGED, INDEX, Floats, Store, vectors_of
from galr.search.tile_arguments import Box
from galr.search.tiles import Tile, Tiles, read_scene, read_tile, window_of, within


class Asked(NamedTuple):
    """What one query shows; the fields are as in ``Archive.query``."""

    text: str | None = None
    image: Picture | None = None
    like: int | None = None
    weight: float = 0.5

    @property
    def is_text(self) -> bool:
        """Whether it is a sentence alone."""
        return self.text is not None and self.image is None and self.like is None


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
        self.folder = Path(self.manifest.folder)
        self.files = Images(store, self.manifest)

    @classmethod
    def open(
        cls,
        path: str | Path = "archive.index",
        *,
        images: str | Path | None = None,
        device: str | torch.device = "cpu",
        encoder: Encoder | None = None,
    ) -> Archive:
        """Opens what ``python -m galr.search index`` made, as it is now.

        ``path`` may be an address such as ``s3://bucket/archive``. ``images`` is the folder of
        images where it has moved, ``encoder`` the one that the archive was built with, where that
        is none of this project. What others write later is not seen. The model is read with the
        first query. Raises UserError where there is no archive, or it has another encoder.
        """
        archive = cls(Store(path), device, encoder)
        if images is not None:
            archive.folder = Path(images)
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
        if "captions" not in self.manifest.versions:
            return [], np.empty((0, self.files.dim), dtype=np.float32)
        table = self.store.table("captions", self.manifest.versions["captions"])
        with self.store.told():
            rows = table.search().to_arrow()
        return rows["text"].to_pylist(), vectors_of(rows["vector"])

    @property
    def embeddings(self) -> Floats:
        """The embeddings (I, D) of all images by their numbers, read into memory."""
        return self.files.all_vectors

    def query(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        like: int | None = None,
        k: int = 20,
        weight: float = 0.5,
        rerank: bool | str = False,
        box: Box | None = None,
        where: str | None = None,
    ) -> list[Match]:
        """The k images nearest to a sentence, to an image, or to both, best first.

        ``image`` is a file or an RGB picture; ``like`` the number of an image of the archive.
        Where a sentence comes with an image, ``weight`` (0 to 1) is the sentence's share.
        ``rerank``, for a sentence alone: True or ``multivariate`` orders the k by the paper's score
        (``reranked``), another method of ``postprocessing.methods`` all images (``corrected``).
        In an archive of tiles, overlapping ones are one match, the best of them, and ``box`` (west,
        south, east, north in degrees) admits those that share ground with it. ``where`` admits the
        images that meet a condition of SQL on columns: ``class = 'harbour' AND month >= 6``.
        Raises UserError for an empty sentence, no query at all, an image that cannot be decoded, a
        condition that cannot be read, or a method that cannot be used for a single query.
        """
        asked = Asked(text, image, like, weight)
        query = self.embed_all([asked])[0]
        return self.found(query, asked, k=k, rerank=rerank, box=box, where=where)

    def found(
        self,
        query: Floats,
        asked: Asked,
        *,
        k: int = 20,
        rerank: bool | str = False,
        box: Box | None = None,
        where: str | None = None,
    ) -> list[Match]:
        """``query`` for what was asked and its embedding (D,)."""
        if k < 1 or not 0 <= asked.weight <= 1:
            raise ValueError(f"k must be at least 1 and weight in 0..1, got {k} and {asked.weight}")
        if box is not None and (self.tiles is None or rerank):
            what = "applies to all images" if rerank else "needs an archive of scene tiles"
            raise UserError("--bbox" if not rerank else "--rerank", what, "omit --bbox")
        if rerank and not asked.is_text:
            raise UserError("--rerank", "works for sentence queries only", "omit the image")
        admitted = self.condition(where, box)
        if rerank:
            return self._reranked(query, k, "multivariate" if rerank is True else rerank, admitted)
        if self.tiles is not None:
            return self._tiles_near(query, k, admitted, text=asked.is_text)
        found = self._nearest_to(query, k, admitted, text=asked.is_text)
        rows = zip(found.numbers.tolist(), found.scores.tolist(), strict=True)
        return [
            Match(rank, number, self.files[number].name, score)
            for rank, (number, score) in enumerate(rows, start=1)
        ]

    def condition(self, where: str | None, box: Box | None = None) -> str | None:
        """The condition of SQL for both; UserError for one that cannot be read."""
        both = [] if box is None else [f"({within(box)})"]
        if where and where.strip():
            self.files.check(where)
            both.append(f"({where})")
        return " AND ".join(both) or None

    def _reranked(self, query: Floats, k: int, method: str, where: str | None) -> list[Match]:
        references = self.captions[1]
        work = Reranking(self.store, self.manifest, self.files, self.encoder, references)
        if method in MULTIVARIATE:
            nearest = self._nearest_to(query, k, where, text=True).numbers
            found = work.multivariate(query, nearest, method)
        elif where is None:
            found = work.corrected(query, k, method)
        else:
            raise UserError("--rerank", f"{method} applies to all images", "omit --where")
        if self.tiles is None:
            kept, counts = list(range(len(found))), [1] * len(found)
        else:  # of overlapping tiles the first
            kept, counts = self.tiles.merged([one.number for one in found])
        return [
            Match(
                rank,
                found[one].number,
                self.files[found[one].number].name,
                found[one].similarity,
                found[one].why,
                None if self.tiles is None else self.tiles.of(found[one].number, merged),
            )
            for rank, (one, merged) in enumerate(zip(kept, counts, strict=True), start=1)
        ]

    @cached_property
    def tiles(self) -> Tiles | None:
        """Where the images lie, in an archive of tiles of scenes."""
        if self.manifest.tiles is None:
            return None
        table = self.store.table("scenes", self.manifest.versions.get("scenes"))
        with self.store.told():
            return Tiles(self.files.rows, table.search().to_arrow(), self.manifest.tiles)

    def _tiles_near(self, query: Floats, k: int, where: str | None, *, text: bool) -> list[Match]:
        assert self.tiles is not None
        if not (total := self.files.admitted(where)):
            return []
        found = self.tiles.distinct(
            lambda most: self._nearest_to(query, most, where, text=text), k, total
        )
        return [
            Match(rank, number, self.files[number].name, score, tile=self.tiles.of(number, merged))
            for rank, (number, score, merged) in enumerate(found, start=1)
        ]

    @cached_property
    def _compare(self) -> Compare | None:
        """Similarities of images with captions, for a model where they are no cosine."""
        return comparison_of(self.encoder)

    def _nearest_to(self, query: Floats, k: int, where: str | None = None, *, text: bool) -> Near:
        """``nearest`` of one embedding (D,), of a sentence or an image: (K,) each."""
        if self._compare is None:
            return self.nearest(query[None], k, where).first

        def similar(images: Floats) -> Floats:
            if text:
                return FeatureProduct(images, query[None], self._compare).T[:].numpy()
            return FeatureProduct(query[None], images, alike)[:].numpy()

        return self.files.best(similar, 1, k, where).first

    def nearest(self, queries: Floats, k: int, where: str | None = None) -> Near:
        """The numbers of the k images nearest to each of queries (Q, D), and their similarities.

        Both (Q, K), best first; K is smaller than k where the archive, or what meets the condition
        ``where``, or what an approximate index found for any of the queries, is.
        """
        return self.files.nearest(queries, k, where)

    def embed(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        like: int | None = None,
        weight: float = 0.5,
    ) -> Floats:
        """The embedding (D,) of a query, of length 1; arguments as in ``query``."""
        return self.embed_all([Asked(text, image, like, weight)])[0]

    def embed_all(self, asked: Sequence[Asked]) -> list[Floats]:
        """The embedding (D,) of each query; sentences and images are encoded in one batch each."""
        texts = dict.fromkeys(one.text for one in asked if one.text is not None)
        if not all(text.strip() for text in texts):
            raise UserError("the sentence", "is empty", "describe what the images should show")
        encoder = self.encoder
        of_text: dict[str, Floats] = {}
        if texts:
            of_text = dict(zip(texts, encoder.encode_texts(list(texts)).numpy(), strict=True))
        pictures = [one.image for one in asked if one.image is not None]
        of_image: Iterator[Floats] = iter(())
        if pictures:
            pixels = [
                square_pixels(each, encoder.side, "the image", encoder.scaling) for each in pictures
            ]
            of_image = iter(encoder.encode_pixels(np.stack(pixels)).numpy())
        return [
            self._mixed(
                one,
                None if one.text is None else of_text[one.text],
                None if one.image is None else next(of_image),
            )
            for one in asked
        ]

    def _mixed(self, asked: Asked, text: Floats | None, image: Floats | None) -> Floats:
        parts = [] if text is None else [(asked.weight, text)]
        if image is not None:
            parts.append((1 - asked.weight, image))
        if asked.like is not None:
            parts.append((1 - asked.weight, self.files.vectors([asked.like])[0]))
        if not parts:
            raise UserError("the query", "is empty", "give a sentence, an image or both")
        if len(parts) == 1 and self._compare is None:
            return parts[0][1]
        if text is not None and self._compare is not None:
            if len(parts) == 1:
                return parts[0][1]
            raise UserError(
                "the query",
                "combines a sentence and an image, but the archive's model has no joint embedding "
                "space",
                "search by one of the two",
            )
        mixed = np.sum([share * part for share, part in parts], axis=0, dtype=np.float32)
        return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), dtype=np.float32)

    def closest_captions(self, number: int, k: int = 5) -> list[tuple[str, float]]:
        """The reference captions that the model finds nearest to an image, with similarities."""
        captions, embeddings = self.captions
        image = self.files.vectors([number])
        similarity = FeatureProduct(image, embeddings, self._compare)[:].numpy()
        rows, scores = best(np.arange(len(captions))[None], similarity, k).first
        return [(captions[row], float(score)) for row, score in zip(rows, scores, strict=True)]

    def number_of(self, name: str) -> int:
        """The number of the image of that name; UserError where there is none."""
        return self.files.number_of(name)

    def image_path(self, number: int) -> Path:
        """The file of an image, or of a tile's scene; UserError where it has gone."""
        name, _ = window_of(self.files[number].name)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(
                self.store.address, "names a file outside its folder of images", DAMAGED
            )
        path = self.folder / name
        if not os.path.isfile(path):
            raise UserError(path, "the image no longer exists", "pass the image folder as images=")
        return path

    def image(self, number: int) -> Image.Image:
        """An image of the archive as RGB."""
        path = self.image_path(number)
        if self.tiles is not None:
            tile = self.tiles.of(number)
            return read_tile(path, self.tiles.scenes[tile.scene], tile.window)
        return decode_image(path, self.encoder.scaling)

    def scene(self, number: int, longest: int) -> Image.Image:
        """The scene of a tile, its longer side reduced to at most ``longest`` pixels."""
        if self.tiles is None:
            raise ValueError("an archive of whole images has no scenes")
        facts = self.tiles.scenes[self.tiles.of(number).scene]
        return read_scene(self.image_path(number), facts, longest)
