"""Polygons with a class in a column, GeoJSON or shapefile, as a map on a cube's pixels.

A pixel belongs to a polygon if its centre lies inside. Pixels on which polygons of several classes lie have no label.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.cube import Cube
from konvoi.errors import DataError

POLYGON_SUFFIXES = (".geojson", ".json", ".shp")

_USUAL_COLUMNS = frozenset({"class", "class_name", "classname", "label", "category"})
_LONGITUDE_LATITUDE = "OGC:CRS84"


@dataclass(frozen=True)
class PolygonMap:
    """Polygons on a cube's pixels.

    Attributes:
        values: `(H, W)` int64: the column's whole numbers; or, where it has names, 1, 2, … in their order; 0 elsewhere.
        names: of the values, where the column has names.
        remarks: what was noticed; a sentence each.
    """

    values: NDArray[np.int64]
    names: dict[int, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Polygons:
    shapes: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    crs: str
    """"" where the file does not say."""


def read_polygons(path: Path, column: str | None, cube: Cube) -> PolygonMap:
    """Burn polygons into the pixel grid of a cube.

    Args:
        path: of a .geojson or .shp file.
        column: with the class; by default the only one, or the only one that is called class, label or category.
        cube: whose grid and place are meant. Polygons of another reference system are brought to its own.

    Raises:
        DataError: the file is damaged, the cube has no place, or the column is not what is expected.
    """
    if cube.transform is None:
        raise DataError(
            f"{cube.origin} does not say where it lies, so that the polygons of {path} have no place in it. Use a "
            "cube with a place (GeoTIFF, or ENVI with map info), or a ground truth with a value for each pixel."
        )
    polygons = _from_shapefile(path) if path.suffix.lower() == ".shp" else _from_geojson(path)
    kept = [
        (shape, row)
        for shape, row in zip(polygons.shapes, polygons.rows, strict=True)
        if shape.get("type") in ("Polygon", "MultiPolygon")
    ]
    if not kept:
        raise DataError(f"{path} has no polygons: {len(polygons.shapes)} shapes of other kinds.")
    column = column or _column(path, [row for _, row in kept])
    classes = [row.get(column) for _, row in kept]
    numbers, names = _numbered(path, column, classes)
    shapes = _in_reference_system([shape for shape, _ in kept], polygons.crs, cube, path)
    values, contested = _burnt(shapes, numbers, cube)
    if not values.any():
        raise DataError(
            f"No polygon of {path} lies on a pixel of {cube.origin}. Polygons are in "
            f"{polygons.crs or 'an unnamed reference system'}, the cube in {cube.crs or 'an unnamed one'}."
        )
    found = set(np.unique(values).tolist())
    outside = sorted({number for number in numbers if number not in found})
    remarks = []
    if contested:
        remarks.append(f"{contested:,} pixels: on which polygons of several classes lie, and which so have no label")
    if outside:
        shown = ", ".join(names.get(number, str(number)) for number in outside)
        remarks.append(f"{len(outside)} classes of {path.name} without a pixel in the scene: {shown}")
    return PolygonMap(values, {number: name for number, name in names.items() if number in found}, tuple(remarks))


def _from_geojson(path: Path) -> _Polygons:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        features = content["features"]
        named = content.get("crs", {}).get("properties", {}).get("name", _LONGITUDE_LATITUDE)
        shapes = [feature["geometry"] or {} for feature in features]
        rows = [feature["properties"] or {} for feature in features]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no GeoJSON file with features ({error or type(error).__name__}).") from error
    # RFC 7946 knows longitude and latitude alone; older files name a system in the member "crs".
    return _Polygons(shapes, rows, str(named).replace("urn:ogc:def:crs:OGC:1.3:CRS84", _LONGITUDE_LATITUDE))


def _from_shapefile(path: Path) -> _Polygons:
    try:
        import shapefile
    except ImportError:
        raise DataError(
            f"{path} is a shapefile, which needs pyshp. Install it: pip install 'konvoi[cubes]'; or save it as GeoJSON."
        ) from None
    try:
        with shapefile.Reader(str(path)) as file:
            entries = list(file.iterShapeRecords())
            shapes = [dict(entry.shape.__geo_interface__) for entry in entries]
            rows = [entry.record.as_dict() for entry in entries]
    # The library answers damaged files with its own exception and with those of struct, of numbers and of text.
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}). Copy its .shp, .shx and .dbf files again.") from error
    projection = path.with_suffix(".prj")
    return _Polygons(shapes, rows, projection.read_text(encoding="utf-8").strip() if projection.is_file() else "")


def _column(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    usual = [name for name in columns if name.lower() in _USUAL_COLUMNS]
    chosen = usual if len(usual) == 1 else columns
    if len(chosen) != 1:
        raise DataError(
            f"{path} has the columns {', '.join(columns) or 'none'}, and it is not clear which has the class. Name it "
            "with source.ground_truth_variable."
        )
    return chosen[0]


def _numbered(path: Path, column: str, classes: Sequence[object]) -> tuple[list[int], dict[int, str]]:
    """A number for each polygon, and the numbers' names."""
    if any(entry is None or entry == "" for entry in classes):
        missing = sum(entry is None or entry == "" for entry in classes)
        raise DataError(f"{path}: {missing} of {len(classes)} polygons have nothing in the column {column!r}.")
    if all(isinstance(entry, int | float) and float(entry).is_integer() for entry in classes):
        numbers = [int(float(str(entry))) for entry in classes]
        if min(numbers) < 1:
            raise DataError(f"{path}: the column {column!r} has {min(numbers)}; classes are counted from 1.")
        return numbers, {}
    ordered = sorted({str(entry).strip() for entry in classes})
    number_of = {name: number for number, name in enumerate(ordered, start=1)}
    return [number_of[str(entry).strip()] for entry in classes], {number: name for name, number in number_of.items()}


def _in_reference_system(shapes: list[dict[str, Any]], crs: str, cube: Cube, path: Path) -> list[dict[str, Any]]:
    if not crs or not cube.crs:
        return shapes
    import rasterio.crs
    import rasterio.errors
    import rasterio.warp

    try:
        source, target = rasterio.crs.CRS.from_user_input(crs), rasterio.crs.CRS.from_user_input(cube.crs)
        if source == target:
            return shapes
        return [rasterio.warp.transform_geom(source, target, shape) for shape in shapes]
    except (rasterio.errors.CRSError, rasterio.errors.RasterioError, ValueError) as error:
        raise DataError(f"{path}: its polygons cannot be brought to the cube's reference system ({error}).") from error


def _burnt(shapes: list[dict[str, Any]], numbers: list[int], cube: Cube) -> tuple[NDArray[np.int64], int]:
    """The map, and how many pixels lie in polygons of several classes."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    values = np.zeros(cube.size, dtype=np.int64)
    contested = np.zeros(cube.size, dtype=bool)
    assert cube.transform is not None
    for number in sorted(set(numbers)):
        own = [shape for shape, of_shape in zip(shapes, numbers, strict=True) if of_shape == number]
        inside = rasterize(own, out_shape=cube.size, transform=Affine(*cube.transform), dtype="uint8").astype(bool)
        contested |= inside & (values > 0)
        values[inside] = number
    values[contested] = 0
    return values, int(contested.sum())
