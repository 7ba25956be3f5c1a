"""A network's layers on the roofline: operations, bytes, the time that the roof predicts, and the time they take.

Of the forward pass in training mode, which is about a third of a training step's arithmetic; the backward pass has the
same layers with twice the operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from konvoi.hardware.devices import DTYPES, arithmetic
from konvoi.hardware.measurement import synchronise
from konvoi.hardware.roofline import Roofline
from konvoi.models.summary import LayerSummary, NetworkSummary
from konvoi.record import Record
from konvoi.training.precision import Precision

VIEWS = ("Flatten", "ChannelsLastFlatten", "Identity")
"""Layers that move nothing."""

_NORMALISATION_OPERATIONS = 6
"""Of a value: one for the mean, three for the variance, two to scale and shift."""

KINDS = ("convolution", "dense", "normalisation", "activation", "pooling")
"""Of layers, in the order of tables and figures; what works value by value, dropout too, counts as activation."""

_WARM_UP = 3


class LayerPoint(Record):
    """One layer on the roofline.

    Attributes:
        name: in the network.
        kind: one of `KINDS`.
        flop: of a batch; a multiply-add counts as two.
        bytes: of a batch: values in and out, weights, each moved once; a normalisation reads its values twice.
        predicted: seconds that the roof allows.
        seconds: measured, in the pass that took the median time.
    """

    name: str
    kind: str
    flop: int
    bytes: int
    predicted: float
    seconds: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flop / self.bytes


class NetworkPoints(Record):
    """A network's layers on one device.

    Attributes:
        network: the recipe's name.
        image_shape: `(C, H, W)`.
        batch: images.
        precision: of the arithmetic.
        layers: in the order in which they run.
        seconds: of that whole pass; what is not in a layer (additions of residual branches, say) is the difference to
            the layers' sum.
        passes: how many were timed.
    """

    network: str
    image_shape: tuple[int, ...]
    batch: int
    precision: str
    layers: tuple[LayerPoint, ...]
    seconds: float
    passes: int

    def shares(self) -> dict[str, tuple[float, float]]:
        """By kind: the predicted and the measured share of the time in layers; both sum to 1."""
        predicted, measured = (
            sum(getattr(layer, field) for layer in self.layers) for field in ("predicted", "seconds")
        )
        shares = {}
        for kind in KINDS:
            own = [layer for layer in self.layers if layer.kind == kind]
            if own:
                shares[kind] = (
                    sum(layer.predicted for layer in own) / predicted,
                    sum(layer.seconds for layer in own) / measured,
                )
        return shares


def kind_of_layer(layer: LayerSummary) -> str:
    """One of `KINDS`."""
    if layer.multiply_adds:
        return "dense" if layer.kind == "Linear" else "convolution"
    if "Norm" in layer.kind:
        return "normalisation"
    return "pooling" if "Pool" in layer.kind else "activation"


def layer_cost(layer: LayerSummary, batch: int, item: int) -> tuple[int, int]:
    """Operations of a layer over a batch, and the bytes that it moves at least, with entries of `item` bytes.

    A layer without weights does one operation for each value that it reads.
    """
    values_in, values_out = layer.input_values * batch, _product(layer.output_shape) * batch
    parameters = layer.weights + layer.biases
    if layer.multiply_adds:
        return 2 * layer.multiply_adds * batch, (values_in + values_out + parameters) * item
    if kind_of_layer(layer) == "normalisation":
        return _NORMALISATION_OPERATIONS * values_in, (2 * values_in + values_out + parameters) * item
    return values_in, (values_in + values_out) * item


def place_layers(
    network: nn.Module,
    summary: NetworkSummary,
    images: Tensor,
    precision: Precision,
    roofline: Roofline,
    passes: int = 5,
    name: str = "network",
) -> NetworkPoints:
    """Time a network's layers in its forward pass, and set them beside what the roofline predicts.

    Args:
        network: in the batch's memory format, on its device; is left in training mode.
        summary: of the network.
        images: `(N, C, H, W)`.
        precision: of the arithmetic.
        roofline: of the device.
        passes: that count, after three that do not.
        name: for the record.
    """
    network.train()
    measured, total = _time_layers(network, images, precision, passes)
    item = DTYPES[precision.name].itemsize
    points = []
    for layer in summary.layers:
        if layer.kind in VIEWS:
            continue
        flop, moved = layer_cost(layer, len(images), item)
        points.append(
            LayerPoint(
                name=layer.name,
                kind=kind_of_layer(layer),
                flop=flop,
                bytes=moved,
                predicted=roofline.seconds(flop, moved, precision.name),
                seconds=measured[layer.name].pop(0),
            )
        )
    return NetworkPoints(
        network=name,
        image_shape=tuple(images.shape[1:]),
        batch=len(images),
        precision=precision.name,
        layers=tuple(points),
        seconds=total,
        passes=passes,
    )


def _time_layers(
    network: nn.Module, images: Tensor, precision: Precision, passes: int
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each call of each leaf, by name, and of the whole, in the pass that took the median time."""
    device = images.device
    leaves = {name: module for name, module in network.named_modules() if not list(module.children())}
    clock = _gpu_clock if device.type == "cuda" else time.perf_counter
    started: dict[str, Any] = {}
    calls: dict[str, list[tuple[Any, Any]]] = {}

    def before(name: str) -> Callable[..., None]:
        return lambda module, inputs: started.__setitem__(name, clock())

    def after(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: calls.setdefault(name, []).append((started[name], clock()))

    handles = [module.register_forward_pre_hook(before(name)) for name, module in leaves.items()]
    handles += [module.register_forward_hook(after(name)) for name, module in leaves.items()]
    timed: list[tuple[float, dict[str, list[float]]]] = []
    try:
        with arithmetic(precision.name):
            for number in range(_WARM_UP + passes):
                calls.clear()
                synchronise(device)
                begun = time.perf_counter()
                with precision.autocast(device):
                    network(images)
                synchronise(device)
                total = time.perf_counter() - begun
                if number >= _WARM_UP:
                    timed.append((total, {name: [_elapsed(*call) for call in own] for name, own in calls.items()}))
    finally:
        for handle in handles:
            handle.remove()
    total, by_call = sorted(timed, key=lambda entry: entry[0])[len(timed) // 2]
    return by_call, total


def _gpu_clock() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _elapsed(start: Any, end: Any) -> float:
    return float(start.elapsed_time(end) / 1e3 if isinstance(start, torch.cuda.Event) else end - start)


def _product(shape: Sequence[int]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
