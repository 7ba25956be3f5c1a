"""The parts of a network from input to output: what transfer freezes, replaces, or lets learn slowly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from konvoi.models.resnet import ResNet

_RESNET_STAGES = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",), ("fc",))


def stages(network: nn.Module) -> list[list[nn.Parameter]]:
    """All parameters, from the first stage to the last layer.

    A residual network has six: its first convolution, four stages, and the last layer. In a network that is a plain
    sequence, each convolution or dense layer is a stage, with the normalisation that follows.
    """
    if isinstance(network, ResNet):
        return [
            [parameter for name in names for parameter in network.get_submodule(name).parameters()]
            for names in _RESNET_STAGES
        ]
    found: list[list[nn.Parameter]] = []
    for layer in network.children():
        parameters = list(layer.parameters())
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear) or not found:
            found.append(parameters)
        else:
            found[-1] += parameters
    return [parameters for parameters in found if parameters]


def last_layer(network: nn.Module) -> nn.Linear:
    """The dense layer that makes the logits."""
    dense = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return dense[-1]


def features(network: nn.Module, images: Tensor) -> Tensor:
    """What the last layer sees, `(N, D)`, of images `(N, C, H, W)`."""
    if isinstance(network, ResNet):
        return network.features(images)
    last = last_layer(network)
    values = images
    for layer in network.children():
        if layer is last:
            return values
        values = layer(values)
    raise ValueError("the network is no sequence of layers that ends with a dense one")


class FeatureExtractor(nn.Module):
    """A network without its last layer, for functions that take a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, D)`."""
        return torch.flatten(features(self.network, images), 1)
