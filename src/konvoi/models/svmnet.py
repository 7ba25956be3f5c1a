"""Convolutional SVM networks: plain convolutions whose filters are hyperplanes of linear support vector machines.

Y. Bazi and F. Melgani, "Convolutional SVM networks for object detection in UAV imagery", IEEE Transactions on
Geoscience and Remote Sensing 56 (2018); over several scales, G. Cavallaro, Y. Bazi, F. Melgani and M. Riedel,
"Multi-scale convolutional SVM networks for multi-class classification problems of remote sensing images", IGARSS 2019.
How the filters are found is in `training.forward`; here they are weights as any others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.cnn import GLOBAL_POOLS
from konvoi.models.fusion import CentreCrop, FusedNetwork
from konvoi.models.layers import ChannelsLastFlatten
from konvoi.models.spectrum import SpectrumAsAxis, SpectrumAsChannels
from konvoi.recipe.convolutional_svm import Scale, SvmLayer, SvmNetwork

Pool = type[nn.Module]

_POOLS: dict[str, tuple[Pool, Pool]] = {
    "max": (nn.MaxPool2d, nn.MaxPool3d),
    "average": (nn.AvgPool2d, nn.AvgPool3d),
}


def svmnet(settings: SvmNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """(Convolution → ReLU → pooling) for every layer → (global pooling) → flatten → logits; or an ensemble of these.

    Args:
        settings: the recipe's `network` section.
        image_shape: `(C, H, W)`.
        classes: number of logits.

    Returns:
        A network from `(N, C, H, W)` to logits `(N, classes)`.

    Raises:
        RecipeError: the image is too small for a layer or a scale.
    """
    if not settings.scales:
        return _network(settings, settings.layers, image_shape, classes)
    members = [_member(settings, scale, number, image_shape, classes) for number, scale in enumerate(settings.scales)]
    return FusedNetwork(members, settings.fusion)


def single_networks(network: nn.Module) -> list[nn.Sequential]:
    """The members of an ensemble, or the one network itself."""
    networks = list(network.members.children()) if isinstance(network, FusedNetwork) else [network]
    return [entry for entry in networks if isinstance(entry, nn.Sequential)]


def _member(
    settings: SvmNetwork, scale: Scale, number: int, image_shape: tuple[int, int, int], classes: int
) -> nn.Sequential:
    channels, height, width = image_shape
    layers = list(settings.layers)
    if scale.kernel is not None:
        layers[0] = layers[0].model_copy(update={"kernel": scale.kernel})
        if layers[0].padding == "same" and scale.kernel % 2 == 0:
            raise RecipeError(
                f"network.scales.{number}.kernel: same padding needs an odd kernel, and {scale.kernel} is even."
            )
    if scale.window is None:
        return _network(settings, layers, image_shape, classes)
    if scale.window > min(height, width):
        raise RecipeError(
            f"network.scales.{number}.window: {scale.window} pixels cannot be cut out of images of {height}×{width}."
        )
    member = _network(settings, layers, (channels, scale.window, scale.window), classes)
    return nn.Sequential(OrderedDict([("crop", CentreCrop(scale.window)), *member.named_children()]))


def _network(
    settings: SvmNetwork, layers: Sequence[SvmLayer], image_shape: tuple[int, int, int], classes: int
) -> nn.Sequential:
    channels, height, width = image_shape
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    depth: int | None = None
    if layers[0].bands is not None:
        parts["spectrum"] = SpectrumAsAxis()
        channels, depth = 1, channels
    for number, layer in enumerate(layers, start=1):
        if layer.bands is None and depth is not None:
            parts["maps"] = SpectrumAsChannels()
            channels, depth = channels * depth, None
        parts.update(_layer(layer, number, channels))
        depth, height, width = _sides_after(layer, number, depth, height, width)
        channels = layer.maps
    if depth is not None:
        parts["maps"] = SpectrumAsChannels()
        channels *= depth
    if settings.global_pool != "none":
        parts["global_pool"] = GLOBAL_POOLS[settings.global_pool](1)
        height = width = 1
    parts["flatten"] = ChannelsLastFlatten()
    parts["logits"] = nn.Linear(channels * height * width, classes)
    return nn.Sequential(parts)


def _layer(layer: SvmLayer, number: int, channels: int) -> OrderedDict[str, nn.Module]:
    padding = layer.kernel // 2 if layer.padding == "same" else 0
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if layer.bands is None:
        parts[f"conv{number}"] = nn.Conv2d(channels, layer.maps, layer.kernel, layer.stride, padding)
    else:
        parts[f"conv{number}"] = nn.Conv3d(
            channels,
            layer.maps,
            (layer.kernel, layer.kernel, layer.bands),
            (layer.stride, layer.stride, layer.band_stride),
            (padding, padding, 0),
        )
    parts[f"relu{number}"] = nn.ReLU()
    if layer.pool != "none":
        flat, deep = _POOLS[layer.pool]
        size = layer.pool_size
        parts[f"pool{number}"] = flat(size) if layer.bands is None else deep((size, size, layer.band_pool))
    return parts


def _sides_after(
    layer: SvmLayer, number: int, depth: int | None, height: int, width: int
) -> tuple[int | None, int, int]:
    padding = layer.kernel // 2 if layer.padding == "same" else 0
    after = [(side + 2 * padding - layer.kernel) // layer.stride + 1 for side in (height, width)]
    deep = None if depth is None or layer.bands is None else (depth - layer.bands) // layer.band_stride + 1
    if layer.pool != "none":
        after = [side // layer.pool_size for side in after]
        deep = None if deep is None else deep // layer.band_pool
    if min(after) < 1 or (deep is not None and deep < 1):
        kernel = f"{layer.kernel}×{layer.kernel}"
        before = f"{height}×{width} pixels"
        if depth is not None and layer.bands is not None:
            kernel, before = f"{kernel}×{layer.bands}", f"{depth} bands of {before}"
        pool = f" and pooling by {layer.pool_size}" if layer.pool != "none" else ""
        raise RecipeError(
            f"network.layers.{number - 1}: the maps before it are {before}, too small for patches of {kernel}{pool}. "
            "Use fewer layers, same padding, smaller patches, or larger images."
        )
    return deep, after[0], after[1]
