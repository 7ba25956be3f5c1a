"""What a network costs: output shapes, weights, biases, multiply-adds and receptive fields, layer by layer.

Arithmetic only; printing is the command line's and the report's part.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

GLOBAL_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
WINDOWED = (nn.Conv2d, nn.Conv3d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d)
_PICTURES = (3, 4)
"""Axes of a picture's shape: channels, height and width, or one more for the spectrum."""


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: its name in the network.
        kind: its class.
        output_shape: without the batch axis.
        input_values: that the layer reads for one image.
        weights: trainable parameters but biases (a normalisation's scale counts as weights).
        biases: trainable biases (a normalisation's shift counts as biases).
        multiply_adds: for one image, of convolutions and dense layers; what other layers do is small beside it
            and counted as 0.
        receptive_field: height and width, in pixels of the image, of the window that one output value sees, and the
            bands where the spectrum is an axis; None once the picture is gone (after flattening, a value sees all).
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    input_values: int
    weights: int
    biases: int
    multiply_adds: int
    receptive_field: tuple[int, ...] | None


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

    Shapes are observed, not computed, so they hold for any layer; parameters and multiply-adds follow from them. Layers
    stand in the order in which they run, one that is used several times as often. Where branches meet, the receptive
    field is that of the longest path.

    Args:
        network: unchanged.
        image_shape: `(C, H, W)`.
        dense_units: width of the dense layer that the first convolution is compared with.
    """
    hollow = copy.deepcopy(network).to("meta").eval()
    followed = _Followed(hollow)
    with torch.no_grad():
        followed.run(torch.empty((1, *image_shape), device="meta"))
    return NetworkSummary(tuple(followed.layers), _compare(list(hollow.named_modules()), image_shape, dense_units))


@dataclass(frozen=True)
class _Seen:
    """A value on its way: its shape, and what one entry of it sees of the image; None once the picture is gone."""

    shape: tuple[int, ...]
    field: tuple[int, ...] | None
    jump: tuple[int, ...]


class _LayerTracer(torch.fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not list(m.children())


class _Followed(torch.fx.Interpreter):
    """Runs a network operation by operation and keeps beside each value what it sees of the image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(torch.fx.GraphModule(network, _LayerTracer().trace(network)))
        self.layers: list[LayerSummary] = []
        self._seen: dict[torch.fx.Node, _Seen] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """One operation, as the interpreter does it, and then the summary of its layer."""
        value = super().run_node(n)
        if not isinstance(value, Tensor):
            return value
        inputs = [self._seen[node] for node in n.all_input_nodes if node in self._seen]
        shape = tuple(value.shape[1:])
        if not inputs:
            self._seen[n] = _Seen(shape, (1, 1), (1, 1))
            return value
        # Where branches meet, the longest path decides (Araujo et al., section on arbitrary graphs).
        seen = max(inputs, key=lambda entry: entry.field or (0, 0))
        if any(entry.field is None for entry in inputs) or len(shape) not in _PICTURES:
            seen = _Seen(shape, None, seen.jump)
        elif seen.field is not None:
            # The spectrum becomes an axis of the picture, or is one no more.
            axes = len(shape) - 1
            seen = _Seen(shape, (*seen.field, 1)[:axes], (*seen.jump, 1)[:axes])
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, GLOBAL_POOLS):
            seen = _Seen(shape, None, seen.jump)
        elif isinstance(layer, WINDOWED) and seen.field is not None:
            seen = _after_window(layer, seen, shape)
        self._seen[n] = seen
        if isinstance(layer, nn.Module):
            self.layers.append(
                LayerSummary(
                    name=str(n.target),
                    kind=type(layer).__name__,
                    output_shape=shape,
                    input_values=sum(math.prod(entry.shape) for entry in inputs),
                    weights=_count(layer, "weight"),
                    biases=_count(layer, "bias"),
                    multiply_adds=_multiply_adds(layer, shape),
                    receptive_field=seen.field,
                )
            )
        return value


def _after_window(layer: nn.Module, before: _Seen, shape: tuple[int, ...]) -> _Seen:
    # r ← r + (k − 1)·d·j;  j ← j·s  (Araujo et al., "Computing receptive fields", Distill 2019, equation 2)
    assert before.field is not None
    axes = len(before.jump)
    kernel, stride, dilation = (_each(getattr(layer, name, 1), axes) for name in ("kernel_size", "stride", "dilation"))
    return _Seen(
        shape,
        tuple(r + (k - 1) * d * j for r, k, d, j in zip(before.field, kernel, dilation, before.jump, strict=True)),
        tuple(j * s for j, s in zip(before.jump, stride, strict=True)),
    )


def _multiply_adds(layer: nn.Module, output_shape: tuple[int, ...]) -> int:
    if isinstance(layer, nn.Conv2d | nn.Conv3d):
        return math.prod(output_shape) * layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    if isinstance(layer, nn.Linear):
        return math.prod(output_shape) * layer.in_features
    return 0


def _compare(
    leaves: list[tuple[str, nn.Module]], image_shape: tuple[int, int, int], units: int
) -> DenseComparison | None:
    for name, layer in leaves:
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
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


def _each(value: int | tuple[int, ...] | None, axes: int) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return value
    assert value is not None
    return (value,) * axes
