"""A network over a whole picture gives each window the scores that it gives the window alone."""

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from konvoi.errors import RecipeError
from konvoi.models.cnn import cnn
from konvoi.models.cube import cnn3d, hybrid_cnn, pca_cnn, spectral_cnn
from konvoi.models.fully_convolutional import NotFullyConvolutional, fully_convolutional
from konvoi.models.mlp import mlp
from konvoi.models.projection import projections
from konvoi.models.resnet import resnet
from konvoi.recipe.network import (
    Cnn3dNetwork,
    CnnNetwork,
    ConvBlock,
    HybridCnnNetwork,
    MlpNetwork,
    PcaCnnNetwork,
    ResNetNetwork,
    SpectralCnnNetwork,
)

BANDS = 40


def made_interesting(network: nn.Module) -> nn.Module:
    """Statistics and projections as after training, so that nothing is equal by being zero or one."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
    for projection in projections(network):
        projection.weight.normal_().mul_(0.1)
        projection.bias.normal_()
    return network.eval()


@torch.no_grad()
def largest_difference(network: nn.Module, window: int, bands: int = BANDS, size: tuple[int, int] = (4, 6)) -> float:
    """Between the network on each window and the fully convolutional one on the picture, over `size` windows."""
    made_interesting(network)
    picture = torch.randn(2, bands, window + size[0] - 1, window + size[1] - 1)
    found = fully_convolutional(network, (window, window))(picture)
    assert found.shape[2:] == size
    expected = torch.stack(
        [
            torch.stack(
                [network(picture[:, :, row : row + window, column : column + window]) for column in range(size[1])],
                dim=-1,
            )
            for row in range(size[0])
        ],
        dim=-2,
    )
    assert expected.std() > 0.05
    return float((found - expected).abs().max())


NETWORKS = {
    "cnn3d": lambda shape: cnn3d(Cnn3dNetwork(kind="cnn3d", filters=(8, 6, 4)), shape, 5),
    "cnn3d with pooling and norms": lambda shape: cnn3d(
        Cnn3dNetwork(kind="cnn3d", filters=(8, 6), spectral_pool=2, spectral_stride=2, norm="batch", dropout=0.3),
        shape,
        5,
    ),
    "spectral-cnn": lambda shape: spectral_cnn(SpectralCnnNetwork(kind="spectral-cnn", kernel=5), shape, 5),
    "pca-cnn": lambda shape: pca_cnn(PcaCnnNetwork(kind="pca-cnn", norm="batch", activation="tanh"), shape, 5),
    "hybrid-cnn": lambda shape: hybrid_cnn(HybridCnnNetwork(kind="hybrid-cnn", hidden=(16,)), shape, 5),
    "mlp": lambda shape: mlp(MlpNetwork(kind="mlp", hidden=(16, 8)), shape, 5),
    "mlp without hidden layers": lambda shape: mlp(MlpNetwork(kind="mlp", hidden=()), shape, 5),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("window", [9, 11])
def test_networks_for_cubes(name: str, window: int) -> None:
    torch.manual_seed(window)
    assert largest_difference(NETWORKS[name]((BANDS, window, window)), window) <= 1e-4


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(
        st.builds(
            ConvBlock,
            maps=st.just(4),
            kernel=st.integers(1, 4),
            stride=st.integers(1, 2),
            padding=st.just("valid"),
            norm=st.sampled_from(["none", "batch"]),
            activation=st.sampled_from(["relu", "gelu", "none"]),
            pool=st.sampled_from(["none", "max", "average"]),
            pool_size=st.integers(2, 3),
        ),
        min_size=1,
        max_size=3,
    ),
    global_pool=st.sampled_from(["none", "max", "average"]),
    hidden=st.sampled_from([(), (6,)]),
    window=st.integers(12, 41),
    seed=st.integers(0, 1000),
)
def test_any_cnn_with_valid_convolutions_strides_and_pools(
    blocks: list[ConvBlock], global_pool: str, hidden: tuple[int, ...], window: int, seed: int
) -> None:
    torch.manual_seed(seed)
    section = CnnNetwork(kind="cnn", blocks=tuple(blocks), global_pool=global_pool, hidden=hidden)
    try:
        network = cnn(section, (3, window, window), 5)
    except RecipeError:
        reject()
    made_interesting(network)
    picture = torch.randn(1, 3, window + 2, window + 3)
    with torch.no_grad():
        found = fully_convolutional(network, (window, window))(picture)
        assert found.shape[2:] == (3, 4)
        for row, column in ((0, 0), (2, 1), (1, 3)):
            alone = network(picture[:, :, row : row + window, column : column + window])
            torch.testing.assert_close(found[:, :, row, column], alone, rtol=1e-4, atol=1e-4)


def test_it_shares_the_weights_and_leaves_the_network_as_it_is() -> None:
    network = NETWORKS["cnn3d"]((BANDS, 9, 9)).eval()
    whole = fully_convolutional(network, (9, 9))
    own = {parameter.data_ptr() for parameter in network.parameters()}
    assert {parameter.data_ptr() for parameter in whole.parameters()} == own
    windows = torch.randn(2, BANDS, 9, 9)
    before = network(windows)
    whole(torch.randn(1, BANDS, 12, 12))
    torch.testing.assert_close(network(windows), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: cnn(CnnNetwork(kind="cnn", blocks=(ConvBlock(maps=4),)), (3, 9, 9), 5),
            "conv1 pads the window's borders",
        ),
        (lambda: resnet(ResNetNetwork(kind="resnet", depth=18), (3, 32, 32), 5), "ResNet is no plain sequence"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), "0 pads the window's borders"),
        (lambda: nn.Sequential(nn.MaxPool3d(2)), "0 pools over pixels and bands at once"),
        (lambda: nn.Sequential(nn.LocalResponseNorm(2)), "0 is a LocalResponseNorm, whose form"),
    ],
)
def test_what_cannot_be_said_of_a_picture_is_refused_with_the_reason(network: object, message: str) -> None:
    with pytest.raises(NotFullyConvolutional, match=message):
        fully_convolutional(network(), (9, 9))


def test_padding_would_change_the_scores() -> None:
    """The refusal is needed: a padded convolution on the picture is not the one on the window."""
    network = cnn(CnnNetwork(kind="cnn", blocks=(ConvBlock(maps=4),)), (3, 9, 9), 5).eval()
    picture: Tensor = torch.randn(1, 3, 11, 11)
    with torch.no_grad():
        maps = network.conv1(picture)[:, :, 1:10, 1:10]
        alone = network.conv1(picture[:, :, 1:10, 1:10])
    assert (maps - alone).abs().max() > 0.1
