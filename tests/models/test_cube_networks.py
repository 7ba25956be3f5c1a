"""Networks for windows of a cube: against PyTorch in its default layout, by hand, and against scikit-learn."""

import copy

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from konvoi.errors import RecipeError
from konvoi.models.build import build_network
from konvoi.models.cube import cnn3d, hybrid_cnn, pca_cnn, spectral_cnn
from konvoi.models.layers import lay_out
from konvoi.models.projection import SpectralProjection, projections
from konvoi.models.spectrum import CentrePixel, SpectrumAsAxis, SpectrumAsChannels
from konvoi.models.stages import last_layer, stages
from konvoi.models.summary import summarise
from konvoi.recipe import load_recipe
from konvoi.recipe.network import Cnn3dNetwork, HybridCnnNetwork, PcaCnnNetwork, SpectralCnnNetwork

LECTURE = Cnn3dNetwork(kind="cnn3d")
SMALL = Cnn3dNetwork(kind="cnn3d", filters=(6, 5, 4), hidden=(8, 7))


def windows(bands: int, side: int = 9, number: int = 3) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(number, bands, side, side)


def by_pytorch_alone(network: nn.Sequential, images: Tensor) -> Tensor:
    """The same weights in PyTorch's default layout, the spectrum first, as its documents have depth."""
    state = dict(network.named_parameters())
    maps = images.unsqueeze(1)
    for number in (1, 2, 3):
        weight = state[f"conv{number}.weight"].permute(0, 1, 4, 2, 3).contiguous()
        maps = nn.functional.conv3d(maps, weight, state[f"conv{number}.bias"]).relu()
    values = maps.permute(0, 3, 4, 2, 1).flatten(1)
    for name in ("dense1", "dense2"):
        values = nn.functional.linear(values, state[f"{name}.weight"], state[f"{name}.bias"]).relu()
    return nn.functional.linear(values, state["logits.weight"], state["logits.bias"])


def test_cnn3d_and_its_gradients_are_those_of_conv3d_in_the_default_layout() -> None:
    network = cnn3d(SMALL, (20, 9, 9), 5)
    images = windows(20)
    labels = torch.tensor([0, 3, 4])
    gradients = []
    outputs = []
    for forward in (network, lambda images: by_pytorch_alone(network, images)):
        network.zero_grad()
        logits = forward(images)
        nn.functional.cross_entropy(logits, labels).backward()
        outputs.append(logits.detach())
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        assert ours.abs().max() > 0


def test_the_lectures_network_by_hand() -> None:
    summary = summarise(cnn3d(LECTURE, (200, 9, 9), 16), (200, 9, 9))
    layers = {layer.name: layer for layer in summary.layers}
    assert [layers[f"conv{number}"].output_shape for number in (1, 2, 3)] == [
        (48, 7, 7, 196),
        (32, 5, 5, 192),
        (32, 3, 3, 188),
    ]
    assert [layers[f"conv{number}"].weights for number in (1, 2, 3)] == [48 * 45, 48 * 32 * 45, 32 * 32 * 45]
    assert [layers[f"conv{number}"].receptive_field for number in (1, 2, 3)] == [(3, 3, 5), (5, 5, 9), (7, 7, 13)]
    convolutions = 7 * 7 * 196 * 48 * 45 + 5 * 5 * 192 * 32 * 48 * 45 + 3 * 3 * 188 * 32 * 32 * 45
    dense = 3 * 3 * 188 * 32 * 128 + 128 * 128 + 128 * 16
    assert summary.multiply_adds == convolutions + dense
    assert layers["dense1"].weights == 3 * 3 * 188 * 32 * 128
    # Run over a whole scene, each convolution computes one position a pixel: the 14.9-fold.
    shared = 196 * 48 * 45 + 192 * 32 * 48 * 45 + 188 * 32 * 32 * 45 + dense
    assert (convolutions + dense) / shared == pytest.approx(14.9, abs=0.05)


