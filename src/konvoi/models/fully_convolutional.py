"""A network that classifies windows, as one that classifies every window of a picture at once.

A convolution without padding computes at a place of a window what it computes at that place of the picture, so its
work is shared by all windows that cover the place. The first dense layer becomes a convolution of the size of what is
left of the window, later ones 1×1 convolutions; a stride of s leaves out nothing any more, and all that follows looks
at every s-th value instead (dilation; the "à trous" form of A. Giusti et al., "Fast image scanning with deep
max-pooling convolutional neural networks", ICIP 2013, and P. Sermanet et al., "OverFeat", ICLR 2014). Scores are those
of the windows one by one, but for the rounding of float32. Where that cannot be, the reason is said.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from konvoi.models.layers import ACTIVATIONS, ChannelsLastFlatten, Dropout
from konvoi.models.projection import SpectralProjection
from konvoi.models.spectrum import CentrePixel, SpectrumAsAxis, SpectrumAsChannels

_POINTWISE = (
    *(nn.BatchNorm2d, nn.BatchNorm3d, Dropout, SpectralProjection, SpectrumAsAxis, SpectrumAsChannels),
    *(type(make()) for make in ACTIVATIONS.values()),
)
"""Layers that look at no other pixel: in evaluation mode, statistics of batches are constants."""

Convolution = nn.Conv2d | nn.Conv3d
MaxPool = nn.MaxPool2d | nn.MaxPool3d


class NotFullyConvolutional(Exception):
    """Why a network cannot run over a picture as a whole, in words."""


@dataclass
class _Window:
    """What is left of a window: its sides in values, and how many pixels lie from one value to the next.

    `seen` are the pixels down and across that one value sees by now. Strides that do not fit leave the window's last
    ones unseen.
    """

    height: int
    width: int
    step: tuple[int, int] = (1, 1)
    seen: tuple[int, int] = (1, 1)

    def shrink(self, kernel: tuple[int, ...], dilation: tuple[int, ...], stride: tuple[int, ...]) -> None:
        """Go through a layer that takes `kernel` values, `dilation` apart, every `stride` values."""
        down, across = (apart * (values - 1) for values, apart in zip(kernel[:2], dilation[:2], strict=True))
        self.seen = (self.seen[0] + self.step[0] * down, self.seen[1] + self.step[1] * across)
        self.height = (self.height - down - 1) // stride[0] + 1
        self.width = (self.width - across - 1) // stride[1] + 1
        self.step = (self.step[0] * stride[0], self.step[1] * stride[1])


def fully_convolutional(network: nn.Module, window: tuple[int, int]) -> nn.Sequential:
    """The network for pictures.

    Args:
        network: from windows `(N, C, h, w)` to logits `(N, K)`; a sequence of layers, in evaluation mode.
        window: h and w.

    Returns:
        A network from `(N, C, H, W)` to logits `(N, K, H − h + 1, W − w + 1)`: of the window whose first pixel is
        that one. It shares the weights of the first.

    Raises:
        NotFullyConvolutional: a layer looks beyond the window, or is of an unknown kind.
    """
    if not isinstance(network, nn.Sequential):
        raise NotFullyConvolutional(f"{type(network).__name__} is no plain sequence of layers")
    left = _Window(*window)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    flattened = False
    for name, layer in network.named_children():
        if isinstance(layer, nn.Linear):
            layers[name] = _dense_over_window(layer, left) if flattened else Dense(layer)
            flattened = False
        elif isinstance(layer, ChannelsLastFlatten):
            layers[name] = Spread()
            flattened = True
        elif type(layer) is nn.ReLU:
            # In place: of a whole picture, every copy counts.
            layers[name] = nn.ReLU(inplace=True)
        else:
            layers[name] = _spatial(name, layer, left)
    layers["trim"] = Trim(window[0] - left.seen[0], window[1] - left.seen[1])
    return nn.Sequential(layers).eval()


def _spatial(name: str, layer: nn.Module, left: _Window) -> nn.Module:
    """The form of a layer that works on maps; changes what is left of the window."""
    if isinstance(layer, _POINTWISE):
        return layer
    if isinstance(layer, CentrePixel):
        margins = (left.height // 2 * left.step[0], left.width // 2 * left.step[1])
        left.shrink((left.height, left.width), (1, 1), (1, 1))
        return Crop(*margins)
    if isinstance(layer, nn.Conv2d | nn.Conv3d):
        return _convolution(name, layer, left)
    if isinstance(layer, nn.MaxPool2d | nn.MaxPool3d | nn.AvgPool2d):
        return _pooling(name, layer, left)
    if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and _several(layer.output_size, 2) == (1, 1):
        size = (left.height, left.width)
        left.shrink(size, (1, 1), (1, 1))
        return Mean(size, left.step) if isinstance(layer, nn.AdaptiveAvgPool2d) else _maximum(size, left.step)
    raise NotFullyConvolutional(f"{name} is a {type(layer).__name__}, whose form for whole pictures is not known")


def _convolution(name: str, layer: Convolution, left: _Window) -> nn.Module:
    axes = layer.weight.dim() - 2
    kernel, stride, dilation = (_several(getattr(layer, key), axes) for key in ("kernel_size", "stride", "dilation"))
    if isinstance(layer.padding, str) or any(_several(layer.padding, axes)[:2]):
        raise NotFullyConvolutional(
            f"{name} pads the window's borders, so what it computes there is not what it computes inside a picture"
        )
    spread = (dilation[0] * left.step[0], dilation[1] * left.step[1])
    left.shrink(kernel, dilation, stride)
    beyond = slice(2, axes)
    return SharedConvolution(layer, (1, 1, *stride[beyond]), (*spread, *dilation[beyond]))


def _pooling(name: str, layer: MaxPool | nn.AvgPool2d, left: _Window) -> nn.Module:
    axes = 3 if isinstance(layer, nn.MaxPool3d) else 2
    kernel, padding = _several(layer.kernel_size, axes), _several(layer.padding, axes)
    stride = _several(layer.stride if layer.stride is not None else layer.kernel_size, axes)
    dilation = _several(getattr(layer, "dilation", 1), axes)
    if any(padding) or layer.ceil_mode:
        raise NotFullyConvolutional(f"{name} pads the window's borders, which are not those of a picture")
    if kernel[:2] == (1, 1):
        return layer
    if axes == 3:
        raise NotFullyConvolutional(f"{name} pools over pixels and bands at once")
    step = left.step
    left.shrink(kernel, dilation, stride)
    spread = (dilation[0] * step[0], dilation[1] * step[1])
    size = (kernel[0], kernel[1])
    return _maximum(size, spread) if isinstance(layer, nn.MaxPool2d) else Mean(size, spread)


def _dense_over_window(layer: nn.Linear, left: _Window) -> DenseOverWindow:
    size = (left.height, left.width)
    left.shrink(size, (1, 1), (1, 1))
    return DenseOverWindow(layer, size, left.step)


def _maximum(size: tuple[int, int], dilation: tuple[int, int]) -> nn.MaxPool2d:
    return nn.MaxPool2d(size, stride=1, dilation=dilation)


def _several(value: object, axes: int) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return tuple(int(entry) for entry in value)
    assert isinstance(value, int)
    return (value,) * axes


class SharedConvolution(nn.Module):
    """Another layer's convolution, at every place and with its taps farther apart."""

    def __init__(self, layer: Convolution, stride: tuple[int, ...], dilation: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = layer
        self._stride = stride
        self._dilation = dilation

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, C, H, W)` or `(N, C, H, W, D)`."""
        if maps.dim() == 5 and maps.shape[:2] == (1, 1) and maps.device.type == "cpu":
            return self._in_halves(maps)
        return self._convolve(maps)

    def _convolve(self, maps: Tensor) -> Tensor:
        of_layer = nn.functional.conv2d if isinstance(self.layer, nn.Conv2d) else nn.functional.conv3d
        return of_layer(maps, self.layer.weight, self.layer.bias, self._stride, 0, self._dilation, self.layer.groups)

    def _in_halves(self, maps: Tensor) -> Tensor:
        """The same for `(1, 1, H, W, D)`, as two samples.

        PyTorch leaves a single sample with few values a band to code that takes seven times as long. In channels-last
        memory the halves of the result, one after the other, are the whole.
        """
        border = self._dilation[0] * (self.layer.kernel_size[0] - 1)
        rows = maps.shape[2] - border
        half = -(-rows // 2)
        first, second = maps[:, :, : half + border], maps[:, :, half:]
        second = nn.functional.pad(second, (0, 0, 0, 0, 0, first.shape[2] - second.shape[2]))
        found = self._convolve(torch.cat([first, second]))
        return found.permute(0, 2, 3, 4, 1).flatten(0, 1)[None, :rows].permute(0, 4, 1, 2, 3)


class Mean(nn.Module):
    """Average pooling at every place, of values that lie apart."""

    def __init__(self, size: tuple[int, int], dilation: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        self._dilation = dilation

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, C, H, W)`."""
        (rows, columns), (down, across) = self._size, self._dilation
        height, width = maps.shape[2] - down * (rows - 1), maps.shape[3] - across * (columns - 1)
        total = None
        for top in range(0, rows * down, down):
            for start in range(0, columns * across, across):
                part = maps[:, :, top : top + height, start : start + width]
                total = part.clone() if total is None else total.add_(part)
        assert total is not None
        return total.div_(rows * columns)


class Crop(nn.Module):
    """Leaves out pixels at all four sides."""

    def __init__(self, down: int, across: int) -> None:
        super().__init__()
        self._down = down
        self._across = across

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, C, H, W)`."""
        height, width = maps.shape[2:]
        return maps[:, :, self._down : height - self._down, self._across : width - self._across]


