"""From a recipe's `network` section to a network."""

from __future__ import annotations

from torch import nn

from konvoi.models.cnn import cnn
from konvoi.models.cube import cnn3d, hybrid_cnn, pca_cnn, spectral_cnn
from konvoi.models.mlp import mlp
from konvoi.models.resnet import resnet
from konvoi.models.svmnet import svmnet
from konvoi.recipe import Recipe
from konvoi.recipe.convolutional_svm import SvmNetwork
from konvoi.recipe.network import (
    Cnn3dNetwork,
    CnnNetwork,
    HybridCnnNetwork,
    MlpNetwork,
    PcaCnnNetwork,
    ResNetNetwork,
    SpectralCnnNetwork,
)


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
        case Cnn3dNetwork():
            return cnn3d(recipe.network, image_shape, classes)
        case SpectralCnnNetwork():
            return spectral_cnn(recipe.network, image_shape, classes)
        case PcaCnnNetwork():
            return pca_cnn(recipe.network, image_shape, classes)
        case HybridCnnNetwork():
            return hybrid_cnn(recipe.network, image_shape, classes)
        case SvmNetwork():
            return svmnet(recipe.network, image_shape, classes)
