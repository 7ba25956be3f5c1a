"""Surface reflectance of materials and covers in Sentinel-2's bands, by season.

The figures are approximate: magnitudes and shapes that the sources below agree on, read at the centres of the bands
and rounded, not measurements taken over. A picture made from them has the right order of bands and of materials (red
edge, water's absorption in the infrared, snow's drop at 1.6 µm) and is no reference for any material.

Sources, by the letter in the table:
    E  Meerdink et al., "The ECOSTRESS spectral library version 1.0", Remote Sensing of Environment 230, 2019.
    U  Kokaly et al., "USGS Spectral Library Version 7", US Geological Survey Data Series 1035, 2017.
    B  Bowker et al., "Spectral Reflectances of Natural Targets for Use in Remote Sensing Studies", NASA RP-1139, 1985.
    H  Herold et al., "Spectrometry for urban area remote sensing", Remote Sensing of Environment 91, 2004.
    S  Baumgardner et al., "Reflectance Properties of Soils", Advances in Agronomy 38, 1985.
    M  Bubier et al., "Spectral reflectance measurements of boreal wetland and forest mosses", JGR 102 (D24), 1997.
    P  Pleniou and Koutsias, "Sensitivity of spectral reflectance values to different burn and vegetation ratios",
       ISPRS Journal of Photogrammetry and Remote Sensing 79, 2013.
    W  Warren, "Optical properties of snow", Reviews of Geophysics 20 (1), 1982.
    L  Mobley, "Light and Water: Radiative Transfer in Natural Waters", 1994.
Season follows from logistic curves of greenness, the usual form in phenology (Zhang et al., "Monitoring vegetation
phenology using MODIS", Remote Sensing of Environment 84, 2003); the dates are round figures for Europe.
What covers a label's area is in `covers`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MATERIALS: dict[str, tuple[str, tuple[float, ...]]] = {
    # Percent, in the order of `data.sensors.ALL12`:
    #                        B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B11   B12
    "clear water": ("L E", (1.6, 1.9, 1.9, 1.1, 0.9, 0.7, 0.7, 0.6, 0.5, 0.5, 0.3, 0.2)),
    "turbid water": ("L B", (3.2, 4.4, 6.6, 5.2, 4.6, 2.6, 2.5, 2.1, 1.8, 1.6, 0.7, 0.5)),
    "conifer canopy": ("E B", (1.1, 1.8, 3.0, 2.0, 5.0, 14.0, 17.0, 18.2, 19.0, 19.0, 8.2, 3.8)),
    "broad-leaved canopy": ("E U", (1.5, 2.2, 4.5, 2.5, 7.9, 25.5, 32.0, 33.5, 35.0, 35.0, 16.5, 7.2)),
    "leafless canopy": ("E B", (2.2, 3.2, 4.9, 5.4, 8.2, 13.5, 15.5, 17.0, 18.5, 19.0, 18.0, 10.5)),
    "evergreen shrub": ("E B", (1.7, 2.5, 4.4, 3.9, 7.6, 17.0, 20.5, 22.0, 23.5, 23.5, 15.5, 8.2)),
    "green crop": ("E U", (2.5, 3.0, 6.3, 3.6, 10.0, 32.0, 41.0, 42.5, 44.5, 44.5, 18.5, 9.0)),
    "dry crop": ("E B", (4.6, 6.4, 9.8, 12.8, 15.8, 19.5, 22.0, 24.0, 26.0, 27.0, 30.0, 22.5)),
    "dark soil": ("S U", (3.6, 4.8, 6.9, 8.8, 10.5, 12.0, 13.4, 14.6, 15.9, 16.4, 20.5, 17.5)),
    "bright soil": ("S U", (7.2, 9.8, 14.0, 18.2, 20.5, 22.2, 24.2, 25.8, 27.6, 28.2, 35.0, 30.0)),
    "green grass": ("E B", (2.4, 3.1, 6.8, 4.2, 11.2, 28.5, 34.5, 36.0, 38.0, 38.0, 22.5, 12.0)),
    "dry grass": ("E B", (4.2, 5.6, 8.8, 10.6, 14.4, 18.8, 21.2, 23.0, 25.0, 26.0, 29.0, 19.5)),
    "concrete": ("H U", (13.5, 16.5, 19.2, 21.2, 22.3, 23.2, 24.2, 24.8, 25.6, 25.8, 27.0, 24.5)),
    "bright roof": ("H U", (30.0, 35.0, 37.0, 38.0, 38.5, 39.0, 39.5, 40.0, 40.0, 39.5, 38.0, 34.0)),
    "clay roof": ("H", (5.6, 7.0, 9.8, 15.2, 17.8, 19.5, 21.0, 22.2, 23.4, 23.8, 26.5, 24.0)),
    "asphalt": ("H U", (6.4, 7.4, 8.6, 9.4, 9.9, 10.5, 11.0, 11.4, 11.9, 12.0, 13.4, 12.8)),
    "sand": ("S U", (14.5, 19.0, 26.0, 32.0, 34.5, 36.0, 37.8, 39.0, 40.4, 40.2, 45.0, 41.0)),
    "wet mud": ("S B", (4.8, 5.9, 7.6, 8.8, 9.4, 9.6, 9.9, 10.1, 10.2, 9.6, 7.4, 5.2)),
    "rock": ("U E", (9.4, 11.5, 14.0, 16.0, 17.2, 18.2, 19.2, 19.8, 20.6, 20.6, 22.8, 20.2)),
    "bog": ("M", (2.3, 2.9, 4.7, 5.3, 9.0, 14.5, 17.0, 18.5, 20.0, 20.2, 16.5, 8.8)),
    "reed": ("E B", (2.5, 3.3, 5.6, 5.5, 10.0, 19.0, 22.5, 24.0, 25.6, 25.4, 16.5, 8.8)),
    "heath": ("E B", (2.3, 2.9, 4.5, 4.8, 8.6, 15.5, 18.0, 19.5, 21.0, 21.2, 18.5, 10.6)),
    "char": ("P", (3.0, 3.3, 3.9, 4.5, 5.1, 5.8, 6.6, 7.3, 8.1, 8.4, 12.5, 13.0)),
    "salt": ("U", (34.0, 39.0, 44.0, 47.0, 48.5, 49.5, 50.0, 50.0, 49.5, 44.0, 33.0, 23.0)),
    "snow": ("W", (62.0, 61.0, 59.5, 59.0, 59.5, 58.5, 57.5, 56.5, 54.5, 50.0, 7.0, 6.0)),
}
"""Reflectance in percent, with the letters of its sources. Snow is seasonal snow at a low sun, darker than fresh."""

SHADE_ADAPTED = ("clear water", "turbid water")
"""Materials whose reflectance does not follow the slope of the ground: they are level."""

COVERS: tuple[str, ...] = (
    "lake", "sea", "turbid water", "conifers", "broad-leaved trees", "evergreen shrubs", "winter crop", "summer crop",
    "rice", "meadow", "dry meadow", "dark soil", "bright soil", "concrete", "bright roof", "clay roof", "asphalt",
    "sand", "wet mud", "rock", "bog", "reed", "heath", "char", "salt", "snow",
)  # fmt: skip
"""What a pixel is mixed of: a material, or materials that take turns in the year."""


def _spectrum(material: str) -> NDArray[np.float64]:
    return np.array(MATERIALS[material][1]) / 100


def _step(day: float, middle: float, width: float) -> float:
    return 1 / (1 + math.exp(-(day - middle) / width))


def _season(day: float, start: float, end: float, width: float = 9.0) -> float:
    return _step(day, start, width) * _step(-day, -end, width)


def leaf_season(day: float, latitude: float) -> float:
    """The share of deciduous trees' leaves that are out, 0 to 1: spring comes later and autumn earlier in the north."""
    return _season(day, 105 + 1.6 * (latitude - 45), 298 - 1.5 * (latitude - 45))


