"""Principal components of the spectrum as a network's first layer: fitted once, stored with the weights, untrained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class SpectralProjection(nn.Module):
    """A 1×1 convolution from C bands to K components, whose weights are buffers; all zero until it is fitted."""

    weight: Tensor
    bias: Tensor

    def __init__(self, bands: int, components: int, whiten: bool) -> None:
        super().__init__()
        self.whiten = whiten
        self.register_buffer("weight", torch.zeros(components, bands, 1, 1))
        self.register_buffer("bias", torch.zeros(components))

    def forward(self, windows: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, K, H, W)`."""
        return nn.functional.conv2d(windows, self.weight, self.bias)

    def fit(self, spectra: NDArray[np.floating]) -> None:
        """Take the directions of largest variance, largest first.

        A direction's sign, which nothing determines, is such that its largest entry is positive.

        Args:
            spectra: `(n, C)`, of training pixels alone, as the network sees them.
        """
        components, bands = self.weight.shape[:2]
        values = np.asarray(spectra, dtype=np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        variances, directions = np.linalg.eigh(centred.T @ centred / max(1, len(values) - 1))
        chosen = directions.T[::-1][:components]
        largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=1)[:, None], axis=1)
        chosen = chosen * np.where(largest < 0, -1.0, 1.0)
        if self.whiten:
            # Fewer pixels than components leave directions without variance, which stay as they are.
            deviations = np.sqrt(np.clip(variances[::-1][:components], 0, None))
            chosen = chosen / np.where(deviations > 1e-6 * deviations[0], deviations, 1.0)[:, None]
        self.weight.copy_(torch.from_numpy(chosen).view(components, bands, 1, 1))
        self.bias.copy_(torch.from_numpy(-chosen @ mean))

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, whiten={self.whiten}"


def projections(network: nn.Module) -> list[SpectralProjection]:
    """The projections of a network; it has one at most unless a person built it."""
    return [layer for layer in network.modules() if isinstance(layer, SpectralProjection)]
