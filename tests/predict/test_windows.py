"""Windows cover every pixel; their weights are those of a sum over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konvoi.predict.windows import Axis, stride_for


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    window = draw(st.integers(1, 40))
    return Axis(draw(st.integers(1, 200)), window, draw(st.integers(1, window)))


@given(axes())
def test_every_pixel_lies_in_a_window(axis: Axis) -> None:
    covered = np.zeros(axis.length, dtype=bool)
    for start in axis.starts:
        covered[start : start + axis.window] = True
    assert covered.all()
    assert axis.starts[-1] + axis.window == axis.length or axis.length < axis.window
    assert (np.diff(axis.starts) > 0).all()
    assert (np.diff(axis.starts) <= axis.stride).all()


@given(axes())
def test_every_cell_has_weight_and_the_sums_are_those_of_pixels(axis: Axis) -> None:
    first, weights = axis.weights(axis.starts)
    assert first == 0
    assert weights.shape == (len(axis.starts), axis.cells)
    expected = np.zeros_like(weights)
    for number, start in enumerate(axis.starts):
        for pixel in range(start, min(start + axis.window, axis.length)):
            expected[number, pixel // axis.stride] += (1 - np.cos(2 * np.pi * (pixel - start + 0.5) / axis.window)) / 2
    np.testing.assert_allclose(weights, expected, atol=1e-12)
    assert (weights.sum(axis=0) > 0).all()


@given(axes(), st.integers(1, 100))
def test_blocks_hold_every_window_once_and_span_no_more_than_asked(axis: Axis, longest: int) -> None:
    blocks = list(axis.blocks(longest))
    np.testing.assert_array_equal(np.concatenate([starts for starts, _ in blocks]), axis.starts)
    for starts, pixels in blocks:
        assert pixels.start == starts[0]
        assert pixels.stop == min(starts[-1] + axis.window, axis.length)
        assert pixels.stop - pixels.start <= max(longest, axis.window)


@given(axes(), st.data())
def test_finished_cells_are_those_that_later_windows_cannot_reach(axis: Axis, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(axis.starts) - 1))
    later = axis.starts[number:]
    first, _ = axis.weights(later)
    assert axis.finished(int(later[0])) == first


def test_a_scene_by_hand() -> None:
    axis = Axis(length=11, window=4, stride=2)
    assert axis.starts.tolist() == [0, 2, 4, 6, 7]
    assert axis.cells == 6
    first, weights = axis.weights(np.array([6, 7]))
    assert first == 3
    # sin² of π/8, 3π/8, 5π/8, 7π/8
    low, high = 0.5 - 0.5 / np.sqrt(2), 0.5 + 0.5 / np.sqrt(2)
    np.testing.assert_allclose(weights, [[low + high, high + low, 0], [low, 2 * high, low]])


@pytest.mark.parametrize(("overlap", "stride"), [(0, 120), (0.5, 60), (0.75, 30), (0.999, 1)])
def test_strides(overlap: float, stride: int) -> None:
    assert stride_for(120, overlap) == stride
