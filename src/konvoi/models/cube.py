"""Networks that classify the centre pixel of a window of a hyperspectral cube, `(N, C, H, W)` with C bands.

All are plain sequences of convolutions without padding and dense layers, so that they can run over a whole scene at
once (`fully_convolutional`). 3-D convolutions have their axes in the order rows, columns, spectrum.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.dense_head import with_dense_head
from konvoi.models.layers import activation
from konvoi.models.projection import SpectralProjection
from konvoi.models.spectrum import CentrePixel, SpectrumAsAxis, SpectrumAsChannels
from konvoi.recipe.network import Cnn3dNetwork, CubeNetwork, HybridCnnNetwork, PcaCnnNetwork, SpectralCnnNetwork

Layers = OrderedDict[str, nn.Module]


def cnn3d(settings: Cnn3dNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Spectrum as an axis → 3-D convolutions → flatten → dense layers → logits.

    Raises:
        RecipeError: the window or the spectrum is too small.
    """
    layers: Layers = OrderedDict(spectrum=SpectrumAsAxis())
    bands, height, width = image_shape
    size = _add_3d(
        layers,
        settings,
        (height, width, bands),
        [(maps, settings.kernel) for maps in settings.filters],
        settings.spectral_stride,
        settings.spectral_pool,
    )
    return with_dense_head(layers, settings, math.prod(size) * settings.filters[-1], classes)


def spectral_cnn(settings: SpectralCnnNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Centre pixel → spectrum as an axis → convolutions of 1×1×k → flatten → dense layers → logits.

    W. Hu et al., "Deep convolutional neural networks for hyperspectral image classification", Journal of Sensors
    2015, with more than one convolution.

    Raises:
        RecipeError: the spectrum is too short.
    """
    layers: Layers = OrderedDict(centre=CentrePixel(), spectrum=SpectrumAsAxis())
    size = _add_3d(
        layers,
        settings,
        (1, 1, image_shape[0]),
        [(maps, (1, 1, settings.kernel)) for maps in settings.filters],
        settings.spectral_stride,
        settings.spectral_pool,
    )
    return with_dense_head(layers, settings, math.prod(size) * settings.filters[-1], classes)


def pca_cnn(settings: PcaCnnNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Principal components → 2-D convolutions → flatten → dense layers → logits.

    K. Makantasis et al., "Deep supervised learning for hyperspectral data classification through convolutional neural
    networks", IGARSS 2015.

    Raises:
        RecipeError: there are fewer bands than components, or the window is too small.
    """
    bands, height, width = image_shape
    layers: Layers = OrderedDict(components=_projection(settings, bands))
    size = _add_2d(layers, settings, (height, width), settings.components, settings.filters, settings.kernel)
    return with_dense_head(layers, settings, math.prod(size) * settings.filters[-1], classes)


def hybrid_cnn(settings: HybridCnnNetwork, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Principal components → 3-D convolutions → spectrum as channels → 2-D convolutions → dense layers → logits.

    S. K. Roy et al., "HybridSN: exploring 3-D–2-D CNN feature hierarchy for hyperspectral image classification", IEEE
    Geoscience and Remote Sensing Letters 17 (2020); their windows are of 25 pixels.

    Raises:
        RecipeError: there are fewer bands than components, or too few of either for the convolutions.
    """
    bands, height, width = image_shape
    layers: Layers = OrderedDict(components=_projection(settings, bands), spectrum=SpectrumAsAxis())
    convolutions = [
        (maps, (3, 3, bands_a_filter))
        for maps, bands_a_filter in zip(settings.filters_3d, settings.spectral_kernels, strict=True)
    ]
    size = _add_3d(layers, settings, (height, width, settings.components), convolutions)
    layers["channels"] = SpectrumAsChannels()
    channels = settings.filters_3d[-1] * size[2] if settings.filters_3d else size[2]
    size_2d = _add_2d(
        layers, settings, size[:2], channels, settings.filters_2d, 3, first_number=1 + len(settings.filters_3d)
    )
    maps = settings.filters_2d[-1] if settings.filters_2d else channels
    return with_dense_head(layers, settings, math.prod(size_2d) * maps, classes)


def _projection(settings: PcaCnnNetwork | HybridCnnNetwork, bands: int) -> SpectralProjection:
    if settings.components > bands:
        raise RecipeError(
            f"network.components is {settings.components}, and the data have {bands} bands. Use {bands} at most."
        )
    return SpectralProjection(bands, settings.components, settings.whiten)


def _add_3d(
    layers: Layers,
    settings: CubeNetwork,
    size: tuple[int, int, int],
    convolutions: list[tuple[int, tuple[int, int, int]]],
    stride: int = 1,
    pool: int = 1,
) -> tuple[int, int, int]:
    """Add 3-D convolutions, of rows, columns and bands; returns the size of the maps after them."""
    channels = 1
    for number, (maps, kernel) in enumerate(convolutions, start=1):
        rows, columns = (side - span + 1 for side, span in zip(size[:2], kernel[:2], strict=True))
        after = (rows, columns, ((size[2] - kernel[2]) // stride + 1) // pool)
        _require_space(number, size, kernel, after, f" and pooling over {pool}" if pool > 1 else "")
        layers[f"conv{number}"] = nn.Conv3d(
            channels, maps, kernel, stride=(1, 1, stride), bias=settings.norm == "none"
        ).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if pool > 1:
            # Then normalisation and activation, as in the blocks of `cnn`.
            layers[f"pool{number}"] = nn.MaxPool3d((1, 1, pool))
        if settings.norm == "batch":
            layers[f"norm{number}"] = nn.BatchNorm3d(maps)
        layers[f"{settings.activation}{number}"] = activation(settings.activation)
        size, channels = after, maps
    return size


def _add_2d(
    layers: Layers,
    settings: CubeNetwork,
    size: tuple[int, int],
    channels: int,
    filters: tuple[int, ...],
    kernel: int,
    first_number: int = 1,
) -> tuple[int, int]:
    """Add 2-D convolutions; returns the size of the maps after them."""
    for number, maps in enumerate(filters, start=first_number):
        after = (size[0] - kernel + 1, size[1] - kernel + 1)
        _require_space(number, size, (kernel, kernel), after)
        layers[f"conv{number}"] = nn.Conv2d(channels, maps, kernel, bias=settings.norm == "none")
        if settings.norm == "batch":
            layers[f"norm{number}"] = nn.BatchNorm2d(maps)
        layers[f"{settings.activation}{number}"] = activation(settings.activation)
        size, channels = after, maps
    return size


def _require_space(
    number: int, size: tuple[int, ...], kernel: tuple[int, ...], after: tuple[int, ...], pooling: str = ""
) -> None:
    if min(after) < 1:
        before, filters = ("×".join(str(side) for side in sides) for sides in (size, kernel))
        raise RecipeError(
            f"network: the maps before convolution {number} are of {before}, too small for filters of {filters}"
            f"{pooling}. Use fewer or smaller filters, or a larger window or more bands."
        )
