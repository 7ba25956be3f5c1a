"""The plan of a synthetic archive: for every patch its place, landscape, labels, flags and part, before any pixel.

The plan is a function of the seed and the number of patches: labels have exactly their published share of so many
patches, rounded, which only the whole archive can have. Neighbouring patches share landscapes and labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.data.nomenclature import IMAGES_IN_ARCHIVE, LABELS_19_OF_43, LABELS_43
from konvoi.data.synthetic.fields import as_uniform, smooth_fields
from konvoi.data.synthetic.landscapes import LANDSCAPES, label_probabilities, label_shares
from konvoi.data.synthetic.places import CELLS, PATCH_METRES, Acquisition, acquisitions
from konvoi.errors import DataError
from konvoi.randomness import numpy_stream

CLOUDY_SHARE = 9_280 / IMAGES_IN_ARCHIVE
SNOWY_SHARE = 61_707 / IMAGES_IN_ARCHIVE
"""As in the published lists of patches with cloud and shadow, and with seasonal snow."""

PART_SHARES = {"train": 269_695 / 519_284, "validation": 123_723 / 519_284, "test": 125_866 / 519_284}
"""Of the patches without snow and cloud, as in version 1's published lists."""

_FIELD = 128
_LANDSCAPE_LENGTH, _LABEL_LENGTH = 2.5, 1.5
_MOST_LABELS = 12

Flag = Literal["", "snow", "cloud"]


@dataclass(frozen=True)
class PlannedPatch:
    """One patch, before its pixels.

    Attributes:
        index: in the archive, from 0.
        acquisition: the overflight it was cut from.
        column, row: in the tile, from 0; rows count southwards.
        landscape: one of `LANDSCAPES`.
        labels: of the 43, in the order of `LABELS_43`.
        flag: "snow" or "cloud" for those that the published lists would exclude.
        part: "train", "validation" or "test" by version 1's way (single patches), "" for flagged ones.
        block_part: the same by version 2's way (blocks of the tile), for all patches.
    """

    index: int
    acquisition: Acquisition
    column: int
    row: int
    landscape: str
    labels: tuple[str, ...]
    flag: Flag
    part: str
    block_part: str

    @property
    def left(self) -> int:
        """Outer edge of the pixels, in metres of the UTM zone."""
        return self.acquisition.site.left + PATCH_METRES * self.column

    @property
    def top(self) -> int:
        """Outer edge of the pixels, in metres of the UTM zone."""
        return self.acquisition.site.top - PATCH_METRES * self.row


