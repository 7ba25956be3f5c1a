"""Fully connected networks on the flattened image."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from konvoi.models.layers import ChannelsLastFlatten, Dropout, activation, initialise
from konvoi.recipe.network import MlpNetwork


def mlp(settings: MlpNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Flatten → (dense → activation → dropout) for every hidden width → logits.

    Args:
        settings: the recipe's `network` section.
        image_shape: `(C, H, W)`.
        classes: number of logits.

    Returns:
        A network from `(N, C, H, W)` to logits `(N, classes)`.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=ChannelsLastFlatten())
    inputs = math.prod(image_shape)
    for number, units in enumerate(settings.hidden, start=1):
        layers[f"dense{number}"] = nn.Linear(inputs, units)
        layers[f"{settings.activation}{number}"] = activation(settings.activation)
        if settings.dropout > 0:
            layers[f"dropout{number}"] = Dropout(settings.dropout)
        inputs = units
    layers["logits"] = nn.Linear(inputs, classes)
    network = nn.Sequential(layers)
    initialise(network, settings.init)
    return network
