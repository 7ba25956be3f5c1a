"""Weights from files and other networks: what is loaded, adapted and refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from konvoi.errors import RunError
from konvoi.models.resnet import resnet
from konvoi.models.weights import PUBLIC_WEIGHTS, BandContract, adapt_first_layer, read_weights, start_from
from konvoi.recipe.network import ResNetNetwork

RGB = BandContract(("red", "green", "blue"), "brightness, 0 to 1")


def network_of(depth: int = 18, bands: int = 3, classes: int = 5) -> nn.Module:
    return resnet(ResNetNetwork(kind="resnet", depth=depth), (bands, 64, 64), classes)


class TestFirstLayer:
    weight = torch.tensor([[[[1.0]], [[2.0]], [[6.0]]]])

    def test_the_same_bands_change_nothing(self) -> None:
        adapted, words = adapt_first_layer(self.weight, ("red", "green", "blue"), ("B04", "B03", "B02"))
        assert adapted is self.weight
        assert words == "first layer as trained"

    def test_another_order_is_reordered_by_name(self) -> None:
        adapted, words = adapt_first_layer(self.weight, ("red", "green", "blue"), ("B02", "B03", "B04"))
        assert adapted.flatten().tolist() == [6.0, 2.0, 1.0]
        assert words == "first layer reordered from red, green, blue to B02, B03, B04"

    def test_unknown_bands_get_the_mean_and_all_keep_the_size_of_the_sum(self) -> None:
        adapted, words = adapt_first_layer(
            self.weight, ("red", "green", "blue"), ("B02", "B08", "B04", "B11", "B12", "B03")
        )
        # Filters 6, 3, 1, 3, 3, 2, halved: their sum is 9, as that of the three was.
        assert adapted.flatten().tolist() == [3.0, 1.5, 0.5, 1.5, 1.5, 1.0]
        assert float(adapted.sum()) == float(self.weight.sum())
        assert words.startswith(
            "first layer from 3 to 6 bands: B02, B04, B03 as trained, 3 with the mean filter, all times 3/6"
        )

    def test_fewer_bands(self) -> None:
        adapted, _ = adapt_first_layer(self.weight, ("B04", "B03", "B02"), ("B03",))
        assert adapted.flatten().tolist() == [6.0]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_files_are_read_and_prefixes_taken_off(tmp_path: Path, suffix: str, prefix: str) -> None:
    state = {f"{prefix}{name}": value for name, value in network_of().state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if prefix else state, path)
    read = read_weights(path)
    assert set(read) == set(network_of().state_dict())
    assert torch.equal(read["conv1.weight"], state[f"{prefix}conv1.weight"])


class Bomb:
    def __reduce__(self) -> tuple:
        return print, ("this must never be printed",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save({"state_dict": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(RunError, match="reading it would run code from it"):
        read_weights(tmp_path / "weights.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError):
        read_weights(tmp_path / "plain.pth")
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 nothing"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(RunError, match=str(path)):
        read_weights(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(RunError, match="holds no state dict"):
        read_weights(tmp_path / "list.pth")


class TestStart:
    def test_all_but_the_last_layer_is_loaded(self) -> None:
        given, network = network_of(classes=1000), network_of(bands=12)
        own_last = network.get_parameter("fc.weight").clone()
        bands = tuple(f"B{number:02d}" for number in range(1, 13))
        words = start_from(network, given.state_dict(), bands, RGB, "some weights")
        for name, value in network.state_dict().items():
            if name.startswith("fc."):
                continue
            if name != "conv1.weight" and not name.endswith("num_batches_tracked"):
                assert torch.equal(value, given.state_dict()[name]), name
        assert torch.equal(network.get_parameter("fc.weight"), own_last)
        torch.testing.assert_close(
            network.get_parameter("conv1.weight")[:, 3], given.get_parameter("conv1.weight")[:, 0] / 4
        )
        assert words.startswith("some weights: 100 tensors, first layer from 3 to 12 bands: B02, B03, B04 as trained")
        assert words.endswith("last layer new")

    def test_old_files_without_batch_counts_and_backbones_without_a_last_layer(self) -> None:
        state = {
            name: value
            for name, value in network_of().state_dict().items()
            if not name.endswith("num_batches_tracked") and not name.startswith("fc.")
        }
        assert "100 tensors" in start_from(network_of(), state, RGB.bands, RGB, "old")

    def test_another_depth_shows_both_sides(self) -> None:
        with pytest.raises(
            RunError, match=r"The network has 100 tensors before its last layer, the weights 180"
        ) as caught:
            start_from(network_of(18), network_of(34).state_dict(), RGB.bands, RGB, "resnet34-imagenet")
        assert "resnet34-imagenet does not fit" in str(caught.value)
        assert "layer1.2.bn1.bias" in str(caught.value)

    def test_another_width_shows_both_shapes(self) -> None:
        state = network_of().state_dict() | {"layer4.0.bn1.weight": torch.ones(3)}
        with pytest.raises(
            RunError, match=r"layer4\.0\.bn1\.weight of x has shape \(3,\), and the network's has \(512,\)"
        ):
            start_from(network_of(), state, RGB.bands, RGB, "x")

    def test_unknown_bands_must_be_as_many(self) -> None:
        with pytest.raises(
            RunError, match=r"conv1\.weight .* has shape \(64, 3, 7, 7\), and the network's has \(64, 4, 7, 7\)"
        ):
            start_from(network_of(bands=4), network_of().state_dict(), ("a", "b", "c", "d"), None, "x")

    def test_a_network_of_konvois_own_kind(self) -> None:
        def flat(classes: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, classes))

        given, network = flat(3), flat(7)
        contract = BandContract(("B08", "B04"), "reflectance")
        words = start_from(network, given.state_dict(), ("B04", "B08"), contract, "a run")
        assert torch.equal(network[0].weight, given[0].weight[:, [1, 0]])
        assert "reordered from B08, B04 to B04, B08" in words


def test_public_weights_name_their_files_and_contracts() -> None:
    for name, weights in PUBLIC_WEIGHTS.items():
        assert weights.url.startswith("https://")
        assert weights.sha256_prefix[:8] in weights.url
        assert len(weights.contract.mean) in (0, len(weights.contract.bands))
        assert f"resnet{weights.depth}" in name
