"""Convolutions of 3×3, channels last, in the shapes of a residual network's stages: forward, stride 1, padding 1."""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d

from konvoi.hardware.devices import arithmetic
from konvoi.hardware.measurement import Measurement, measure
from konvoi.hardware.products import random_values

CONVOLUTION = "convolution 3×3"

STAGES = ((64, 56), (128, 28), (256, 14), (512, 7))
"""Channels and side of the maps; every stage has the same number of multiply-adds (He et al., CVPR 2016, table 1)."""

_SIDE = 3


def convolution_cost(images: int, inputs: int, outputs: int, kernel: int, side: int, item: int) -> tuple[int, int]:
    """Operations of a convolution that keeps the size of its maps, and bytes moved at least: maps in and out, weights.

    Args:
        images: N.
        inputs: channels in.
        outputs: channels out.
        kernel: height and width of the kernel.
        side: height and width of the maps.
        item: bytes of an entry.
    """
    flop = 2 * images * outputs * side**2 * inputs * kernel**2
    entries = images * side**2 * (inputs + outputs) + outputs * inputs * kernel**2
    return flop, entries * item


def measure_convolution(
    device: torch.device,
    images: int,
    channels: int,
    side: int,
    precision: str,
    seconds: float,
    threads: int | None = None,
) -> Measurement:
    """As many channels in as out."""
    with arithmetic(precision) as dtype, torch.no_grad():
        maps = random_values((images, channels, side, side), device, dtype).contiguous(
            memory_format=torch.channels_last
        )
        kernel = random_values((channels, channels, _SIDE, _SIDE), device, dtype).contiguous(
            memory_format=torch.channels_last
        )
        return measure(
            lambda: conv2d(maps, kernel, padding=1),
            device,
            seconds,
            operation=CONVOLUTION,
            size=f"{images}×{channels}×{side}×{side}",
            precision=precision,
            cost=convolution_cost(images, channels, channels, _SIDE, side, dtype.itemsize),
            threads=threads,
        )
