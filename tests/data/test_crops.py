"""Random resized crops and centre crops: which part, how it looks, and that both depend on the position alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from konvoi.data.bands import RGB
from konvoi.data.batches import Batches
from konvoi.data.cropped import CroppedImages
from konvoi.data.crops import Crops, RandomCrops, centre_crops
from konvoi.data.dataset import Dataset
from konvoi.data.images import read_batches, reader
from konvoi.data.patch_arrays import GridArrays, PatchArrays
from konvoi.data.resample import crop_bytes, crop_each
from konvoi.data.statistics import patch_moments
from konvoi.errors import RecipeError
from konvoi.recipe import parse_recipe
from konvoi.recipe.crop import CropSection, SizeChange
from konvoi.recipe.input import AugmentSection

CPU = torch.device("cpu")


def pictures(count: int, size: tuple[int, int] = (40, 48)) -> NDArray[np.uint8]:
    stream = np.random.default_rng(3)
    coarse = stream.integers(0, 256, (count, 3, 10, 12))
    smooth = np.kron(coarse, np.ones((1, 1, size[0] // 10, size[1] // 12)))
    return (smooth * 0.8 + stream.integers(0, 50, smooth.shape)).clip(0, 255).astype(np.uint8)


def pillow_crop(image: NDArray[np.uint8], box: list[int], size: int, mirrored: bool) -> NDArray[np.uint8]:
    top, left, height, width = box
    picture = Image.fromarray(image.transpose(1, 2, 0)).crop((left, top, left + width, top + height))
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    if mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(picture).transpose(2, 0, 1)


class TestLooks:
    @settings(max_examples=25, deadline=None)
    @given(data=st.data(), size=st.integers(2, 70))
    def test_both_ways_are_pillows(self, data: st.DataObject, size: int) -> None:
        images = pictures(3)
        boxes = []
        for _ in images:
            top, left = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 47))
            boxes.append([top, left, data.draw(st.integers(1, 40 - top)), data.draw(st.integers(1, 48 - left))])
        crops = Crops(np.array(boxes), np.array([False, True, True]), size)
        expected = np.stack(
            [pillow_crop(*one, size, mirrored) for *one, mirrored in zip(images, boxes, crops.mirrored, strict=True)]
        ).astype(int)
        as_bytes = crop_bytes(list(images), crops, 3).numpy().astype(int)
        as_floats = crop_each(torch.from_numpy(images).float(), crops).numpy()
        assert np.abs(as_bytes - expected).max() <= 1
        assert np.abs(as_floats - expected).max() <= 1.01

    def test_weights_worked_by_hand(self) -> None:
        # Four pixels become two: triangles of half-width 2 around 1 and 3, at the pixels' middles 0.5, 1.5, 2.5, 3.5.
        row = torch.tensor([8.0, 16.0, 40.0, 80.0]).expand(1, 1, 4, 4)
        crops = Crops(np.array([[0, 0, 4, 4]]), np.array([False]), 2)
        first = (0.75 * 8 + 0.75 * 16 + 0.25 * 40) / 1.75
        second = (0.25 * 16 + 0.75 * 40 + 0.75 * 80) / 1.75
        torch.testing.assert_close(crop_each(row, crops)[0, 0, 0], torch.tensor([first, second]))

    def test_a_crop_of_the_same_size_is_a_copy(self) -> None:
        images = pictures(2)
        crops = Crops(np.array([[5, 7, 30, 30], [10, 0, 30, 30]]), np.array([False, True]), 30)
        expected = np.stack([images[0, :, 5:35, 7:37], images[1, :, 10:40, 0:30][:, :, ::-1]])
        np.testing.assert_array_equal(crop_bytes(list(images), crops, 3).numpy(), expected)
        np.testing.assert_allclose(crop_each(torch.from_numpy(images).float(), crops).numpy(), expected, atol=1e-4)


class TestChoice:
    def test_areas_ratios_and_places_are_uniform(self) -> None:
        settings_ = CropSection(size=8, scale=(0.2, 0.4))
        boxes = RandomCrops(settings_, True, 1).of(0, 0, (1000, 1000), np.ones(20_000, np.float32))
        top, left, height, width = boxes.boxes.T.astype(float)
        area = height * width / 1e6
        assert area.min() > 0.199
        assert area.max() < 0.401
        assert np.abs(np.quantile(area, [0.25, 0.5, 0.75]) - [0.25, 0.3, 0.35]).max() < 0.004
        logs = np.log(width / height) / np.log(4 / 3)
        assert np.abs(logs).max() < 1.01
        assert np.abs(np.quantile(logs, [0.25, 0.5, 0.75]) - [-0.5, 0, 0.5]).max() < 0.02
        for start, length in ((top, height), (left, width)):
            assert np.abs(np.quantile(start / (1000 - length), [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.02
        assert abs(boxes.mirrored.mean() - 0.5) < 0.02

    def test_proportions_are_the_pictures_not_the_squares(self) -> None:
        aspects = np.full(5000, 500 / 250, np.float32)
        small = CropSection(size=8, scale=(0.05, 0.25))
        boxes = RandomCrops(small, False, 1).of(0, 0, (400, 400), aspects).boxes
        _, _, height, width = boxes.T.astype(float)
        ratio = width * 2 / height
        assert ratio.min() > 0.74
        assert ratio.max() < 1.36
        assert abs(np.median(ratio) - 1) < 0.03

    def test_where_no_rectangle_fits_the_middle_is_taken(self) -> None:
        settings_ = CropSection(size=8, scale=(1, 1))
        # Ten times as wide as high: the largest crop of ratio 4/3 is 4/3 · 100 wide, of 1000.
        found = RandomCrops(settings_, False, 0).of(0, 0, (100, 100), np.array([10], np.float32)).boxes
        assert found.tolist() == [[0, 44, 100, 13]]
        found = RandomCrops(settings_, False, 0).of(0, 0, (100, 100), np.array([0.1], np.float32)).boxes
        assert found.tolist() == [[44, 0, 13, 100]]

    @settings(max_examples=50, deadline=None)
    @given(
        height=st.integers(1, 300),
        width=st.integers(1, 300),
        aspect=st.floats(0.05, 20),
        low=st.floats(0.001, 1),
        epoch=st.integers(0, 5),
    )
    def test_crops_lie_inside(self, height: int, width: int, aspect: float, low: float, epoch: int) -> None:
        crops = CropSection(size=8, scale=(low, 1))
        aspects = np.full(300, aspect, np.float32)
        for boxes in (
            RandomCrops(crops, True, 2).of(epoch, 100, (height, width), aspects).boxes,
            centre_crops(crops, (height, width), aspects).boxes,
        ):
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] >= 1).all()
            assert (boxes[:, 0] + boxes[:, 2] <= height).all()
            assert (boxes[:, 1] + boxes[:, 3] <= width).all()

    def test_validation_sees_the_customary_224_of_256(self) -> None:
        found = centre_crops(CropSection(), (256, 256), np.array([1, 2, 0.5], np.float32)).boxes
        # Of a picture twice as wide as high, 224 of 512 columns; a stored pixel is two wide.
        assert found.tolist() == [[16, 16, 224, 224], [16, 72, 224, 112], [72, 16, 112, 224]]

    def test_a_position_has_its_crop_whatever_comes_with_it(self) -> None:
        crops = RandomCrops(CropSection(size=8), True, 5)
        aspects = np.random.default_rng(0).uniform(0.5, 2, 2000).astype(np.float32)
        whole = crops.of(3, 0, (256, 256), aspects)
        for first, last in ((0, 1), (255, 257), (700, 1900), (1999, 2000)):
            part = crops.of(3, first, (256, 256), aspects[first:last])
            np.testing.assert_array_equal(part.boxes, whole.boxes[first:last])
            np.testing.assert_array_equal(part.mirrored, whole.mirrored[first:last])
        assert (crops.of(4, 0, (256, 256), aspects).boxes != whole.boxes).any(axis=1).mean() > 0.95


def dataset_of(images: NDArray[np.uint8], crop: CropSection) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset(
        name="test",
        images=CroppedImages(images, crop, np.linspace(0.6, 1.8, len(images)).astype(np.float32)),
        labels=labels.astype(np.int64),
        class_names=("a", "b"),
        bands=RGB,
        given_test=None,
        origin="here",
    )


class TestBatches:
    crop = CropSection(size=24, sizes=(SizeChange(epoch=1, size=10), SizeChange(epoch=2, size=16)))

    def batches(self, images: NDArray[np.uint8], rank: int = 0, ranks: int = 1, accumulate: int = 1) -> Batches:
        augment = AugmentSection(flip=True)
        data = dataset_of(images, self.crop)
        everything = np.arange(len(images))
        return Batches(data, everything, RGB, 12, 7, augment, CPU, accumulate=accumulate, rank=rank, ranks=ranks)

    @pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (3, 1), (1, 2), (2, 2)])
    def test_any_number_of_ranks_sees_the_same_crops(self, ranks: int, accumulate: int) -> None:
        images = pictures(50)
        alone = self.batches(images)
        for epoch, size in ((0, 24), (1, 10), (2, 16), (3, 16)):
            expected = torch.cat([batch.images for step in alone.epoch(epoch) for batch in step])
            assert expected.shape == (50, 3, size, size)
            own = [list(self.batches(images, rank, ranks, accumulate).epoch(epoch, 2)) for rank in range(ranks)]
            found = torch.cat(
                [
                    step[micro].images
                    for steps in zip(*own, strict=True)
                    for micro in range(accumulate)
                    for step in steps
                ]
            )
            start = alone.steps.bounds(epoch, 2)[0]
            torch.testing.assert_close(found, expected[start:], rtol=0, atol=0)

    def test_labels_go_with_their_pictures(self) -> None:
        images = np.stack([np.full((3, 20, 20), 5 * number, np.uint8) for number in range(40)])
        for step in self.batches(images).epoch(0):
            for batch in step:
                number = (batch.images * 255 / 5).mean(dim=(1, 2, 3)).round().long()
                assert torch.equal(batch.labels, number % 2)

    def test_large_batches_are_normalised_by_pieces_to_the_same_bits(self) -> None:
        images = pictures(40)
        whole = CroppedImages(images, CropSection(size=224))
        (values,) = read_batches(whole, reader(whole, CPU), [np.arange(40)])
        assert values.numel() > 1 << 22
        from konvoi.data.batches import Preparation

        bands = RGB.fitted("standard", np.array([100.0, 90.0, 80.0]), np.array([50.0, 60.0, 70.0]))
        expected = values.clone().sub_(0)
        gain, offset = (torch.tensor(row, dtype=torch.float32).view(1, -1, 1, 1) for row in bands.gain_and_offset)
        expected = expected.mul_(gain).add_(offset)
        found = Preparation(bands, CPU).normalise(values)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found, expected)


def test_bands_of_several_grids_are_cropped_on_one_grid() -> None:
    stream = np.random.default_rng(1)
    fine = stream.integers(0, 4000, (6, 2, 24, 24)).astype(np.uint16)
    coarse = stream.integers(0, 4000, (6, 1, 12, 12)).astype(np.uint16)
    grids = [GridArrays((fine[:4], fine[4:]), (0, 2)), GridArrays((coarse[:4], coarse[4:]), (1,))]
    patches = PatchArrays(grids, np.array([5, 0, 3, 4]), np.zeros((4, 3, 3)))
    whole = CroppedImages(patches, CropSection(size=10, centre=0.75))
    assert whole.shape == (4, 3, 10, 10)
    assert not whole.holds_bytes
    positions = np.array([2, 0])
    expected = crop_each(
        torch.from_numpy(patches[positions]), Crops(np.full((2, 4), [3, 3, 18, 18]), np.zeros(2, bool), 10)
    )
    (found,) = read_batches(whole, reader(whole, CPU), [positions])
    torch.testing.assert_close(found, expected)
    np.testing.assert_allclose(whole[positions], expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(whole[2], expected[0].numpy(), rtol=1e-6)
    own = RandomCrops(whole.settings, True, 3).of(0, 0, whole.stored_size, whole.aspects[positions])
    (found,) = read_batches(whole, reader(whole, CPU), [positions], None, [own])
    torch.testing.assert_close(found, crop_each(torch.from_numpy(patches[positions]), own))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_makes_the_same_crops() -> None:
    images = pictures(30)
    whole = CroppedImages(images, CropSection(size=24))
    crops = RandomCrops(whole.settings, True, 0).of(0, 0, whole.stored_size, whole.aspects)
    found = [
        next(read_batches(whole, reader(whole, torch.device(device)), [np.arange(30)], None, [crops])).cpu()
        for device in ("cpu", "cuda")
    ]
    assert (found[0] - found[1]).abs().max() <= 1.05


def test_moments_of_bytes_are_those_of_floats() -> None:
    image = pictures(1)[0]
    np.testing.assert_array_equal(patch_moments(image, None), patch_moments(image.astype(np.float64), None))


def test_what_a_recipe_may_say(tmp_path: Path) -> None:
    text = """
name: crops
source: {{kind: digits}}
input: {{crop: {{{crop}}}}}
network: {{kind: mlp}}
optim: {{kind: sgd}}
budget: {{epochs: 4}}
"""
    recipe = parse_recipe(text.format(crop="size: 16, sizes: [{epoch: 0, size: 8}, {epoch: 3, size: 12}]"), "here")
    assert recipe.input.crop is not None
    assert [recipe.input.crop.size_in(epoch) for epoch in range(5)] == [8, 8, 8, 12, 12]
    for wrong, message in (
        ("scale: [0.5, 0.2]", "must rise"),
        ("scale: [0.5, 1.2]", "no crop is larger"),
        ("sizes: [{epoch: 2, size: 8}, {epoch: 1, size: 8}]", "must rise"),
        ("sizes: [{epoch: 4, size: 8}]", "below budget.epochs"),
    ):
        with pytest.raises(RecipeError, match=message):
            parse_recipe(text.format(crop=wrong), "here")
