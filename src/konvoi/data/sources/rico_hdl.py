"""What rico-hdl packs: an LMDB whose keys are patch names and whose values are safetensors, one tensor a band.

K. N. Clasen, B. Demir, "rico-hdl", 2024: the community's fast format of BigEarthNet. Patches of Sentinel-1 and of
Sentinel-2 have keys of their own; BigEarthNet's table says which belong together. Labels come from a table beside it.
An LMDB has no checksums and no statistics: those of the training split are computed whenever a training starts, and
the fingerprint is made of names, labels and some patches. Decoding is in `safetensors_lmdb`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.data.dataset import Dataset
from konvoi.data.nomenclature import LABELS_19
from konvoi.data.patch_arrays import GridArrays, PatchArrays
from konvoi.data.patches import PARTS
from konvoi.data.sensors import ALL13, band_names, sentinel2
from konvoi.data.sources.bigearthnet import VERSION_2_NO_DATA, with_radar
from konvoi.data.sources.bigearthnet_tables import read_metadata
from konvoi.data.sources.label_table import read_label_table
from konvoi.data.sources.safetensors_lmdb import LmdbGrid, LmdbMoments, open_environment, read_tensors
from konvoi.data.store import store_folder
from konvoi.errors import DataError
from konvoi.recipe.source import LmdbSource

_DIGESTED = 1000


@dataclass(frozen=True)
class _Table:
    """What the table beside the LMDB says.

    Attributes:
        labels: by patch.
        class_names: in label order.
        several_labels: whether a patch may have more than one.
        parts: by patch, for those that have one.
        radar: the Sentinel-1 patch's name, by patch.
        no_data: the stored value that means "not measured", or None.
    """

    labels: Mapping[str, tuple[str, ...]]
    class_names: tuple[str, ...]
    several_labels: bool
    parts: Mapping[str, str]
    radar: Mapping[str, str]
    no_data: float | None


def read_lmdb(source: LmdbSource, data_dir: Path | None = None) -> Dataset:
    """The patches of an LMDB that have all bands asked for, and labels; all others are counted.

    Raises:
        DataError: there is no LMDB, no table, or a patch lacks a band.
    """
    folder = store_folder(source.folder, data_dir)
    environment = open_environment(folder)
    keys = _all_keys(environment, folder)
    table = _table(source, folder)
    # A patch stands under its own name, and what radar saw of it under another.
    sides = [{name: key for name, key in side.items() if key in keys} for side in (_own_names(table), table.radar)]
    examples = [_first(environment, side) for side in sides]
    available = _contract(tuple(band for example in examples for band in example), table.no_data)
    if not available.names:
        raise DataError(f"None of the {len(keys):,} patches of {folder} stands in its table of labels.")
    bands = available.chosen(band_names(source.bands, available))
    needed = [side for side, example in zip(sides, examples, strict=True) if set(bands.names) & set(example)]
    names = sorted(name for name in needed[0] if table.labels[name] and all(name in side for side in needed))
    excluded = _counted(folder, keys, table, sides, needed)
    if not names:
        raise DataError(
            f"{folder} holds no patch with a label and the bands {', '.join(bands.names)}: {'; '.join(excluded)}."
        )
    arranged = [
        (LmdbGrid(environment, [side[name] for name in names], members, example[members[0]]), channels)
        for side, example in zip(sides, examples, strict=True)
        for members, channels in _alike(bands, example)
    ]
    label_numbers = {label: number for number, label in enumerate(table.class_names)}
    labels = np.zeros((len(names), len(table.class_names)), dtype=np.uint8)
    for row, name in enumerate(names):
        labels[row, [label_numbers[label] for label in table.labels[name]]] = 1
    part_of = np.array([table.parts.get(name, "") for name in names])
    given = {part: np.flatnonzero(part_of == part) for part in ("", *PARTS) if (part_of == part).any()}
    if "test" not in given:
        given = {}
    images = PatchArrays(
        [GridArrays((grid,), channels) for grid, channels in arranged],  # type: ignore[arg-type]
        np.arange(len(names)),
        LmdbMoments(arranged, len(names), len(bands), bands.no_data),  # type: ignore[arg-type]
        no_data=bands.no_data,
    )
    return Dataset(
        name=folder.resolve().name,
        images=images,
        labels=labels if table.several_labels else labels.argmax(axis=1).astype(np.int64),
        class_names=table.class_names,
        bands=bands,
        given_test=given.get("test"),
        given_validation=given.get("validation"),
        given_left_out=given.get(""),
        origin=f"LMDB {folder}",
        excluded=excluded,
        sample_names=names,
        known_fingerprint=_fingerprint(environment, names, needed, table),
    )


def _all_keys(environment: Any, folder: Path) -> set[str]:
    with environment.begin(buffers=True) as transaction:
        keys = {bytes(key).decode(errors="replace") for key in transaction.cursor().iternext(values=False)}
    if not keys:
        raise DataError(f"{folder} holds no patches.")
    return keys


def _table(source: LmdbSource, folder: Path) -> _Table:
    if source.labels is not None:
        path = Path(source.labels).expanduser()
        table = read_label_table(path if path.is_absolute() else folder / path)
        return _Table(table.labels, table.class_names, table.several_labels, {}, {}, None)
    labels, parts, _, radar = read_metadata((folder, folder.parent))
    if not labels:
        raise DataError(f"There is no metadata.parquet in {folder} or beside it. Name a table with source.labels.")
    occurring = {label for found in labels.values() for label in found}
    # The nomenclature's order, as in a store, so that a network trained on one understands the other.
    class_names = LABELS_19 if occurring <= set(LABELS_19) else tuple(sorted(occurring))
    return _Table(labels, class_names, True, parts, radar, VERSION_2_NO_DATA)


def _own_names(table: _Table) -> dict[str, str]:
    return {name: name for name in table.labels}


def _first(environment: Any, side: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The tensors of a side's first patch; none where it has no patch."""
    if not side:
        return {}
    key = side[min(side)]
    with environment.begin(buffers=True) as transaction:
        return {band: array.copy() for band, array in read_tensors(transaction.get(key.encode()), key).items()}


