"""A synthetic hyperspectral scene with its ground truth, in ENVI's format: rectangular fields of a few crops.

What makes such scenes hard, and random splits of their pixels flattering, is in it: fields of one crop differ from each
other in mixture, brightness and tint, while the pixels of one field are alike, with correlated variation and noise. The
materials' spectra are those of `synthetic.spectra`, with their caveats, drawn smoothly through the centres of
Sentinel-2's bands; nothing between these centres is real, and the bands in the two large absorptions of water vapour
are noise and marked as bad, as in a file from a sensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.sensors import sentinel2
from konvoi.data.synthetic.fields import smooth_fields
from konvoi.data.synthetic.geotiff import MARK
from konvoi.data.synthetic.spectra import MATERIALS
from konvoi.errors import DataError
from konvoi.files import write_aside, write_text
from konvoi.randomness import numpy_stream

CROPS: dict[str, dict[str, float]] = {
    "winter wheat": {"green crop": 0.80, "dark soil": 0.20},
    "young maize": {"green crop": 0.40, "dark soil": 0.60},
    "potatoes": {"green crop": 0.62, "bright soil": 0.38},
    "ripe barley": {"dry crop": 0.85, "bright soil": 0.15},
    "stubble": {"dry crop": 0.50, "bright soil": 0.50},
    "meadow": {"green grass": 0.82, "dry grass": 0.18},
    "pasture": {"green grass": 0.55, "dry grass": 0.45},
    "ploughed soil": {"dark soil": 0.92, "dry crop": 0.08},
}
"""What the fields of each class are mixed of."""

_TRACK = {"dry grass": 0.5, "bright soil": 0.5}
_MIXED = tuple(dict.fromkeys(name for crop in (*CROPS.values(), _TRACK) for name in crop))
_WAVELENGTHS = (420.0, 2400.0)
_WATER_VAPOUR = ((1350.0, 1440.0), (1800.0, 1960.0))
"""Nanometres in which almost no light reaches the ground (Gao and Goetz, JGR 95 (D4), 1990)."""

_ALIKE = 60.0
"""Concentration of the Dirichlet distribution of a field's mixture: larger makes fields of a crop more alike."""

_ROWS_AT_ONCE = 32
_SMALLEST_SIDE = 12


def generate_cube(folder: Path, height: int = 240, width: int = 240, bands: int = 120, seed: int = 0) -> Path:
    """Write `scene.img` and `ground_truth.img`, each with a header, and return the scene's header.

    Args:
        folder: made where it does not exist.
        height, width: in pixels of 3 m.
        bands: evenly spaced from 420 to 2,400 nm, uint16, reflectance × 10,000.
        seed: of everything.

    Raises:
        DataError: the scene is too small for a field of each crop.
    """
    fields = list(_rectangles(numpy_stream(seed, "cube", "fields"), 0, 0, height, width))
    if len(fields) < 2 * len(CROPS):
        raise DataError(
            f"A scene of {height} × {width} pixels has room for {len(fields)} fields, and each of the {len(CROPS)} "
            "crops needs two. Make it larger."
        )
    stream = numpy_stream(seed, "cube", "crops")
    # Every crop has its share of the fields, wherever they lie.
    crops = stream.permutation(np.arange(len(fields)) % len(CROPS))
    numbers = np.full((height, width), -1, dtype=np.int64)
    truth = np.zeros((height, width), dtype=np.uint8)
    for number, (top, left, bottom, right) in enumerate(fields):
        numbers[top:bottom, left:right] = number
        truth[top:bottom, left:right] = crops[number] + 1
    folder.mkdir(parents=True, exist_ok=True)
    wavelengths = np.linspace(*_WAVELENGTHS, bands)
    write_aside(folder / "ground_truth.img", lambda path: truth.tofile(path))
    names = ", ".join(("unclassified", *CROPS))
    _write_header(
        folder / "ground_truth.hdr", truth.shape, 1, 1, f"classes = {len(CROPS) + 1}\nclass names = {{{names}}}\n"
    )
    write_aside(folder / "scene.img", lambda path: _write_pixels(path, numbers, crops, wavelengths, seed))
    good = ", ".join(str(int(entry)) for entry in ~_in_water_vapour(wavelengths))
    _write_header(
        folder / "scene.hdr",
        (height, width),
        bands,
        12,
        f"wavelength units = Nanometers\nwavelength = {{{', '.join(f'{wave:.2f}' for wave in wavelengths)}}}\n"
        f"bbl = {{{good}}}\nreflectance scale factor = 10000\n",
    )
    return folder / "scene.hdr"


