"""Patches of scenes for the page: in true and false colour with what was found in them, and their places on a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    """Where the patches of each part lie: degrees, with a degree of longitude as long as it is there."""
    longitude, latitude = places.longitude_latitude[:, 0], places.longitude_latitude[:, 1]
    west, east = _widened(float(longitude.min()), float(longitude.max()))
    south, north = _widened(float(latitude.min()), float(latitude.max()))
    stretch = 1 / np.cos(np.radians((south + north) / 2))
    ratio = min(max((north - south) * stretch / (east - west), 0.45), 1.25)
    figure = new_figure(470, 90 + 400 * ratio)
    axes = figure.add_axes((0.1, 60 / (90 + 400 * ratio), 0.87, 400 * ratio / (90 + 400 * ratio) - 0.02))
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(float(stretch), adjustable="datalim")
    size = 26 if len(places.part) < 300 else 9 if len(places.part) < 5000 else 3
    for number, (name, (colour, marker)) in enumerate(_ordered(places).items()):
        chosen = places.part == name
        axes.scatter(
            longitude[chosen],
            latitude[chosen],
            s=size,
            marker=marker,
            color=colour,
            alpha=0.75,
            linewidth=0,
            label=f"{name} ({chosen.sum():,})",
            zorder=2 + number,
            rasterized=len(places.part) > 1500,
        )
    axes.grid(visible=True, axis="both")
    axes.xaxis.set_major_locator(MaxNLocator(6, min_n_ticks=2))
    axes.yaxis.set_major_locator(MaxNLocator(6, min_n_ticks=2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}° {'E' if value >= 0 else 'W'}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}° {'N' if value >= 0 else 'S'}"))
    figure.legend(
        *axes.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.085, 0.0), ncols=4, columnspacing=1.2,
        handletextpad=0.3, borderpad=0, markerscale=max(1.0, (20 / size) ** 0.5),
    )  # fmt: skip
    _scale_bar(figure, axes, (west, east), (south, north))
    return figure


def _scale_bar(figure: Figure, axes: Any, across: tuple[float, float], up: tuple[float, float]) -> None:
    figure.canvas.draw()
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    kilometre = 1 / (_KILOMETRES_A_DEGREE * np.cos(np.radians((up[0] + up[1]) / 2)))
    wanted = (east - west) / kilometre / 5
    length = max(step for step in _round_lengths() if step <= max(wanted, 0.01))
    right, base = east - 0.04 * (east - west), south + 0.05 * (north - south)
    axes.plot([right - length * kilometre, right], [base, base], color=INK, linewidth=1.6, zorder=9)
    axes.text(right, base + 0.02 * (north - south), f"{length:g} km", ha="right", va="bottom", fontsize=8.5, color=INK)


def _round_lengths() -> list[float]:
    return [mantissa * 10.0**power for power in range(-2, 5) for mantissa in (1, 2, 5)]


def _ordered(places: Places) -> Mapping[str, tuple[str, str]]:
    return {name: look for name, look in _DRAWN_ON_MAP.items() if (places.part == name).any()}


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = max(0.04 * (high - low), 0.02)
    return low - margin, high + margin
