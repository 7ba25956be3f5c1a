"""Patches for the filters of a convolution: which ones are drawn, and cutting them out of maps."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.Conv3d

LARGEST_SHARE = 2 / 3
"""Of the patches that exist, so that filters for the same class differ also where labels are few."""


@dataclass(frozen=True)
class Draw:
    """The patches of one filter.

    Attributes:
        samples: `(n,)`, which of the training images each lies in.
        places: `(n,)`, where: a position of the convolution's output, counted row by row.
        positive: `(n,)`, whether the image is of the filter's class.
    """

    samples: NDArray[np.int64]
    places: NDArray[np.int64]
    positive: NDArray[np.bool_]


def draw_patches(labels: NDArray[np.int64], label: int, places: int, count: int, stream: np.random.Generator) -> Draw:
    """Different patches at random, half of them of a class and half of all others.

    Args:
        labels: `(N,)`, of the training images.
        label: the class.
        places: patches that each image has.
        count: patches wanted; of each half two thirds of those that exist at most.
        stream: of random numbers.
    """
    samples, where, positive = [], [], []
    for side in (True, False):
        members = np.flatnonzero((labels == label) == side)
        existing = len(members) * places
        picks = np.sort(stream.choice(existing, min(count // 2, math.ceil(existing * LARGEST_SHARE)), replace=False))
        samples.append(members[picks // places])
        where.append(picks % places)
        positive.append(np.full(len(picks), side))
    return Draw(np.concatenate(samples), np.concatenate(where), np.concatenate(positive))


def output_grid(convolution: Convolution, maps_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sides of a convolution's output, rows and columns, and places along the spectrum.

    Args:
        convolution: with padding in numbers.
        maps_shape: of its input, without the batch and the channels.
    """
    sides = zip(maps_shape, _numbers(convolution.padding), convolution.kernel_size, convolution.stride, strict=True)
    return tuple((side + 2 * padding - kernel) // stride + 1 for side, padding, kernel, stride in sides)


def cut_patches(maps: Tensor, convolution: Convolution, rows: Tensor, places: NDArray[np.int64]) -> Tensor:
    """What a convolution's filter is multiplied with at given places of its output.

    Args:
        maps: `(N, C, H, W)` or `(N, C, H, W, D)`, the convolution's input.
        convolution: whose kernel, stride and zero padding hold.
        rows: `(n,)`, which of the N.
        places: `(n,)`, positions of the output, counted row by row.

    Returns:
        `(n, d)`, in the order of `convolution.weight.flatten(1)`.
    """
    grid = output_grid(convolution, tuple(maps.shape[2:]))
    padding = [(side, side) for side in reversed(_numbers(convolution.padding))]
    windows = nn.functional.pad(maps, list(itertools.chain(*padding)))
    for axis, (kernel, stride) in enumerate(zip(convolution.kernel_size, convolution.stride, strict=True)):
        windows = windows.unfold(axis + 2, kernel, stride)
    where = [torch.from_numpy(axis).to(maps.device) for axis in np.unravel_index(places, grid)]
    key: tuple[Tensor | slice, ...] = (rows, slice(None), *where)
    return windows[key].flatten(1)


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
