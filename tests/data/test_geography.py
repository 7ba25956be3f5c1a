"""Coordinates against PROJ, by way of rasterio, and against figures worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konvoi.data.geography import (
    arc_of_chord,
    chord_of_arc,
    longitude_latitude,
    on_the_sphere,
    utm_to_degrees,
    utm_zone,
)
from konvoi.errors import DataError


@given(
    zone=st.integers(1, 60),
    north=st.booleans(),
    easting=st.floats(170_000, 830_000),
    northing=st.floats(0, 9_300_000),
)
def test_utm_zones_agree_with_proj_to_a_millimetre(zone: int, north: bool, easting: float, northing: float) -> None:
    warp = pytest.importorskip("rasterio.warp", reason="PROJ comes with rasterio")
    if not north:
        northing = 10_000_000 - northing
    ours = utm_to_degrees(np.array([[easting, northing]]), zone, north)[0]
    longitude, latitude = warp.transform(f"EPSG:32{6 if north else 7}{zone:02d}", "EPSG:4326", [easting], [northing])
    around = (ours[0] - longitude[0] + 180) % 360 - 180
    metres = np.array([around * np.cos(np.radians(latitude[0])), ours[1] - latitude[0]]) * 111_195
    assert np.abs(metres).max() < 1e-3


def test_the_origin_of_a_zone_lies_on_its_central_meridian_and_the_equator() -> None:
    assert utm_to_degrees(np.array([[500_000.0, 0.0]]), 33, True).tolist() == [[15.0, 0.0]]


def test_zones_are_read_from_codes_and_from_well_known_text() -> None:
    assert utm_zone("EPSG:32633") == (33, True)
    assert utm_zone("epsg:32729") == (29, False)
    assert utm_zone('PROJCS["WGS 84 / UTM zone 29N",GEOGCS["WGS 84",DATUM["WGS_1984"]]]') == (29, True)
    assert utm_zone('PROJCS["WGS_1984_UTM_Zone_33S",GEOGCS["GCS_WGS_1984"]]') == (33, False)
    assert utm_zone("EPSG:3035") is None
    assert utm_zone('PROJCS["ETRS89 / UTM zone 33N",GEOGCS["ETRS89"]]') is None


def test_zones_are_read_from_the_authority_that_closes_a_text_with_another_name() -> None:
    old = (
        'PROJCS["UTM Zone 33, Northern Hemisphere",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32633"]]'
    )
    new = 'PROJCRS["a name of one\'s own",BASEGEOGCRS["WGS 84"],CONVERSION["UTM zone 29S"],ID["EPSG",32729]]'
    assert utm_zone(old) == (33, True)
    assert utm_zone(new) == (29, False)
    inside = 'PROJCS["local",BASE["of",AUTHORITY["EPSG","32633"]],AUTHORITY["EPSG","3035"]]'
    assert utm_zone(inside) is None


def test_what_proj_writes_is_understood_without_it() -> None:
    crs = pytest.importorskip("rasterio.crs", reason="PROJ comes with rasterio")
    for code, zone in ((32601, (1, True)), (32629, (29, True)), (32760, (60, False))):
        for version in ("WKT1_GDAL", "WKT2_2019", "WKT1_ESRI"):
            assert utm_zone(crs.CRS.from_epsg(code).to_wkt(version=version)) == zone


def test_codes_beyond_the_sixty_zones_are_other_projections() -> None:
    pytest.importorskip("rasterio", reason="PROJ comes with rasterio")
    assert [utm_zone(f"EPSG:{code}") for code in (32600, 32661, 32761, 32663)] == [None] * 4
    # The polar stereographic projection has the pole at (2,000 km, 2,000 km), and 0° E to the south of it.
    place = longitude_latitude(np.array([[2_000_000.0, 1_500_000.0]]), np.array(["EPSG:32661"]))[0]
    assert place[0] == pytest.approx(0.0, abs=1e-9)
    assert 85 < place[1] < 86


def test_longitudes_stay_within_half_a_turn() -> None:
    west, east = longitude_latitude(
        np.array([[160_000.0, 5_000_000.0], [840_000.0, 5_000_000.0]]), np.array(["EPSG:32601", "EPSG:32660"])
    )
    # 340 km from the meridians 177° W and 177° E, by symmetry.
    assert west[0] == pytest.approx(-east[0], abs=1e-9)
    assert 178 < west[0] < 180


def test_points_of_several_systems_and_unknown_ones() -> None:
    centres = np.array([[500_000.0, 0.0], [12.5, 47.0], [np.nan, np.nan], [1.0, 2.0], [4_321_000.0, 3_210_000.0]])
    systems = np.array(["EPSG:32631", "EPSG:4326", "EPSG:32633", "", "EPSG:3035"])
    found = longitude_latitude(centres, systems)
    assert found[0].tolist() == [3.0, 0.0]
    assert found[1].tolist() == [12.5, 47.0]
    assert np.isnan(found[2:4]).all()
    # EPSG:3035 is centred on 10° E, 52° N.
    assert found[4] == pytest.approx([10.0, 52.0], abs=1e-9)


def test_a_system_that_nobody_knows_is_named() -> None:
    with pytest.raises(DataError, match="EPSG:999999"):
        longitude_latitude(np.array([[1.0, 2.0]]), np.array(["EPSG:999999"]))


def test_a_point_outside_of_its_system_is_named() -> None:
    pytest.importorskip("rasterio", reason="PROJ comes with rasterio")
    with pytest.raises(DataError, match=r"'EPSG:3035', the first at x 1e\+12, y 1e\+12, cannot be brought to degrees"):
        longitude_latitude(np.array([[1e12, 1e12]]), np.array(["EPSG:3035"]))


def test_real_patches_lie_where_their_files_say(shared_data) -> None:
    files = sorted((shared_data / "bigearthnet-v1").rglob("*_labels_metadata.json"))
    assert files
    entries = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    corners = [entry["coordinates"] for entry in entries]
    # Sentinel-1's files call the lower edge lly.
    centres = np.array([[(c["ulx"] + c["lrx"]) / 2, (c["uly"] + c.get("lry", c.get("lly"))) / 2] for c in corners])
    systems = np.array([entry["projection"] for entry in entries])
    assert all(utm_zone(system) for system in systems.tolist())
    found = longitude_latitude(centres, systems)
    # BigEarthNet covers ten countries from Portugal to Finland.
    assert ((found > [-10, 36]) & (found < [32, 71])).all()
    warp = pytest.importorskip("rasterio.warp", reason="PROJ comes with rasterio")
    for centre, system, place in zip(centres, systems.tolist(), found, strict=True):
        longitude, latitude = warp.transform(system, "EPSG:4326", [centre[0]], [centre[1]])
        assert place == pytest.approx([longitude[0], latitude[0]], abs=1e-8)


def test_a_degree_on_the_equator_is_111_kilometres() -> None:
    points = on_the_sphere(np.array([[0.0, 0.0], [1.0, 0.0]]))
    chord = np.linalg.norm(points[1] - points[0])
    assert arc_of_chord(np.array([chord]))[0] == pytest.approx(111.195, abs=1e-3)
    assert chord_of_arc(float(arc_of_chord(np.array([chord]))[0])) == pytest.approx(chord)
