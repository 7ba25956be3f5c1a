"""The map of a hyperspectral scene for the page: truth, split, prediction, errors, doubt, and the classes' spectra.

Pictures have one pixel a pixel of the scene. Where there is nothing to say they are transparent, so that they lie on a
light page as on a dark one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from konvoi.colours import class_colours
from konvoi.data.bands import Bands
from konvoi.data.pixels.parts import GUARD, PART_NAMES, TEST, TRAIN, UNLABELLED, VALIDATION
from konvoi.report.palette import ERROR, INK, LINE, QUIET, house_style, new_figure
from konvoi.report.parts import COLOURS
from konvoi.report.pictures import Pixels, png_uri
from konvoi.report.wording import shortened
from konvoi.run import Run, SceneMap

_OPAQUE = 255
_ERROR_COLOURS = {"right": (QUIET, 110), "training pixel, right": (QUIET, 45), "wrong": (ERROR, 255)}
_COLUMNS = 3
_BAND_NUMBER = re.compile(r"^\D*(\d+)$")


@dataclass(frozen=True)
class Panel:
    """One picture with what it shows, and the colours that it needs a word for."""

    title: str
    about: str
    uri: str
    key: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CubePage:
    """The section's content.

    Attributes:
        panels: the pictures.
        classes: name, CSS colour, and the share of the mapped scene, None where it is not mapped.
        size: height and width of the scene.
        how: how the network ran over the scene.
        mapped: whether it did.
    """

    panels: tuple[Panel, ...]
    classes: tuple[tuple[str, str, float | None], ...]
    size: tuple[int, int]
    how: str
    mapped: bool


def cube_page(run: Run) -> CubePage | None:
    """What the page says of the scene; None for a run without one."""
    scene = run.scene_map
    if scene is None:
        return None
    names = run.facts.data.class_names
    colours = class_colours(len(names))
    panels = [
        Panel("False colour", "three bands as red, green and blue", png_uri(scene.colour)),
        Panel("Ground truth", "colours as in the list below", png_uri(_in_class_colours(scene.ground_truth, colours))),
        Panel("Split", "", png_uri(_split_picture(scene)), _part_key(scene)),
    ]
    if scene.mapped:
        panels += [
            Panel(
                "Prediction", "of every pixel, labelled or not", png_uri(_in_class_colours(scene.predicted, colours))
            ),
            Panel(
                "Errors",
                "on every labelled pixel",
                png_uri(_error_picture(scene)),
                tuple((name, _css(colour, alpha)) for name, (colour, alpha) in _ERROR_COLOURS.items()),
            ),
            Panel(
                "Uncertainty",
                "1 − probability of the predicted class; the stronger, the less sure",
                png_uri(_uncertainty_picture(scene, len(names))),
                (
                    ("sure", _css(ERROR, 0)),
                    ("half as unsure as guessing", _css(ERROR, 128)),
                    ("guessing", _css(ERROR, 255)),
                ),
            ),
        ]
    counts = np.bincount(scene.predicted[scene.predicted >= 0], minlength=len(names))
    return CubePage(
        panels=tuple(panels),
        classes=tuple(
            (name, _hex(colour), float(count / scene.predicted.size) if scene.mapped else None)
            for name, colour, count in zip(names, colours, counts, strict=True)
        ),
        size=(scene.parts.shape[0], scene.parts.shape[1]),
        how=scene.how,
        mapped=scene.mapped,
    )


def _in_class_colours(classes: NDArray[np.int16], colours: list[tuple[int, int, int]]) -> Pixels:
    table = np.array([*((*colour, _OPAQUE) for colour in colours), (0, 0, 0, 0)], dtype=np.uint8)
    return table[classes]


def _split_picture(scene: SceneMap) -> Pixels:
    table = np.array(
        [_rgba(COLOURS[part], 0 if part == UNLABELLED else _OPAQUE) for part in sorted(PART_NAMES)], dtype=np.uint8
    )
    return table[scene.parts]


def _part_key(scene: SceneMap) -> tuple[tuple[str, str], ...]:
    there = [part for part in (TRAIN, VALIDATION, TEST, GUARD) if (scene.parts == part).any()]
    return tuple((f"{PART_NAMES[part]}, {int((scene.parts == part).sum()):,}", COLOURS[part]) for part in there)


def _error_picture(scene: SceneMap) -> Pixels:
    labelled, right = scene.ground_truth >= 0, scene.predicted == scene.ground_truth
    picture = np.zeros((*scene.parts.shape, 4), dtype=np.uint8)
    for name, where in (
        ("right", labelled & right),
        ("training pixel, right", labelled & right & (scene.parts == TRAIN)),
        ("wrong", labelled & ~right),
    ):
        picture[where] = _rgba(*_ERROR_COLOURS[name])
    return picture


def _uncertainty_picture(scene: SceneMap, classes: int) -> Pixels:
    picture = np.empty((*scene.parts.shape, 4), dtype=np.uint8)
    picture[...] = _rgba(ERROR, 0)
    # With K classes, the probability of the predicted one is 1/K at least.
    picture[..., 3] = np.round(_OPAQUE * np.clip((1 - scene.probability) / (1 - 1 / classes), 0, 1))
    return picture


@house_style()
def spectra_figure(scene: SceneMap, names: tuple[str, ...], bands: Bands) -> Figure:
    """A panel a class: mean of its training pixels ± one standard deviation, before the means of all the others."""
    places, axis = _places(bands)
    rows = -(-len(names) // _COLUMNS)
    width, panel, title = 640.0, 96.0, 34.0
    height = rows * (panel + title) + 34
    figure = new_figure(width, height)
    top = float(np.nanmax(scene.spectra + scene.deviations)) * 1.02
    bottom = min(0.0, float(np.nanmin(scene.spectra - scene.deviations)))
    means = [_with_gaps(places, spectrum) for spectrum in scene.spectra]
    for number, name in enumerate(names):
        row, column = divmod(number, _COLUMNS)
        left = 0.075 + column * (0.925 / _COLUMNS)
        axes = figure.add_axes(
            (left, 1 - ((row + 1) * (panel + title) - 8) / height, 0.925 / _COLUMNS - 0.025, panel / height)
        )
        for line_places, line in means:
            axes.plot(line_places, line, color=LINE, linewidth=0.8)
        here, mean = means[number]
        _, deviation = _with_gaps(places, scene.deviations[number])
        axes.fill_between(here, mean - deviation, mean + deviation, color=QUIET, alpha=0.3, linewidth=0)
        axes.plot(here, mean, color=INK, linewidth=1.4)
        axes.set_title(shortened(name, 30), fontsize=9.5, pad=5)
        axes.set_xlim(places[0], places[-1])
        axes.set_ylim(bottom, top)
        axes.locator_params(axis="both", nbins=4)
        axes.tick_params(labelsize=8.0, labelleft=column == 0, labelbottom=number + _COLUMNS >= len(names), length=0)
    figure.text(0.075, 6 / height, axis, color=QUIET, fontsize=9.0)
    return figure


def _places(bands: Bands) -> tuple[NDArray[np.float64], str]:
    """Where each band stands on the axis, and what the axis is."""
    units = ", ".join(dict.fromkeys(bands.units))
    if bands.wavelength and all(wave is not None for wave in bands.wavelength):
        return np.array(bands.wavelength, dtype=np.float64), f"wavelength in nm; values: {units}"
    numbers = [_BAND_NUMBER.match(name) for name in bands.names]
    if all(numbers):
        return np.array([float(found.group(1)) for found in numbers if found]), f"number of the band; values: {units}"
    return np.arange(1.0, len(bands) + 1), f"number of the band; values: {units}"


def _with_gaps(
    places: NDArray[np.float64], values: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same, with a break wherever bands were left out."""
    steps = np.diff(places)
    breaks = np.flatnonzero(steps > 3 * np.median(steps)) + 1 if len(steps) else np.empty(0, dtype=np.int64)
    return np.insert(places, breaks, np.nan), np.insert(values.astype(np.float64), breaks, np.nan)


def _rgba(colour: str, alpha: int) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    return red, green, blue, alpha


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _css(colour: str, alpha: int) -> str:
    return f"{colour}{alpha:02x}"
