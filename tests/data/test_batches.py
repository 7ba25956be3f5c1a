import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from konvoi.data.augment import Augmentation
from konvoi.data.bands import GREY, Bands
from konvoi.data.batches import Batches
from konvoi.data.dataset import Dataset
from konvoi.data.statistics import pixel_statistics
from konvoi.recipe.input import AugmentSection


def numbered(samples: int, side: int = 2) -> Dataset:
    """Images whose pixels all hold the sample's number, so that a batch tells which samples it holds."""
    values = np.arange(samples, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(values, (samples, 1, side, side)).copy()
    return Dataset("numbered", images, np.arange(samples) % 3, ("a", "b", "c"), GREY, None, "a test")


STORED = Bands(names=("grey",), scale=(1.0,), units=("counts",))


@settings(deadline=None, max_examples=60)
@given(samples=st.integers(1, 200), batch=st.integers(1, 70), seed=st.integers(0, 5), epoch=st.integers(0, 4))
def test_an_epoch_shows_every_sample_once_in_batches_of_nearly_one_size(samples, batch, seed, epoch) -> None:
    data = numbered(samples)
    indices = np.arange(0, samples, 2)
    batches = Batches(data, indices, STORED, batch, seed)
    seen, sizes = [], []
    for (entry,) in batches.epoch(epoch):
        numbers = entry.images[:, 0, 0, 0].long()
        assert torch.equal(entry.labels, numbers % 3)
        seen += numbers.tolist()
        sizes.append(len(numbers))
    assert sorted(seen) == indices.tolist()
    assert seen == batches.positions(epoch).tolist()
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == batches.steps.in_epoch(epoch) == -(-len(indices) // batch)


@pytest.mark.parametrize("augment", [AugmentSection(), AugmentSection(shift=1, rotate=20, elastic=1)])
def test_an_epoch_that_starts_in_the_middle_goes_on_as_if_it_had_not(augment: AugmentSection) -> None:
    data = numbered(100, side=8)
    whole = list(Batches(data, np.arange(100), STORED, 16, 3, augment).epoch(2))
    rest = list(Batches(data, np.arange(100), STORED, 16, 3, augment).epoch(2, first_step=4))
    assert len(rest) == len(whole) - 4
    for (expected,), (found,) in zip(whole[4:], rest, strict=True):
        assert torch.equal(expected.images, found.images)
        assert torch.equal(expected.labels, found.labels)


def test_what_happens_to_a_sample_does_not_depend_on_the_batch_size() -> None:
    data = numbered(60, side=8)
    augment = AugmentSection(shift=2, rotate=30)
    images = [
        torch.cat([b.images for (b,) in Batches(data, np.arange(60), STORED, size, 0, augment).epoch(0)])
        for size in (7, 60)
    ]
    torch.testing.assert_close(images[0], images[1])


def test_epochs_and_seeds_shuffle_differently() -> None:
    data = numbered(100)
    orders = [
        tuple(Batches(data, np.arange(100), STORED, 10, seed).positions(epoch)) for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_standard_normalisation_has_mean_zero_and_deviation_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (500, 3, 4, 4), dtype=np.uint8)
    bands = Bands(("r", "g", "b"), (1 / 255,) * 3, ("",) * 3)
    data = Dataset("rgb", images, np.zeros(500, np.int64), ("a", "b"), bands, None, "a test")
    batches = Batches(data, np.arange(500), data.bands.fitted("standard", *pixel_statistics(images)), 500, 0)
    ((batch,),) = batches.epoch(0)
    torch.testing.assert_close(batch.images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_statistics_are_those_of_numpy_and_a_constant_channel_divides_by_one() -> None:
    images = np.random.default_rng(0).integers(0, 17, (50, 2, 3, 3), dtype=np.uint8)
    images[:, 1] = 5
    bands = Bands(("a", "b"), (1 / 16,) * 2, ("",) * 2).fitted("standard", *pixel_statistics(images))
    np.testing.assert_allclose(bands.mean, images.mean((0, 2, 3)) / 16)
    np.testing.assert_allclose(bands.deviation, images.std((0, 2, 3)) / 16, atol=1e-9)
    gain, offset = bands.gain_and_offset
    assert 5 * gain[1] + offset[1] == pytest.approx(0.0)
    assert Bands.from_json(bands.to_json()) == bands


@pytest.mark.parametrize("count", [1, 50, 4097])
def test_counts_of_an_odd_number_of_pixels_are_exact(count: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (count, 1, 3, 3), dtype=np.uint8)
    mean, deviation = pixel_statistics(images)
    np.testing.assert_allclose(mean, [images.mean(dtype=np.float64)], rtol=1e-13)
    np.testing.assert_allclose(deviation, [images.std(dtype=np.float64)], rtol=1e-13)


class TestAugmentation:
    def image(self, side: int = 9) -> torch.Tensor:
        return torch.rand((1, 1, side, side), generator=torch.Generator().manual_seed(0))

    def apply(self, image: torch.Tensor, settings: AugmentSection, **draws: float) -> torch.Tensor:
        columns = ("down", "right", "turn", "size", "slant", "mirror")
        augmentation = Augmentation(settings, seed=0)
        row = torch.zeros_like(augmentation.draws(0, 1))
        row[0, 5] = 1.0
        for name, value in draws.items():
            row[0, columns.index(name)] = value
        return augmentation.apply(image, row)

    def test_draws_of_zero_change_nothing(self) -> None:
        settings = AugmentSection(shift=3, rotate=30, scale=0.2, shear=10, elastic=2)
        torch.testing.assert_close(self.apply(self.image(), settings), self.image(), atol=1e-5, rtol=0)

    def test_a_shift_moves_by_pixels_and_lets_black_in(self) -> None:
        image = self.image()
        moved = self.apply(image, AugmentSection(shift=2), right=1.0)
        torch.testing.assert_close(moved[..., :7], image[..., 2:], atol=1e-5, rtol=0)
        assert moved[..., 7:].abs().max() < 1e-5

    def test_a_quarter_turn_is_rot90_also_in_an_oblong_image(self) -> None:
        image = self.image()
        turned = self.apply(image, AugmentSection(rotate=90), turn=1.0)
        torch.testing.assert_close(turned, torch.rot90(image, 1, (2, 3)), atol=1e-5, rtol=0)
        oblong = torch.zeros(1, 1, 9, 15)
        oblong[0, 0, 4, 7 - 3 : 7 + 4] = 1.0  # a horizontal bar through the middle
        upright = self.apply(oblong, AugmentSection(rotate=90), turn=1.0)
        assert upright[0, 0, 1:8, 7].min() > 0.99
        assert upright[0, 0, :, [3, 4, 10, 11]].abs().max() < 1e-5

    def test_a_flip_mirrors_left_and_right(self) -> None:
        image = self.image()
        torch.testing.assert_close(
            self.apply(image, AugmentSection(flip=True), mirror=-1.0), image.flip(3), atol=1e-5, rtol=0
        )

    def test_a_scale_of_two_doubles(self) -> None:
        image = torch.zeros(1, 1, 9, 9)
        image[0, 0, 4, 3:6] = 1.0
        wide = self.apply(image, AugmentSection(scale=0.999), size=1.0)
        expected = torch.tensor([0, 0.5, 1, 1, 1, 1, 1, 0.5, 0])
        torch.testing.assert_close(wide[0, 0, 4], expected, atol=2e-3, rtol=0)

    def test_a_warp_moves_no_pixel_farther_than_its_limit(self) -> None:
        ramp = torch.arange(20.0).expand(1, 1, 20, 20).contiguous()
        augmentation = Augmentation(AugmentSection(elastic=2), seed=1)
        warped = augmentation.apply(ramp, augmentation.draws(0, 1))
        inner = (warped - ramp)[..., 3:-3, 3:-3].abs()
        assert 0.3 < inner.max() <= 2.0 + 1e-4

    def test_flips_are_for_half_of_the_images(self) -> None:
        draws = Augmentation(AugmentSection(flip=True), 0).draws(0, 4000)
        assert abs((draws[:, 5] < 0).float().mean() - 0.5) < 0.04
