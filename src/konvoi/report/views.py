"""What a network sees: its first layer's weights and its maps of one image, as plain arrays.

How they become pictures is in `pictures`. Deeper looks are the inspector's part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from konvoi.models.summary import GLOBAL_POOLS

MOST_PICTURES = 32


@dataclass(frozen=True)
class FirstLayer:
    """The weights of the first layer that has any.

    Attributes:
        name: in the network.
        kind: `convolution` or `dense`.
        weights: `(n, C, h, w)`: a filter each, or all weights of a unit laid out as the image is.
        total: how many there are; `weights` holds the first of them.
    """

    name: str
    kind: str
    weights: NDArray[np.float32]
    total: int


@dataclass(frozen=True)
class FeatureMaps:
    """The maps after a block of layers, for one image.

    Attributes:
        block: its layers' names.
        maps: `(n, h, w)`.
        total: how many there are; `maps` holds the first of them.
    """

    block: tuple[str, ...]
    maps: NDArray[np.float32]
    total: int


@torch.no_grad()
def first_layer(network: nn.Module, image_shape: tuple[int, int, int], most: int = MOST_PICTURES) -> FirstLayer | None:
    """The first convolution's filters, or the first dense layer's weights as pictures; None where there are none.

    Args:
        network: whose children follow one another, unchanged.
        image_shape: `(C, H, W)`.
        most: how many are returned.
    """
    pixels = math.prod(image_shape)
    # Every pixel is given its own number; where it arrives tells in which order the layers before flatten.
    places = torch.arange(pixels, dtype=torch.float64).view(1, *image_shape)
    with _evaluating(network):
        for name, layer in network.named_children():
            if isinstance(layer, nn.Conv2d):
                weights = layer.weight.detach().float().cpu().numpy()
                return FirstLayer(name, "convolution", weights[:most], len(weights))
            if isinstance(layer, nn.Linear):
                order = places.flatten().long()
                if not torch.equal(order.sort().values, torch.arange(pixels)):
                    return None
                rows = torch.empty((min(most, layer.out_features), pixels))
                rows[:, order] = layer.weight.detach().float().cpu()[:most]
                return FirstLayer(name, "dense", rows.view(-1, *image_shape).numpy(), layer.out_features)
            if layer.state_dict():
                return None
            places = layer(places)
    return None


@torch.no_grad()
def feature_maps(network: nn.Module, image: Tensor, most: int = MOST_PICTURES) -> list[FeatureMaps]:
    """The maps of one image after each convolution block, a block ending before the next convolution;
    of a residual network after each of its stages.

    Args:
        network: whose children follow one another, unchanged; without convolutions the list is empty.
        image: `(1, C, H, W)`, normalised.
        most: how many maps of a block are returned.
    """
    found: list[FeatureMaps] = []
    block: list[str] = []
    values = image
    with _evaluating(network):
        for name, layer in network.named_children():
            convolves = any(isinstance(part, nn.Conv2d) for part in layer.modules())
            if convolves:
                if block:
                    found.append(_maps(block, values, most))
                block = []
            if isinstance(layer, GLOBAL_POOLS):
                break
            after = layer(values)
            if after.dim() != 4:
                break
            if block or convolves:
                block.append(name)
            values = after
    if block:
        found.append(_maps(block, values, most))
    return found


def _maps(block: list[str], values: Tensor, most: int) -> FeatureMaps:
    return FeatureMaps(tuple(block), values[0, :most].float().cpu().numpy(), values.shape[1])


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
