"""Random fields: smooth, correlated noise on a grid, agricultural parcels, and lines across a patch.

The noise is Gaussian with the spectrum of a Matérn covariance (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, eq. 4.15), drawn in the frequency domain: periodic, so it is made larger than it is used.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@lru_cache(maxsize=64)
def _amplitude(size: int, length: float, smoothness: float) -> Field:
    rows = np.fft.fftfreq(size)[:, None]
    columns = np.fft.rfftfreq(size)[None, :]
    squared = (2 * np.pi) ** 2 * (rows**2 + columns**2)
    amplitude = (1 + squared * length**2) ** (-(smoothness + 1) / 2)
    amplitude[0, 0] = 0.0
    # Columns other than the first and the last stand for two frequencies.
    weight = np.full(columns.shape[1], 2.0)
    weight[0] = weight[-1] = 1.0
    power = float((amplitude**2 * weight).sum()) * 2
    scaled: Field = (amplitude * size**2 / np.sqrt(power)).astype(np.float32)
    return scaled


def smooth_fields(
    generator: np.random.Generator, number: int, size: int, length: float, smoothness: float = 1.5
) -> Field:
    """Independent Gaussian fields `(number, size, size)`, mean 0, standard deviation 1, float32.

    Args:
        generator: draws the noise.
        number: how many fields.
        size: of the periodic grid; cut off what must not be periodic. Even.
        length: of correlation, in grid steps.
        smoothness: of the Matérn covariance: 0.5 is rough, 2.5 and more is smooth.
    """
    amplitude = _amplitude(size, length, smoothness)
    noise = generator.standard_normal((number, size, size // 2 + 1, 2), dtype=np.float32)
    spectrum = noise.view(np.complex64)[..., 0] * amplitude
    drawn: Field = np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32, copy=False)
    return drawn


def as_uniform(field: Field) -> Field:
    """Standard normal values as quantiles between 0 and 1, by the logistic approximation of the normal distribution
    (Bowling et al., Journal of Industrial Engineering and Management 2 (1), 2009)."""
    cubic = 1.5976 * field + 0.07056 * field * field * field
    uniform: Field = (1 / (1 + np.exp(-cubic))).astype(np.float32, copy=False)
    return uniform


def grown(field: Field, cells: NDArray[np.int64], minimum: int = 1) -> Field:
    """The field with every parcel levelled to its mean: regions then have the parcels' borders."""
    counts = np.maximum(np.bincount(cells.ravel()), minimum)
    means = np.bincount(cells.ravel(), weights=field.ravel()) / counts
    levelled: Field = means[cells].astype(np.float32)
    return levelled


def parcels(
    generator: np.random.Generator, size: int, width: float, length: float, bend: Field | None = None
) -> NDArray[np.int64]:
    """Fields with straight edges: numbers `(size, size)` from 0; strips in one direction, each cut across on its own.

    Args:
        generator: draws the direction and all widths.
        size: of the patch in pixels.
        width, length: of a typical parcel in pixels.
        bend: displaces the edges, in pixels, `(size, size)`.
    """
    angle = generator.uniform(0, np.pi)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle) + 0.12 * along * generator.uniform(-1, 1)
    if bend is not None:
        along, across = along + bend, across + bend.T
    reach = 2.0 * size
    strips = int(2 * reach / width) + 2
    steps = width * generator.gamma(4.0, 0.25, strips)
    strip = np.searchsorted(np.cumsum(steps) - reach, across).clip(0, strips - 1)
    lengths = length * generator.gamma(4.0, 0.25, strips).clip(0.3)
    # Neighbouring strips often share a cross road: a common offset for most of them.
    offsets = generator.uniform(0, length, strips) * (generator.random(strips) < 0.7)
    cross = np.floor((along + reach + offsets[strip]) / lengths[strip]).astype(np.int64)
    numbers = strip * (int(cross.max()) + 1) + cross
    _, packed = np.unique(numbers, return_inverse=True)
    return packed.reshape(size, size).astype(np.int64)


def borders(cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is in another parcel, `(size, size)`."""
    found = np.zeros(cells.shape, dtype=np.bool_)
    found[:, :-1] |= cells[:, :-1] != cells[:, 1:]
    found[:-1] |= cells[:-1] != cells[1:]
    return found


def distance_to_line(generator: np.random.Generator, size: int, winding: float) -> Field:
    """Distance in pixels, `(size, size)`, to a line that winds through the patch, entering and leaving at its edges."""
    angle = generator.uniform(0, np.pi)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    rows, columns = rows - size / 2, columns - size / 2
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    position = np.linspace(-size, size, 96)
    waves = np.zeros_like(position)
    for period in (1.7, 0.9, 0.45, 0.22):
        phase = generator.uniform(0, 2 * np.pi)
        waves += winding * size * period * 0.12 * np.sin(2 * np.pi * position / (size * period) + phase)
    middle = generator.uniform(-0.3, 0.3) * size
    line = np.interp(along, position, waves + middle)
    slope = np.interp(along, position, np.gradient(waves, position))
    distance: Field = (np.abs(across - line) / np.sqrt(1 + slope**2)).astype(np.float32)
    return distance
