"""Residual networks against an independent implementation on the same weights: Hugging Face's transformers."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.resnet import BLOCKS, ResNet, resnet
from konvoi.models.stages import FeatureExtractor, features, last_layer, stages
from konvoi.models.summary import summarise
from konvoi.recipe.network import ResNetNetwork

PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
"""With three bands and 1,000 classes, as torchvision's documentation states them."""

RECEPTIVE_FIELDS = {18: 435, 34: 899, 50: 427, 101: 971}
"""At the last convolution, worked by hand. ResNet-50: 7 after the first convolution (step 2), 11 after pooling (step
4); then 3 · 8 = 24; 8 + 3 · 16 = 56; 16 + 5 · 32 = 176; 32 + 2 · 64 = 160; together 427. (A. Araujo, W. Norris, J. Sim,
"Computing receptive fields", Distill 2019, have 483 where each stage's stride stands in its last block.)"""


def network_of(depth: int, bands: int = 3, classes: int = 7) -> ResNet:
    torch.manual_seed(depth)
    network = resnet(ResNetNetwork(kind="resnet", depth=depth), (bands, 64, 64), classes)
    # Running statistics and scales that are not 0 and 1 show where one is used for another.
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network


def name_in_transformers(name: str, basic: bool) -> str:
    parts = {
        r"^conv1\.": "resnet.embedder.embedder.convolution.",
        r"^bn1\.": "resnet.embedder.embedder.normalization.",
        r"^fc\.": "classifier.1.",
    }
    for pattern, replacement in parts.items():
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    match = re.match(r"layer(\d)\.(\d+)\.(downsample\.(\d)|(conv|bn)(\d))\.(.*)", name)
    assert match, name
    block = f"resnet.encoder.stages.{int(match[1]) - 1}.layers.{match[2]}."
    if match[4] is not None:
        return block + "shortcut." + ("convolution." if match[4] == "0" else "normalization.") + match[7]
    kind = "convolution" if match[5] == "conv" else "normalization"
    return block + f"layer.{int(match[6]) - 1}.{kind}.{match[7]}"


@pytest.mark.parametrize("depth", sorted(BLOCKS))
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_outputs_and_gradients_are_those_of_another_implementation(depth: int, training: bool) -> None:
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    basic = depth < 50
    widths = [64, 128, 256, 512] if basic else [256, 512, 1024, 2048]
    reference = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            num_channels=5, embedding_size=64, hidden_sizes=widths, depths=list(BLOCKS[depth]),
            layer_type="basic" if basic else "bottleneck", downsample_in_bottleneck=False, num_labels=7,
        )
    )  # fmt: skip
    network = network_of(depth, bands=5)
    state = {name_in_transformers(name, basic): value for name, value in network.state_dict().items()}
    reference.load_state_dict(state)
    network.train(training), reference.train(training)
    images = torch.randn((3, 5, 64, 96), generator=torch.Generator().manual_seed(0))
    ours, theirs = network(images), reference(images).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    labels = torch.tensor([0, 3, 6])
    for logits in (ours, theirs):
        nn.functional.cross_entropy(logits, labels).backward()
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        gradient = expected[name_in_transformers(name, basic)]
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(parameter.grad / scale, gradient / scale, rtol=0, atol=2e-3, msg=name)


@pytest.mark.parametrize("depth", sorted(BLOCKS))
def test_parameters_are_the_published_ones_and_receptive_fields_those_worked_by_hand(depth: int) -> None:
    network = resnet(ResNetNetwork(kind="resnet", depth=depth), (3, 224, 224), 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[depth]
    summary = summarise(network, (3, 224, 224))
    assert summary.parameters == PARAMETERS[depth]
    convolutions = [layer for layer in summary.layers if layer.kind == "Conv2d" and "downsample" not in layer.name]
    assert convolutions[-1].receptive_field == (RECEPTIVE_FIELDS[depth],) * 2
    assert summary.layers[-1].receptive_field is None


def test_multiply_adds_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = resnet(ResNetNetwork(kind="resnet", depth=50), (12, 120, 120), 43).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros((1, 12, 120, 120)))
    assert summarise(network, (12, 120, 120)).multiply_adds == counter.get_total_flops() // 2


def test_names_and_shapes_are_torchvisions() -> None:
    state = {name: tuple(value.shape) for name, value in network_of(50, 12, 43).state_dict().items()}
    assert len(state) == 320
    assert state["conv1.weight"] == (64, 12, 7, 7)
    assert state["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert state["layer1.0.downsample.1.running_var"] == (256,)
    assert state["layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert state["layer4.0.bn3.num_batches_tracked"] == ()
    assert state["fc.weight"] == (43, 2048)
    state = {name: tuple(value.shape) for name, value in network_of(18).state_dict().items()}
    assert state["layer2.0.conv1.weight"] == (128, 64, 3, 3)
    assert "layer1.0.downsample.0.weight" not in state


def test_blocks_may_start_as_the_identity() -> None:
    network = resnet(ResNetNetwork(kind="resnet", depth=18, zero_init_residual=True), (3, 64, 64), 4)
    assert not network.get_parameter("layer1.1.bn2.weight").any()
    maps = torch.rand((1, 64, 8, 8))
    torch.testing.assert_close(network.get_submodule("layer1.1").eval()(maps.clone()), maps)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"8×8 pixels\. Use cnn, or images of at least 32"):
        resnet(ResNetNetwork(kind="resnet", depth=18), (1, 8, 8), 10)


def test_stages_hold_every_parameter_once_from_the_input_on() -> None:
    network = network_of(18)
    found = stages(network)
    assert len(found) == 6
    flat = [parameter for stage in found for parameter in stage]
    assert {id(parameter) for parameter in flat} == {id(parameter) for parameter in network.parameters()}
    assert len(flat) == len(list(network.parameters()))
    assert found[0][0] is network.get_parameter("conv1.weight")
    assert found[-1][0] is last_layer(network).weight


def test_features_are_what_the_last_layer_sees() -> None:
    network = network_of(18).eval()
    images = torch.randn((2, 3, 64, 64))
    seen = FeatureExtractor(network)(images)
    assert seen.shape == (2, 512)
    torch.testing.assert_close(last_layer(network)(seen), network(images))
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    torch.testing.assert_close(flat[3](features(flat, torch.ones((1, 1, 4, 4)))), flat(torch.ones((1, 1, 4, 4))))