def test_the_layout_is_no_part_of_the_function_and_survives_copies() -> None:
    network = cnn3d(SMALL, (20, 9, 9), 5)
    plain = lay_out(copy.deepcopy(network), torch.device("cpu"), channels_last=False)
    fast = lay_out(copy.deepcopy(plain), torch.device("cpu"))
    assert plain.conv2.weight.is_contiguous()
    assert fast.conv2.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert network.conv2.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert network.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(plain(windows(20)), network(windows(20)), rtol=0, atol=1e-5)
    torch.testing.assert_close(fast(windows(20)), network(windows(20)), rtol=0, atol=1e-5)


def test_strides_and_pooling_along_the_spectrum_leave_the_pixels_alone() -> None:
    settings = SMALL.model_copy(update={"spectral_stride": 2, "spectral_pool": 2, "filters": (6, 5), "norm": "batch"})
    layers = {layer.name: layer for layer in summarise(cnn3d(settings, (60, 9, 9), 5), (60, 9, 9)).layers}
    assert layers["conv1"].output_shape == (6, 7, 7, 28)
    assert layers["pool1"].output_shape == (6, 7, 7, 14)
    assert layers["pool2"].output_shape == (5, 5, 5, 2)
    assert layers["conv1"].biases == 0


def test_the_spectral_network_sees_the_centre_pixel_alone() -> None:
    network = spectral_cnn(SpectralCnnNetwork(kind="spectral-cnn"), (60, 5, 5), 4).eval()
    images = windows(60, 5)
    others = windows(60, 5) + 1
    others[:, :, 2, 2] = images[:, :, 2, 2]
    torch.testing.assert_close(network(images), network(others))
    state = network.state_dict()
    values = images[:, :, 2, 2].unsqueeze(1)
    for number in (1, 2, 3):
        weight = state[f"conv{number}.weight"][:, :, 0, 0]
        values = nn.functional.max_pool1d(nn.functional.conv1d(values, weight, state[f"conv{number}.bias"]), 2).relu()
    hidden = nn.functional.linear(values.permute(0, 2, 1).flatten(1), *_dense(state, "dense1")).relu()
    torch.testing.assert_close(network(images), nn.functional.linear(hidden, *_dense(state, "logits")))


