"""Arithmetic of layers against values worked by hand, and against what autograd sees."""

import math

import pytest
import torch
from torch import nn

from konvoi.models.build import build_network
from konvoi.models.summary import NetworkSummary, summarise
from konvoi.recipe import load_recipe

MNIST = (1, 28, 28)


def summary_of(
    recipe_name: str, shape: tuple[int, int, int] = MNIST, overrides: tuple[str, ...] = ()
) -> NetworkSummary:
    return summarise(build_network(load_recipe(recipe_name, overrides), shape, 10), shape)


def test_mnist_ann_has_the_parameters_of_the_printed_table() -> None:
    summary = summary_of("mnist-ann")
    per_layer = [layer.weights + layer.biases for layer in summary.layers if layer.weights]
    assert per_layer == [100_480, 16_512, 1_290]
    assert summary.parameters == 118_282
    assert summary.multiply_adds == 784 * 128 + 128 * 128 + 128 * 10


def test_mnist_cnn_by_hand() -> None:
    summary = summary_of("mnist-cnn")
    convolution, pool, relu, flatten, logits = summary.layers
    assert (convolution.weights, convolution.biases) == (20 * 5 * 5, 20)
    assert convolution.output_shape == (20, 24, 24)
    assert convolution.multiply_adds == 24 * 24 * 20 * 25
    assert convolution.receptive_field == (5, 5)
    assert pool.output_shape == relu.output_shape == (20, 12, 12)
    assert pool.receptive_field == (6, 6)
    assert flatten.output_shape == (2880,)
    assert (logits.weights, logits.biases, logits.multiply_adds) == (28_800, 10, 28_800)
    assert logits.receptive_field is None
    comparison = summary.dense_comparison
    assert comparison is not None
    assert (comparison.layer_weights + comparison.layer_biases) == 520
    assert (comparison.dense_weights, comparison.dense_biases) == (11_760, 15)


def test_strides_and_several_blocks_by_hand() -> None:
    # conv 5×5 stride 2: field 5, jump 2; conv 3×3: 5 + 2·2; pool 2: 9 + 1·2, jump 4; conv 3×3: 11 + 2·4.
    fields = [
        layer.receptive_field for layer in summary_of("mnist-fast").layers if layer.kind in ("Conv2d", "MaxPool2d")
    ]
    assert fields == [(5, 5), (9, 9), (11, 11), (19, 19)]


def test_normalisation_takes_the_convolutions_biases() -> None:
    layers = {layer.name: layer for layer in summary_of("mnist-fast").layers}
    assert layers["conv1"].biases == 0
    assert (layers["norm1"].weights, layers["norm1"].biases) == (16, 16)


@pytest.mark.parametrize("recipe_name", ["mnist-cnn", "mnist-fast", "mnist-best", "mnist-ann", "fashion-mnist-cnn"])
def test_sums_equal_what_torch_counts(recipe_name: str) -> None:
    network = build_network(load_recipe(recipe_name), MNIST, 10)
    assert summarise(network, MNIST).parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("recipe_name", ["mnist-cnn", "mnist-fast", "mnist-best", "mnist-ann"])
def test_multiply_adds_equal_the_count_of_torchs_flop_counter(recipe_name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = build_network(load_recipe(recipe_name), MNIST, 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros((1, *MNIST)))
    assert 2 * summarise(network, MNIST).multiply_adds == counter.get_total_flops()


def observed_field(network: nn.Sequential, layer_name: str, side: int) -> tuple[int, int]:
    """The window of pixels that move the middle value of a layer, by its gradient over noisy images."""
    layers = []
    for name, layer in network.named_children():
        layers.append(layer)
        if name == layer_name:
            break
    part = nn.Sequential(*layers).double().eval()
    touched = torch.zeros(side, side, dtype=torch.bool)
    for seed in range(8):
        image = torch.rand((1, 1, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        image.requires_grad_()
        output = part(image)
        middle = output.shape[2] // 2
        (gradient,) = torch.autograd.grad(output[0, :, middle, middle].sum(), image)
        touched |= gradient[0, 0] != 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@pytest.mark.parametrize("layer_name", ["conv1", "conv2", "pool2", "conv3"])
def test_receptive_fields_equal_what_autograd_sees(layer_name: str) -> None:
    torch.manual_seed(0)
    # Average pooling, because a maximum passes the gradient of one pixel only; tanh, because a ReLU stops some.
    overrides = [f"network.blocks.{block}.activation=tanh" for block in range(3)] + ["network.blocks.1.pool=average"]
    network = build_network(load_recipe("mnist-fast", overrides), (1, 60, 60), 10)
    assert isinstance(network, nn.Sequential)
    kinds = {"AvgPool2d", "Conv2d"}
    fields = {
        layer.name: layer.receptive_field for layer in summarise(network, (1, 60, 60)).layers if layer.kind in kinds
    }
    assert observed_field(network, layer_name, 60) == fields[layer_name]


def test_summarising_leaves_the_network_alone() -> None:
    network = build_network(load_recipe("mnist-fast"), MNIST, 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summarise(network, MNIST)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert math.isfinite(network(torch.zeros((2, *MNIST))).sum().item())
