"""An LMDB whose values are safetensors, as arrays: a patch is decoded where it is asked for.

What the patches are called and what their labels are is the task of `rico_hdl`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from konvoi.data.statistics import Moments, patch_moments
from konvoi.errors import DataError

_TYPES = {"U8": "u1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "F32": "<f4", "F64": "<f8"}

_opened: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()
"""The environments in use, by device and number of their data file."""


class LmdbGrid:
    """Bands of one size of all patches, read from the LMDB: `grid[row]` is `(bands, h, w)`, like a store's shard."""

    def __init__(self, environment: Any, keys: Sequence[str], bands: tuple[str, ...], example: NDArray[Any]) -> None:
        self._environment = environment
        self._keys = keys
        self._bands = bands
        self.dtype = example.dtype
        self.shape = (len(keys), len(bands), *example.shape)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, row: int) -> NDArray[Any]:
        key = self._keys[row]
        with self._environment.begin(buffers=True) as transaction:
            tensors = read_tensors(transaction.get(key.encode()), key)
            return np.stack([_band(tensors, band, key, self.shape[2:], self.dtype) for band in self._bands])


class LmdbMoments:
    """Moments of patches, `(n, C, 3)`, computed where they are asked for and then kept."""

    def __init__(
        self, grids: Sequence[tuple[LmdbGrid, tuple[int, ...]]], rows: int, bands: int, no_data: float | None
    ) -> None:
        self._grids = grids
        self._no_data = no_data
        self._known = np.full((rows, bands, 3), np.nan)
        self.shape = self._known.shape

    def __getitem__(self, positions: NDArray[np.int64]) -> Moments:
        for position in np.unique(positions).tolist():
            if np.isnan(self._known[position, 0, 0]):
                for grid, channels in self._grids:
                    self._known[position, list(channels)] = patch_moments(grid[position], self._no_data)
        return self._known[positions]


def open_environment(folder: Path) -> Any:
    """The LMDB of a folder, to read; the same one as long as somebody holds it.

    Raises:
        DataError: there is none, or it is damaged, or lmdb is not installed.
    """
    try:
        import lmdb
    except ImportError:
        raise DataError("Reading an LMDB needs lmdb: pip install 'konvoi[scenes]'.") from None
    if not (folder / "data.mdb").is_file():
        raise DataError(
            f"{folder} holds no data.mdb. Set source.folder, or give --data-dir, to the folder of the LMDB."
        )
    # One process may open an LMDB once, and a study reads its source anew for each run.
    status = (folder / "data.mdb").stat()
    file = (status.st_dev, status.st_ino)
    try:
        environment = _opened.get(file)
        if environment is None:
            environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
            _opened[file] = environment
        return environment
    except lmdb.Error as error:
        raise DataError(f"{folder} cannot be opened as an LMDB: {error}.") from error


def read_tensors(value: memoryview | bytes | None, name: str) -> dict[str, NDArray[Any]]:
    """The tensors of one value, as views into it: 8 bytes of header length, a JSON header, then the bytes of all.

    The format is that of safetensors (Hugging Face, 2022), read here because a view costs nothing.

    Raises:
        DataError: the value is missing or damaged.
    """
    try:
        assert value is not None
        size = int.from_bytes(value[:8], "little")
        header = dict(json.loads(bytes(value[8 : 8 + size])))
        tensors = {}
        for band, entry in header.items():
            if band != "__metadata__":
                start, end = entry["data_offsets"]
                flat = np.frombuffer(value[8 + size + start : 8 + size + end], _TYPES[entry["dtype"]])
                shape = [side for side in entry["shape"] if side != 1] if len(entry["shape"]) > 2 else entry["shape"]
                tensors[band] = flat.reshape(shape)
        return tensors
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"The patch {name} holds no safetensors: {error}.") from error


def _band(
    tensors: dict[str, NDArray[Any]], band: str, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    found = tensors.get(band)
    if found is None:
        raise DataError(f"The patch {name} lacks the band {band}; it has {', '.join(tensors)}.")
    if found.shape != shape or found.dtype != dtype:
        raise DataError(
            f"Band {band} of the patch {name} has shape {found.shape} and type {found.dtype}; expected are {shape} and "
            f"{dtype}."
        )
    return found
