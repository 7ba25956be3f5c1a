"""The end of a convolutional network: flattening, hidden dense layers, logits."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from konvoi.models.layers import ChannelsLastFlatten, Dropout, activation, initialise
from konvoi.recipe.network import CnnNetwork, CubeNetwork


def with_dense_head(
    layers: OrderedDict[str, nn.Module], settings: CnnNetwork | CubeNetwork, inputs: int, classes: int
) -> nn.Sequential:
    """Add flatten → (dense → activation → dropout) for every hidden width → logits, and initialise the whole.

    Args:
        layers: of the convolutional part; changed.
        settings: the recipe's `network` section.
        inputs: values of a sample that the convolutional part leaves.
        classes: number of logits.
    """
    layers["flatten"] = ChannelsLastFlatten()
    if settings.dropout > 0 and not settings.hidden:
        layers["dropout"] = Dropout(settings.dropout)
    for number, units in enumerate(settings.hidden, start=1):
        layers[f"dense{number}"] = nn.Linear(inputs, units)
        layers[f"dense_{settings.activation}{number}"] = activation(settings.activation)
        if settings.dropout > 0:
            layers[f"dense_dropout{number}"] = Dropout(settings.dropout)
        inputs = units
    layers["logits"] = nn.Linear(inputs, classes)
    network = nn.Sequential(layers)
    initialise(network, settings.init)
    return network
