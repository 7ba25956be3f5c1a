"""Division in space: no tile is shared, and the buffer is what brute force finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import kilometres, parts_of, several

from konvoi.data.blocks import ground_tiles, too_near
from konvoi.data.split import make_split
from konvoi.errors import DataError, RecipeError
from konvoi.recipe import parse_recipe
from konvoi.recipe.split import Blocks, SplitSection


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(150, 400),
    seed=st.integers(0, 30),
    size=st.sampled_from([5.0, 10.0, 20.0]),
    buffer=st.sampled_from([0.0, 1.2, 4.0]),
)
def test_no_tile_is_shared_and_the_buffer_is_kept(samples: int, seed: int, size: float, buffer: float) -> None:
    data = several(samples, seed=seed)
    split = make_split(data, SplitSection(seed=seed, blocks=Blocks(size=size, buffer=buffer)))
    train, validation, test = parts_of(split)
    out = np.concatenate([np.empty(0, np.int64), *split.left_out.values()])
    assert np.array_equal(np.sort(np.concatenate([train, validation, test, out])), np.arange(samples))
    places = data.longitude_latitude
    assert places is not None
    tiles = ground_tiles(places, size)
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not set(tiles[one]) & set(tiles[other])
        if buffer:
            assert kilometres(places[one], places[other]).min() >= buffer - 1e-9


def test_tiles_are_of_the_size_that_is_asked() -> None:
    stream = np.random.default_rng(0)
    places = stream.uniform([10, 60], [10.5, 60.25], (4000, 2))
    tiles = ground_tiles(places, 5.0)
    for number in np.unique(tiles):
        inside = places[tiles == number]
        assert kilometres(inside, inside).max() < 5.0 * 2**0.5 * 1.01
    # 27.7 km × 27.8 km in tiles of 25 km².
    assert 31 <= tiles.max() + 1 <= 50


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), buffer=st.sampled_from([0.5, 2.0, 8.0]))
def test_what_is_left_out_is_what_brute_force_finds(seed: int, buffer: float) -> None:
    stream = np.random.default_rng(seed)
    places = stream.uniform([24.0, 61.0], [24.6, 61.3], (120, 2))
    part = stream.choice(3, 120, p=[0.6, 0.2, 0.2])
    close = kilometres(places, places) < buffer
    from_test = (part == 1) & close[:, part == 2].any(axis=1)
    kept_later = (part == 2) | ((part == 1) & ~from_test)
    expected = from_test | ((part == 0) & close[:, kept_later].any(axis=1))
    assert np.array_equal(too_near(places, part, buffer), expected)


def test_what_is_left_out_itself_costs_nothing() -> None:
    # On a meridian, 1.1 km apart: train, validation, test. Validation goes, and train is 2.2 km from the test.
    places = np.array([[10.0, 50.0], [10.0, 50.01], [10.0, 50.02]])
    assert too_near(places, np.array([0, 1, 2]), 1.5).tolist() == [False, True, False]
    assert too_near(places, np.array([0, 1, 2]), 2.5).tolist() == [True, True, False]
    assert not too_near(places, np.array([0, 1, 2]), 0.0).any()


def test_the_antimeridian_hides_no_neighbour() -> None:
    places = np.array([[179.999, 0.0], [-179.999, 0.0]])
    assert too_near(places, np.array([0, 1]), 1.0).tolist() == [True, False]


def test_without_places_or_with_too_few_tiles_it_is_said() -> None:
    with pytest.raises(DataError, match="0 of the 100 of several have coordinates"):
        make_split(several(100, places=False), SplitSection(blocks=Blocks()))
    with pytest.raises(DataError, match="into 1 tile; 3 parts need at least as many"):
        make_split(several(100), SplitSection(blocks=Blocks(size=20_000)))
    with pytest.raises(RecipeError, match="folds"):
        parse_recipe(
            "{name: a, source: {kind: digits}, network: {kind: mlp}, optim: {kind: sgd}, "
            "split: {folds: 5, blocks: {size: 5}}}",
            "a test",
        )