def _dense(state: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return state[f"{name}.weight"], state[f"{name}.bias"]


def test_the_hybrid_network_is_projection_3d_2d_dense() -> None:
    settings = HybridCnnNetwork(kind="hybrid-cnn", components=8, filters_3d=(3, 4), spectral_kernels=(3, 3))
    network = hybrid_cnn(settings, (20, 9, 9), 4).eval()
    projection = projections(network)[0]
    projection.fit(np.random.default_rng(0).normal(size=(50, 20)))
    images, state = windows(20), network.state_dict()
    maps = torch.einsum("nchw,kc->nkhw", images, projection.weight[:, :, 0, 0]) + projection.bias.view(-1, 1, 1)
    maps = maps.unsqueeze(1)
    for number in (1, 2):
        weight = state[f"conv{number}.weight"].permute(0, 1, 4, 2, 3)
        maps = nn.functional.conv3d(maps, weight, state[f"conv{number}.bias"]).relu()
    # (N, F, D, H, W): the spectrum's places stand before the filters in the channels.
    maps = maps.transpose(1, 2).flatten(1, 2)
    maps = nn.functional.conv2d(maps, state["conv3.weight"], state["conv3.bias"]).relu()
    values = maps.permute(0, 2, 3, 1).flatten(1)
    for name in ("dense1", "dense2"):
        values = nn.functional.linear(values, *_dense(state, name)).relu()
    torch.testing.assert_close(
        network(images), nn.functional.linear(values, *_dense(state, "logits")), rtol=1e-4, atol=1e-5
    )


class TestProjection:
    @pytest.mark.parametrize("whiten", [True, False])
    def test_it_is_scikit_learns_up_to_the_sign(self, whiten: bool) -> None:
        spectra = np.random.default_rng(1).normal(size=(200, 12)) @ np.random.default_rng(2).normal(size=(12, 12)) + 3
        projection = SpectralProjection(12, 4, whiten)
        projection.fit(spectra)
        ours = projection(torch.from_numpy(spectra).float().view(200, 12, 1, 1))[:, :, 0, 0].numpy()
        theirs = PCA(4, whiten=whiten).fit_transform(spectra)
        signs = np.sign((ours * theirs).sum(axis=0))
        np.testing.assert_allclose(ours, theirs * signs, atol=1e-4 * np.abs(theirs).max())

    def test_the_largest_entry_of_a_direction_is_positive(self) -> None:
        projection = SpectralProjection(12, 12, whiten=False)
        projection.fit(np.random.default_rng(1).normal(size=(200, 12)))
        directions = projection.weight[:, :, 0, 0].numpy()
        assert (directions[np.arange(12), np.abs(directions).argmax(axis=1)] > 0).all()

    def test_it_is_stored_with_the_weights_and_not_trained(self) -> None:
        network = pca_cnn(PcaCnnNetwork(kind="pca-cnn", components=3), (12, 5, 5), 4)
        assert {"components.weight", "components.bias"} <= network.state_dict().keys()
        assert not any(name.startswith("components") for name, _ in network.named_parameters())

    def test_fewer_pixels_than_components_give_finite_values(self) -> None:
        projection = SpectralProjection(12, 6, whiten=True)
        projection.fit(np.random.default_rng(1).normal(size=(3, 12)))
        assert torch.isfinite(projection.weight).all()
        assert projection.weight.abs().max() < 10


def test_layers_of_the_spectrum_copy_nothing_in_channels_last_memory() -> None:
    images = windows(20).contiguous(memory_format=torch.channels_last)
    assert SpectrumAsAxis()(images).data_ptr() == images.data_ptr()
    maps = torch.randn(2, 3, 5, 5, 4).contiguous(memory_format=torch.channels_last_3d)
    assert SpectrumAsChannels()(maps).data_ptr() == maps.data_ptr()
    assert CentrePixel()(images).shape == (3, 20, 1, 1)


def test_stages_and_the_last_layer_are_found() -> None:
    network = cnn3d(SMALL, (20, 9, 9), 5)
    assert [len(stage) for stage in stages(network)] == [2] * 6
    assert last_layer(network) is network.logits


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (lambda shape: cnn3d(LECTURE, shape, 5), (200, 5, 5), r"before convolution 3 are of 1×1×192, .* of 3×3×5\."),
        (lambda shape: cnn3d(LECTURE, shape, 5), (12, 9, 9), r"before convolution 3 are of 5×5×4, .* more bands"),
        (
            lambda shape: spectral_cnn(SpectralCnnNetwork(kind="spectral-cnn"), shape, 5),
            (30, 9, 9),
            r"of 1×1×3, too small for filters of 1×1×7 and pooling over 2",
        ),
        (
            lambda shape: pca_cnn(PcaCnnNetwork(kind="pca-cnn", components=13), shape, 5),
            (12, 9, 9),
            r"network\.components is 13, and the data have 12 bands\. Use 12 at most",
        ),
        (
            lambda shape: hybrid_cnn(HybridCnnNetwork(kind="hybrid-cnn"), shape, 5),
            (30, 7, 7),
            r"before convolution 4 are of 1×1, too small for filters of 3×3",
        ),
    ],
)
def test_too_small_a_window_or_spectrum_is_named(build: object, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(shape)


def test_recipes_build_them() -> None:
    recipe = load_recipe("digits-cnn")
    for section, layer in ((SMALL, "conv3"), (SpectralCnnNetwork(kind="spectral-cnn"), "centre")):
        network = build_network(recipe.model_copy(update={"network": section}), (80, 9, 9), 4)
        assert layer in dict(network.named_children())
        assert network(windows(80)).shape == (3, 4)


def test_the_lectures_recipe_says_what_its_table_says() -> None:
    recipe = load_recipe("indian-pines-3dcnn")
    assert recipe.network.model_dump(include={"filters", "kernel", "hidden", "activation"}) == {
        "filters": (48, 32, 32),
        "kernel": (3, 3, 5),
        "hidden": (128, 128),
        "activation": "relu",
    }
    assert recipe.loss.kind == "mse"
    assert (recipe.optim.kind, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 1.0, 0.0)
    assert (recipe.schedule.kind, recipe.schedule.decay) == ("inverse-time", 5e-6)
    assert (recipe.budget.batch, recipe.budget.epochs, recipe.source.window) == (50, 600, 9)
    same = load_recipe("cube-3dcnn").network
    assert (same.filters, same.kernel, same.hidden) == ((48, 32, 32), (3, 3, 5), (128, 128))