def cover_spectra(day: float, latitude: float) -> NDArray[np.float64]:
    """Reflectance `(len(COVERS), 12)`, 0 to 1, at a day of the year (1 to 366) and a latitude in degrees north."""
    later = 1.5 * (latitude - 45)
    leaves = leaf_season(day, latitude)
    mediterranean = latitude < 42.5
    # Winter cereals: sown in autumn, green in spring, dry at harvest, soil after it.
    green = _season(day, 55 + later, 172 + later, 8) + 0.35 * _step(day, 318, 10)
    dry = _season(day, 172 + later, 218 + later, 8)
    winter_crop = _mix({"green crop": green, "dry crop": dry}, "dark soil")
    summer_start = 150 if mediterranean else 158
    summer_crop = _mix(
        {"green crop": _season(day, summer_start, 252, 8), "dry crop": _season(day, 252, 285, 8)}, "dark soil"
    )
    flooded = _season(day, 112, 172, 8)
    rice_green = _season(day, 172, 250, 9)
    rice = _mix({"turbid water": flooded, "green crop": rice_green, "dry crop": _season(day, 250, 300, 9)}, "dark soil")
    growth = 0.35 + 0.65 * _season(day, 75 + later, 315 - later, 14)
    drought = _season(day, 160, 275, 14) if mediterranean else 0.25 * _season(day, 185, 250, 12)
    reed_growth = _season(day, 125 + later, 290, 12)
    mixed = {
        "lake": _spectrum("clear water"),
        "sea": 0.9 * _spectrum("clear water") + 0.1 * _spectrum("turbid water"),
        "turbid water": _spectrum("turbid water"),
        "conifers": _spectrum("conifer canopy"),
        "broad-leaved trees": _mix({"broad-leaved canopy": leaves}, "leafless canopy"),
        "evergreen shrubs": _spectrum("evergreen shrub"),
        "winter crop": winter_crop,
        "summer crop": summer_crop,
        "rice": rice,
        "meadow": _mix({"green grass": growth * (1 - 0.6 * drought)}, "dry grass"),
        "dry meadow": _mix({"green grass": 0.75 * growth * (1 - 0.9 * min(1.0, 2 * drought))}, "dry grass"),
        "reed": _mix({"reed": 0.3 + 0.7 * reed_growth}, "dry grass"),
    }
    return np.stack([mixed[cover] if cover in mixed else _spectrum(cover) for cover in COVERS])


def _mix(shares: dict[str, float], rest: str) -> NDArray[np.float64]:
    total = sum(shares.values())
    scale = 1 / max(1.0, total)
    mixed = (1 - scale * total) * _spectrum(rest)
    for material, share in shares.items():
        mixed = mixed + scale * share * _spectrum(material)
    return mixed
