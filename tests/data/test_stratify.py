"""Division over several labels, in space, by lists, and in nested subsets: what must hold for any data."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from konvoi.data.bands import GREY
from konvoi.data.blocks import ground_tiles, too_near
from konvoi.data.dataset import Dataset
from konvoi.data.spatial_audit import findings_in_words, spatial_findings
from konvoi.data.split import Split, make_split
from konvoi.data.split_lists import write_split
from konvoi.data.stratify import divide, nested_order
from konvoi.errors import DataError, RecipeError
from konvoi.recipe import parse_recipe
from konvoi.recipe.schema import Blocks, SplitSection


def several(samples: int, labels: int = 6, seed: int = 0, places: bool = True) -> Dataset:
    """Samples in a few clusters, with labels from frequent to rare that depend on the cluster."""
    stream = np.random.default_rng(seed)
    cluster = stream.integers(0, 5, samples)
    frequency = np.geomspace(0.6, 0.02, labels)
    truth = (stream.random((samples, labels)) < frequency * (0.5 + cluster[:, None] / 4)).astype(np.uint8)
    truth[np.arange(samples), stream.integers(0, labels, samples)] = 1
    centres = stream.uniform([-9, 37], [30, 66], (5, 2))
    where = centres[cluster] + stream.uniform(-0.3, 0.3, (samples, 2))
    return Dataset(
        "several", np.zeros((samples, 1, 1, 1), np.uint8), truth, tuple("abcdefghij"[:labels]), GREY, None, "a test",
        sample_names=[f"patch {number}" for number in range(samples)],
        longitude_latitude=where if places else None,
        tiles=[f"T{number}" for number in cluster],
    )  # fmt: skip


def parts_of(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test.indices_for_audit()]


def kilometres(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Great-circle distances by the haversine formula, each to each."""
    (east, north), (east2, north2) = np.radians(one).T[:, :, None], np.radians(other).T[:, None, :]
    a = np.sin((north - north2) / 2) ** 2 + np.cos(north) * np.cos(north2) * np.sin((east - east2) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(a))


def test_the_worked_example() -> None:
    # Two samples of the rare label b go to different halves, and each half gets two of the four with a.
    counts = np.array([[1, 0], [1, 1], [1, 0], [1, 1]])
    part = divide(counts, np.ones(4, dtype=np.int64), (0.5, 0.5), 0, "test")
    assert part[1] != part[3]
    assert np.bincount(part).tolist() == [2, 2]


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(60, 400),
    labels=st.integers(2, 8),
    seed=st.integers(0, 50),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.2), (0.25, 0.25, 0.25, 0.25), (0.5, 0.3, 0.2)]),
)
def test_every_part_has_its_share_of_every_label(samples: int, labels: int, seed: int, shares: tuple) -> None:
    truth = several(samples, labels, seed).labels.astype(np.int64)
    part = divide(truth, np.ones(samples, dtype=np.int64), shares, seed, "test")
    assert ((part >= 0) & (part < len(shares))).all()
    for number, share in enumerate(shares):
        assert abs((part == number).sum() - share * samples) <= 0.03 * samples + 2
        for label in range(labels):
            count = truth[:, label].sum()
            here = truth[part == number, label].sum()
            # Within a few samples of the share; frequent labels follow the rare ones that were dealt first.
            assert abs(here - share * count) <= 0.06 * count + 3
            if count >= 3 * len(shares):
                assert here >= 1


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(80, 300), seed=st.integers(0, 30), folds=st.sampled_from([None, 3]))
def test_splits_of_several_labels_are_disjoint_and_cover_everything(samples: int, seed: int, folds: int | None) -> None:
    data = several(samples, seed=seed)
    split = make_split(data, SplitSection(seed=seed, folds=folds))
    assert np.array_equal(np.sort(np.concatenate(parts_of(split))), np.arange(samples))
    assert split.fingerprint == make_split(data, SplitSection(seed=seed, folds=folds)).fingerprint


class TestBlocks:
    @settings(deadline=None, max_examples=25)
    @given(
        samples=st.integers(150, 400),
        seed=st.integers(0, 30),
        size=st.sampled_from([5.0, 10.0, 20.0]),
        buffer=st.sampled_from([0.0, 1.2, 4.0]),
    )
    def test_no_tile_is_shared_and_the_buffer_is_kept(
        self, samples: int, seed: int, size: float, buffer: float
    ) -> None:
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

    def test_tiles_are_of_the_size_that_is_asked(self) -> None:
        stream = np.random.default_rng(0)
        places = stream.uniform([10, 60], [10.5, 60.25], (4000, 2))
        tiles = ground_tiles(places, 5.0)
        for number in np.unique(tiles):
            inside = places[tiles == number]
            assert kilometres(inside, inside).max() < 5.0 * 2**0.5 * 1.01
        # 27.7 km × 27.8 km in tiles of 25 km².
        assert 31 <= tiles.max() + 1 <= 50

    def test_near_is_what_brute_force_finds(self) -> None:
        data = several(300, seed=1)
        part = np.random.default_rng(1).integers(0, 3, 300)
        assert data.longitude_latitude is not None
        distances = kilometres(data.longitude_latitude, data.longitude_latitude)
        expected = ((distances < 3.0) & (part[None, :] > part[:, None])).any(axis=1)
        assert np.array_equal(too_near(data.longitude_latitude, part, 3.0), expected)

    def test_without_places_or_with_too_few_tiles_it_is_said(self) -> None:
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


