"""Windows of a cube, against numpy's padding by reflection and slices of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from konvoi.data.images import reader, statistics
from konvoi.data.symmetries import turned
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError

CPU = torch.device("cpu")


def made_cube(bands: int, height: int, width: int, dtype: str, seed: int = 0) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, 60_000, (bands, height, width)).astype(dtype)


def all_pixels(height: int, width: int) -> NDArray[np.int64]:
    return np.argwhere(np.ones((height, width), dtype=bool)).astype(np.int64)


def by_padding(cube: NDArray[np.generic], pixels: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    radius = window // 2
    padded = np.pad(cube, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    return np.stack([padded[:, r : r + window, c : c + window] for r, c in pixels.tolist()]).astype(np.float32)


@given(
    bands=st.integers(1, 5),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    radius=st.integers(0, 4),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32"]),
    by_pixel=st.booleans(),
)
def test_every_window_of_a_scene_is_a_slice_of_the_padded_cube(
    bands: int, height: int, width: int, radius: int, dtype: str, by_pixel: bool
) -> None:
    cube = made_cube(bands, height, width, dtype)
    if by_pixel:
        cube = np.moveaxis(np.ascontiguousarray(np.moveaxis(cube, 0, -1)), -1, 0)
    pixels = all_pixels(height, width)
    windows = CubeWindows(cube, pixels, 2 * radius + 1)
    assert windows.shape == (height * width, bands, 2 * radius + 1, 2 * radius + 1)
    assert len(windows) == height * width
    np.testing.assert_array_equal(windows[:], by_padding(cube, pixels, 2 * radius + 1))
    np.testing.assert_array_equal(windows[3], by_padding(cube, pixels[3:4], 2 * radius + 1)[0])


def test_a_window_is_turned_as_an_image_is() -> None:
    cube = made_cube(4, 9, 7, "uint16")
    pixels = all_pixels(9, 7)[[0, 6, 20, 31, 40, 55, 62, 62]]
    symmetries = np.arange(8, dtype=np.int8)
    source = reader(CubeWindows(cube, pixels, 5), CPU)
    batch = source.assemble(source.fetch(np.arange(8), symmetries)).numpy()
    for window, expected, symmetry in zip(batch, by_padding(cube, pixels, 5), range(8), strict=True):
        np.testing.assert_array_equal(window, turned(expected, symmetry))


def test_no_positions_give_no_windows() -> None:
    windows = CubeWindows(made_cube(3, 6, 6, "int16"), all_pixels(6, 6), 3)
    assert windows[np.empty(0, dtype=np.int64)].shape == (0, 3, 3, 3)


def test_statistics_are_those_of_the_centres_and_not_of_the_windows() -> None:
    cube = made_cube(3, 8, 9, "uint16")
    pixels = all_pixels(8, 9)
    chosen = np.array([0, 5, 17, 40, 71])
    mean, deviation = statistics(CubeWindows(cube, pixels, 7), chosen)
    values = cube[:, pixels[chosen, 0], pixels[chosen, 1]].astype(np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(deviation, values.std(axis=1), rtol=1e-12)


def test_gathering_needs_no_copy_of_a_cube_whose_bands_lie_side_by_side() -> None:
    by_pixel = np.ascontiguousarray(made_cube(6, 7, 3, "float32"))
    windows = CubeWindows(np.moveaxis(by_pixel, -1, 0), all_pixels(6, 7), 3)
    assert windows.spectra(CPU).data_ptr() == by_pixel.ctypes.data


def test_what_was_not_measured_is_filled_and_the_cube_is_left_as_it_is() -> None:
    cube = made_cube(2, 5, 5, "float32")
    cube[0, 2, 2], cube[1, 0, 4], cube[1, 3, 3] = np.nan, np.inf, -9999
    windows = CubeWindows(cube, all_pixels(5, 5), 3, no_data=-9999)
    filled = windows.filled_with((1.5, 2.5))
    expected = cube.copy()
    expected[0, 2, 2], expected[1, 0, 4], expected[1, 3, 3] = 1.5, 2.5, 2.5
    np.testing.assert_array_equal(filled[:], by_padding(expected, all_pixels(5, 5), 3))
    assert np.isnan(cube[0, 2, 2])
    whole = CubeWindows(expected, all_pixels(5, 5), 3)
    assert whole.filled_with((0.0, 0.0)) is whole


def test_a_window_that_reaches_over_the_scene_is_refused() -> None:
    CubeWindows(made_cube(1, 5, 9, "uint8"), all_pixels(5, 9), 9)
    with pytest.raises(DataError, match=r"window of 11 .* 5 × 9 .* to 9 at most"):
        CubeWindows(made_cube(1, 5, 9, "uint8"), all_pixels(5, 9), 11)