def plan_archive(seed: int, patches: int) -> list[PlannedPatch]:
    """The plan of an archive of so many patches.

    Raises:
        DataError: fewer than one patch.
    """
    if patches < 1:
        raise DataError(f"{patches} synthetic patches were asked for. At least 1 is needed.")
    flights = acquisitions(seed, patches)
    columns, rows, landscapes, noise, weather = [], [], [], [], []
    counts = [patches // len(flights) + (number < patches % len(flights)) for number in range(len(flights))]
    for number, (flight, count) in enumerate(zip(flights, counts, strict=True)):
        generator = numpy_stream(seed, "synthetic plan", number)
        column, row = _cells(generator, count)
        columns.append(column)
        rows.append(row)
        landscapes.append(_landscapes(generator, flight, column, row))
        noise.append(_noise(generator, len(LABELS_43), column, row, _LABEL_LENGTH, 0.75))
        weather.append(_noise(generator, 2, column, row, _LANDSCAPE_LENGTH, 0.8))
    landscape = np.concatenate(landscapes)
    labels = draw_labels(landscape, np.concatenate(noise))
    flight_of = np.repeat(np.arange(len(flights)), counts)
    coldness = np.array([flight.coldness for flight in flights])[flight_of]
    flags = _flags(coldness, np.concatenate(weather))
    parts = _parts(seed, patches)
    return [
        PlannedPatch(
            index=index,
            acquisition=flights[flight_of[index]],
            column=int(column),
            row=int(row),
            landscape=LANDSCAPES[landscape[index]],
            labels=tuple(label for label, has in zip(LABELS_43, labels[index], strict=True) if has),
            flag=flags[index],
            part="" if flags[index] else parts[index],
            block_part=_block_part(seed, flights[flight_of[index]], int(column), int(row)),
        )
        for index, (column, row) in enumerate(zip(np.concatenate(columns), np.concatenate(rows), strict=True))
    ]


def draw_labels(landscape: NDArray[np.int64], noise: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which patch has which label, `(patches, 43)`.

    Each label goes to its published share of the patches, rounded: to those where log odds in their landscape plus
    noise are highest. A patch without a label that both nomenclatures know takes its likeliest one from a patch with
    many labels, so that the shares stay.

    Args:
        landscape: of each patch, an index of `LANDSCAPES`, `(patches,)`.
        noise: logistic, `(patches, 43)`.
    """
    probability = label_probabilities()
    score = np.log(probability / (1 - probability))[landscape] + noise
    wanted = np.rint(label_shares() * len(landscape)).astype(np.int64)
    labels = np.zeros(score.shape, dtype=np.bool_)
    for label, number in enumerate(wanted):
        labels[np.argsort(-score[:, label], kind="stable")[:number], label] = True
    in_both = np.array([LABELS_19_OF_43[label] is not None for label in LABELS_43])
    likely = np.where(in_both & (wanted > 0), score, -np.inf)
    for patch in np.flatnonzero(~(labels & in_both).any(axis=1)):
        label = int(likely[patch].argmax())
        labels[patch, label] = True
        held = labels[:, label] & ((labels & in_both).sum(axis=1) > 1)
        held[patch] = False
        if held.any():
            labels[np.where(held, score[:, label], np.inf).argmin(), label] = False
    for patch in np.flatnonzero(labels.sum(axis=1) > _MOST_LABELS):
        least = np.argsort(np.where(labels[patch], -score[patch], np.inf))[_MOST_LABELS:]
        labels[patch, least] = False
    return labels


def _cells(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # A window of the tile with a few gaps: near neighbours, as in the archive, where few cells are missing.
    side = min(CELLS, int(np.ceil(np.sqrt(count / 0.85))))
    left, top = generator.integers(0, CELLS - side + 1, 2)
    chosen = np.sort(generator.permutation(side * side)[:count])
    return left + chosen % side, top + chosen // side


def _noise(
    generator: np.random.Generator,
    number: int,
    column: NDArray[np.int64],
    row: NDArray[np.int64],
    length: float,
    common: float,
) -> NDArray[np.float32]:
    """Logistic noise `(cells, number)`, of which the part `common` varies smoothly over the tile."""
    smooth = smooth_fields(generator, number, _FIELD, length)[:, row, column].T
    own = generator.standard_normal(smooth.shape, dtype=np.float32)
    uniform = np.clip(as_uniform(common * smooth + np.float32(np.sqrt(1 - common**2)) * own), 1e-6, 1 - 1e-6)
    noise: NDArray[np.float32] = np.log(uniform / (1 - uniform))
    return noise


def _landscapes(
    generator: np.random.Generator, flight: Acquisition, column: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.int64]:
    # The Gumbel-max trick with noise that is correlated in space: each landscape has its share, in patches of terrain.
    shares = flight.site.landscapes
    smooth = smooth_fields(generator, len(shares), _FIELD, _LANDSCAPE_LENGTH)[:, row, column]
    gumbel = -np.log(-np.log(np.clip(as_uniform(smooth), 1e-6, 1 - 1e-6)))
    winner = (np.log(np.array(list(shares.values())))[:, None] + gumbel).argmax(axis=0)
    numbers = np.array([LANDSCAPES.index(name) for name in shares])
    chosen: NDArray[np.int64] = numbers[winner]
    return chosen


def _flags(coldness: NDArray[np.float64], weather: NDArray[np.float32]) -> list[Flag]:
    """The coldest patches have snow and the cloudiest of the others cloud, each in its published share."""
    patches = len(coldness)
    flags: list[Flag] = [""] * patches
    snow = np.argsort(-(6 * coldness + weather[:, 0]), kind="stable")[: round(SNOWY_SHARE * patches)]
    for patch in snow:
        flags[patch] = "snow"
    free = np.setdiff1d(np.arange(patches), snow)
    cloudy = free[np.argsort(-weather[free, 1], kind="stable")[: round(CLOUDY_SHARE * patches)]]
    for patch in cloudy:
        flags[patch] = "cloud"
    return flags


def _parts(seed: int, patches: int) -> list[str]:
    names = list(PART_SHARES)
    return [
        names[draw] for draw in numpy_stream(seed, "synthetic parts").choice(3, patches, p=list(PART_SHARES.values()))
    ]


def _block_part(seed: int, flight: Acquisition, column: int, row: int) -> str:
    """Version 2 assigns whole blocks of a grid, about one half, a quarter and a quarter."""
    draw = numpy_stream(seed, "synthetic blocks", flight.site.tile, column // 4, row // 4).random()
    return "train" if draw < 0.5 else "validation" if draw < 0.75 else "test"