class TestNested:
    @settings(deadline=None, max_examples=40)
    @given(samples=st.integers(20, 400), labels=st.integers(2, 8), seed=st.integers(0, 20), single=st.booleans())
    def test_small_beginnings_hold_every_label_and_are_stratified(
        self, samples: int, labels: int, seed: int, single: bool
    ) -> None:
        truth = several(samples, labels, seed).labels
        classes = truth.argmax(axis=1)
        order = nested_order(classes if single else truth, seed)
        assert np.array_equal(np.sort(order), np.arange(samples))
        if single:
            kinds = len(np.unique(classes))
            assert len(np.unique(classes[order[:kinds]])) == kinds
            half = order[: samples // 2]
            for label in np.unique(classes):
                assert abs((classes[half] == label).sum() - (classes == label).sum() / 2) <= kinds / 2 + 1
        else:
            assert truth[order[:labels]].any(axis=0).sum() >= truth.any(axis=0).sum() - labels // 2

    def test_smaller_shares_lie_inside_larger_ones_and_validation_stays(self) -> None:
        data = several(500)
        splits = [make_split(data, SplitSection(labelled=share)) for share in (0.01, 0.1, 0.5, 1.0)]
        for smaller, larger in itertools.pairwise(splits):
            assert set(smaller.train) < set(larger.train)
            assert np.array_equal(smaller.validation, larger.validation)
        assert [len(split.train) for split in splits[:2]] == [round(len(splits[3].train) * s) for s in (0.01, 0.1)]
        assert "whose labels are not used" in splits[0].left_out_in_words[0]


class TestLists:
    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        data = several(200)
        split = make_split(data, SplitSection(blocks=Blocks(size=15, buffer=2)))
        paths = write_split(data, split, 0, tmp_path)
        assert [path.name for path in paths] == [
            "train.csv", "validation.csv", "test.csv", "train-1.csv", "train-10.csv", "train-100.csv"
        ]  # fmt: skip
        again = make_split(data, SplitSection(lists=str(tmp_path)))
        assert all(np.array_equal(one, other) for one, other in zip(parts_of(split), parts_of(again), strict=True))
        tenth = make_split(data, SplitSection(lists=str(tmp_path), labelled=0.1))
        names = (tmp_path / "train-10.csv").read_text().split("\n")[:-1]
        assert names == [f"patch {position}" for position in tenth.train]

    def test_what_is_wrong_with_lists_is_said(self, tmp_path: Path) -> None:
        data = several(50)
        with pytest.raises(DataError, match="holds no lists"):
            make_split(data, SplitSection(lists=str(tmp_path)))
        (tmp_path / "train.csv").write_text("patch 1\npatch 2\n")
        with pytest.raises(DataError, match="there is none named test"):
            make_split(data, SplitSection(lists=str(tmp_path)))
        (tmp_path / "test.csv").write_text("someone else's\n")
        with pytest.raises(DataError, match="none of the test list's names"):
            make_split(data, SplitSection(lists=str(tmp_path)))
        (tmp_path / "test.csv").write_text("patch 3\npatch 3\n")
        with pytest.raises(DataError, match="names patch 3 twice"):
            make_split(data, SplitSection(lists=str(tmp_path)))


def test_the_audit_counts_tiles_distances_and_lacking_labels() -> None:
    places = np.array([[10.0, 50.0], [10.0, 50.1], [10.0, 51.0], [10.0, 53.0]])
    labels = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=np.uint8)
    data = Dataset(
        "four", np.zeros((4, 1, 1, 1), np.uint8), labels, ("a", "b", "c"), GREY, np.array([3]), "a test",
        given_validation=np.array([2]), longitude_latitude=places, tiles=["T1", "T2", "T2", "T1"],
    )  # fmt: skip
    findings = spatial_findings(data, make_split(data, SplitSection()))
    assert findings.shared_tiles == {"validation and train": 1, "test and train": 1, "test and validation": 0}
    nearest = {(found.of, found.to): found.nearest for found in findings.distances}
    degree = 2 * np.pi * 6371.0088 / 360
    assert nearest[("validation", "train")] == pytest.approx(0.9 * degree, rel=1e-9)
    assert nearest[("test", "train")] == pytest.approx(2.9 * degree, rel=1e-9)
    assert findings.frequencies["train"] == (1.0, 0.5, 0.5)
    assert findings.lacking == {"train": (), "validation": ("a", "c"), "test": ("b", "c")}
    words = findings_in_words(findings)
    assert "test and train: 1 tile in common" in words
    assert "test to train: the nearest 322.5 km apart, the median 322.5 km" in words
    assert "test lacks 2 of 3 labels: b, c" in words
