"""From arrays to small PNG pictures inside the page, one pixel a value; the browser enlarges them without smoothing."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from konvoi.data.bands import Bands
from konvoi.data.scene import colour_bands

Pixels = NDArray[np.uint8]

_NEGATIVE = np.array([0x00, 0x72, 0xB2]) / 255
_POSITIVE = np.array([0xD5, 0x5E, 0x00]) / 255
_VISIBLE = ("red", "green", "blue")
TRUE_COLOUR = ("B04", "B03", "B02")
_MOST_IN_GREY = 16
"""Images with more bands are cubes, and shown in false colour."""


def png_uri(pixels: Pixels) -> str:
    """A data URI of a grey `(H, W)` or colour `(H, W, 3)` picture."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def photograph(image: NDArray[np.uint8], bands: Bands) -> Pixels:
    """An image as stored, `(C, H, W)`, as a person would see it.

    Red, green and blue where there are bands of these names; of many others, those nearest to these colours; of few
    others, their mean in grey.
    """
    if len(bands) > _MOST_IN_GREY and not set(TRUE_COLOUR) <= set(bands.names):
        return composite(image, bands, tuple(bands.names[position] for position in colour_bands(bands)))
    if bands.ground_sampling_distance:
        return composite(image, bands, TRUE_COLOUR if set(TRUE_COLOUR) <= set(bands.names) else bands.names[:1] * 3)
    brightness = np.clip(image.astype(np.float64) * np.asarray(bands.scale).reshape(-1, 1, 1), 0, 1)
    if set(_VISIBLE) <= set(bands.names):
        chosen = brightness[[bands.names.index(name) for name in _VISIBLE]]
        return _bytes(chosen.transpose(1, 2, 0))
    return _bytes(brightness.mean(axis=0))


def composite(image: NDArray[np.generic], bands: Bands, names: tuple[str, ...]) -> Pixels:
    """Three bands of a patch as red, green and blue, each stretched between its own 2nd and 98th percentile.

    Args:
        image: `(C, H, W)`, as stored.
        bands: of the image.
        names: of the three.
    """
    chosen = np.asarray(image[[bands.names.index(name) for name in names]], dtype=np.float64)
    if bands.no_data is not None:
        chosen = np.where(chosen == bands.no_data, np.nan, chosen)
    if not np.isfinite(chosen).any():
        return np.zeros((*chosen.shape[1:], len(names)), dtype=np.uint8)
    low, high = np.nanpercentile(chosen, (2, 98), axis=(1, 2), keepdims=True)
    stretched = (chosen - low) / np.where(high > low, high - low, 1.0)
    return _bytes(np.clip(np.nan_to_num(stretched), 0, 1).transpose(1, 2, 0))


def weight_pictures(weights: NDArray[np.float32]) -> list[Pixels]:
    """Filters `(n, C, h, w)`, all on one scale.

    Of three channels: a colour picture in which middle grey is zero. Otherwise, of the mean over the channels: blue
    is negative, white zero, orange positive.
    """
    in_colour = weights.shape[1] == len(_VISIBLE)
    shown = weights if in_colour else weights.mean(axis=1, keepdims=True)
    # A single extreme weight must not make all others invisible.
    largest = float(np.quantile(np.abs(shown), 0.995)) or 1.0
    scaled = np.clip(shown.astype(np.float64) / largest, -1, 1)
    if in_colour:
        return [_bytes((picture.transpose(1, 2, 0) + 1) / 2) for picture in scaled]
    return [_bytes(_diverging(picture[0])) for picture in scaled]


def map_pictures(maps: NDArray[np.float32]) -> list[Pixels]:
    """Feature maps `(n, h, w)`, all on one scale, from the lowest value, black, to the highest, white."""
    lowest, highest = float(maps.min()), float(maps.max())
    return [_bytes((picture.astype(np.float64) - lowest) / ((highest - lowest) or 1.0)) for picture in maps]


def _diverging(values: NDArray[np.float64]) -> NDArray[np.float64]:
    strength = np.abs(values)[..., None]
    colour = np.where(values[..., None] < 0, _NEGATIVE, _POSITIVE)
    return np.asarray(1 - strength * (1 - colour))


def _bytes(values: NDArray[np.float64]) -> Pixels:
    return np.round(values * 255).astype(np.uint8)
