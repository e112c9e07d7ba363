"""The images of an archive at one version of its table: rows, vectors, and the nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.common.sql import check_brackets, quoted
from galr.images.places import ImageFile
from galr.search.schema import Floats, Manifest, vectors_of
from galr.search.store import Store, cells

BLOCK = 1 << 14  # vectors that are compared at a time
ROWS_KEPT = 20_000  # in memory
# approximate search: shares of what is looked at, and candidates whose scores are computed exactly
CELLS_SHARE, LEAST_CELLS, GRAPH_BREADTH, CANDIDATES = 1 / 32, 16, 256, 10
# conditions that admit fewer images, or a smaller share of all, are searched exactly
FEW, FEW_SHARE = 200_000, 0.05
CONDITION = "--where"

Numbers = NDArray[np.int64]


class Near(NamedTuple):
    """Images of each query, best first, and their scores: (Q, K) int64 and float32."""

    numbers: Numbers
    scores: Floats

    @property
    def first(self) -> Near:
        """Those of the first query: (K,)."""
        return Near(self.numbers[0], self.scores[0])


class Images(Sequence[ImageFile]):
    """Images by their numbers 0..I-1, which are in the order of the store's ids."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.kind = store, manifest.kind
        self.table = store.table("images", manifest.versions["images"])
        self._rows: dict[int, dict[str, Any]] = {}
        with store.told():
            ids = self.table.search().select(["_rowid"]).to_arrow()["_rowid"]
        self._ids = np.sort(ids.to_numpy().astype(np.int64))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: Any) -> Any:  # noqa: ANN401 - int: a file, slice: a list
        if isinstance(number, slice):
            return [self[each] for each in range(len(self))[number]]
        (row,) = self.rows([range(len(self))[number]])
        return ImageFile(row["name"], row["size"], row["time"])

    @cached_property
    def columns(self) -> list[str]:
        """What is known of an image beside its vector and thumbnail: what conditions may name."""
        return [n for n in self.table.schema.names if n not in ("vector", "thumbnail")]

    @property
    def dim(self) -> int:
        """D, the numbers of a vector."""
        return int(self.table.schema.field("vector").type.list_size)

    def rows(self, numbers: Sequence[int] | Numbers) -> list[dict[str, Any]]:
        """The ``columns`` of images."""
        if len(self._rows) > ROWS_KEPT:
            self._rows = {}
        kept = self._rows
        wanting = [int(number) for number in numbers if int(number) not in kept]
        if wanting:
            found = self.taken(wanting, self.columns)
            # Python has no times of nanoseconds
            place = found.schema.get_field_index("time")
            found = found.set_column(place, "time", found["time"].cast(pa.int64()))
            kept.update(zip(wanting, found.to_pylist(), strict=True))
        return [kept[int(number)] for number in numbers]

    def number_of(self, name: str) -> int:
        """The number of the image of that name; UserError where there is none."""
        with self.store.told():
            search = self.table.search().where(f"name = {quoted(name)}").select(["_rowid"])
            found = search.to_arrow()
        if not len(found):
            raise UserError(name, "is not in the archive", "names are relative to its folder")
        return int(self._numbers(found["_rowid"])[0])

    def vectors(self, numbers: Sequence[int] | Numbers) -> Floats:
        """Their vectors (N, D)."""
        return vectors_of(self.taken(numbers, ["vector"])["vector"])

    @cached_property
    def all_vectors(self) -> Floats:
        """The vectors (I, D) of all images, in memory."""
        found = np.empty((len(self), self.dim), np.float32)
        for numbers, vectors in self._blocks(None):
            found[numbers] = vectors
        return found

    def check(self, where: str) -> None:
        """Raises UserError for a condition that cannot be read."""
        remedy = f'write SQL on columns, such as "width > 500": {", ".join(self.columns)}'
        with self.store.told(f"{where!r} cannot be read", remedy, place=CONDITION):
            check_brackets(where)
            self.table.search().where(f"({where})").select(["name"]).limit(1).to_arrow()

    def admitted(self, where: str | None) -> int:
        """How many images meet a condition."""
        with self.store.told():
            return len(self) if where is None else int(self.table.count_rows(where))

    def nearest(self, queries: Floats, k: int, where: str | None = None) -> Near:
        """The k images of largest cosine with each of queries (Q, D), of length 1.

        Both (Q, K), best first; K is smaller than k where there are fewer images, or fewer that
        meet the condition ``where``, or that an approximate index found for any of the queries.
        """
        exact = self.kind == "flat" or (
            where is not None and self.admitted(where) <= max(FEW, FEW_SHARE * len(self))
        )
        if exact and len(queries) > 1:  # one reading of the vectors for all
            return self.best(lambda vectors: queries @ vectors.T, len(queries), k, where)
        found = [self._search(query, k, where, exact=exact) for query in queries]
        fewest = min((len(one.numbers) for one in found), default=0)
        numbers, scores = zip(*((n[:fewest], s[:fewest]) for n, s in found), strict=True)
        return Near(np.stack(numbers), np.stack(scores))

    def best(
        self, score: Callable[[Floats], Floats], queries: int, k: int, where: str | None = None
    ) -> Near:
        """As ``nearest``, by ``score``, of vectors (b, D) for the queries (Q, b), in blocks."""
        kept = Near(np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32))
        for numbers, vectors in self._blocks(where):
            own = score(vectors)
            both = np.concatenate([kept.numbers, np.broadcast_to(numbers, own.shape)], axis=1)
            kept = best(both, np.concatenate([kept.scores, own], axis=1), k)
        return kept

    def _search(self, query: Floats, k: int, where: str | None, *, exact: bool) -> Near:
        search = self.table.search(query).distance_type("cosine").limit(k)
        search = search.select(["_rowid", "vector", "_distance"])
        search = search if where is None else search.where(where, prefilter=True)
        if exact:
            search = search.bypass_vector_index()
        elif self.kind == "hnsw":
            search = search.nprobes(LEAST_CELLS).ef(max(GRAPH_BREADTH, CANDIDATES * k))
        else:
            search = search.nprobes(max(LEAST_CELLS, round(cells(len(self)) * CELLS_SHARE)))
        search = search if exact else search.refine_factor(CANDIDATES)
        with self.store.told():
            rows = search.to_arrow()
        numbers, scores = self._numbers(rows["_rowid"]), vectors_of(rows["vector"]) @ query
        return best(numbers[None], scores[None], k).first

    def _blocks(self, where: str | None) -> Iterator[tuple[Numbers, Floats]]:
        """Numbers (b,) and vectors (b, D) of all images, or of those that meet a condition."""
        search = self.table.search().with_row_id(True).select(["vector"])
        with self.store.told():
            for batch in (search if where is None else search.where(where)).to_batches(BLOCK):
                yield self._numbers(batch["_rowid"]), vectors_of(batch["vector"])

    def _numbers(self, ids: pa.Array) -> Numbers:
        return np.asarray(np.searchsorted(self._ids, ids.to_numpy().astype(np.int64)))

    def taken(self, numbers: Sequence[int] | Numbers, columns: list[str]) -> pa.Table:
        """Columns of images, in the order of ``numbers``."""
        wanted = np.asarray(numbers, np.int64)
        distinct, places = np.unique(wanted, return_inverse=True)
        if len(distinct) and not 0 <= distinct[0] <= distinct[-1] < len(self):
            raise IndexError(f"images have the numbers 0..{len(self) - 1}, got {wanted.tolist()}")
        with self.store.told():
            found = self.table.take_row_ids(self._ids[distinct].tolist())
            table = found.select(columns).with_row_id().to_arrow()
        order = np.argsort(table["_rowid"].to_numpy())
        return table.drop_columns(["_rowid"]).take(order[places]).combine_chunks()


def best(numbers: Numbers, scores: Floats, k: int) -> Near:
    """The k best of numbers (Q, R) by their scores (Q, R), equal ones by number."""
    kept = min(k, numbers.shape[1])
    found = Near(np.empty((len(numbers), kept), np.int64), np.empty((len(numbers), kept), "f4"))
    for query, own in enumerate(scores if kept else ()):
        # more than are wanted, where several are equal to the last one
        places = np.flatnonzero(own >= np.partition(own, -kept)[-kept])
        places = places[np.lexsort((numbers[query, places], -own[places]))][:kept]
        found.numbers[query], found.scores[query] = numbers[query, places], own[places]
    return found
