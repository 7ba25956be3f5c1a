import pytest
import torch
from torch import nn

from konvoi.errors import RecipeError
from konvoi.models.build import build_network
from konvoi.models.layers import ChannelsLastFlatten, Dropout, initialise
from konvoi.recipe import load_recipe


def test_the_mlp_is_the_textbooks_function() -> None:
    network = build_network(load_recipe("mnist-ann"), (1, 28, 28), 10).eval()
    images = torch.rand(5, 1, 28, 28)
    state = network.state_dict()
    hidden = images.flatten(1)
    for layer in ("dense1", "dense2"):
        hidden = (hidden @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]).clamp(min=0)
    expected = hidden @ state["logits.weight"].T + state["logits.bias"]
    torch.testing.assert_close(network(images), expected)


def test_the_cnn_is_convolution_relu_pooling_dense() -> None:
    """Pooling before the ReLU, and channels-last flattening, are the same function in another order."""
    network = build_network(load_recipe("mnist-cnn"), (1, 28, 28), 10).eval()
    images = torch.rand(5, 1, 28, 28)
    state = network.state_dict()
    maps = nn.functional.conv2d(images, state["conv1.weight"], state["conv1.bias"])
    pooled = nn.functional.max_pool2d(maps.relu(), 2)
    features = torch.stack([pooled[:, :, y, x] for y in range(12) for x in range(12)], dim=1).flatten(1)
    expected = features @ state["logits.weight"].T + state["logits.bias"]
    torch.testing.assert_close(network(images), expected)


def test_a_cnn_with_global_pooling_and_a_hidden_layer_is_the_textbooks_function() -> None:
    recipe = load_recipe("mnist-cnn", ["network.global_pool=average", "network.hidden=[7]", "network.dropout=0.5"])
    network = build_network(recipe, (1, 28, 28), 10).eval()
    assert [name for name, _ in network.named_children()][3:] == [
        "global_pool",
        "flatten",
        "dense1",
        "dense_relu1",
        "dense_dropout1",
        "logits",
    ]
    images = torch.rand(5, 1, 28, 28)
    state = network.state_dict()
    maps = nn.functional.conv2d(images, state["conv1.weight"], state["conv1.bias"])
    features = nn.functional.max_pool2d(maps.relu(), 2).mean(dim=(2, 3))
    hidden = (features @ state["dense1.weight"].T + state["dense1.bias"]).relu()
    torch.testing.assert_close(network(images), hidden @ state["logits.weight"].T + state["logits.bias"])


def test_channels_last_flattening_orders_by_pixel_then_channel() -> None:
    maps = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    assert ChannelsLastFlatten()(maps)[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_channels_last_flattening_copies_nothing_in_channels_last_memory() -> None:
    maps = torch.zeros(2, 8, 3, 3).contiguous(memory_format=torch.channels_last)
    assert ChannelsLastFlatten()(maps).data_ptr() == maps.data_ptr()


def test_too_small_an_image_names_the_block() -> None:
    with pytest.raises(RecipeError, match=r"network\.blocks\.0: the maps before it are 4×4 .* 5×5 convolution"):
        build_network(load_recipe("mnist-cnn"), (1, 4, 4), 10)
    with pytest.raises(RecipeError, match=r"network\.blocks\.4"):
        build_network(load_recipe("mnist-best"), (1, 8, 8), 10)


class TestDropout:
    @pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
    @pytest.mark.parametrize("shape", [(1000, 300), (50, 20, 15, 20)])
    def test_share_and_mean_are_kept(self, probability: float, shape: tuple[int, ...]) -> None:
        torch.manual_seed(1)
        ones = torch.ones(shape)
        dropped = Dropout(probability)(ones)
        zeros = (dropped == 0).double().mean().item()
        # 300,000 draws: five standard deviations of the share.
        assert abs(zeros - probability) < 5 * (probability * (1 - probability) / ones.numel()) ** 0.5
        kept = dropped[dropped != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - probability)), rtol=2e-4, atol=0)

    def test_values_fall_independently_along_every_axis(self) -> None:
        torch.manual_seed(2)
        kept = (Dropout(0.5)(torch.ones(64, 16, 24, 24).contiguous(memory_format=torch.channels_last)) != 0).double()
        for axis in range(4):
            length = kept.shape[axis]
            left, right = kept.narrow(axis, 0, length - 1), kept.narrow(axis, 1, length - 1)
            both = (left * right).mean().item()
            assert abs(both - 0.25) < 5 * (0.25 * 0.75 / left.numel()) ** 0.5

    def test_no_draw_is_used_twice_in_different_calls(self) -> None:
        torch.manual_seed(3)
        layer = Dropout(0.5)
        assert not torch.equal(layer(torch.ones(1000)), layer(torch.ones(1000)))

    def test_the_same_seed_drops_the_same(self) -> None:
        layer = Dropout(0.3)
        torch.manual_seed(4)
        first = layer(torch.ones(1000))
        torch.manual_seed(4)
        assert torch.equal(first, layer(torch.ones(1000)))

    def test_the_gradient_passes_through_the_kept_values_alone(self) -> None:
        torch.manual_seed(5)
        values = torch.ones(400, requires_grad=True)
        dropped = Dropout(0.5)(values)
        (gradient,) = torch.autograd.grad(dropped.sum(), values)
        assert torch.equal(gradient, dropped.detach())

    def test_memory_order_is_kept(self) -> None:
        maps = torch.ones(2, 8, 3, 3).contiguous(memory_format=torch.channels_last)
        assert Dropout(0.5)(maps).is_contiguous(memory_format=torch.channels_last)

    def test_in_evaluation_nothing_changes(self) -> None:
        values = torch.rand(10)
        assert Dropout(0.5).eval()(values) is values
        assert Dropout(0.0)(values) is values


class TestInitialisation:
    def network(self) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(900, 500), nn.Linear(500, 100))

    def test_he_has_variance_two_over_fan_in_but_glorot_last(self) -> None:
        torch.manual_seed(0)
        network = self.network()
        initialise(network, "he")
        assert network[0].weight.var().item() == pytest.approx(2 / (16 * 9), rel=0.05)
        assert network[3].weight.var().item() == pytest.approx(2 / 900, rel=0.02)
        assert network[4].weight.abs().max().item() == pytest.approx((6 / 600) ** 0.5, rel=0.01)
        assert all(layer.bias.abs().max() == 0 for layer in network if hasattr(layer, "bias"))

    def test_glorot_is_uniform_within_its_limit(self) -> None:
        torch.manual_seed(0)
        network = self.network()
        initialise(network, "glorot")
        assert network[3].weight.abs().max().item() == pytest.approx((6 / 1400) ** 0.5, rel=0.01)
        assert network[3].weight.var().item() == pytest.approx(2 / 1400, rel=0.02)

    def test_torchs_own_is_left_alone(self) -> None:
        network = self.network()
        before = network[3].weight.clone()
        initialise(network, "torch")
        assert torch.equal(network[3].weight, before)
