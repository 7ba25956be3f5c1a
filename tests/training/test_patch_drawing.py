"""Patches are what a convolution multiplies its filters with, drawn as said."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from konvoi.training.patches import Convolution, cut_patches, draw_patches, output_grid


@pytest.mark.parametrize(
    ("convolution", "shape"),
    [
        (nn.Conv2d(3, 5, 3), (3, 7, 9)),
        (nn.Conv2d(2, 4, 5, padding=2), (2, 6, 5)),
        (nn.Conv2d(2, 4, (3, 2), stride=2), (2, 8, 7)),
        (nn.Conv3d(1, 3, (5, 3, 3), stride=(2, 1, 1), padding=(0, 1, 1)), (1, 12, 5, 4)),
        (nn.Conv3d(2, 3, (4, 1, 1)), (2, 9, 3, 3)),
    ],
)
def test_patches_times_filters_are_the_convolution(convolution: Convolution, shape: tuple[int, ...]) -> None:
    maps = torch.randn((4, *shape), generator=torch.Generator().manual_seed(0))
    answer = convolution(maps).detach()
    grid = tuple(answer.shape[2:])
    assert output_grid(convolution, shape[1:]) == grid
    stream = np.random.default_rng(0)
    places = stream.integers(0, math.prod(grid), 30)
    rows = torch.from_numpy(stream.integers(0, 4, 30))
    patches = cut_patches(maps, convolution, rows, places)
    assert convolution.bias is not None
    computed = patches @ convolution.weight.detach().flatten(1).T + convolution.bias.detach()
    expected = answer.flatten(2)[rows, :, torch.from_numpy(places)]
    torch.testing.assert_close(computed, expected, rtol=1e-5, atol=1e-5)


def test_half_are_of_the_class_and_none_comes_twice() -> None:
    labels = np.repeat([0, 1, 2], [5, 20, 30])
    draw = draw_patches(labels, 1, 16, 60, np.random.default_rng(0))
    assert draw.positive.sum() == 30
    assert len(draw.positive) == 60
    assert (labels[draw.samples] == 1).tolist() == draw.positive.tolist()
    assert len({(sample, place) for sample, place in zip(draw.samples, draw.places, strict=True)}) == 60
    assert draw.places.min() >= 0
    assert draw.places.max() < 16


def test_where_labels_are_few_a_third_of_the_patches_is_left_out() -> None:
    labels = np.repeat([0, 1], [3, 5])
    draw = draw_patches(labels, 0, 4, 400, np.random.default_rng(0))
    assert draw.positive.sum() == 8  # two thirds of 3 images with 4 patches each
    assert (~draw.positive).sum() == 14  # of 20: 13.3, rounded up
    other = draw_patches(labels, 0, 4, 400, np.random.default_rng(1))
    assert (other.samples * 4 + other.places).tolist() != (draw.samples * 4 + draw.places).tolist()
