"""Residual networks of 18, 34, 50 and 101 layers, for any number of bands.

K. He et al., "Deep residual learning for image recognition", CVPR 2016; the bottleneck's stride stands in its 3×3
convolution, as in every widely used implementation since. Names and shapes in the state dict are torchvision's, which
timm shares, so that public weights load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from konvoi.errors import RecipeError
from konvoi.recipe.network import ResNetNetwork

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks in each of the four stages."""

_WIDTHS = (64, 128, 256, 512)
_SMALLEST_SIDE = 32


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, and the identity around them. Networks of 18 and 34 layers."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, inputs, H, W)` to `(N, width, H / stride, W / stride)`."""
        residual = self.relu(self.bn1(self.conv1(maps)))
        residual = self.bn2(self.conv2(residual))
        out: Tensor = self.relu(residual.add_(maps if self.downsample is None else self.downsample(maps)))
        return out


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, and the identity around them. Networks of 50 and 101 layers."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, inputs, H, W)` to `(N, 4 · width, H / stride, W / stride)`."""
        residual = self.relu(self.bn1(self.conv1(maps)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        out: Tensor = self.relu(residual.add_(maps if self.downsample is None else self.downsample(maps)))
        return out


class ResNet(nn.Module):
    """A 7×7 convolution, four stages of residual blocks, global average pooling, and one dense layer."""

    def __init__(self, depth: int, bands: int, classes: int) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(bands, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for number, (blocks, width) in enumerate(zip(BLOCKS[depth], _WIDTHS, strict=True), start=1):
            layers = []
            for position in range(blocks):
                layers.append(block(inputs, width, stride=2 if number > 1 and position == 0 else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees: `(N, bands, H, W)` to `(N, 512)` or `(N, 2048)`."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number in range(1, 5):
            maps = self.get_submodule(f"layer{number}")(maps)
        return torch.flatten(self.avgpool(maps), 1)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, bands, H, W)` to logits `(N, classes)`."""
        logits: Tensor = self.fc(self.features(images))
        return logits


def resnet(settings: ResNetNetwork, image_shape: tuple[int, int, int], classes: int) -> ResNet:
    """A newly initialised residual network.

    Args:
        settings: the recipe's `network` section.
        image_shape: `(C, H, W)`.
        classes: number of logits.

    Raises:
        RecipeError: the image is smaller than 32 pixels, where the last stage would see less than one.
    """
    bands, height, width = image_shape
    if min(height, width) < _SMALLEST_SIDE:
        raise RecipeError(
            f"network.kind resnet divides the sides of an image by 32, and these are {height}×{width} pixels. Use cnn, "
            f"or images of at least {_SMALLEST_SIDE} pixels a side."
        )
    network = ResNet(settings.depth, bands, classes)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            # He et al., "Delving deep into rectifiers", ICCV 2015, equation 14: the variance of gradients is kept.
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif settings.zero_init_residual and isinstance(layer, BasicBlock | Bottleneck):
            # P. Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 5.1.
            last = layer.bn2 if isinstance(layer, BasicBlock) else layer.bn3
            nn.init.zeros_(last.weight)
    return network


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
