"""An archive opened to be searched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from galr.common.errors import UserError
from galr.evaluation.reranking import method_settings
from galr.images.decoding import decode_image
from galr.metrics.similarities import Compare, FeatureProduct
from galr.model.comparison import Cosine, alike
from galr.pictures import Picture, square_pixels
from galr.search.approximate import Approximate
from galr.search.exact import Exact, Found, best
from galr.search.storage import (
    DAMAGED,
    INDEX,
    MODEL,
    Floats,
    ImageFile,
    Manifest,
    read_captions,
    read_manifest,
    read_rows,
    read_statistics,
    statistics_name,
    tiles_name,
    write_statistics,
)
from galr.search.tile_arguments import Box
from galr.search.tiles import Tile, Tiles, read_scene, read_tile, window_of
from galr.trained_model import TrainedModel, load
from postprocessing.banks import Bank
from postprocessing.explain import explain
from postprocessing.methods import METHODS, order_by

MULTIVARIATE = ("multivariate", "saliency", "rank", "reverse")
# methods for one query and a bank of captions
USABLE = tuple(
    name
    for name, method in METHODS.items()
    if method.bank == "optional" or not (method.transductive or method.bank == "required")
)
SAME = 1 - 1e-6  # cosine similarity of two sentences with the same words


class Why(NamedTuple):
    """The weighted terms of the rerank score, and the places behind them, 1 is best."""

    score: float
    saliency: float
    rank: float
    reverse: float
    was: int  # place before rerank
    own_place: int  # of the query among the captions in the image's list


class Corrected(NamedTuple):
    """The score of a method that corrects similarities, and the place before it, 1 is best."""

    score: float
    was: int


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
    archive.query("with a pond", image="scene.tif", weight=0.3)
    """

    def __init__(self, path: Path, manifest: Manifest, device: str | torch.device) -> None:
        if manifest.images is None:
            raise UserError(
                path, "is not finished", f"run the same {INDEX} command again to resume"
            )
        self.path, self.manifest, self.device = path, manifest, device
        self.folder = Path(manifest.folder)
        files, self.embeddings = read_rows(path / manifest.images)
        self.files: Sequence[ImageFile] = files
        self._nearest = (
            Exact(self.embeddings)
            if manifest.approximate is None
            else Approximate(path / manifest.approximate, self.embeddings)
        )
        self._numbers: dict[str, int] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path = "archive.index",
        *,
        images: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> Archive:
        """Opens what ``python -m galr.search index`` made.

        ``images`` is the folder of images where it has moved. Embeddings are mapped into memory,
        and the model is read with the first query. Raises UserError where there is no archive.
        """
        archive = cls(Path(path), read_manifest(Path(path)), device)
        if images is not None:
            archive.folder = Path(images)
        return archive

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def encoder(self) -> TrainedModel:
        """The archive's model."""
        return load(self.path / MODEL, self.device)

    @cached_property
    def captions(self) -> tuple[list[str], Floats]:
        """The captions that rerank compares with, and their embeddings; both may be empty."""
        if self.manifest.captions is None:
            return [], np.empty((0, self.embeddings.shape[1]), dtype=np.float32)
        return read_captions(self.path / self.manifest.captions)

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
    ) -> list[Match]:
        """The k images nearest to a sentence, to an image, or to both, best first.

        ``image`` is a file or an RGB picture; ``like`` the number of an image of the archive.
        Where a sentence comes with an image, ``weight`` (0 to 1) is the sentence's share.
        ``rerank``, for a sentence alone: True or ``multivariate`` orders the k by the paper's score
        (``reranked``), another method of ``postprocessing.methods`` all images (``corrected``).
        In an archive of tiles, overlapping ones are one match, the best of them, and ``box`` (west,
        south, east, north in degrees) admits those that share ground with it.
        Raises UserError for an empty sentence, no query at all, an image that cannot be decoded, or
        a method that cannot be used for a single query.
        """
        asked = Asked(text, image, like, weight)
        return self.found(self.embed_all([asked])[0], asked, k=k, rerank=rerank, box=box)

    def found(
        self,
        query: Floats,
        asked: Asked,
        *,
        k: int = 20,
        rerank: bool | str = False,
        box: Box | None = None,
    ) -> list[Match]:
        """``query`` for what was asked and its embedding (D,)."""
        if k < 1 or not 0 <= asked.weight <= 1:
            raise ValueError(f"k must be at least 1 and weight in 0..1, got {k} and {asked.weight}")
        if box is not None and (self.tiles is None or rerank):
            what = "applies to all images" if rerank else "needs an archive of scene tiles"
            raise UserError("--bbox" if not rerank else "--rerank", what, "omit --bbox")
        alone = asked.is_text
        if rerank:
            if not alone:
                raise UserError("--rerank", "works for sentence queries only", "omit the image")
            method = "multivariate" if rerank is True else rerank
            order = self.reranked if method in MULTIVARIATE else self.corrected
            return self._places(order(query, k, method))
        if self.tiles is not None:
            return self._tiles_near(query, k, box, text=alone)
        rows, scores = self._nearest_to(query, k, text=alone)
        return [
            Match(rank, int(row), self.files[row].name, float(score))
            for rank, (row, score) in enumerate(zip(rows[0], scores[0], strict=True), start=1)
        ]

    @cached_property
    def tiles(self) -> Tiles | None:
        """Where the images lie, in an archive of tiles of scenes."""
        if self.manifest.tiles is None:
            return None
        return Tiles(self.path / tiles_name(self.manifest), self.manifest.tiles)

    def _tiles_near(self, query: Floats, k: int, box: Box | None, *, text: bool) -> list[Match]:
        assert self.tiles is not None
        among = None if box is None else self.tiles.within(box)
        total = len(self) if among is None else len(among)
        if total == 0:
            return []
        found = self.tiles.distinct(
            lambda most: self._nearest_to(query, most, text=text, among=among), k, total
        )
        return [
            Match(rank, row, self.files[row].name, score, tile=self.tiles.of(row, merged))
            for rank, (row, score, merged) in enumerate(found, start=1)
        ]

    def _places(self, matches: list[Match]) -> list[Match]:
        """The matches, of overlapping tiles the first."""
        if self.tiles is None:
            return matches
        kept, counts = self.tiles.merged(np.array([match.number for match in matches], np.int64))
        return [
            matches[one]._replace(rank=rank, tile=self.tiles.of(matches[one].number, merged))
            for rank, (one, merged) in enumerate(zip(kept, counts, strict=True), start=1)
        ]

    @cached_property
    def _compare(self) -> Compare | None:
        """Similarities of images with captions, for a model where they are not a product."""
        comparison = self.encoder.model.comparison
        return None if isinstance(comparison, Cosine) else comparison

    def _with_texts(self, texts: Floats, rows: NDArray[np.int64] | None = None) -> FeatureProduct:
        """Similarities (C, I) of sentences' embeddings (C, D) with all images, or some."""
        images = self.embeddings if rows is None else self.embeddings[rows]
        return FeatureProduct(images, texts, self._compare).T

    def _nearest_to(
        self, query: Floats, k: int, *, text: bool, among: NDArray[np.int64] | None = None
    ) -> Found:
        """``nearest`` of one embedding (D,), of a sentence or an image, ``among`` some images."""
        if self._compare is None:
            if among is not None:
                return Exact(self.embeddings, among=among).search(query[None], k)
            return self.nearest(query[None], k)
        rows = np.arange(len(self)) if among is None else among
        images = self._with_texts(query[None], among)
        if not text:
            images = FeatureProduct(query[None], self.embeddings[rows], alike)
        return best(rows[None], images[:].numpy(), k)

    def nearest(self, queries: Floats, k: int) -> Found:
        """The numbers of the k images nearest to each of queries (Q, D), and their similarities.

        Both (Q, K), best first; K is smaller than k where the archive, or what an approximate index
        found for any of the queries, is.
        """
        return self._nearest.search(queries, k)

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
            row = np.asarray(self.embeddings[self._checked(asked.like)])
            parts.append((1 - asked.weight, row))
        if not parts:
            raise UserError("the query", "is empty", "give a sentence, an image or both")
        if len(parts) == 1 and self._compare is None:
            return parts[0][1]
        if text is not None and self._compare is not None:
            if len(parts) == 1:
                return parts[0][1]
            raise UserError(
                "the query",
                f"combines a sentence and an image, but {self.encoder.options.model.name} has no "
                "joint embedding space",
                "search by one of the two",
            )
        mixed = np.sum([share * part for share, part in parts], axis=0, dtype=np.float32)
        return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-12), dtype=np.float32)

    def reranked(self, query: Floats, k: int, method: str = "multivariate") -> list[Match]:
        """The k images nearest to a sentence's embedding (D,), in the order of the paper's score.

        ``method``: the whole score, or one of its terms. An image's list, which saliency and
        reverse rank are taken from, holds the archive's reference captions and the query. Raises
        UserError where the archive holds no captions.
        """
        references = self._references()
        rows = self._nearest_to(query, k, text=True).rows[0]
        # where the sentence is itself a reference, it is in the lists once
        lengths = np.linalg.norm(references, axis=1) * np.linalg.norm(query)
        references = references[references @ query < SAME * lengths]
        lists = self._with_texts(np.concatenate([references, query[None]]), rows)[:]
        settings = method_settings(self.encoder.options.rerank, method)
        multivariate = replace(settings.weighted(), k=k, ties="stable")
        found = []
        for one in explain(lists, len(references), multivariate):
            number = int(rows[one.candidate])
            why = Why(one.score, one.saliency, one.rank, one.reverse, one.was, one.own_place)
            found.append(Match(one.now, number, self.files[number].name, one.similarity, why))
        return found

    def corrected(self, query: Floats, k: int, method: str) -> list[Match]:
        """The k best images for a sentence's embedding (D,) by a method that corrects similarities.

        The archive's reference captions are the bank. What the method reads of it is computed for
        all images with the first query, and kept in the archive. Raises UserError for a method that
        reads other queries, or a bank of images, and where the archive holds no captions.
        """
        _check_method(method)
        bank = Bank(self._with_texts(self._references()))
        settings = method_settings(self.encoder.options.rerank, method)
        similarity = self._with_texts(query[None])
        before = set(self._statistics)
        order = order_by(similarity, settings, bank, cache=self._statistics)
        if set(self._statistics) - before:
            arrays = {name: values.numpy() for name, values in self._statistics.items()}
            write_statistics(self.path / statistics_name(self.manifest), arrays)
        rows, scores = (part[0].numpy() for part in order.best(k))
        plain = similarity[:][0].numpy().astype(np.float64)
        return [
            Match(
                rank,
                int(row),
                self.files[row].name,
                float(plain[row]),
                Corrected(float(score), 1 + int((plain > plain[row]).sum())),
            )
            for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
        ]

    @cached_property
    def _statistics(self) -> dict[str, Tensor]:
        """What methods have read of the bank so far, by name; each (I,)."""
        stored = read_statistics(self.path / statistics_name(self.manifest))
        return {
            name: torch.from_numpy(values)
            for name, values in stored.items()
            if values.shape == (len(self),)
        }

    def _references(self) -> Floats:
        _, references = self.captions
        if not len(references):
            raise UserError(
                self.path,
                "has no captions, which re-ranking needs",
                "add some: run the index command again with --captions FILE",
            )
        return references

    def closest_captions(self, number: int, k: int = 5) -> list[tuple[str, float]]:
        """The reference captions that the model finds nearest to an image, with similarities."""
        captions, embeddings = self.captions
        image = self.embeddings[[self._checked(number)]]
        similarity = FeatureProduct(image, embeddings, self._compare)[:].numpy()
        rows, scores = best(np.arange(len(captions))[None], similarity, k)
        return [
            (captions[row], float(score)) for row, score in zip(rows[0], scores[0], strict=True)
        ]

    def number_of(self, name: str) -> int:
        """The number of the image of that name; UserError where there is none."""
        if self._numbers is None:
            self._numbers = {file.name: number for number, file in enumerate(self.files)}
        if name not in self._numbers:
            raise UserError(name, "is not in the archive", "names are relative to its folder")
        return self._numbers[name]

    def image_path(self, number: int) -> Path:
        """The file of an image, or of a tile's scene; UserError where it has gone."""
        name, _ = window_of(self.files[self._checked(number)].name)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(self.path, "names a file outside its folder of images", DAMAGED)
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
        facts = self.tiles.scenes[self.tiles.of(self._checked(number)).scene]
        return read_scene(self.image_path(number), facts, longest)

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self):
            raise IndexError(f"images have the numbers 0..{len(self) - 1}, got {number}")
        return number


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise UserError("--rerank", f"unknown method {method!r}", f"use {', '.join(USABLE)}")
    if method not in USABLE:
        read = "other queries" if METHODS[method].transductive else "a bank of images"
        raise UserError(
            "--rerank",
            f"{method} needs {read}, but a search has one query and a bank of captions",
            f"use {', '.join(USABLE)}",
        )
