"""Convolutional networks: blocks of convolution, pooling, normalisation and activation, then dense layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.dense_head import with_dense_head
from konvoi.models.layers import Dropout, activation
from konvoi.recipe.network import CnnNetwork, ConvBlock

POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
GLOBAL_POOLS = {"max": nn.AdaptiveMaxPool2d, "average": nn.AdaptiveAvgPool2d}


def cnn(settings: CnnNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Blocks → (global pooling) → flatten → (dense → activation → dropout) → logits.

    Args:
        settings: the recipe's `network` section.
        image_shape: `(C, H, W)`.
        classes: number of logits.

    Returns:
        A network from `(N, C, H, W)` to logits `(N, classes)`.

    Raises:
        RecipeError: the image is too small for a block's convolution or pooling.
    """
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, block in enumerate(settings.blocks, start=1):
        height, width = _size_after(block, number, height, width)
        layers.update(_block_layers(block, number, channels))
        channels = block.maps
    if settings.global_pool != "none":
        layers["global_pool"] = GLOBAL_POOLS[settings.global_pool](1)
        height = width = 1
    return with_dense_head(layers, settings, channels * height * width, classes)


def _block_layers(block: ConvBlock, number: int, channels: int) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers[f"conv{number}"] = nn.Conv2d(
        channels,
        block.maps,
        block.kernel,
        stride=block.stride,
        padding=block.kernel // 2 if block.padding == "same" else 0,
        # Pooling does not stand in the way: max and average commute with adding a constant.
        bias=block.norm == "none",
    )
    # Max-pooling commutes with the monotonic ReLU, so pooling first gives the same maps from a quarter of the
    # work. For average pooling and for normalisation the order is part of the recipe's definition.
    if block.pool != "none":
        layers[f"pool{number}"] = POOLS[block.pool](block.pool_size)
    if block.norm == "batch":
        layers[f"norm{number}"] = nn.BatchNorm2d(block.maps)
    if block.activation != "none":
        layers[f"{block.activation}{number}"] = activation(block.activation)
    if block.dropout > 0:
        layers[f"dropout{number}"] = Dropout(block.dropout)
    return layers


def _size_after(block: ConvBlock, number: int, height: int, width: int) -> tuple[int, int]:
    padding = block.kernel // 2 if block.padding == "same" else 0
    after = [(side + 2 * padding - block.kernel) // block.stride + 1 for side in (height, width)]
    if block.pool != "none":
        after = [side // block.pool_size for side in after]
    if min(after) < 1:
        raise RecipeError(
            f"network.blocks.{number - 1}: the maps before it are {height}×{width} pixels, too small for a "
            f"{block.kernel}×{block.kernel} convolution with stride {block.stride}"
            + (f" and {block.pool_size}×{block.pool_size} pooling" if block.pool != "none" else "")
            + ". Use fewer blocks, same padding, or larger images."
        )
    return after[0], after[1]
