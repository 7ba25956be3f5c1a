"""The convolutional SVM network as a module: its forms, its scales, and the fusion by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.build import build_network
from konvoi.models.fully_convolutional import fully_convolutional
from konvoi.models.fusion import CentreCrop, Fusion
from konvoi.models.summary import summarise
from konvoi.models.svmnet import single_networks
from konvoi.recipe import parse_recipe

HEAD = "name: s\nsource: {kind: digits}\noptim: {kind: linear-svms}\nnetwork:\n  kind: svmnet\n"


def network_of(sections: str, shape: tuple[int, int, int], classes: int = 5) -> nn.Module:
    return build_network(parse_recipe(HEAD + sections, "a test"), shape, classes)


@pytest.mark.parametrize(
    ("sections", "shape", "kinds"),
    [
        ("  layers: [{maps: 8, pool: max}, {maps: 6, padding: same}]", (3, 12, 12), ["Conv2d", "Conv2d"]),
        (
            "  layers: [{maps: 8, kernel: 1, bands: 11, band_stride: 2, pool: max, pool_size: 1, band_pool: 3}, "
            "{maps: 6, kernel: 1, bands: 5}]",
            (60, 1, 1),
            ["Conv3d", "Conv3d"],
        ),
        ("  layers: [{maps: 4, bands: 7}, {maps: 6, kernel: 3}]\n  global_pool: max", (20, 9, 9), ["Conv3d", "Conv2d"]),
        ("  layers: [{maps: 4, bands: 7, band_stride: 3}]\n  global_pool: average", (20, 5, 5), ["Conv3d"]),
    ],
)
def test_over_space_spectrum_and_both(sections: str, shape: tuple[int, int, int], kinds: list[str]) -> None:
    network = network_of(sections, shape)
    assert network(torch.randn(2, *shape)).shape == (2, 5)
    found = [type(layer).__name__ for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    assert found == kinds
    assert summarise(network, shape).parameters == sum(value.numel() for value in network.parameters())


def test_a_spectral_network_of_one_pixel_by_hand() -> None:
    network = network_of("  layers: [{maps: 1, kernel: 1, bands: 3}]", (5, 1, 1), classes=2)
    with torch.no_grad():
        network.get_submodule("conv1").weight.copy_(torch.tensor([1.0, 0.0, -1.0]).view(1, 1, 1, 1, 3))
        network.get_submodule("conv1").bias.fill_(0.5)
        network.get_submodule("logits").weight.copy_(torch.tensor([[1.0, 10.0, 100.0], [0.0, 0.0, 0.0]]))
        network.get_submodule("logits").bias.zero_()
        answer = network(torch.tensor([5.0, 1.0, 4.0, 9.0, 4.2]).view(1, 5, 1, 1))
    # 5 − 4 + ½ = 1.5; 1 − 9 + ½ < 0; 4 − 4.2 + ½ = 0.3
    assert answer[0, 0].item() == pytest.approx(1.5 + 100 * 0.3, rel=1e-5)


@pytest.mark.parametrize(
    "sections",
    [
        "  layers: [{maps: 4}, {maps: 6, pool: max}]",
        "  layers: [{maps: 4, bands: 5, band_stride: 2, pool: max, pool_size: 1, band_pool: 2}, {maps: 6}]",
        "  layers: [{maps: 4, bands: 5, kernel: 1}, {maps: 3, bands: 3}]",
    ],
)
def test_over_a_scene_it_runs_once_and_says_the_same(sections: str) -> None:
    network = network_of(sections, (12, 7, 7)).eval()
    picture = torch.randn((1, 12, 15, 11), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dense = fully_convolutional(network, (7, 7))(picture.clone())
        windows = picture[0].unfold(1, 7, 1).unfold(2, 7, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        expected = network(windows).T.reshape(1, 5, 9, 5)
    torch.testing.assert_close(dense, expected, rtol=1e-4, atol=1e-5)


def test_scales_are_members_with_their_own_window_and_kernel() -> None:
    network = network_of(
        "  layers: [{maps: 4}]\n  scales: [{window: 5}, {window: 9, kernel: 5}, {kernel: 1}]\n  fusion: majority",
        (3, 9, 9),
    )
    members = single_networks(network)
    assert [type(member[0]).__name__ for member in members] == ["CentreCrop", "CentreCrop", "Conv2d"]
    assert [member.get_submodule("conv1").kernel_size for member in members] == [(3, 3), (5, 5), (1, 1)]
    images = torch.randn(3, 3, 9, 9)
    changed = images.clone()
    changed[:, :, :2] += 1
    with torch.no_grad():
        assert torch.equal(members[0](images), members[0](changed))
        assert not torch.equal(members[1](images), members[1](changed))
        assert network(images).shape == (3, 5)
    assert summarise(network, (3, 9, 9)).layers[-1].kind == "Fusion"


def test_the_crop_lies_around_the_centre() -> None:
    image = torch.arange(49.0).view(1, 1, 7, 7)
    assert CentreCrop(3)(image).flatten().tolist() == [16, 17, 18, 23, 24, 25, 30, 31, 32]


class TestFusion:
    logits = torch.log(
        torch.tensor(
            [
                [[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9], [0.05, 0.94, 0.01]],
                [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]],
            ]
        )
    )

    def test_the_average_by_hand(self) -> None:
        fused = Fusion("average")(self.logits).softmax(1).numpy()
        np.testing.assert_allclose(fused[0], [1.25 / 3, 1.74 / 3, 0.01 / 3], rtol=1e-5)
        assert fused[0].argmax() == 1

    def test_the_majority_by_hand(self) -> None:
        fused = Fusion("majority")(self.logits).softmax(1).numpy()
        np.testing.assert_allclose(fused[0], [(2 + 1.25 / 3) / 4, (1 + 1.74 / 3) / 4, 0.01 / 12], rtol=1e-5)
        assert fused[0].argmax() == 0

    def test_a_tie_goes_to_the_highest_mean_and_then_to_the_first_class(self) -> None:
        fused = Fusion("majority")(self.logits).softmax(1).numpy()
        assert fused[1].argmax() == 1  # a vote each; mean probabilities 0.3, 0.4, 0.3
        even = torch.log(torch.tensor([[[0.7, 0.3], [0.3, 0.7]]]))
        assert Fusion("majority")(even).argmax(1).item() == 0
        assert Fusion("average")(even).argmax(1).item() == 0

    def test_it_says_the_same_as_counting(self) -> None:
        logits = torch.randn(500, 5, 4, generator=torch.Generator().manual_seed(0))
        fused = Fusion("majority")(logits).argmax(1).numpy()
        mean = logits.softmax(2).mean(1).numpy()
        for row, chosen in enumerate(fused):
            votes = np.bincount(logits[row].argmax(1).numpy(), minlength=4)
            best = np.flatnonzero(votes == votes.max())
            assert chosen == best[mean[row, best].argmax()]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            "  layers: [{maps: 4, kernel: 5}, {maps: 4, kernel: 5}]",
            r"network.layers.1: the maps before it are 4×4 pixels",
        ),
        ("  layers: [{maps: 4, bands: 9}]", "too small for patches of 3×3×9"),
        ("  layers: [{maps: 4}]\n  scales: [{window: 9}, {window: 5}]", "9 pixels cannot be cut out of images of 8×8"),
        (
            "  layers: [{maps: 4, padding: same}]\n  scales: [{kernel: 2}, {kernel: 3}]",
            "same padding needs an odd kernel",
        ),
    ],
)
def test_what_does_not_fit_the_image_is_said(sections: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        network_of(sections, (3, 8, 8))


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ("  layers: [{maps: 4}, {maps: 4, bands: 3}]", "layers.0 has used all bands up"),
        ("  layers: [{maps: 4}]\n  scales: [{window: 5}]", "an ensemble needs two"),
        ("  layers: [{maps: 4}]\n  scales: [{window: 5}, {}]", "a scale needs a window, a kernel, or both"),
        ("  layers: [{maps: 4, kernel: 2, padding: same}]", "same padding needs an odd kernel"),
        ("  layers: [{maps: 4, band_pool: 2, pool: max}]", "are for layers with bands"),
        ("  layers: [{maps: 4}]\nloss: {kind: mse}\nbudget: {epochs: 3}", "budget: of no meaning|loss, budget"),
        ("  layers: [{maps: 4}]\ninput: {augment: {flip: true}}", "input.augment: of no meaning for a network"),
    ],
)
def test_what_a_recipe_cannot_mean_is_said(sections: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_recipe(HEAD + sections, "a test")


def test_the_network_and_the_machines_go_together() -> None:
    with pytest.raises(RecipeError, match="network of kind svmnet is fitted by linear-svms, and no other network is"):
        parse_recipe(HEAD + "  layers: [{maps: 4}]", "a test", ["optim={kind: sgd}"])
    with pytest.raises(RecipeError, match="network of kind svmnet is fitted by linear-svms"):
        parse_recipe(HEAD + "  layers: [{maps: 4}]", "a test", ["network={kind: mlp}"])
