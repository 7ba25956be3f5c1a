"""The audit of leakage: against windows really cut, against values worked by hand, and against chance itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from konvoi.data.pixels.leakage import audit_leakage, chance_of_a_training_pixel, findings, percent
from konvoi.data.pixels.neighbourhood import distances_to, window_counts
from konvoi.data.pixels.parts import GUARD, TEST, TRAIN, UNLABELLED, VALIDATION
from konvoi.data.pixels.random_pixels import random_parts


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(5, 20),
    width=st.integers(5, 20),
    window=st.sampled_from([1, 3, 5, 7]),
    seed=st.integers(0, 2**32 - 1),
    density=st.floats(0.01, 0.6),
)
def test_the_audit_finds_what_is_in_windows_that_are_really_cut(
    height: int, width: int, window: int, seed: int, density: float
) -> None:
    stream = np.random.default_rng(seed)
    parts = np.where(stream.random((height, width)) < density, stream.integers(1, 5, (height, width)), 0)
    parts = parts.astype(np.uint8)
    parts[0, 0], parts[-1, -1], parts[0, -1] = TRAIN, TEST, VALIDATION
    ground_truth = np.where(parts > 0, stream.integers(0, 3, parts.shape), -1)
    leakage = audit_leakage(parts, ground_truth, ["a", "b", "c"], window)
    reflected = sliding_window_view(np.pad(parts, window // 2, mode="reflect"), (window, window))
    outside = sliding_window_view(np.pad(parts, window // 2, constant_values=255), (window, window))
    codes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    assert [(overlap.of, overlap.held) for overlap in leakage.overlaps] == [
        ("test", "train"),
        ("validation", "train"),
        ("test", "validation"),
    ]
    for overlap in leakage.overlaps:
        of, held = codes[overlap.of], codes[overlap.held]
        # Reflection brings no pixel into a window that is not in it anyway.
        holding = (reflected[parts == of] == held).any(axis=(1, 2))
        assert overlap.holding == holding.sum()
        assert overlap.windows == len(holding)
        assert overlap.share == pytest.approx(holding.mean())
        cut = outside[parts == of]
        shares = (cut == held).sum(axis=(1, 2)) / (cut != 255).sum(axis=(1, 2))
        assert overlap.pixels == pytest.approx(shares.mean())
        distances = [
            min(np.abs(place - other).max() for other in np.argwhere(parts == held))
            for place in np.argwhere(parts == of)
        ]
        assert overlap.nearest == min(distances)
        assert overlap.median_distance == pytest.approx(np.median(distances))
        assert overlap.touching == sum(distance < window for distance in distances)
    for part, code in (*codes.items(), ("guard", GUARD)):
        assert leakage.counts[part] == tuple(((parts == code) & (ground_truth == k)).sum() for k in range(3))


def test_by_hand() -> None:
    parts = np.array([[1, 0, 0, 0, 3, 3, 0, 0, 0, 2], [0] * 10], dtype=np.uint8)
    leakage = audit_leakage(parts, np.where(parts > 0, 0, -1), ["soil", "water"], 9)
    by_pair = {(overlap.of, overlap.held): overlap for overlap in leakage.overlaps}
    # Column 4 reaches from 0 to 8 and holds the training pixel, one of 18; column 5 reaches from 1 to 9 and does not.
    of_train = by_pair["test", "train"]
    assert (of_train.windows, of_train.holding, of_train.share) == (2, 1, 0.5)
    assert of_train.pixels == pytest.approx((1 / 18 + 0) / 2)
    assert (of_train.nearest, of_train.median_distance, of_train.touching) == (4, 4.5, 2)
    of_validation = by_pair["test", "validation"]
    assert (of_validation.holding, of_validation.nearest) == (1, 4)
    assert by_pair["validation", "train"].holding == 0
    assert leakage.lacking == {"train": (), "validation": (), "test": ()}
    assert leakage.caution == (
        "leaking split: 1 of 2 test windows (50.0%) contain training pixels, which are 2.8% of their pixels on "
        "average; 1 of 2 test windows (50.0%) contain validation pixels, which are 2.8% of their pixels on average"
    )
    # One of four labelled pixels trains, one of 20 in all.
    assert leakage.expected.labelled_density == 0.25
    assert leakage.expected.scene_density == 0.05
    assert leakage.expected.of_labelled == pytest.approx(1 - 0.75**80)
    assert leakage.expected.of_scene == pytest.approx(1 - 0.95**80)
    # Column 4: 2 others in its window; column 5 likewise; of the three that could train, one does.
    assert leakage.expected.of_windows == pytest.approx(1 - (2 / 3) ** 2)
    assert findings(leakage)[0].startswith("1 of 2 test windows (50.0%) contain training pixels")


def test_the_guard_is_no_part_of_what_chance_draws_from() -> None:
    parts = np.array([[TRAIN, GUARD, GUARD, TEST, VALIDATION]], dtype=np.uint8)
    expected = audit_leakage(parts, np.zeros((1, 5), dtype=np.int64), ["a"], 3).expected
    assert expected.labelled_density == pytest.approx(1 / 3)


@pytest.mark.parametrize(("window", "share"), [(3, 0.02), (5, 0.02), (5, 0.005), (9, 0.002)])
def test_chance_gives_what_is_expected_of_it(window: int, share: float) -> None:
    # Fields with gaps between them, as in real scenes: a test pixel has more labelled neighbours than the scene's mean.
    rows, columns = np.indices((120, 90))
    ground_truth = np.where((rows % 40 < 24) & (columns % 30 < 20), (rows // 40) % 2, -1)
    found, expected, of_scene, of_labelled = [], [], [], []
    for seed in range(30):
        parts = random_parts(ground_truth, (share, 0.3, 0.7 - share), seed)
        leakage = audit_leakage(parts, ground_truth, ["a", "b"], window)
        found.append(leakage.overlaps[0].share)
        expected.append(leakage.expected.of_windows)
        of_scene.append(leakage.expected.of_scene)
        of_labelled.append(leakage.expected.of_labelled)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - np.mean(expected)) < 4 * error + 1e-3
    # The formula of the textbook brackets it: too little with the scene's density, too much with the labels'.
    assert np.mean(of_scene) < np.mean(found) < np.mean(of_labelled)


def test_the_formula() -> None:
    assert chance_of_a_training_pixel(0.1, 9) == pytest.approx(1 - 0.9**80)
    assert chance_of_a_training_pixel(0.5, 1) == 0
    assert chance_of_a_training_pixel(1.0, 3) == 1


def test_a_single_pixel_window_leaks_nothing() -> None:
    ground_truth = np.zeros((10, 10), dtype=np.int64)
    leakage = audit_leakage(random_parts(ground_truth, (0.5, 0.2, 0.3), 0), ground_truth, ["a"], 1)
    assert not leakage.leaks
    assert leakage.caution == ""
    assert leakage.expected.of_windows == 0


def test_classes_that_parts_lack_are_named() -> None:
    parts = np.array([[TRAIN, TEST, GUARD, VALIDATION, UNLABELLED]], dtype=np.uint8)
    leakage = audit_leakage(parts, np.array([[0, 1, 1, 0, -1]]), ["corn", "oats", "never there"], 1)
    assert leakage.lacking == {"train": ("oats",), "validation": ("oats",), "test": ("corn",)}
    assert "test lacks 1 of 3 classes: corn" in findings(leakage)


def test_shares_are_never_rounded_to_none_or_all() -> None:
    assert [percent(share) for share in (0.0, 0.0001, 0.123, 0.9999, 1.0)] == [
        "0.0%",
        "less than 0.1%",
        "12.3%",
        "more than 99.9%",
        "100.0%",
    ]


def test_counts_and_distances_at_the_border() -> None:
    chosen = np.zeros((3, 4), dtype=bool)
    chosen[0, 0] = chosen[2, 3] = True
    assert window_counts(chosen, 3).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]]
    assert distances_to(chosen).tolist() == [[0, 1, 2, 2], [1, 1, 1, 1], [2, 2, 1, 0]]
    assert (distances_to(np.zeros((2, 2), dtype=bool)) == -1).all()
