"""From the ground of a patch to what Sentinel-2 would store: light, season, snow, cloud, sensor.

All bands are averages of one field of reflectance at 10 m, so that the resolutions agree. A patch is a function of the
archive's seed and its place in the plan, in whatever process and order it is rendered.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from konvoi.data.sensors import ALL12
from konvoi.data.synthetic.fields import Field, smooth_fields
from konvoi.data.synthetic.mosaic import SIZE, WET, Mosaic, draw_mosaic
from konvoi.data.synthetic.plan import PlannedPatch
from konvoi.data.synthetic.spectra import COVERS, MATERIALS, cover_spectra
from konvoi.randomness import numpy_stream

METRES: dict[str, int] = {
    band: 60 if band in {"B01", "B09"} else 10 if band in {"B02", "B03", "B04", "B08"} else 20 for band in ALL12
}
"""The side of a pixel of each band."""

_FIELD_METRES = {
    "temperate farmland": 260.0, "Baltic farmland": 260.0, "boreal farmland": 190.0, "agro-forestry": 330.0,
    "wet plain": 300.0, "Mediterranean crops": 150.0, "hills": 130.0, "Atlantic pastures": 170.0, "town": 170.0,
    "boreal forest": 240.0,
}  # fmt: skip
_RELIEF = {
    "mountains": 0.75, "hills": 0.35, "Mediterranean shrubs": 0.4, "mixed woods": 0.25, "Atlantic bogs": 0.3,
    "boreal forest": 0.12, "lakes and bogs": 0.1, "agro-forestry": 0.15, "Mediterranean crops": 0.15,
}  # fmt: skip

_CLOUD = np.array([0.66, 0.62, 0.60, 0.61, 0.63, 0.64, 0.65, 0.66, 0.67, 0.5, 0.42, 0.3], dtype=np.float32)
"""Reflectance of a thick cumulus after atmospheric correction, approximately (Bowker et al., 1985)."""

_HAZE = np.array([1.0, 0.75, 0.5, 0.33, 0.27, 0.22, 0.2, 0.17, 0.15, 0.1, 0.03, 0.01], dtype=np.float32)
_VIGOUR = np.array([-0.6, -0.7, -0.45, -0.9, -0.3, 0.5, 0.7, 0.75, 0.75, 0.7, -0.25, -0.6], dtype=np.float32)
"""How the bands follow denser plants: less red and short-wave infrared, more near infrared."""

_CATCHES_SNOW = np.array(
    [
        {"conifers": 0.3, "broad-leaved trees": 0.55, "evergreen shrubs": 0.35, "sea": 0.05, "asphalt": 0.5}.get(
            c, 0.95
        )
        for c in COVERS
    ],
    dtype=np.float32,
)


def render(seed: int, patch: PlannedPatch) -> dict[str, NDArray[np.uint16]]:
    """The patch's bands by name: reflectance × 10,000, uint16, 120, 60 or 20 pixels square, never 0."""
    generator = numpy_stream(seed, "synthetic scene", patch.index)
    mosaic = draw_ground(seed, patch)
    abundance = _snowed(generator, mosaic) if patch.flag == "snow" else mosaic.abundance
    reflectance = _surface(generator, patch, mosaic, abundance)
    reflectance += (_HAZE * np.float32(generator.gamma(1.2, 0.004)))[:, None, None]
    if patch.flag == "cloud":
        _add_clouds(generator, reflectance)
    return {band: _sensed(generator, reflectance[row], METRES[band] // 10) for row, band in enumerate(ALL12)}


def draw_ground(seed: int, patch: PlannedPatch) -> Mosaic:
    """What lies in the patch: the same for optical and radar images."""
    field_metres = _FIELD_METRES.get(patch.landscape, 180.0)
    generator = numpy_stream(seed, "synthetic ground", patch.index)
    return draw_mosaic(generator, patch.labels, field_metres * float(generator.uniform(0.75, 1.35)))


@lru_cache(maxsize=512)
def _season_spectra(day: int, latitude: float) -> NDArray[np.float64]:
    return cover_spectra(day, latitude)


def _surface(generator: np.random.Generator, patch: PlannedPatch, mosaic: Mosaic, abundance: Field) -> Field:
    """Reflectance of the lit ground, `(12, 120, 120)`."""
    flight = patch.acquisition
    day = int(flight.day + generator.normal(0, 6))
    spectra = _season_spectra(min(max(day, 1), 366), flight.site.latitude)
    # Places differ: each cover has its own brightness and tilt of the spectrum in each patch.
    wavelength = np.linspace(-1, 1, 12)
    tilts = np.stack([np.ones(12), wavelength, 1.5 * wavelength**2 - 0.5])
    drawn = generator.normal(0, 1, (len(COVERS), 3)) * np.array([0.09, 0.07, 0.05])
    present = abundance.reshape(len(COVERS), -1).any(axis=1)
    used = (spectra * np.exp(drawn @ tilts))[present].astype(np.float32)
    ground = abundance[present].reshape(int(present.sum()), -1)
    reflectance: Field = (used.T @ ground).reshape(12, SIZE, SIZE)
    wet = abundance[WET].sum(axis=0)
    dry = 1 - wet
    light = mosaic.rough * generator.standard_normal((SIZE, SIZE), dtype=np.float32)
    steep = np.float32(_RELIEF.get(patch.landscape, 0.04))
    # The sun stands in the south-east in the morning: rows count southwards and columns eastwards.
    low_sun = 1.6 - np.sin(np.pi * np.clip((flight.day - 20) / 325, 0, 1))
    light += (
        steep
        * np.float32(low_sun)
        * dry
        * (2.2 * (np.gradient(mosaic.relief, axis=0) + np.gradient(mosaic.relief, axis=1)))
    )
    light += np.float32(0.05) * dry * mosaic.vigour[::-1]
    plants = dry * (1 - abundance[COVERS.index("snow")])
    reflectance *= np.exp(np.clip(light, -0.9, 0.6))
    for row, follows in enumerate(_VIGOUR):
        reflectance[row] *= 1 + np.float32(0.2 * follows) * np.tanh(mosaic.vigour) * plants
    return reflectance


def _snowed(generator: np.random.Generator, mosaic: Mosaic) -> Field:
    """The mixture under seasonal snow, which open ground and ice hold and forests shed."""
    depth = generator.uniform(0.1, 1.1)
    held = np.clip(depth + 0.35 * mosaic.vigour[::-1] - 0.2 * mosaic.relief, 0, 1)
    kept: Field = mosaic.abundance * (1 - _CATCHES_SNOW[:, None, None] * held)
    kept[COVERS.index("snow")] += 1 - kept.sum(axis=0)
    return kept


def _add_clouds(generator: np.random.Generator, reflectance: Field) -> None:
    """Cumulus clouds and, north-west of them, their shadows."""
    density = smooth_fields(generator, 1, 160, 12.0, 0.8)[0]
    threshold = np.quantile(density, generator.uniform(0.35, 0.8))
    cover = np.clip(1.8 * (density - threshold), 0, 1)
    height = int(generator.integers(8, 36))
    shade = np.roll(cover, (-height, -height // 2), axis=(0, 1))[:SIZE, :SIZE]
    cover = cover[:SIZE, :SIZE]
    reflectance *= 1 - np.float32(0.62) * shade
    bright = _CLOUD * np.float32(generator.uniform(0.75, 1.25))
    reflectance *= 1 - cover
    reflectance += bright[:, None, None] * (cover * (0.75 + 0.25 * cover))


def _sensed(generator: np.random.Generator, fine: Field, factor: int) -> NDArray[np.uint16]:
    """One band: averaged to its pixels, blurred a little by the optics, with noise, × 10,000."""
    size = SIZE // factor
    band = fine.reshape(size, factor, size, factor).sum(axis=3).sum(axis=1) / np.float32(factor**2)
    if factor < 6:
        band = _blurred(band)
    noise = generator.standard_normal((size, size), dtype=np.float32) * (np.float32(0.0007) + np.float32(0.005) * band)
    stored: NDArray[np.uint16] = np.clip(np.rint((band + noise) * 10_000), 1, 20_000).astype(np.uint16)
    return stored


def _blurred(fine: Field) -> Field:
    # A point is seen in its neighbours too: about 15 % on either side.
    side, middle = np.float32(0.15), np.float32(0.7)
    padded = np.pad(fine, 1, mode="edge")
    rows = middle * padded[1:-1] + side * (padded[:-2] + padded[2:])
    blurred = middle * rows[:, 1:-1] + side * (rows[:, :-2] + rows[:, 2:])
    return blurred.astype(np.float32, copy=False)


assert len(MATERIALS["snow"][1]) == len(ALL12), "the table of materials has one figure a band"
