"""What the network sees is what the network computes, and its pictures are the values."""

import base64
import io
from collections import OrderedDict

import numpy as np
import pytest
import torch
from fake_runs import bands_of, network_of
from PIL import Image
from torch import nn

from konvoi.data.bands import Bands
from konvoi.models.layers import ChannelsLastFlatten
from konvoi.report.pictures import map_pictures, photograph, png_uri, weight_pictures
from konvoi.report.views import feature_maps, first_layer


class TestFirstLayer:
    def test_filters_of_a_convolution(self) -> None:
        network = network_of("cnn", (3, 8, 8), 10)
        layer = first_layer(network, (3, 8, 8), most=4)
        assert layer is not None
        assert (layer.name, layer.kind, layer.total) == ("conv1", "convolution", 6)
        np.testing.assert_array_equal(layer.weights, network.conv1.weight.detach()[:4])

    @pytest.mark.parametrize("flatten", [nn.Flatten, ChannelsLastFlatten])
    def test_dense_weights_are_laid_out_as_the_image(self, flatten: type[nn.Module]) -> None:
        shape = (3, 4, 5)
        network = nn.Sequential(OrderedDict(flatten=flatten(), dense1=nn.Linear(60, 7)))
        layer = first_layer(network, shape)
        assert layer is not None
        assert layer.weights.shape == (7, *shape)
        image = torch.rand(1, *shape)
        by_pixels = (torch.from_numpy(layer.weights) * image).sum(dim=(1, 2, 3)) + network.dense1.bias
        torch.testing.assert_close(by_pixels, network(image)[0])

    def test_a_layer_that_no_longer_sees_pixels_has_no_pictures(self) -> None:
        pooled = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
        assert first_layer(pooled, (1, 8, 8)) is None
        assert first_layer(nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3)), (1, 8, 8)) is None


class TestFeatureMaps:
    def test_blocks_end_before_the_next_convolution(self) -> None:
        network = network_of("cnn", (1, 8, 8), 10)
        image = torch.rand(1, 1, 8, 8)
        first, second = feature_maps(network, image)
        assert first.block == ("conv1", "pool1", "norm1", "relu1")
        assert second.block == ("conv2", "relu2")
        torch.testing.assert_close(torch.from_numpy(first.maps), network[:4](image)[0].detach())
        torch.testing.assert_close(torch.from_numpy(second.maps), network[:6](image)[0, :32].detach())
        assert (first.total, second.total, len(second.maps)) == (6, 40, 32)

    def test_the_network_is_left_as_it_was(self) -> None:
        network = network_of("cnn", (1, 8, 8), 10).train()
        before = network.norm1.running_mean.clone()
        feature_maps(network, torch.rand(1, 1, 8, 8))
        first_layer(network, (1, 8, 8))
        assert network.training
        assert network.norm1.training
        torch.testing.assert_close(network.norm1.running_mean, before)

    def test_a_network_without_convolutions_has_no_maps(self) -> None:
        assert feature_maps(network_of("mlp", (1, 8, 8), 10), torch.rand(1, 1, 8, 8)) == []


class TestPictures:
    def test_a_picture_survives_the_way_into_the_page(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        uri = png_uri(pixels)
        decoded = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
        np.testing.assert_array_equal(np.asarray(decoded), pixels)

    def test_a_photograph_is_the_stored_image(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
        np.testing.assert_array_equal(photograph(image, bands_of(3)), image.transpose(1, 2, 0))
        np.testing.assert_array_equal(photograph(image[:1], bands_of(1)), image[0])

    def test_red_green_and_blue_are_found_by_name_and_values_by_scale(self) -> None:
        bands = Bands(
            names=("blue", "infrared", "red", "green"), scale=(1 / 16,) * 4, units=("brightness, 0 to 1",) * 4
        )
        image = np.array([16, 3, 8, 0], dtype=np.uint8).reshape(4, 1, 1)
        assert photograph(image, bands).tolist() == [[[128, 0, 255]]]

    def test_the_sign_of_a_weight_is_its_hue_and_zero_is_white(self) -> None:
        weights = np.array([[[[-1.0, 0.0, 1.0]]]], dtype=np.float32)
        (picture,) = weight_pictures(weights)
        negative, zero, positive = picture[0].astype(int)
        assert negative[2] > negative[0]
        assert zero.tolist() == [255, 255, 255]
        assert positive[0] > positive[2]

    def test_weights_of_zero_and_flat_maps_do_not_divide_by_zero(self) -> None:
        (picture,) = weight_pictures(np.zeros((1, 3, 2, 2), dtype=np.float32))
        assert set(picture.ravel().tolist()) == {128}
        (flat,) = map_pictures(np.full((1, 2, 2), 3.0, dtype=np.float32))
        assert set(flat.ravel().tolist()) == {0}

    def test_maps_share_one_scale(self) -> None:
        faint, strong = map_pictures(np.array([[[0.0, 1.0]], [[0.0, 4.0]]], dtype=np.float32))
        assert faint.tolist() == [[0, 64]]
        assert strong.tolist() == [[0, 255]]