def _contract(names: tuple[str, ...], no_data: float | None) -> Bands:
    unknown = sorted(set(names) - set(ALL13) - {"VV", "VH"})
    if unknown:
        raise DataError(
            f"The LMDB has the bands {', '.join(names)}; known are those of Sentinel-2, and VV and VH, but not "
            f"{', '.join(unknown)}."
        )
    optical = sentinel2(tuple(band for band in ALL13 if band in names), no_data)
    if "VV" not in names and "VH" not in names:
        return optical
    both = with_radar(optical)
    return both.chosen([band for band in both.names if band in names])


def _alike(bands: Bands, example: Mapping[str, NDArray[Any]]) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Bands of one size and type, and where each stands in the image."""
    grids: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for band in bands.names:
        if band in example:
            grids.setdefault((example[band].shape, example[band].dtype.str), []).append(band)
    return [(tuple(members), tuple(map(bands.names.index, members))) for members in grids.values()]


def _counted(
    folder: Path,
    keys: set[str],
    table: _Table,
    sides: Sequence[Mapping[str, str]],
    needed: Sequence[Mapping[str, str]],
) -> tuple[str, ...]:
    """How many patches and rows are left out, and why."""
    unnamed = len(keys.difference(*(side.values() for side in sides)))
    whole = [name for name in table.labels if all(name in side for side in needed)]
    counts = (
        (unnamed, f"patches of {folder} stand in no row of the table of labels"),
        (len(table.labels) - len(whole), f"rows of the table of labels name no patch of {folder} with these bands"),
        (sum(not table.labels[name] for name in whole), "patches have no label"),
    )
    return tuple(f"{count:,} {reason}" for count, reason in counts if count)


def _fingerprint(environment: Any, names: Sequence[str], sides: Sequence[Mapping[str, str]], table: _Table) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(repr((table.class_names, [table.labels[name] for name in names])).encode())
    with environment.begin(buffers=True) as transaction:
        for name in names[:: max(1, len(names) // _DIGESTED)]:
            for side in sides:
                digest.update(transaction.get(side[name].encode()))
    return digest.hexdigest()
