"""Layers that change how a network looks at the bands of a window: as channels, as an axis, or of one pixel alone.

None of them has weights, and none copies in channels-last memory.
"""

from __future__ import annotations

from torch import Tensor, nn


class SpectrumAsAxis(nn.Module):
    """`(N, C, H, W)` to `(N, 1, H, W, C)`: the bands become the third axis of a picture with one channel.

    The spectrum comes last, where PyTorch's documents have the width: it is by far the longest axis, and convolutions
    on processors run along the last one. In this order the step of `cube-3dcnn` takes about two thirds of the time it
    takes with the spectrum first; see benchmarks/README.md.
    """

    def forward(self, windows: Tensor) -> Tensor:
        """Make the bands an axis."""
        return windows.permute(0, 2, 3, 1).unsqueeze(1)


class SpectrumAsChannels(nn.Module):
    """`(N, F, H, W, D)` to `(N, D·F, H, W)`: every filter at every place of the spectrum becomes a channel."""

    def forward(self, maps: Tensor) -> Tensor:
        """Make the spectrum's axis channels."""
        return maps.permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)


class CentrePixel(nn.Module):
    """`(N, C, H, W)` to `(N, C, 1, 1)`: the pixel in the middle; H and W are odd."""

    def forward(self, windows: Tensor) -> Tensor:
        """Leave out all pixels but the centre."""
        row, column = windows.shape[2] // 2, windows.shape[3] // 2
        return windows[:, :, row : row + 1, column : column + 1]
