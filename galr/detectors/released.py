"""Reads the released code's pickled dictionaries without running any code in them.

``np.save`` of ``{"local_rep": {name.txt: (N, F)}, "adj_matrix": {name.txt: (N, N)}}``. A pickle is
a program, but it is given no function here: the names required by NumPy arrays are replaced by
stand-ins that only record their arguments; any other name stops the reader.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.local_features.names import shown

MOST_NUMBERS = (
    1_000_000  # in a matrix; nested lists may reference each other more often than memory allows
)


class _Refused(Exception):
    """The reason why the file is refused."""


class Released(NamedTuple):
    """names I, representation (I, N, F), adjacency (I, N, N), float32."""

    names: list[str]
    representation: NDArray[np.float32]
    adjacency: NDArray[np.float32]


def read_released(path: str | Path) -> Released:
    """The matrices of a released file; raises UserError if it contains anything else."""
    try:
        stream = Path(path).read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "name a .npy file") from None
    try:
        return _matrices(_load(_pickle_of(stream)))
    except _Refused as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - damaged bytes raise almost anything
        reason = f"it is damaged ({str(error) or type(error).__name__:.100})"
    raise UserError(
        path,
        f"is refused, and none of its code was run: {reason}",
        "give the released file of local_rep and adj_matrix",
    )


def _pickle_of(stream: bytes) -> bytes:
    """The data after the header of a .npy file, or a bare pickle."""
    if not stream.startswith(np.lib.format.MAGIC_PREFIX):
        return stream
    file = io.BytesIO(stream)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        _, _, dtype = read(file)
    except (ValueError, UnicodeDecodeError, EOFError) as error:
        raise _Refused(f"its header is damaged ({error})") from None
    if not dtype.hasobject:
        raise _Refused(f"it contains numbers ({dtype}), not a dictionary")
    return file.read()


def _load(stream: bytes) -> Any:  # noqa: ANN401 - a pickle is any value
    for code, argument, _ in pickletools.genops(stream):
        # the reader would allocate that many
        if code.name in ("PUT", "LONG_BINPUT") and int(str(argument)) > len(stream):
            raise _Refused("its memo is larger than the file")
    return _Reader(io.BytesIO(stream), encoding="latin1").load()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a stand-in
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise _Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        raise _Refused("it refers to objects outside the file")


class _Type:
    """Stands in for numpy.dtype: a code such as f8, and a byte order."""

    code: Any = None
    order: Any = "<"

    def __init__(self, code: Any, *_: object) -> None:  # noqa: ANN401 - whatever the file holds
        self.code = code

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever the file holds
        self.order = state[1]

    def real(self) -> np.dtype[Any]:
        """The dtype, if numeric."""
        if not isinstance(self.code, str) or self.code not in _NUMBERS:
            raise _Refused("an array is not numeric")
        kind: np.dtype[Any] = np.dtype(self.code).newbyteorder(self.order)
        return kind


class _Array:
    """Stands in for numpy.ndarray: its shape, dtype and bytes (or objects)."""

    shape: Any = None
    type: Any = None
    columns_first: Any = False
    data: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever the file holds
        _, self.shape, self.type, self.columns_first, self.data = state

    def real(self) -> NDArray[np.float64]:
        """The numbers."""
        if not isinstance(self.type, _Type) or not isinstance(self.data, bytes | bytearray | str):
            raise _Refused("an array contains no numbers")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        try:
            values = np.frombuffer(data, self.type.real()).reshape(
                self.shape, order="F" if self.columns_first else "C"
            )
        except (ValueError, TypeError) as error:
            raise _Refused(f"an array is damaged ({error})") from None
        return np.asarray(values, dtype=np.float64)


class _Function:
    """A function of ours that the file may call but not modify."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def __call__(self, *arguments: object) -> Any:  # noqa: ANN401 - whatever it returns
        return self._run(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _Refused("it modifies a function")


def _buffer(data: object, kind: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", data))
    return array


def _scalar(kind: object, data: object) -> float:
    return float(_buffer(data, kind, (), "C").real())


def _encode(text: object, codec: object) -> bytes:
    if not isinstance(text, str) or codec != "latin1":
        raise _Refused("it asks for a codec other than latin1")
    return text.encode("latin1")


_NUMBERS = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Function(_encode),
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _Function(_scalar)
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _Function(_buffer)


def _matrices(loaded: Any) -> Released:  # noqa: ANN401 - whatever the file holds
    if isinstance(loaded, _Array):  # np.save wraps the dictionary
        if not isinstance(loaded.data, list) or len(loaded.data) != 1:
            raise _Refused("it contains no dictionary")
        loaded = loaded.data[0]
    representation, adjacency = (_entries(loaded, key) for key in _KEYS)
    lonely = sorted(representation.keys() ^ adjacency.keys())
    if lonely:
        raise _Refused(f"one of the two matrices is missing for {shown(lonely, 'images')}")
    names = list(representation)
    rows, edges = _stacked("local_rep", representation), _stacked("adj_matrix", adjacency)
    if edges.shape != (len(names), rows.shape[1], rows.shape[1]):
        raise _Refused(f"local_rep has shape {rows.shape[1:]}, adj_matrix {edges.shape[1:]}")
    return Released(names, rows, edges)


_KEYS = ("local_rep", "adj_matrix")


def _entries(loaded: Any, key: str) -> dict[str, Any]:  # noqa: ANN401 - whatever the file holds
    entries = loaded.get(key) if isinstance(loaded, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise _Refused(f"it contains no dictionary {key}")
    if not all(isinstance(name, str) for name in entries):
        raise _Refused(f"the keys of {key} are not image names")
    return entries


def _stacked(key: str, entries: dict[str, Any]) -> NDArray[np.float32]:
    matrices: list[NDArray[np.float32]] = []
    for name, entry in entries.items():
        with np.errstate(over="ignore"):
            matrix = _matrix(entry).astype(np.float32)
        if matrix.ndim != 2 or matrix.shape != (matrices or [matrix])[0].shape:
            raise _Refused(f"{key} of {name} has shape {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise _Refused(f"{key} of {name} contains NaN or infinity")
        matrices.append(matrix)
    return np.stack(matrices)


def _matrix(value: Any) -> NDArray[np.float64]:  # noqa: ANN401 - whatever the file holds
    if isinstance(value, _Array):
        return value.real()
    rows = value if isinstance(value, list | tuple) else []
    if not rows or not all(isinstance(row, list | tuple) for row in rows):
        raise _Refused("an entry is neither an array nor rows of numbers")
    if sum(map(len, rows)) > MOST_NUMBERS or len({len(row) for row in rows}) != 1:
        raise _Refused("an entry's rows do not form a matrix")
    if not all(isinstance(number, int | float) for row in rows for number in row):
        raise _Refused("an entry is neither an array nor rows of numbers")
    return np.array(rows, dtype=np.float64)
