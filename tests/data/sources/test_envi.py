"""ENVI files written by hand: every interleave, type and byte order, and the ways in which they can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from konvoi.data.cube import Cube
from konvoi.data.sources.cube_file import read_cube
from konvoi.data.sources.ground_truth import read_ground_truth
from konvoi.errors import DataError

BANDS, HEIGHT, WIDTH = 4, 5, 3
NUMBERS = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def made_values(kind: str) -> NDArray[np.generic]:
    return np.arange(BANDS * HEIGHT * WIDTH).reshape(BANDS, HEIGHT, WIDTH).astype(kind)


def write_envi(
    folder: Path,
    values: NDArray[np.generic],
    interleave: str = "bsq",
    big: bool = False,
    offset: int = 0,
    data: str = "scene.img",
    header: str = "scene.hdr",
    more: str = "",
) -> Path:
    stored = values.transpose(AXES[interleave]).astype(values.dtype.newbyteorder(">" if big else "<"))
    (folder / data).write_bytes(b"\xff" * offset + stored.tobytes())
    bands, lines, samples = values.shape
    (folder / header).write_text(
        f"ENVI\ndescription = {{\n  made up, with = in it\n}}\nsamples = {samples}\nlines   = {lines}\n"
        f"bands = {bands}\n; a comment = 1\nheader offset = {offset}\nfile type = ENVI Standard\n"
        f"Data Type = {NUMBERS[values.dtype.str[1:]]}\n"
        f"interleave = {interleave}\nbyte order = {int(big)}\n{more}"
    )
    return folder / header


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("kind", list(NUMBERS))
def test_every_type_interleave_and_byte_order(tmp_path: Path, kind: str, interleave: str, big: bool) -> None:
    values = made_values(kind)
    cube = read_cube(write_envi(tmp_path, values, interleave, big, offset=13 if big else 0))
    np.testing.assert_array_equal(cube.values, values)
    assert cube.values.dtype.isnative
    assert cube.values.dtype == (kind if kind in ("u1", "i2", "u2", "f4") else "i2")


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_values_stay_on_disk_and_the_file_stays_as_it_is(tmp_path: Path, interleave: str) -> None:
    path = write_envi(tmp_path, made_values("f4"), interleave)
    before = (tmp_path / "scene.img").read_bytes()
    values = read_cube(path).values
    base = values
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    values[0, 0, 0] = 99
    assert (tmp_path / "scene.img").read_bytes() == before


@pytest.mark.parametrize(
    ("data", "header"),
    [("scene", "scene.hdr"), ("scene.dat", "scene.dat.hdr"), ("scene.raw", "scene.hdr"), ("A.BIL", "A.hdr")],
)
def test_header_and_data_find_each_other(tmp_path: Path, data: str, header: str) -> None:
    values = made_values("u2")
    path = write_envi(tmp_path, values, data=data, header=header)
    np.testing.assert_array_equal(read_cube(path).values, values)
    np.testing.assert_array_equal(read_cube(tmp_path / data).values, values)


def read_with(folder: Path, more: str) -> Cube:
    return read_cube(write_envi(folder, made_values("i2"), more=more))


def test_what_the_header_says_of_the_bands(tmp_path: Path) -> None:
    cube = read_with(
        tmp_path,
        "wavelength units = Micrometers\nwavelength = {\n 0.45, 0.55,\n 0.65, 0.85}\nbbl = {1, 0, 1, 1}\n"
        "band names = {blue, green, red, near infrared}\nreflectance scale factor = 10000\ndata ignore value = -1\n"
        "default bands = {3, 2, 1}\n",
    )
    assert cube.bands.names == ("blue", "green", "red", "near infrared")
    np.testing.assert_allclose(cube.bands.wavelength, (450, 550, 650, 850))
    assert cube.bad_bands == ("green",)
    assert cube.bands.scale == (0.0001,) * 4
    assert cube.bands.units == ("reflectance",) * 4
    assert cube.bands.no_data == -1
    assert cube.colour_bands == (2, 1, 0)
    assert not cube.remarks


def test_wavelengths_without_a_unit_are_guessed_and_the_guess_is_said(tmp_path: Path) -> None:
    cube = read_with(tmp_path, "wavelength = {450, 550, 650, 850}\n")
    assert cube.bands.wavelength == (450, 550, 650, 850)
    assert "taken for nanometres" in cube.remarks[0]


@pytest.mark.parametrize(
    ("info", "crs"),
    [
        ("UTM, 1.0, 1.0, 500000.0, 5400000.0, 2.5, 2.0, 32, North, WGS-84, units=Meters", "EPSG:32632"),
        ("UTM, 3.0, 2.0, 500005.0, 5399998.0, 2.5, 2.0, 32, South, WGS-84, units=Meters", "EPSG:32732"),
        ("Geographic Lat/Lon, 1, 1, 500000.0, 5400000.0, 2.5, 2.0, WGS-84, units=Degrees", "EPSG:4326"),
        ("Arbitrary, 1, 1, 500000.0, 5400000.0, 2.5, 2.0", ""),
    ],
)
def test_the_place_in_map_info(tmp_path: Path, info: str, crs: str) -> None:
    cube = read_with(tmp_path, f"map info = {{{info}}}\n")
    assert cube.crs == crs
    assert cube.transform == (2.5, 0.0, 500000.0, 0.0, -2.0, 5400000.0)
    assert cube.bands.ground_sampling_distance == ((2.5,) * 4 if "Meters" in info else ())


def test_a_rotated_place_is_not_guessed_at(tmp_path: Path) -> None:
    cube = read_with(tmp_path, "map info = {UTM, 1, 1, 5, 6, 2, 2, 32, North, WGS-84, units=Meters, rotation=12.5}\n")
    assert cube.transform is None
    assert "rotated" in cube.remarks[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("bands = 5\n", "120 bytes, and its header scene.hdr speaks of 150"),
        ("data type = 6\n", "data type 6 is none of ENVI's numbers of real types"),
        ("interleave = tiled\n", "interleave is 'tiled'"),
        ("byte order = 2\n", "byte order is 2"),
        ("lines = many\n", "whole number of 1 or more for 'lines'; it says 'many'"),
        ("file compression = 1\n", "compressed"),
        ("wavelength = {1, 2}\n", "wavelength has 2 entries for 4 bands"),
        ("bbl = {1, 1, yes, 1}\n", "'bbl' has an entry that is no number"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_with(tmp_path, more)


def test_files_that_are_missing_or_no_headers(tmp_path: Path) -> None:
    path = write_envi(tmp_path, made_values("i2"))
    (tmp_path / "scene.img").rename(tmp_path / "elsewhere.xyz")
    with pytest.raises(DataError, match="no data beside it"):
        read_cube(path)
    path.write_text("samples = 4\n")
    (tmp_path / "elsewhere.xyz").rename(tmp_path / "scene.img")
    with pytest.raises(DataError, match="first line has to be ENVI"):
        read_cube(path)


def test_a_classification_with_names(tmp_path: Path) -> None:
    classes = np.array([[[0, 1, 2], [2, 2, 0]]], dtype="u1")
    path = write_envi(tmp_path, classes, more="classes = 3\nclass names = {Unclassified, rye, oats}\n")
    truth = read_ground_truth(path)
    np.testing.assert_array_equal(truth.values, classes[0])
    assert truth.names == {0: "Unclassified", 1: "rye", 2: "oats"}
    with pytest.raises(DataError, match="4 bands, and a ground truth has one"):
        read_ground_truth(write_envi(tmp_path, made_values("u1")))
