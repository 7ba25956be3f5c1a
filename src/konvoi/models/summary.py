"""What a network costs: output shapes, weights, biases, multiply-adds and receptive fields, layer by layer.

Arithmetic only; printing is the command line's and the report's part.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

GLOBAL_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: its name in the network.
        kind: its class.
        output_shape: without the batch axis.
        weights: trainable parameters but biases (a normalisation's scale counts as weights).
        biases: trainable biases (a normalisation's shift counts as biases).
        multiply_adds: for one image, of convolutions and dense layers; what other layers do is small beside it
            and counted as 0.
        receptive_field: height and width, in pixels of the image, of the window that one output value sees;
            None once the picture is gone (after flattening, a value sees all of it).
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    weights: int
    biases: int
    multiply_adds: int
    receptive_field: tuple[int, int] | None


@dataclass(frozen=True)
class DenseComparison:
    """The first convolution's parameters against a small dense layer's on the same image."""

    layer: str
    layer_weights: int
    layer_biases: int
    inputs: int
    units: int
    dense_weights: int
    dense_biases: int


@dataclass(frozen=True)
class NetworkSummary:
    """All layers, and their sums."""

    layers: tuple[LayerSummary, ...]
    dense_comparison: DenseComparison | None

    @property
    def weights(self) -> int:
        """Sum over the layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def biases(self) -> int:
        """Sum over the layers."""
        return sum(layer.biases for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return sum(layer.multiply_adds for layer in self.layers)


def summarise(network: nn.Module, image_shape: tuple[int, int, int], dense_units: int = 15) -> NetworkSummary:
    """Summarise a network by sending one image without content through it.

    Shapes are observed, not computed, so they hold for any module; parameters and multiply-adds follow from
    them. Receptive fields assume the layers follow one another, as they do in an `nn.Sequential`.

    Args:
        network: unchanged.
        image_shape: `(C, H, W)`.
        dense_units: width of the dense layer that the first convolution is compared with.
    """
    hollow = copy.deepcopy(network).to("meta").eval()
    leaves = [(name, layer) for name, layer in hollow.named_modules() if not list(layer.children())]
    shapes: dict[str, tuple[int, ...]] = {}

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[names[layer]] = tuple(output.shape[1:])

    names = {layer: name for name, layer in leaves}
    for _, layer in leaves:
        layer.register_forward_hook(record)
    with torch.no_grad():
        hollow(torch.empty((1, *image_shape), device="meta"))

    layers = []
    field, jump = (1, 1), (1, 1)
    picture = True
    for name, layer in leaves:
        after = shapes[name]
        if isinstance(layer, WINDOWED):
            kernel, stride, dilation = (
                _pair(layer.kernel_size),
                _pair(layer.stride),
                _pair(_dilation(layer)),
            )
            # r ← r + (k − 1)·d·j;  j ← j·s  (Araujo et al., "Computing receptive fields", Distill 2019, equation 2)
            field = (
                field[0] + (kernel[0] - 1) * dilation[0] * jump[0],
                field[1] + (kernel[1] - 1) * dilation[1] * jump[1],
            )
            jump = (jump[0] * stride[0], jump[1] * stride[1])
        elif isinstance(layer, GLOBAL_POOLS) or len(after) != 3:
            picture = False
        layers.append(
            LayerSummary(
                name=name,
                kind=type(layer).__name__,
                output_shape=after,
                weights=_count(layer, "weight"),
                biases=_count(layer, "bias"),
                multiply_adds=_multiply_adds(layer, after),
                receptive_field=field if picture else None,
            )
        )
    return NetworkSummary(tuple(layers), _compare(leaves, image_shape, dense_units))


def _multiply_adds(layer: nn.Module, output_shape: tuple[int, ...]) -> int:
    if isinstance(layer, nn.Conv2d):
        return math.prod(output_shape) * layer.in_channels // layer.groups * math.prod(_pair(layer.kernel_size))
    if isinstance(layer, nn.Linear):
        return math.prod(output_shape) * layer.in_features
    return 0


def _compare(
    leaves: list[tuple[str, nn.Module]], image_shape: tuple[int, int, int], units: int
) -> DenseComparison | None:
    for name, layer in leaves:
        if isinstance(layer, nn.Conv2d):
            inputs = math.prod(image_shape)
            return DenseComparison(
                layer=name,
                layer_weights=_count(layer, "weight"),
                layer_biases=_count(layer, "bias"),
                inputs=inputs,
                units=units,
                dense_weights=inputs * units,
                dense_biases=units,
            )
    return None


def _count(layer: nn.Module, kind: str) -> int:
    parameter = getattr(layer, kind, None)
    return parameter.numel() if isinstance(parameter, nn.Parameter) and parameter.requires_grad else 0


def _dilation(layer: nn.Module) -> int | tuple[int, ...]:
    return getattr(layer, "dilation", 1)


def _pair(value: int | tuple[int, ...] | None) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value[0], value[1]
    assert value is not None
    return value, value