def _rectangles(
    stream: np.random.Generator, top: int, left: int, bottom: int, right: int
) -> Iterator[tuple[int, int, int, int]]:
    """Fields as (top, left, bottom, right), with tracks of two pixels between them."""
    height, width = bottom - top, right - left
    largest = 3 * _SMALLEST_SIDE
    if max(height, width) <= largest and (stream.random() < 0.6 or max(height, width) <= 2 * _SMALLEST_SIDE + 2):
        yield top, left, bottom, right
        return
    cut = round((max(height, width) - 2) * stream.uniform(0.35, 0.65))
    if height >= width:
        yield from _rectangles(stream, top, left, top + cut, right)
        yield from _rectangles(stream, top + cut + 2, left, bottom, right)
    else:
        yield from _rectangles(stream, top, left, bottom, left + cut)
        yield from _rectangles(stream, top, left + cut + 2, bottom, right)


def _write_pixels(
    path: Path, numbers: NDArray[np.int64], crops: NDArray[np.int64], wavelengths: NDArray[np.float64], seed: int
) -> None:
    height, width = numbers.shape
    size = max(height, width) + max(height, width) % 2
    stream = numpy_stream(seed, "cube", "variation")
    mixtures = [_shares(crop) for crop in CROPS.values()]
    # One row a field, and a last one for the tracks, which is number -1.
    shares = np.stack([stream.dirichlet(_ALIKE * mixtures[crop] + 0.05) for crop in crops] + [_shares(_TRACK)])
    brightness = np.append(np.exp(0.05 * stream.standard_normal(len(crops))), 1.0)
    tints = _tints(stream, len(shares), wavelengths)
    variation = smooth_fields(stream, len(_MIXED), size, 5.0, 0.5)[:, :height, :width]
    light = 1 + 0.04 * smooth_fields(stream, 1, size, 60.0)[0, :height, :width]
    spectra = _spectra(wavelengths)
    reaches = np.where(_in_water_vapour(wavelengths), 0.0, 1.0)
    with path.open("wb") as file:
        for first in range(0, height, _ROWS_AT_ONCE):
            rows = slice(first, min(first + _ROWS_AT_ONCE, height))
            of_field = numbers[rows]
            mixture = shares[of_field] * np.exp(0.25 * np.moveaxis(variation[:, rows], 0, -1))
            mixture /= mixture.sum(axis=-1, keepdims=True)
            reflectance = (mixture @ spectra) * tints[of_field]
            reflectance *= (brightness[of_field] * light[rows])[..., None]
            noise = 0.004 * stream.standard_normal(reflectance.shape, dtype=np.float32)
            stored = np.rint(10_000 * np.clip(reflectance * reaches + noise, 0, 1)).astype("<u2")
            stored.tofile(file)


def _shares(mixture: dict[str, float]) -> NDArray[np.float64]:
    return np.array([mixture.get(name, 0.0) for name in _MIXED])


def _spectra(wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reflectance of the mixed materials, `(materials, bands)`."""
    from scipy.interpolate import PchipInterpolator

    centres = np.array([float(wave or 0) for wave in sentinel2().wavelength])
    order = np.argsort(centres)
    within = np.clip(wavelengths, centres.min(), centres.max())
    values = np.array([MATERIALS[name][1] for name in _MIXED]) / 100
    smooth: NDArray[np.float64] = PchipInterpolator(centres[order], values[:, order], axis=1)(within)
    return smooth


def _tints(stream: np.random.Generator, fields: int, wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve around 1 for each field, `(fields, bands)`: variety, moisture, and what was sown late."""
    place = (wavelengths - wavelengths[0]) / (wavelengths[-1] - wavelengths[0])
    waves = np.stack([np.cos(np.pi * (order * place)) for order in range(1, 6)])
    curves: NDArray[np.float64] = 1 + 0.025 * (stream.standard_normal((fields, len(waves))) @ waves)
    return curves


def _in_water_vapour(wavelengths: NDArray[np.float64]) -> NDArray[np.bool_]:
    found = np.zeros(len(wavelengths), dtype=bool)
    for first, last in _WATER_VAPOUR:
        found |= (wavelengths >= first) & (wavelengths <= last)
    return found


def _write_header(path: Path, size: tuple[int, ...], bands: int, kind: int, more: str) -> None:
    text = (
        f"ENVI\ndescription = {{{MARK}}}\nsamples = {size[1]}\nlines = {size[0]}\nbands = {bands}\nheader offset = 0\n"
        f"file type = ENVI {'Standard' if bands > 1 else 'Classification'}\ndata type = {kind}\ninterleave = bip\n"
        "byte order = 0\nmap info = {UTM, 1, 1, 500000, 5500000, 3, 3, 32, North, WGS-84, units=Meters}\n" + more
    )
    write_text(path, text)
