"""The audit's numbers against places whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import kilometres, parts_of, several

from konvoi.data.bands import GREY
from konvoi.data.dataset import Dataset
from konvoi.data.spatial_audit import findings_in_words, spatial_findings
from konvoi.data.split import make_split
from konvoi.recipe.split import SplitSection


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
    assert "test and train: 1 source tile or scene in common" in words
    assert "test to train: the nearest 322.5 km apart, the median 322.5 km" in words
    assert "test lacks 2 of 3 labels: b, c" in words
    assert findings.without_place == {"train": 0, "validation": 0, "test": 0}


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(60, 200), seed=st.integers(0, 30))
def test_distances_and_frequencies_are_what_brute_force_finds(samples: int, seed: int) -> None:
    data = several(samples, seed=seed)
    split = make_split(data, SplitSection(seed=seed))
    parts = dict(zip(("train", "validation", "test"), parts_of(split), strict=True))
    findings = spatial_findings(data, split)
    assert [(found.of, found.to) for found in findings.distances] == [
        ("validation", "train"), ("test", "train"), ("test", "validation")
    ]  # fmt: skip
    places = data.longitude_latitude
    assert places is not None
    for found in findings.distances:
        nearest = kilometres(places[parts[found.of]], places[parts[found.to]]).min(axis=1)
        assert found.nearest == pytest.approx(nearest.min(), rel=1e-6)
        assert found.median == pytest.approx(np.median(nearest), rel=1e-6)
    for part, indices in parts.items():
        assert findings.frequencies[part] == pytest.approx(data.labels[indices].mean(axis=0))


def test_samples_without_a_place_are_counted_and_none_at_all_is_no_finding() -> None:
    data = several(100)
    assert data.longitude_latitude is not None
    split = make_split(data, SplitSection())
    data.longitude_latitude[split.train[:3]] = np.nan
    findings = spatial_findings(data, split)
    assert findings.without_place == {"train": 3, "validation": 0, "test": 0}
    assert "train: 3 samples without a known place, in none of these distances" in findings_in_words(findings)
    data.longitude_latitude[:] = np.nan
    findings = spatial_findings(data, split)
    assert (findings.distances, findings.without_place) == ((), {})
    assert not any("place" in sentence for sentence in findings_in_words(findings))
