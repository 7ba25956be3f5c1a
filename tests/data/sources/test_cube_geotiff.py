"""GeoTIFF cubes that rasterio writes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from konvoi.data.sources.cube_file import read_cube
from konvoi.errors import DataError

VALUES = np.arange(4 * 6 * 5).reshape(4, 6, 5)
TRANSFORM = Affine(20.0, 0.0, 399960.0, 0.0, -20.0, 5800020.0)


def write(path: Path, dtype: str, **more: object) -> None:
    profile = {"driver": "GTiff", "count": 4, "height": 6, "width": 5, "dtype": dtype, **more}
    with rasterio.open(path, "w", **profile) as file:
        file.write(VALUES.astype(dtype))
        for number in range(1, 5):
            file.set_band_description(number, f"channel {number} ({400 + 50 * number} nm)")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "int32"])
def test_values_place_and_wavelengths(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "scene.tif"
    write(path, dtype, crs="EPSG:32633", transform=TRANSFORM, compress="deflate", interleave="pixel", nodata=0)
    cube = read_cube(path)
    np.testing.assert_array_equal(cube.values, VALUES)
    assert cube.crs == "EPSG:32633"
    assert cube.transform == tuple(TRANSFORM)[:6]
    assert cube.bands.ground_sampling_distance == (20.0,) * 4
    assert cube.bands.wavelength == (450, 500, 550, 600)
    assert cube.bands.names[0] == "channel 1 (450 nm)"
    assert cube.bands.no_data == 0


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_without_a_place_and_with_wavelengths_in_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write(path, "uint16")
    with rasterio.open(path, "r+") as file:
        for number in range(1, 5):
            file.set_band_description(number, "")
            file.update_tags(number, wavelength=str(number / 10), wavelength_units="Micrometers")
    cube = read_cube(path)
    assert cube.transform is None
    assert cube.crs == ""
    np.testing.assert_allclose(cube.bands.wavelength, (100, 200, 300, 400))
    assert cube.bands.names == ("b1", "b2", "b3", "b4")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_bytes(b"II*\0 no picture")
    with pytest.raises(DataError, match=r"scene\.tif cannot be read"):
        read_cube(tmp_path / "scene.tif")
