"""Division over several labels, and nested subsets: what must hold for any labels."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import parts_of, several

from konvoi.data.split import make_split
from konvoi.data.stratify import divide, nested_order
from konvoi.recipe.split import SplitSection


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
    counts = truth.sum(axis=0)
    rarest = counts.argmin()
    for number, share in enumerate(shares):
        here = truth[part == number].sum(axis=0)
        # The rarest label is dealt first and exactly; the frequent ones follow those before them, and sizes follow all.
        assert abs(here[rarest] - share * counts[rarest]) < len(shares)
        assert (np.abs(here - share * counts) <= 0.06 * counts + 8).all()
        assert abs((part == number).sum() - share * samples) <= 0.06 * samples + 4
        assert (here[counts >= len(shares)] >= 1).all()


def test_deviations_are_a_few_samples_whatever_the_size() -> None:
    truth = several(20_000, 10).labels.astype(np.int64)
    shares = (0.64, 0.16, 0.2)
    part = divide(truth, np.ones(len(truth), dtype=np.int64), shares, 0, "test")
    for number, share in enumerate(shares):
        assert np.abs(truth[part == number].sum(axis=0) - share * truth.sum(axis=0)).max() <= 5
        assert abs((part == number).mean() - share) < 0.005


@settings(deadline=None, max_examples=30)
@given(groups=st.integers(12, 80), seed=st.integers(0, 50))
def test_groups_stay_whole_and_a_label_in_enough_of_them_is_in_every_part(groups: int, seed: int) -> None:
    stream = np.random.default_rng(seed)
    sizes = stream.integers(1, 60, groups)
    counts = stream.binomial(sizes[:, None], stream.random((groups, 5)) * [0.9, 0.5, 0.2, 0.1, 0.05])
    shares = (0.64, 0.16, 0.2)
    part = divide(counts, sizes, shares, seed, "test")
    assert np.array_equal(part, divide(counts, sizes, shares, seed, "test"))
    # Nothing is promised for a label after those that were dealt before it; the rarest by groups is the first.
    first = int(np.where((counts > 0).any(axis=0), (counts > 0).sum(axis=0), groups + 1).argmin())
    if (counts[:, first] > 0).sum() >= len(shares):
        assert all(counts[part == number, first].sum() > 0 for number in range(len(shares)))


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(80, 300), seed=st.integers(0, 30), folds=st.sampled_from([None, 3]))
def test_splits_of_several_labels_are_disjoint_and_cover_everything(samples: int, seed: int, folds: int | None) -> None:
    data = several(samples, seed=seed)
    split = make_split(data, SplitSection(seed=seed, folds=folds))
    assert np.array_equal(np.sort(np.concatenate(parts_of(split))), np.arange(samples))
    assert split.fingerprint == make_split(data, SplitSection(seed=seed, folds=folds)).fingerprint


def kinds_of(labels: np.ndarray) -> int:
    return len(np.unique(labels)) if labels.ndim == 1 else int(labels.any(axis=0).sum())


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(20, 400), labels=st.integers(2, 8), seed=st.integers(0, 20), single=st.booleans())
def test_small_beginnings_hold_every_label_and_are_stratified(
    samples: int, labels: int, seed: int, single: bool
) -> None:
    truth = several(samples, labels, seed).labels
    chosen = truth.argmax(axis=1) if single else truth
    order = nested_order(chosen, seed)
    assert np.array_equal(np.sort(order), np.arange(samples))
    kinds = kinds_of(chosen)
    assert kinds_of(chosen[order[:kinds]]) == kinds
    if single:
        half = order[: samples // 2]
        for label in np.unique(chosen):
            assert abs((chosen[half] == label).sum() - (chosen == label).sum() / 2) <= kinds / 2 + 1


def test_a_label_that_is_never_the_rarest_of_its_samples_is_there_from_the_beginning() -> None:
    # a has 40 samples and stands beside b or c only, which have 30 each.
    labels = np.zeros((60, 3), dtype=np.uint8)
    labels[:40, 0] = 1
    labels[:20, 1] = labels[20:40, 2] = 1
    labels[40:50, 1] = labels[50:, 2] = 1
    for seed in range(200):
        assert labels[nested_order(labels, seed)[:3]].any(axis=0).all()


def test_smaller_shares_lie_inside_larger_ones_and_validation_stays() -> None:
    data = several(500)
    splits = [make_split(data, SplitSection(labelled=share)) for share in (0.01, 0.1, 0.5, 1.0)]
    for smaller, larger in itertools.pairwise(splits):
        assert set(smaller.train) < set(larger.train)
        assert np.array_equal(smaller.validation, larger.validation)
    assert [len(split.train) for split in splits[:2]] == [round(len(splits[3].train) * s) for s in (0.01, 0.1)]
    assert "whose labels are not used" in splits[0].left_out_in_words[0]
