"""Which part of a picture the network sees: random resized crops in training, the middle in validation.

A crop is chosen in the picture's own geometry, whatever shape it is stored in: where pictures were squeezed into
squares, their aspects say how. Arithmetic only; what a crop looks like is
made in `data.resample`.

Every position of an epoch has random numbers of its own, drawn in blocks; so a crop is a pure function of (seed, epoch,
position), and a rank draws little more than its own share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from konvoi.randomness import numpy_stream
from konvoi.recipe.crop import CropSection

_TRIES = 10
_BLOCK = 256
_DRAWS = 2 * _TRIES + 3
"""Area and ratio for each try, then left, top and flip."""


@dataclass(frozen=True)
class Crops:
    """A rectangle of each of n stored images, and the size it gets.

    Attributes:
        boxes: `(n, 4)` int64: top, left, height and width in stored pixels.
        mirrored: `(n,)`, left to right.
        size: height and width of the result.
    """

    boxes: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    size: int


class RandomCrops:
    """Random resized crops, for training.

    Area and ratio as C. Szegedy et al. chose them, "Going deeper with convolutions", CVPR 2015, section 6: the area
    uniform in a range, the logarithm of width / height too; up to ten tries until the rectangle fits, and then the
    largest one of an allowed ratio in the middle.
    """

    def __init__(self, settings: CropSection, flip: bool, seed: int) -> None:
        """Keep the settings.

        Args:
            settings: the recipe's `input.crop`.
            flip: whether half of the images are mirrored.
            seed: of the random numbers.
        """
        self._settings = settings
        self._flip = flip
        self._seed = seed

    def of(self, epoch: int, first: int, stored: tuple[int, int], aspects: NDArray[np.float32]) -> Crops:
        """The crops of consecutive positions of an epoch.

        Args:
            epoch: counted from 0.
            first: the first position.
            stored: height and width of the stored images.
            aspects: `(n,)`, width / height of what a stored pixel shows, of the images at these positions.
        """
        draws = self._draws(epoch, first, len(aspects))
        boxes = _random_boxes(self._settings, stored, aspects.astype(np.float64), draws)
        mirrored = draws[:, -1] < 0.5 if self._flip else np.zeros(len(aspects), dtype=np.bool_)
        return Crops(boxes, mirrored, self._settings.size_in(epoch))

    def _draws(self, epoch: int, first: int, count: int) -> NDArray[np.float32]:
        start = first // _BLOCK
        blocks = [
            numpy_stream(self._seed, "crop", epoch, block).random((_BLOCK, _DRAWS), dtype=np.float32)
            for block in range(start, -(-(first + count) // _BLOCK))
        ]
        return np.concatenate(blocks)[first - start * _BLOCK :][:count]


def centre_crops(settings: CropSection, stored: tuple[int, int], aspects: NDArray[np.float32]) -> Crops:
    """The square in the middle of each image whose side is `settings.centre` of the image's short side.

    Args:
        settings: the recipe's `input.crop`.
        stored: height and width of the stored images.
        aspects: `(n,)`, width / height of what a stored pixel shows.
    """
    height, width = stored
    aspect = aspects.astype(np.float64)
    side = settings.centre * np.minimum(width * aspect, height)
    return Crops(_in_the_middle(side, side / aspect, stored), np.zeros(len(aspects), dtype=np.bool_), settings.size)


def _random_boxes(
    settings: CropSection, stored: tuple[int, int], aspect: NDArray[np.float64], draws: NDArray[np.float32]
) -> NDArray[np.int64]:
    height, width = stored
    # In units of a stored pixel's height; a stored pixel is `aspect` wide.
    true_width = width * aspect
    low, high = (math.log(ratio) for ratio in settings.ratio)
    areas = draws[:, :_TRIES] * (settings.scale[1] - settings.scale[0]) + settings.scale[0]
    area = areas * (true_width * height)[:, None]
    ratio = np.exp(draws[:, _TRIES : 2 * _TRIES] * (high - low) + low)
    wide, tall = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (wide <= true_width[:, None]) & (tall <= height)
    rows, chosen = np.arange(len(aspect)), fits.argmax(axis=1)
    found = fits[rows, chosen]
    wide = np.clip(np.rint(wide[rows, chosen] / aspect), 1, width).astype(np.int64)
    tall = np.clip(np.rint(tall[rows, chosen]), 1, height).astype(np.int64)
    left = np.floor(draws[:, -3] * (width - wide + 1)).astype(np.int64)
    top = np.floor(draws[:, -2] * (height - tall + 1)).astype(np.int64)
    # In float32, a draw just below 1 may round to 1.
    boxes = np.stack([np.minimum(top, height - tall), np.minimum(left, width - wide), tall, wide], axis=1)
    if not found.all():
        own = np.clip(true_width / height, *settings.ratio)
        in_the_middle = _in_the_middle(
            np.minimum(height, true_width / own), np.minimum(true_width, height * own) / aspect, stored
        )
        boxes = np.where(found[:, None], boxes, in_the_middle)
    return boxes


def _in_the_middle(tall: NDArray[np.float64], wide: NDArray[np.float64], stored: tuple[int, int]) -> NDArray[np.int64]:
    height, width = stored
    tall = np.clip(np.rint(tall), 1, height)
    wide = np.clip(np.rint(wide), 1, width)
    return np.stack([np.rint((height - tall) / 2), np.rint((width - wide) / 2), tall, wide], axis=1).astype(np.int64)
