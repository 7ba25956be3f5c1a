"""Bands of well-known instruments, and the words by which a recipe names sub-sets of them.

Sentinel-2: centre wavelengths and ground sampling distances from ESA, "Sentinel-2 User Handbook" (2015), table 1;
reflectance is stored × 10,000 in products of level 2A and 1C. Sentinel-1: backscatter in decibels, as BigEarthNet-MM
stores it (Sumbul et al., 2021).
"""

from __future__ import annotations

from konvoi.data.bands import Bands
from konvoi.errors import DataError

_SENTINEL2 = {
    "B01": (443.0, 60.0),
    "B02": (490.0, 10.0),
    "B03": (560.0, 10.0),
    "B04": (665.0, 10.0),
    "B05": (705.0, 20.0),
    "B06": (740.0, 20.0),
    "B07": (783.0, 20.0),
    "B08": (842.0, 10.0),
    "B8A": (865.0, 20.0),
    "B09": (945.0, 60.0),
    "B10": (1375.0, 60.0),
    "B11": (1610.0, 20.0),
    "B12": (2190.0, 20.0),
}

ALL12 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Bands of level 2A: all but the cirrus band B10."""

ALL13 = tuple(_SENTINEL2)

SUBSETS: dict[str, tuple[str, ...]] = {
    "rgb": ("B04", "B03", "B02"),
    "10m": ("B02", "B03", "B04", "B08"),
    "20m": ("B05", "B06", "B07", "B8A", "B11", "B12"),
    "60m": ("B01", "B09"),
    "10m+20m": ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12"),
    "all12": ALL12,
    "all13": ALL13,
    "s1": ("VV", "VH"),
    "s2+s1": (*ALL12, "VV", "VH"),
}
"""Named sub-sets. `rgb` is in the order red, green, blue, which public weights expect."""


def sentinel2(names: tuple[str, ...] = ALL12, no_data: float | None = None) -> Bands:
    """Reflectance of Sentinel-2's bands, stored × 10,000."""
    return Bands(
        names=names,
        scale=(1e-4,) * len(names),
        units=("reflectance",) * len(names),
        wavelength=tuple(_SENTINEL2[name][0] for name in names),
        ground_sampling_distance=tuple(_SENTINEL2[name][1] for name in names),
        no_data=no_data,
    )


def sentinel1() -> Bands:
    """Backscatter of Sentinel-1's two polarisations, in decibels."""
    return Bands(
        names=("VV", "VH"),
        scale=(1.0, 1.0),
        units=("dB", "dB"),
        wavelength=(None, None),
        ground_sampling_distance=(10.0, 10.0),
    )


def band_names(wanted: str | tuple[str, ...], bands: Bands) -> tuple[str, ...]:
    """The names that a recipe's `bands` means, in order: a named sub-set, `all`, or the names themselves.

    Raises:
        DataError: the word names no sub-set, or the images lack one of its bands.
    """
    if wanted == "all":
        return bands.names
    if isinstance(wanted, str):
        if wanted not in SUBSETS:
            raise DataError(
                f"source.bands: {wanted!r} names no sub-set of bands. Known: all, {', '.join(SUBSETS)}; or list the "
                f"names, of {', '.join(bands.names)}."
            )
        names = SUBSETS[wanted]
    else:
        names = wanted
    return bands.chosen(names).names
