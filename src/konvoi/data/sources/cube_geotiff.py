"""Cubes in multi-band GeoTIFFs, and whatever else rasterio reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.cube import AS_STORED, Cube, default_names, nanometres
from konvoi.data.stored_types import in_stored_type
from konvoi.errors import DataError


def read_geotiff_cube(path: Path) -> Cube:
    """A cube with all its bands, its reference system and its place.

    Bands are named by the file's descriptions, where each has one of its own. Wavelengths are those of the bands'
    metadata (`wavelength`, or GDAL's `CENTRAL_WAVELENGTH_UM`), or numbers before "nm" or "µm" in the descriptions.

    Raises:
        DataError: rasterio is missing, the file cannot be read, or its values are stored with an offset.
    """
    rasterio = _rasterio(path)
    try:
        with rasterio.open(path) as file:
            types = set(file.dtypes)
            if any(np.dtype(kind).kind not in "iuf" for kind in types):
                raise DataError(f"{path} has values of type {', '.join(sorted(types))}; expected are real numbers.")
            if any(file.offsets):
                raise DataError(
                    f"{path} stores values with an offset. Apply it: gdal_translate -unscale -ot Float32 IN OUT."
                )
            # All bands of a pixel side by side, from which windows are gathered without another copy.
            by_pixel = np.empty((file.height, file.width, file.count), np.result_type(*types))
            for number in range(file.count):
                by_pixel[:, :, number] = file.read(number + 1)
            descriptions = tuple((description or "").strip() for description in file.descriptions)
            waves = [_wavelength(file, number + 1, descriptions[number]) for number in range(file.count)]
            code = file.crs.to_epsg() if file.crs else None
            crs = (f"EPSG:{code}" if code else file.crs.to_wkt()) if file.crs else ""
            placed = not file.transform.is_identity
            a, b, c, d, e, f = tuple(file.transform)[:6]
            metres = (
                a if placed and file.crs and file.crs.is_projected and file.crs.linear_units_factor[1] == 1 else None
            )
            scales, no_data = tuple(file.scales), file.nodata
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError, ValueError, MemoryError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    values = np.moveaxis(in_stored_type(by_pixel, str(path)), -1, 0)
    count = len(values)
    known = tuple(wave for wave in waves if wave is not None)
    return Cube(
        values=values,
        bands=Bands(
            names=descriptions if all(descriptions) and len(set(descriptions)) == count else default_names(count),
            scale=tuple(float(scale) for scale in scales),
            units=(AS_STORED,) * count,
            wavelength=known if len(known) == count else (),
            ground_sampling_distance=() if metres is None else (float(metres),) * count,
            no_data=None if no_data is None or np.isnan(no_data) else float(no_data),
        ),
        origin=str(path),
        crs=crs,
        transform=(a, b, c, d, e, f) if placed else None,
    )


def _wavelength(file: Any, number: int, description: str) -> float | None:
    tags = {key.lower(): value for key, value in file.tags(number).items()}
    imagery = file.tags(number, ns="IMAGERY")
    text, units = tags.get("wavelength", ""), tags.get("wavelength_units", "")
    if "CENTRAL_WAVELENGTH_UM" in imagery:
        text, units = imagery["CENTRAL_WAVELENGTH_UM"], "micrometers"
    if not text and (
        match := re.search(r"(\d+(?:\.\d+)?)\s*(nm|nanomet|um|µm|μm|micromet)", description, re.IGNORECASE)
    ):
        text, units = match[1], match[2]
    try:
        return nanometres((float(text),), units)[0][0]
    except ValueError:
        return None


def _rasterio(path: Path) -> Any:
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        raise DataError(f"{path} needs rasterio. Install it: pip install 'konvoi[scenes]'.") from None
    return rasterio
