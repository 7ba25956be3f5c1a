"""How far a split can be believed in space: tiles that parts share, distances between them, labels that they lack."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.geography import arc_of_chord, on_the_sphere
from konvoi.data.split import Indices, Split
from konvoi.record import Record

_NAMED = 50


class Distances(Record):
    """From each sample of one part to the nearest of another, in kilometres along the ground, centre to centre.

    Attributes:
        of: the part whose samples are asked.
        to: the part in which their neighbours are sought.
        nearest: the smallest.
        median: of all.
    """

    of: str
    to: str
    nearest: float
    median: float


class SpatialFindings(Record):
    """What the audit says of a split.

    Attributes:
        shared_tiles: for each pair of parts ("test and train"), how many tiles or scenes have samples in both; none
            where tiles are not known.
        distances: from validation and test to train, and from test to validation; none where places are not known.
        frequencies: for each part, the share of its samples that has each label, in label order.
        lacking: for each part, the labels of which it has no sample.
        without_place: for each part, the samples whose place is not known and that no distance includes; none where no
            place is known at all.
    """

    shared_tiles: dict[str, int]
    distances: tuple[Distances, ...]
    frequencies: dict[str, tuple[float, ...]]
    lacking: dict[str, tuple[str, ...]]
    without_place: dict[str, int]


def spatial_findings(dataset: Dataset, split: Split) -> SpatialFindings:
    """Compare the three parts; no network sees what is read here."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}
    frequencies = {part: _frequencies(dataset, indices) for part, indices in parts.items()}
    return SpatialFindings(
        shared_tiles=_shared_tiles(dataset, parts),
        distances=tuple(_distances(dataset, parts)),
        frequencies=frequencies,
        lacking={
            part: tuple(name for name, share in zip(dataset.class_names, shares, strict=True) if share == 0)
            for part, shares in frequencies.items()
        },
        without_place=_without_place(dataset, parts),
    )


def findings_in_words(findings: SpatialFindings) -> list[str]:
    """One sentence a finding."""
    words = [
        f"{pair}: {count:,} source tile{'' if count == 1 else 's'} or scene{'' if count == 1 else 's'} in common"
        for pair, count in findings.shared_tiles.items()
    ]
    words += [
        f"{found.of} to {found.to}: the nearest {_kilometres(found.nearest)} apart, the median "
        f"{_kilometres(found.median)}"
        for found in findings.distances
    ]
    words += [
        f"{part}: {count:,} sample{'' if count == 1 else 's'} without a known place, in none of these distances"
        for part, count in findings.without_place.items()
        if count
    ]
    words += [
        f"{part} lacks {len(names)} of {len(findings.frequencies[part])} labels: {', '.join(names[:_NAMED])}"
        f"{f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"
        for part, names in findings.lacking.items()
        if names
    ]
    return words


def _shared_tiles(dataset: Dataset, parts: dict[str, Indices]) -> dict[str, int]:
    if dataset.tiles is None or not any(dataset.tiles):
        return {}
    tiles = np.asarray(dataset.tiles)
    found = {part: set(np.unique(tiles[indices]).tolist()) - {""} for part, indices in parts.items()}
    return {f"{later} and {earlier}": len(found[earlier] & found[later]) for earlier, later in combinations(parts, 2)}


def _distances(dataset: Dataset, parts: dict[str, Indices]) -> list[Distances]:
    from scipy.spatial import cKDTree

    places = dataset.longitude_latitude
    if places is None:
        return []
    known = np.asarray(np.isfinite(places).all(axis=1))
    points = {part: on_the_sphere(places[indices[known[indices]]]) for part, indices in parts.items()}
    found = []
    for earlier, later in combinations(parts, 2):
        if len(points[earlier]) and len(points[later]):
            chords, _ = cKDTree(points[earlier]).query(points[later])
            arcs = arc_of_chord(chords)
            found.append(Distances(of=later, to=earlier, nearest=float(arcs.min()), median=float(np.median(arcs))))
    return found


def _without_place(dataset: Dataset, parts: dict[str, Indices]) -> dict[str, int]:
    if dataset.longitude_latitude is None:
        return {}
    unknown = np.asarray(~np.isfinite(dataset.longitude_latitude).all(axis=1))
    return {} if unknown.all() else {part: int(unknown[indices].sum()) for part, indices in parts.items()}


def _frequencies(dataset: Dataset, indices: Indices) -> tuple[float, ...]:
    labels: NDArray[Any] = dataset.labels[indices]
    if dataset.several_labels:
        counts = labels.sum(axis=0, dtype=np.int64)
    else:
        counts = np.bincount(labels, minlength=len(dataset.class_names))
    return tuple((counts / max(1, len(indices))).tolist())


def _kilometres(distance: float) -> str:
    return f"{distance * 1000:,.0f} m" if distance < 1 else f"{distance:,.1f} km"
