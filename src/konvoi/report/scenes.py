"""Patches of scenes for the page: in true and false colour with what was found in them, and their places on a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.evaluation.scores import Scores
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.report.palette import INK, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.report.pictures import TRUE_COLOUR, composite, png_uri
from konvoi.run import Examples, Places, Run

_FALSE_COLOUR = ("B08", "B04", "B03")
_DRAWN_ON_MAP = {
    "left out": (QUIET, "."),
    "train": (TRAIN, "o"),
    "validation": (VALIDATION, "s"),
    "test": (TEST, "^"),
}
_KILOMETRES_A_DEGREE = 111.195
_CLOSE_KILOMETRES = 25.0
_PROPORTIONS = 0.43 * 640 / (0.76 * 380)
"""Width over height of a panel of the map."""


@dataclass(frozen=True)
class PatchPicture:
    """A patch, and what the network says of it: labels found, missed, and claimed though they are not there."""

    name: str
    true_colour: str
    false_colour: str | None
    right: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Patches:
    """What the page shows of scenes; colours are said in words, and places are counted."""

    drawn: list[PatchPicture]
    worst: list[PatchPicture]
    true_colour: str
    false_colour: str | None
    places: int
    places_shown: int


def patches_of(
    run: Run, examples: Examples | None, judged: Scores | SeveralLabelScores | None, places: Places | None
) -> Patches | None:
    """The part of the page on scenes; None for a run whose images are no patches."""
    bands = run.bands
    if examples is None or judged is None or not len(examples.drawn):
        return None
    false_colour = set(_FALSE_COLOUR) <= set(bands.names)
    return Patches(
        drawn=_pictures(
            run, judged, (examples.drawn, examples.drawn_labels, examples.drawn_probabilities), examples.drawn_names
        ),
        worst=_pictures(
            run,
            judged,
            (examples.mistakes, examples.mistake_labels, examples.mistake_probabilities),
            examples.mistake_names,
        ),
        true_colour=f"true colour ({', '.join(TRUE_COLOUR)})" if set(TRUE_COLOUR) <= set(bands.names) else "grey",
        false_colour=f"false colour ({', '.join(_FALSE_COLOUR)})" if false_colour else None,
        places=run.facts.data.samples,
        places_shown=0 if places is None else len(places.part),
    )


def _pictures(
    run: Run,
    judged: Scores | SeveralLabelScores,
    examples: tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]],
    names: tuple[str, ...],
) -> list[PatchPicture]:
    bands, classes = run.bands, run.facts.data.class_names
    found = []
    for image, own, chances, name in zip(*examples, names, strict=True):
        truth, claimed = _sets(judged, own, chances)
        found.append(
            PatchPicture(
                name=name,
                true_colour=png_uri(_shown(image, bands, TRUE_COLOUR)),
                false_colour=(
                    png_uri(_shown(image, bands, _FALSE_COLOUR)) if set(_FALSE_COLOUR) <= set(bands.names) else None
                ),
                right=tuple(classes[label] for label in sorted(truth & claimed)),
                missed=tuple(classes[label] for label in sorted(truth - claimed)),
                wrong=tuple(classes[label] for label in sorted(claimed - truth)),
            )
        )
    return found


def _sets(
    judged: Scores | SeveralLabelScores, own: NDArray[Any], chances: NDArray[np.float32]
) -> tuple[set[int], set[int]]:
    """The labels that are there, and those that the network claims."""
    if isinstance(judged, Scores):
        return {int(own)}, {int(chances.argmax())}
    thresholds = np.array([entry.threshold for entry in judged.classes])
    return set(np.flatnonzero(own).tolist()), set(np.flatnonzero(chances > thresholds).tolist())


def _shown(image: NDArray[Any], bands: Bands, names: tuple[str, ...]) -> NDArray[np.uint8]:
    return composite(image, bands, names if set(names) <= set(bands.names) else (bands.names[0],) * 3)


@house_style()
def split_map(places: Places) -> Figure:
    """Where the patches of each part lie: all of them, and beside that the place where they are densest.

    Degrees, with a degree of longitude as long as it is there (an equirectangular projection).
    """
    figure = new_figure(640, 380)
    whole = figure.add_axes((0.075, 0.19, 0.43, 0.76))
    close = figure.add_axes((0.565, 0.19, 0.43, 0.76))
    longitude, latitude = places.longitude_latitude[:, 0], places.longitude_latitude[:, 1]
    _draw_places(whole, places, _window(longitude.min(), longitude.max(), latitude.min(), latitude.max()))
    _draw_places(close, places, _densest(places))
    handles, names = whole.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="lower left", bbox_to_anchor=(0.065, 0.0), ncols=4, columnspacing=1.4, handletextpad=0.3,
        borderpad=0, markerscale=2.6,
    )  # fmt: skip
    return figure


def _draw_places(axes: Axes, places: Places, window: tuple[float, float, float, float]) -> None:
    west, east, south, north = window
    longitude, latitude = places.longitude_latitude[:, 0], places.longitude_latitude[:, 1]
    inside = (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
    size = 30 if inside.sum() < 150 else 14 if inside.sum() < 800 else 5
    for number, (name, (colour, marker)) in enumerate(_ordered(places).items()):
        chosen = (places.part == name) & inside
        axes.scatter(
            longitude[chosen],
            latitude[chosen],
            s=size,
            marker=marker,
            color=colour,
            alpha=0.75,
            linewidth=0,
            label=f"{name} ({(places.part == name).sum():,})",
            zorder=2 + number,
            rasterized=len(places.part) > 1500,
        )
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.grid(visible=True, axis="both")
    for axis, (plus, minus) in ((axes.xaxis, ("E", "W")), (axes.yaxis, ("N", "S"))):
        axis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axis.set_major_formatter(
            FuncFormatter(lambda value, _, plus=plus, minus=minus: f"{abs(value):g}° {plus if value >= 0 else minus}")
        )
    kilometre = 1 / (_KILOMETRES_A_DEGREE * np.cos(np.radians((south + north) / 2)))
    length = max(step for step in _round_lengths() if step <= (east - west) / kilometre / 4)
    right, base = east - 0.04 * (east - west), south + 0.04 * (north - south)
    axes.plot([right - length * kilometre, right], [base, base], color=INK, linewidth=1.6, zorder=9)
    axes.text(right, base + 0.02 * (north - south), f"{length:g} km", ha="right", va="bottom", fontsize=8.5, color=INK)


def _window(west: float, east: float, south: float, north: float) -> tuple[float, float, float, float]:
    """The panel's limits around these, with a margin, in its own proportions."""
    shrink = np.cos(np.radians((south + north) / 2))
    height = max(1.08 * (north - south), 1.08 * (east - west) * shrink / _PROPORTIONS, 0.02)
    width = height * _PROPORTIONS / shrink
    across, up = (west + east) / 2, (south + north) / 2
    return across - width / 2, across + width / 2, up - height / 2, up + height / 2


def _densest(places: Places) -> tuple[float, float, float, float]:
    """A window of about 25 km around the cell of 0.1° that has most patches."""
    cells, counts = np.unique(np.floor(places.longitude_latitude * 10), axis=0, return_counts=True)
    longitude, latitude = (cells[int(counts.argmax())] + 0.5) / 10
    half = _CLOSE_KILOMETRES / 2 / _KILOMETRES_A_DEGREE
    return _window(longitude, longitude, latitude - half, latitude + half)


def _round_lengths() -> list[float]:
    return [mantissa * 10.0**power for power in range(-2, 5) for mantissa in (1, 2, 5)]


def _ordered(places: Places) -> Mapping[str, tuple[str, str]]:
    return {name: look for name, look in _DRAWN_ON_MAP.items() if (places.part == name).any()}
