"""What rico-hdl packs: an LMDB whose keys are patch names and whose values are safetensors, one tensor a band.

K. N. Clasen, B. Demir, "rico-hdl", 2024: the community's fast format of BigEarthNet. Labels come from a table beside
it. An LMDB has no checksums and no statistics: those of the training split are computed whenever a training starts, and
the fingerprint is made of names, labels and some patches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.data.dataset import Dataset
from konvoi.data.patch_arrays import GridArrays, PatchArrays
from konvoi.data.sensors import ALL13, band_names, sentinel1, sentinel2
from konvoi.data.sources.bigearthnet_tables import read_metadata
from konvoi.data.sources.label_table import read_label_table
from konvoi.data.statistics import Moments, patch_moments
from konvoi.data.store import store_folder
from konvoi.errors import DataError
from konvoi.recipe.schema import LmdbSource

_TYPES = {"U8": "u1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "F32": "<f4", "F64": "<f8"}
_DIGESTED = 1000


class LmdbGrid:
    """Bands of one size of all patches, read from the LMDB: `grid[row]` is `(bands, h, w)`, like a store's shard."""

    def __init__(self, environment: Any, names: Sequence[str], bands: tuple[str, ...], example: NDArray[Any]) -> None:
        self._environment = environment
        self._names = names
        self._bands = bands
        self.dtype = example.dtype
        self.shape = (len(names), len(bands), *example.shape)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, row: int) -> NDArray[Any]:
        with self._environment.begin(buffers=True) as transaction:
            tensors = read_tensors(transaction.get(self._names[row].encode()), self._names[row])
            return np.stack(
                [_band(tensors, band, self._names[row], self.shape[2:], self.dtype) for band in self._bands]
            )


class _LmdbMoments:
    """Moments of patches, `(n, C, 3)`, computed where they are asked for and then kept."""

    def __init__(self, grids: Sequence[tuple[LmdbGrid, tuple[int, ...]]], rows: int, bands: int) -> None:
        self._grids = grids
        self._known = np.full((rows, bands, 3), np.nan)
        self.shape = self._known.shape

    def __getitem__(self, positions: NDArray[np.int64]) -> Moments:
        for position in np.unique(positions).tolist():
            if np.isnan(self._known[position, 0, 0]):
                for grid, channels in self._grids:
                    self._known[position, list(channels)] = patch_moments(grid[position], None)
        return self._known[positions]


def read_lmdb(source: LmdbSource, data_dir: Path | None = None) -> Dataset:
    """The patches of an LMDB that stand in the table of labels; the others are counted.

    Raises:
        DataError: there is no LMDB, no table, or a patch lacks a band.
    """
    folder = store_folder(source.folder, data_dir)
    environment = _open(folder)
    with environment.begin(buffers=True) as transaction:
        keys = [bytes(key).decode() for key in transaction.cursor().iternext(values=False)]
        if not keys:
            raise DataError(f"{folder} holds no patches.")
        first = {name: array.copy() for name, array in read_tensors(transaction.get(keys[0].encode()), keys[0]).items()}
    labels_of, class_names, several, parts = _labels(source, folder)
    names = sorted(set(keys) & set(labels_of))
    if not names:
        raise DataError(f"None of the {len(keys):,} patches of {folder} stands in its table of labels.")
    excluded = []
    if len(names) < len(keys):
        excluded.append(f"{len(keys) - len(names):,} patches of {folder} stand in no row of the table of labels")
    if len(names) < len(labels_of):
        excluded.append(f"{len(labels_of) - len(names):,} rows of the table of labels name no patch of {folder}")
    bands = _contract(tuple(first)).chosen(band_names(source.bands, _contract(tuple(first))))
    grids: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for band in bands.names:
        grids.setdefault((first[band].shape, first[band].dtype.str), []).append(band)
    arranged = [
        (LmdbGrid(environment, names, tuple(members), first[members[0]]), tuple(map(bands.names.index, members)))
        for members in grids.values()
    ]
    label_numbers = {label: number for number, label in enumerate(class_names)}
    labels = np.zeros((len(names), len(class_names)), dtype=np.uint8)
    for row, name in enumerate(names):
        labels[row, [label_numbers[label] for label in labels_of[name]]] = 1
    part_of = np.array([parts.get(name, "") for name in names])
    has_parts = bool((part_of == "test").any())
    images = PatchArrays(
        [GridArrays((grid,), channels) for grid, channels in arranged],  # type: ignore[arg-type]
        np.arange(len(names)),
        _LmdbMoments(arranged, len(names), len(bands)),  # type: ignore[arg-type]
    )
    return Dataset(
        name=folder.resolve().name,
        images=images,
        labels=labels if several else labels.argmax(axis=1).astype(np.int64),
        class_names=class_names,
        bands=bands,
        given_test=np.flatnonzero(part_of == "test") if has_parts else None,
        given_validation=np.flatnonzero(part_of == "validation") if "validation" in part_of and has_parts else None,
        given_left_out=np.flatnonzero(part_of == "") if has_parts and "" in part_of else None,
        origin=f"LMDB {folder}",
        excluded=tuple(excluded),
        sample_names=names,
        known_fingerprint=_fingerprint(environment, names),
    )


def read_tensors(value: memoryview | bytes | None, name: str) -> dict[str, NDArray[Any]]:
    """The tensors of one value, as views into it: 8 bytes of header length, a JSON header, then the bytes of all.

    The format is that of safetensors (Hugging Face, 2022), read here because a view costs nothing.

    Raises:
        DataError: the value is missing or damaged.
    """
    try:
        assert value is not None
        size = int.from_bytes(value[:8], "little")
        header = json.loads(bytes(value[8 : 8 + size]))
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


def _open(folder: Path) -> Any:
    try:
        import lmdb
    except ImportError:
        raise DataError("Reading an LMDB needs lmdb: pip install 'konvoi[scenes]'.") from None
    if not (folder / "data.mdb").is_file():
        raise DataError(
            f"{folder} holds no data.mdb. Set source.folder, or give --data-dir, to the folder of the LMDB."
        )
    try:
        return lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise DataError(f"{folder} cannot be opened as an LMDB: {error}.") from error


def _labels(
    source: LmdbSource, folder: Path
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...], bool, dict[str, str]]:
    """Labels by name, the class names, whether there may be several, and parts by name."""
    if source.labels is not None:
        path = Path(source.labels).expanduser()
        table = read_label_table(path if path.is_absolute() else folder / path)
        return table.labels, table.class_names, table.several_labels, {}
    labels, parts, _, _ = read_metadata((folder, folder.parent))
    if not labels:
        raise DataError(f"There is no metadata.parquet in {folder} or beside it. Name a table with source.labels.")
    return labels, tuple(sorted({label for found in labels.values() for label in found})), True, parts


def _contract(names: tuple[str, ...]) -> Bands:
    if set(names) <= {"VV", "VH"}:
        return sentinel1().chosen(names)
    known = tuple(name for name in names if name in ALL13)
    if len(known) < len(names):
        raise DataError(f"The LMDB's bands are {', '.join(names)}; known are those of Sentinel-2, and VV and VH.")
    return sentinel2(tuple(sorted(known)))


def _fingerprint(environment: Any, names: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    with environment.begin(buffers=True) as transaction:
        for name in names[:: max(1, len(names) // _DIGESTED)]:
            digest.update(transaction.get(name.encode()))
    return digest.hexdigest()
