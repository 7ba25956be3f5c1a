"""Scores of every pixel of a cube: window by window by an independent gathering, in any tiles, at the borders too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from konvoi.data.bands import Bands
from konvoi.evaluation.inference import predict_logits
from konvoi.models.cnn import cnn
from konvoi.models.cube import cnn3d
from konvoi.models.fully_convolutional import fully_convolutional
from konvoi.predict.dense import dense_logits, tile_side, tiles, with_border
from konvoi.recipe.network import Cnn3dNetwork, CnnNetwork, ConvBlock

BANDS = 20
WINDOW = 7


def bands_of(count: int = BANDS) -> Bands:
    return Bands(
        names=tuple(f"band {number}" for number in range(count)),
        scale=(1.0,) * count,
        units=("counts",) * count,
        normalise="standard",
        mean=tuple(float(900 + 10 * number) for number in range(count)),
        deviation=tuple(float(300 + number) for number in range(count)),
    )


def cube_of(height: int, width: int, count: int = BANDS) -> NDArray[np.int16]:
    return np.random.default_rng(3).integers(0, 2000, (count, height, width)).astype(np.int16)


def network_of() -> nn.Module:
    torch.manual_seed(5)
    return cnn3d(Cnn3dNetwork(kind="cnn3d", filters=(6, 4), hidden=(16,), norm="batch"), (BANDS, WINDOW, WINDOW), 4)


def one_by_one(network: nn.Module, cube: NDArray[np.int16], window: int = WINDOW) -> NDArray[np.float32]:
    """Every window cut out of the cube that NumPy has reflected, through the usual inference."""
    radius = window // 2
    padded = np.pad(cube, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    height, width = cube.shape[1:]
    windows = np.stack(
        [padded[:, row : row + window, column : column + window] for row in range(height) for column in range(width)]
    )
    return predict_logits(network, windows, bands_of(len(cube))).T.reshape(-1, height, width)


@pytest.mark.parametrize("budget", [1 << 14, 1 << 18, 1 << 28])
def test_dense_is_window_by_window_in_tiles_of_any_size(budget: int) -> None:
    network, cube = network_of(), cube_of(13, 17)
    network.train()
    found = dense_logits(network, cube, bands_of(), WINDOW, budget_bytes=budget)
    assert found.how == "as a fully convolutional network"
    assert network.training
    assert found.logits.dtype == np.float32
    assert np.abs(found.logits - one_by_one(network, cube)).max() <= 1e-4


def test_a_padded_network_runs_window_by_window_and_says_why() -> None:
    torch.manual_seed(5)
    network = cnn(CnnNetwork(kind="cnn", blocks=(ConvBlock(maps=5),)), (BANDS, WINDOW, WINDOW), 4)
    cube = cube_of(11, 9)
    found = dense_logits(network, cube, bands_of(), WINDOW)
    assert found.how.startswith("window by window: conv1 pads the window's borders")
    assert np.abs(found.logits - one_by_one(network, cube)).max() <= 1e-4
    in_tiles = dense_logits(network, cube, bands_of(), WINDOW, budget_bytes=1)
    np.testing.assert_allclose(in_tiles.logits, found.logits, atol=1e-5)


def test_by_windows_is_the_same_by_another_way() -> None:
    network, cube = network_of(), cube_of(10, 12)
    windowed = dense_logits(network, cube, bands_of(), WINDOW, by_windows=True)
    assert windowed.how == "window by window: as asked for"
    np.testing.assert_allclose(windowed.logits, dense_logits(network, cube, bands_of(), WINDOW).logits, atol=1e-4)


def test_progress_counts_every_pixel_once() -> None:
    seen: list[tuple[int, int]] = []
    dense_logits(network_of(), cube_of(9, 8), bands_of(), WINDOW, budget_bytes=1, progress=lambda *at: seen.append(at))
    assert seen == [(number, 72) for number in range(1, 73)]


@given(height=st.integers(1, 60), width=st.integers(1, 60), side=st.integers(1, 70))
def test_tiles_cover_every_pixel_once(height: int, width: int, side: int) -> None:
    covered = np.zeros((height, width), dtype=int)
    for rows, columns in tiles(height, width, side):
        assert 1 <= rows.stop - rows.start <= side
        covered[rows, columns] += 1
    assert (covered == 1).all()


@settings(deadline=None)
@given(data=st.data(), height=st.integers(1, 12), width=st.integers(1, 12), border=st.integers(0, 9))
def test_borders_are_numpys_reflection(data: st.DataObject, height: int, width: int, border: int) -> None:
    cube = np.arange(2 * height * width).reshape(2, height, width).astype(np.int16)
    rows = slice(top := data.draw(st.integers(0, height - 1)), data.draw(st.integers(top + 1, height)))
    columns = slice(left := data.draw(st.integers(0, width - 1)), data.draw(st.integers(left + 1, width)))
    padded = np.pad(cube, ((0, 0), (border, border), (border, border)), mode="reflect")
    expected = padded[:, rows.start : rows.stop + 2 * border, columns.start : columns.stop + 2 * border]
    np.testing.assert_array_equal(with_border(cube, rows, columns, border), expected)


def test_the_side_of_a_tile_by_hand() -> None:
    """Convolution 1 makes 48 × 196 float32 of each place, the next takes them in and makes 32 × 192."""
    whole = fully_convolutional(cnn3d(Cnn3dNetwork(kind="cnn3d"), (200, 9, 9), 16), (9, 9))
    side = 50
    bytes_needed = 4 * ((side + 6) ** 2 * 48 * 196 + (side + 4) ** 2 * 32 * 192)
    assert tile_side(whole, 9, 200, bytes_needed) == side
    assert tile_side(whole, 9, 200, bytes_needed - 1) == side - 1
    assert tile_side(whole, 9, 200, 0) == 1
