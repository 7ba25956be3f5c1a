"""Cubes in MATLAB files that scipy and h5py write, in every order of axes and type."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from konvoi.data.sources.cube_file import read_cube
from konvoi.data.sources.cube_matlab import axes_by_size, require_axes
from konvoi.data.sources.ground_truth import read_ground_truth
from konvoi.data.sources.matlab import array_shapes
from konvoi.errors import DataError
from konvoi.recipe.source import CubeAxes

HEIGHT, WIDTH, BANDS = 7, 5, 11


def made_values(dtype: str = "int16") -> NDArray[np.generic]:
    """Rows, columns, bands; every value another."""
    return np.arange(HEIGHT * WIDTH * BANDS).reshape(HEIGHT, WIDTH, BANDS).astype(dtype)


def write_version_7_3(path: Path, **arrays: NDArray[np.generic]) -> None:
    """As MATLAB writes it: HDF5 after 512 bytes of text, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.T)
        file.create_group("#refs#")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + b" " * 8 + b"\x00\x02IM")


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("uint8", "uint8"),
        ("int16", "int16"),
        ("uint16", "uint16"),
        ("float32", "float32"),
        ("float64", "int16"),
        ("int32", "int16"),
        ("int64", "int16"),
    ],
)
def test_values_and_place_of_every_pixel_are_kept(tmp_path: Path, version: str, dtype: str, kept: str) -> None:
    values = made_values(dtype)
    path = tmp_path / "scene.mat"
    if version == "5":
        savemat(path, {"scene": values, "scene_gt": np.eye(HEIGHT, WIDTH), "about": "text"})
    else:
        write_version_7_3(path, scene=values, scene_gt=np.eye(HEIGHT, WIDTH))
    cube = read_cube(path)
    assert cube.values.dtype == kept
    np.testing.assert_array_equal(cube.values, np.moveaxis(values, -1, 0))
    assert cube.bands.names == tuple(f"b{number}" for number in range(1, BANDS + 1))
    truth = read_ground_truth(path)
    np.testing.assert_array_equal(truth.values, np.eye(HEIGHT, WIDTH))
    assert truth.values.dtype == np.int64


@pytest.mark.parametrize(
    ("factor", "offset", "kept"),
    [(1, 60_000, "uint16"), (1, 70_000, "float32"), (0.5, 0, "float32"), (1, -500, "int16")],
)
def test_numbers_of_64_bits_are_kept_in_the_smallest_type_that_holds_them(
    tmp_path: Path, factor: float, offset: int, kept: str
) -> None:
    values = made_values("float64") * factor + offset
    savemat(tmp_path / "scene.mat", {"scene": values})
    cube = read_cube(tmp_path / "scene.mat")
    assert cube.values.dtype == kept
    np.testing.assert_array_equal(cube.values, np.moveaxis(values, -1, 0))


def test_values_that_are_missing_stay_missing(tmp_path: Path) -> None:
    values = made_values("float64")
    values[2, 3, 4] = np.nan
    savemat(tmp_path / "scene.mat", {"scene": values})
    np.testing.assert_array_equal(read_cube(tmp_path / "scene.mat").values, np.moveaxis(values, -1, 0))


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        ("bands-rows-columns", (2, 0, 1)),
        ("rows-bands-columns", (0, 2, 1)),
        ("columns-rows-bands", (1, 0, 2)),
        ("bands-columns-rows", (2, 1, 0)),
    ],
)
def test_another_order_of_axes_is_found_by_the_ground_truths_size_and_read_where_the_recipe_says_it(
    tmp_path: Path, axes: CubeAxes, order: tuple[int, int, int]
) -> None:
    path, values = tmp_path / "scene.mat", made_values()
    savemat(path, {"scene": values.transpose(order)})
    assert axes_by_size(path, None, (HEIGHT, WIDTH)) == axes
    with pytest.raises(DataError, match=rf"ground truth has 7 × 5 pixels.* source\.axes to {axes}"):
        require_axes(path, None, "rows-columns-bands", (HEIGHT, WIDTH))
    require_axes(path, None, axes, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(read_cube(path, axes=axes).values, np.moveaxis(values, -1, 0))


def test_a_cube_that_has_the_ground_truths_size_in_no_order_is_of_another_scene(tmp_path: Path) -> None:
    savemat(tmp_path / "scene.mat", {"scene": made_values()})
    with pytest.raises(DataError, match="not of one scene"):
        require_axes(tmp_path / "scene.mat", None, "rows-columns-bands", (HEIGHT + 1, WIDTH))


def test_several_arrays_that_can_be_it_have_to_be_named(tmp_path: Path) -> None:
    savemat(tmp_path / "scene.mat", {"raw": made_values(), "smooth": made_values() + 1, "gt": np.eye(HEIGHT, WIDTH)})
    with pytest.raises(DataError, match=r"2 arrays that can be a cube .*raw, smooth.*source\.cube_variable"):
        read_cube(tmp_path / "scene.mat")
    assert read_cube(tmp_path / "scene.mat", "smooth").values.min() == 1
    with pytest.raises(DataError, match=r"no array 'rough'.*raw \(7 × 5 × 11\)"):
        read_cube(tmp_path / "scene.mat", "rough")
    with pytest.raises(DataError, match="gt has 2 axes"):
        read_cube(tmp_path / "scene.mat", "gt")


def test_wavelengths_beside_the_cube_are_read(tmp_path: Path) -> None:
    waves = np.linspace(0.4, 2.4, BANDS)
    savemat(tmp_path / "scene.mat", {"scene": made_values(), "wavelengths": waves})
    cube = read_cube(tmp_path / "scene.mat")
    np.testing.assert_allclose(cube.bands.wavelength, waves * 1000)
    assert "micrometres" in cube.remarks[0]


@pytest.mark.parametrize("content", [b"", b"no MATLAB file at all" * 40, b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scene.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"scene\.mat is damaged or no \.mat file"):
        array_shapes(path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    savemat(tmp_path / "scene.mat", {"scene": made_values()})
    content = (tmp_path / "scene.mat").read_bytes()
    (tmp_path / "scene.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"scene\.mat is damaged"):
        read_cube(tmp_path / "scene.mat")


def test_a_ground_truth_has_whole_numbers(tmp_path: Path) -> None:
    savemat(tmp_path / "gt.mat", {"gt": np.full((3, 4), 1.5)})
    with pytest.raises(DataError, match="12 values that are no whole numbers, the first in row 0, column 0: 1"):
        read_ground_truth(tmp_path / "gt.mat")
