"""Ground truths from images and polygons."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.warp
import shapefile
from PIL import Image

from konvoi.data.bands import Bands
from konvoi.data.cube import Cube
from konvoi.data.sources.ground_truth import rasterised, read_ground_truth
from konvoi.errors import DataError

CLASSES = np.array([[0, 1, 1, 2], [0, 0, 2, 2], [3, 3, 0, 0]], dtype=np.uint8)


def save_with_palette(path: Path) -> None:
    picture = Image.fromarray(CLASSES).convert("P")
    picture.putdata(CLASSES.ravel().tolist())
    picture.putpalette([0, 0, 0, 250, 10, 10, 10, 250, 10, 10, 10, 250])
    picture.save(path)


def test_an_images_indices_are_the_classes_whatever_their_colours(tmp_path: Path) -> None:
    save_with_palette(tmp_path / "palette.png")
    Image.fromarray(CLASSES).save(tmp_path / "grey.png")
    Image.fromarray(CLASSES.astype(np.uint16) + 300).save(tmp_path / "deep.tif")
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "palette.png").values, CLASSES)
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "grey.png").values, CLASSES)
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "deep.tif").values, CLASSES.astype(np.int64) + 300)


def test_a_picture_in_colour_is_no_ground_truth(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="3 values a pixel"):
        read_ground_truth(tmp_path / "colour.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(DataError, match="cannot be decoded"):
        read_ground_truth(tmp_path / "damaged.png")
    with pytest.raises(DataError, match="does not exist"):
        read_ground_truth(tmp_path / "missing.png")


# ---- polygons ------------------------------------------------------------------------------------------------


def placed_cube(crs: str = "EPSG:32633", height: int = 10, width: int = 12) -> Cube:
    return Cube(
        values=np.zeros((1, height, width), dtype=np.uint8),
        bands=Bands(names=("b1",), scale=(1.0,), units=("as stored",)),
        origin="a made-up cube",
        crs=crs,
        transform=(10.0, 0.0, 400_000.0, 0.0, -10.0, 5_800_000.0),
    )


def box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """A box in pixels of the cube, as a polygon in its reference system."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return {"type": "Polygon", "coordinates": [[(400_000 + 10 * x, 5_800_000 - 10 * y) for x, y in corners]]}


def write_geojson(path: Path, features: list[tuple[dict[str, Any], dict[str, Any]]], crs: str | None) -> Path:
    content: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": shape, "properties": row} for shape, row in features],
    }
    if crs is None:
        for feature in content["features"]:
            feature["geometry"] = rasterio.warp.transform_geom("EPSG:32633", "OGC:CRS84", feature["geometry"])
    else:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("crs", ["urn:ogc:def:crs:EPSG::32633", None])
def test_polygons_label_the_pixels_whose_centres_lie_inside(tmp_path: Path, crs: str | None) -> None:
    # 0.4 to 3.6: the centres 0.5, 1.5, 2.5 and 3.5 are inside; 0.6 to 3.4 leaves the outer ones out.
    path = write_geojson(
        tmp_path / "fields.geojson",
        [(box(0.4, 0.4, 3.6, 2.6), {"class": "wheat"}), (box(5.6, 4.6, 8.4, 6.4), {"class": "barley"})],
        crs,
    )
    truth = rasterised(path, None, placed_cube())
    expected = np.zeros((10, 12), dtype=np.int64)
    expected[0:3, 0:4] = 2
    expected[5:6, 6:8] = 1
    np.testing.assert_array_equal(truth.values, expected)
    assert truth.names == {1: "barley", 2: "wheat"}


def test_contested_pixels_have_no_label_and_classes_outside_are_named(tmp_path: Path) -> None:
    path = write_geojson(
        tmp_path / "fields.geojson",
        [
            (box(0, 0, 4, 4), {"id": 1, "label": "rye"}),
            (box(3, 3, 6, 6), {"id": 2, "label": "oats"}),
            (box(100, 100, 104, 104), {"id": 3, "label": "maize"}),
        ],
        "EPSG:32633",
    )
    truth = rasterised(path, None, placed_cube())
    assert truth.values[3, 3] == 0
    assert truth.names == {2: "oats", 3: "rye"}
    assert [int((truth.values == value).sum()) for value in (1, 2, 3)] == [0, 8, 15]
    assert truth.remarks[0].startswith("1 pixels: on which polygons of several classes lie")
    assert truth.remarks[1].endswith("without a pixel in the scene: maize")


def test_a_shapefile_with_numbers_and_a_projection(tmp_path: Path) -> None:
    with shapefile.Writer(str(tmp_path / "fields")) as file:
        file.field("CODE", "N")
        file.field("NOTE", "C")
        for shape, code in ((box(0, 0, 2, 2), 7), (box(4, 0, 6, 2), 3)):
            file.poly(shape["coordinates"])
            file.record(code, "x")
    (tmp_path / "fields.prj").write_text(rasterio.crs.CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI"))
    with pytest.raises(DataError, match=r"columns CODE, NOTE.*source\.ground_truth_variable"):
        rasterised(tmp_path / "fields.shp", None, placed_cube())
    truth = rasterised(tmp_path / "fields.shp", "CODE", placed_cube())
    expected = np.zeros((10, 12), dtype=np.int64)
    expected[0:2, 0:2], expected[0:2, 4:6] = 7, 3
    np.testing.assert_array_equal(truth.values, expected)
    assert truth.names == {}


def test_polygons_that_cannot_be_placed_are_refused(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "far.geojson", [(box(50, 50, 60, 60), {"class": "a"})], "EPSG:32633")
    with pytest.raises(DataError, match=r"No polygon of .* lies on a pixel"):
        rasterised(path, None, placed_cube())
    unplaced = Cube(placed_cube().values, placed_cube().bands, "a made-up cube")
    with pytest.raises(DataError, match="does not say where it lies"):
        rasterised(path, None, unplaced)
    path = write_geojson(tmp_path / "gap.geojson", [(box(0, 0, 2, 2), {"class": None})], "EPSG:32633")
    with pytest.raises(DataError, match="1 of 1 polygons have nothing in the column 'class'"):
        rasterised(path, None, placed_cube())
    (tmp_path / "broken.geojson").write_text("{")
    with pytest.raises(DataError, match="no GeoJSON file"):
        rasterised(tmp_path / "broken.geojson", None, placed_cube())
