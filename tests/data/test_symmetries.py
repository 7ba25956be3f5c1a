"""Quarter turns and mirrors, by hand and both ways in which they are made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from konvoi.data.augment import Augmentation
from konvoi.data.bands import GREY
from konvoi.data.batches import Batches
from konvoi.data.dataset import Dataset
from konvoi.data.symmetries import SYMMETRIES, turn_each, turned
from konvoi.recipe.input import AugmentSection


def test_the_eight_of_a_square_by_hand() -> None:
    square = np.array([[[1, 2], [3, 4]]])
    assert [turned(square, symmetry).ravel().tolist() for symmetry in range(SYMMETRIES)] == [
        [1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2],
        [2, 1, 4, 3], [4, 2, 3, 1], [3, 4, 1, 2], [1, 3, 2, 4],
    ]  # fmt: skip


@given(height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 9))
def test_batches_are_turned_as_single_images_and_keep_their_shape(height: int, width: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    images = stream.random((12, 2, height, width), dtype=np.float32)
    symmetries = stream.integers(0, SYMMETRIES, 12, dtype=np.int8)
    expected = np.stack([turned(image, symmetry) for image, symmetry in zip(images, symmetries.tolist(), strict=True)])
    assert expected.shape == images.shape
    np.testing.assert_array_equal(turn_each(torch.from_numpy(images), symmetries).numpy(), expected)


def test_all_eight_are_drawn_equally_often_and_by_epoch_and_position_alone() -> None:
    augmentation = Augmentation(AugmentSection(symmetries=True), seed=3)
    drawn = augmentation.symmetries(0, 8000)
    assert drawn is not None
    assert np.bincount(drawn).tolist() == pytest.approx([1000] * 8, abs=120)
    np.testing.assert_array_equal(augmentation.symmetries(0, 8000), drawn)
    assert (augmentation.symmetries(1, 8000) != drawn).any()
    assert Augmentation(AugmentSection(), seed=3).symmetries(0, 8) is None


def test_an_epoch_that_starts_in_the_middle_is_turned_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 255, (50, 1, 5, 5), dtype=np.uint8)
    data = Dataset("noise", images, np.arange(50) % 2, ("a", "b"), GREY, None, "a test")
    bands = GREY.fitted("unit", np.zeros(1), np.ones(1))
    batches = Batches(data, np.arange(50), bands, 8, 0, AugmentSection(symmetries=True))
    whole, rest = list(batches.epoch(4)), list(batches.epoch(4, first_step=3))
    for (expected,), (found,) in zip(whole[3:], rest, strict=True):
        assert torch.equal(expected.images, found.images)
    plain = list(Batches(data, np.arange(50), bands, 8, 0).epoch(4))
    assert not torch.equal(plain[0][0].images, whole[0][0].images)
    torch.testing.assert_close(plain[0][0].images.sum((1, 2, 3)), whole[0][0].images.sum((1, 2, 3)))
