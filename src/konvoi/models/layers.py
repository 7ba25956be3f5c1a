"""Layers that PyTorch has too, in the form that is fast on processors; each computes the same function.

Where the form differs from PyTorch's, the docstring says how and why.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}

_DROPOUT_LEVELS = 1 << 16


class ChannelsLastFlatten(nn.Module):
    """`(N, C, H, W)` to `(N, H·W·C)`, channels fastest; with a third axis, `(N, C, H, W, D)` to `(N, H·W·D·C)`.

    `nn.Flatten` puts the channels slowest. Both number the same features, so a dense layer after either can
    express the same functions; but convolutions work on memory in channels-last order, where this flattening
    is a view and the other copies the largest array of a small network twice a step.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Flatten all but the first axis."""
        return maps.movedim(1, -1).flatten(1)


class Dropout(nn.Module):
    """Sets each value to zero with a probability and divides the others by 1 − probability, in training only.

    On a CPU PyTorch draws one 32-bit number a value from one thread, which can cost more than a small network's
    convolutions. Here 16 random bits decide over a value, so the probability is rounded to a multiple of
    1/65,536, and NumPy's SFC64 generator, seeded by PyTorch's, draws them. On a GPU this is PyTorch's dropout.

    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Drop in training mode, pass on otherwise; any shape."""
        if not self.training or self.probability == 0.0:
            return values
        if values.device.type != "cpu":
            return nn.functional.dropout(values, self.probability)
        return values * _keep_mask(values, self.probability)

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"probability={self.probability:g}"


def _keep_mask(values: Tensor, probability: float) -> Tensor:
    """A mask in the shape and type of `values`: 0, or 1 / (1 − rounded probability)."""
    dropped_levels = min(round(probability * _DROPOUT_LEVELS), _DROPOUT_LEVELS - 1)
    seed = int(torch.randint(2**63 - 1, ()))
    generator = np.random.Generator(np.random.SFC64(seed))
    bits = generator.integers(0, _DROPOUT_LEVELS, size=values.numel(), dtype=np.uint16)
    # torch compares int16 faster than uint16; the shift by half the range keeps the comparison right.
    draws = torch.from_numpy(bits.view(np.int16))
    keep = draws >= dropped_levels - _DROPOUT_LEVELS // 2
    scaled = keep.to(values.dtype).mul_(_DROPOUT_LEVELS / (_DROPOUT_LEVELS - dropped_levels))
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        # The mask must lie in memory as the values do, or the product is slow.
        batch, channels, height, width = values.shape
        return scaled.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return scaled.view(values.shape)


def activation(name: str) -> nn.Module:
    """A new activation layer by its name in a recipe."""
    return ACTIVATIONS[name]()


def lay_out(network: nn.Module, device: torch.device, channels_last: bool = True) -> nn.Module:
    """Move a network to a device, its convolutions' weights in channels-last memory, of two axes or three, or not."""
    network.to(device)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        wanted = formats.get(parameter.dim(), torch.contiguous_format) if channels_last else torch.contiguous_format
        # `contiguous` would leave the strides of a single channel as they are, and PyTorch reads the layout from them.
        parameter.data = parameter.data.to(memory_format=wanted)
    return network


def initialise(network: nn.Module, scheme: str) -> None:
    """Draw the weights of convolutions and dense layers anew, from PyTorch's global generator.

    Args:
        network: changed in place. Normalisation layers keep weight 1 and bias 0.
        scheme: `torch` (PyTorch's own), `glorot` (uniform, zero biases, as Keras does; Glorot and Bengio,
            AISTATS 2010, equation 16) or `he` (normal with variance 2 / fan-in, zero biases, and Glorot for the
            output layer, which no ReLU follows; He et al., ICCV 2015, equation 10).
    """
    if scheme == "torch":
        return
    weighted = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear)]
    for layer in weighted:
        if scheme == "glorot" or layer is weighted[-1]:
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