class Trim(nn.Module):
    """Leaves out the last rows and columns: places of windows that would reach beyond the picture."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self._rows = rows
        self._columns = columns

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, C, H, W)`."""
        return maps[:, :, : maps.shape[2] - self._rows, : maps.shape[3] - self._columns]


class Spread(nn.Module):
    """`(N, C, H, W)` or `(N, C, H, W, D)` to features of every pixel, `(N, H, W, F)`, in the order of flattening."""

    def forward(self, maps: Tensor) -> Tensor:
        """Put all but the picture's axes last."""
        return maps.movedim(1, -1).flatten(3)


class Dense(nn.Module):
    """A dense layer on the features of each pixel: a 1×1 convolution."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, F, H, W)` to `(N, units, H, W)`."""
        return self.layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class DenseOverWindow(nn.Module):
    """A dense layer on a flattened rest of a window, as a convolution of that size."""

    def __init__(self, layer: nn.Linear, size: tuple[int, int], dilation: tuple[int, int]) -> None:
        super().__init__()
        self.layer = layer
        self._size = size
        self._dilation = dilation

    def forward(self, features: Tensor) -> Tensor:
        """`(N, H, W, F)` to `(N, units, H', W')`."""
        weight = self.layer.weight.view(self.layer.out_features, *self._size, -1).permute(0, 3, 1, 2)
        return nn.functional.conv2d(features.permute(0, 3, 1, 2), weight, self.layer.bias, dilation=self._dilation)
