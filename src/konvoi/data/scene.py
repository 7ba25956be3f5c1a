"""The scene behind the samples of a cube: its ground truth as a map, where it lies, and how it is shown in colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands
from konvoi.data.cube import Transform

RED_GREEN_BLUE = (650.0, 550.0, 450.0)
"""Wavelengths in nanometres of the bands that stand for red, green and blue."""


@dataclass(frozen=True)
class Scene:
    """What is known of a scene apart from its pixels and bands.

    Attributes:
        name: what the scene is called in reports.
        ground_truth: `(H, W)` int64, 0 … K-1, and -1 where a pixel has no label.
        class_names: the K names in label order.
        colour_bands: positions of the bands that stand for red, green and blue.
        crs: see `data.cube.Cube`.
        transform: see `data.cube.Cube`.
    """

    name: str
    ground_truth: NDArray[np.int64]
    class_names: tuple[str, ...]
    colour_bands: tuple[int, int, int]
    crs: str = ""
    transform: Transform | None = None


def colour_bands(bands: Bands) -> tuple[int, int, int]:
    """Positions of the bands nearest to red, green and blue light; of bands without wavelengths, three spread evenly.

    Where the wavelengths leave out visible light, too, three are taken that lie apart: the last of them first, because
    long waves are shown red.
    """
    known = [(wave, position) for position, wave in enumerate(bands.wavelength) if wave is not None]
    if known:
        waves = np.array([wave for wave, _ in known])
        nearest = [int(np.abs(waves - wanted).argmin()) for wanted in RED_GREEN_BLUE]
        if len(set(nearest)) == len(nearest):
            red, green, blue = (known[place][1] for place in nearest)
            return red, green, blue
    last = len(bands) - 1
    return (3 * last) // 4, last // 2, last // 4
