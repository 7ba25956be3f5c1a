"""From a recipe's `network` section to a network."""

from __future__ import annotations

from torch import nn

from konvoi.models.cnn import cnn
from konvoi.models.mlp import mlp
from konvoi.models.resnet import resnet
from konvoi.recipe import Recipe
from konvoi.recipe.schema import CnnNetwork, MlpNetwork, ResNetNetwork


def build_network(recipe: Recipe, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A newly initialised network; the weights depend on PyTorch's global generator alone.

    Args:
        recipe: whose `network` section is built.
        image_shape: `(C, H, W)`.
        classes: number of logits.

    Raises:
        RecipeError: the network does not fit the image.
    """
    match recipe.network:
        case MlpNetwork():
            return mlp(recipe.network, image_shape, classes)
        case CnnNetwork():
            return cnn(recipe.network, image_shape, classes)
        case ResNetNetwork():
            return resnet(recipe.network, image_shape, classes)
