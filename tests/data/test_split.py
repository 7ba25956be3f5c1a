import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from konvoi.data.audit import class_counts, duplicate_counts
from konvoi.data.bands import GREY
from konvoi.data.dataset import Dataset
from konvoi.data.seal import logged_openings
from konvoi.data.sources.digits import read_digits
from konvoi.data.split import make_split
from konvoi.errors import DataError
from konvoi.recipe.split import SplitSection


def dataset(counts: list[int], given_test: int = 0, seed: int = 0) -> Dataset:
    """Noise images, `counts[k]` of class k in mixed order; the last `given_test` samples are the files' test set."""
    labels = np.repeat(np.arange(len(counts)), counts)
    stream = np.random.default_rng(seed)
    labels = stream.permutation(labels).astype(np.int64)
    return Dataset(
        name="noise",
        images=stream.integers(0, 256, (len(labels), 1, 2, 2), dtype=np.uint8),
        labels=labels,
        class_names=tuple(f"class {index}" for index in range(len(counts))),
        bands=GREY,
        given_test=np.arange(len(labels) - given_test, len(labels)) if given_test else None,
        origin="a test",
    )


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(5, 60), min_size=2, max_size=6),
    validation=st.floats(0.01, 0.99),
    test=st.floats(0.01, 0.6),
    seed=st.integers(-5, 10**12),
)
def test_parts_are_disjoint_cover_everything_and_hold_every_class(counts, validation, test, seed) -> None:
    data = dataset(counts)
    split = make_split(data, SplitSection(validation=validation, test=test, seed=seed))
    sealed = split.test.indices_for_audit()
    together = np.concatenate([split.train, split.validation, sealed])
    assert sorted(together.tolist()) == list(range(len(data)))
    for part in (split.train, split.validation, sealed):
        assert set(data.labels[part].tolist()) == set(range(len(counts)))


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(7, 40), min_size=2, max_size=5), folds=st.integers(2, 7), seed=st.integers(0, 99))
def test_folds_are_disjoint_cover_everything_and_differ_by_one_sample_a_class(counts, folds, seed) -> None:
    data = dataset(counts, given_test=0)
    parts = []
    for fold in range(folds):
        try:
            split = make_split(data, SplitSection(folds=folds, fold=fold, seed=seed, test=0.05))
        except DataError:
            assert min(counts) - 1 < folds
            return
        assert not set(split.train) & set(split.validation)
        parts.append(split.validation)
    rest = np.setdiff1d(np.arange(len(data)), split.test.indices_for_audit())
    assert sorted(np.concatenate(parts).tolist()) == rest.tolist()
    sizes = np.array([np.bincount(data.labels[part], minlength=len(counts)) for part in parts])
    assert (sizes.max(0) - sizes.min(0)).max() <= 1
    assert sizes.sum(1).max() - sizes.sum(1).min() <= 1


def test_shares_are_exact_for_each_class() -> None:
    data = dataset([100, 50, 10], given_test=0)
    split = make_split(data, SplitSection(test=0.2, validation=0.25))
    counts = class_counts(data, split)
    assert counts == {"train": (60, 30, 6), "validation": (20, 10, 2), "test": (20, 10, 2)}


def test_the_files_own_test_set_is_the_test_split() -> None:
    data = dataset([100, 100], given_test=40)
    split = make_split(data, SplitSection(validation=0.1))
    assert split.test.indices_for_audit().tolist() == list(range(160, 200))
    assert len(split.train) + len(split.validation) == 160


def test_a_split_is_a_function_of_data_and_seed() -> None:
    data = dataset([50, 50])
    first, again = (make_split(data, SplitSection()) for _ in range(2))
    other = make_split(data, SplitSection(seed=1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert np.array_equal(first.train, again.train)
    changed = dataset([50, 50], seed=1)
    assert make_split(changed, SplitSection()).fingerprint != first.fingerprint


def test_splits_of_single_labels_stay_what_they_were() -> None:
    # Runs are compared and resumed by these sets: the sum is of the sets before labels could be several.
    data = dataset([40, 30, 20])
    digest = hashlib.sha256()
    for section in (SplitSection(seed=3), SplitSection(validation=0.33, test=0.07), SplitSection(folds=4, fold=2)):
        split = make_split(data, section)
        for part in (split.train, split.validation, split.test.indices_for_audit()):
            digest.update(part.astype("<i8").tobytes())
    assert digest.hexdigest() == "c7931df500edc108207143852698b6869529c8cc922ab54881886afd49f43ad2"


def test_a_class_with_too_few_samples_is_named_with_its_count() -> None:
    with pytest.raises(
        DataError, match=r"Class 'class 1' has 1 sample to divide, and a test share of 0\.2 needs at least 2"
    ):
        make_split(dataset([50, 1]), SplitSection())
    with pytest.raises(DataError, match=r"Class 'class 0' has 4 samples .* 5 folds needs at least 5"):
        make_split(dataset([5, 50]), SplitSection(folds=5, test=0.1))


def test_a_label_outside_the_classes_is_named_with_its_count() -> None:
    with pytest.raises(DataError, match=r"sample 2 has label 7, outside the 2 classes \(0 to 1\); 1 labels are"):
        Dataset("x", np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 1, 7]), ("a", "b"), GREY, None, "here")


def test_opening_the_test_split_is_logged_before_the_indices_are_given(tmp_path: Path) -> None:
    split = make_split(dataset([50, 50]), SplitSection())
    log = tmp_path / "reads.jsonl"
    assert logged_openings(log) == []
    split.test.open("evaluation", log)
    split.test.open("a curious person", log)
    assert [entry["reader"] for entry in logged_openings(log)] == ["evaluation", "a curious person"]
    assert json.loads(log.read_text().splitlines()[0])["samples"] == 20


def test_a_line_torn_by_a_crash_counts_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    split = make_split(dataset([50, 50]), SplitSection())
    log = tmp_path / "reads.jsonl"
    log.write_text('{"time": "2026-11-')
    split.test.open("evaluation", log)
    assert [entry["reader"] for entry in logged_openings(log)] == ["unknown", "evaluation"]


def test_one_class_or_two_of_one_name_are_no_classes() -> None:
    for names in (("a",), ("a", "a")):
        with pytest.raises(DataError, match="A classifier needs at least two, each with a name of its own"):
            Dataset("x", np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 0]), names, GREY, None, "here")


def test_an_unwritable_log_keeps_the_seal(tmp_path: Path) -> None:
    split = make_split(dataset([50, 50]), SplitSection())
    with pytest.raises(OSError, match="No such file"):
        split.test.open("evaluation", tmp_path / "missing" / "reads.jsonl")


def test_copies_across_the_split_are_counted() -> None:
    data = dataset([100, 100])
    split = make_split(data, SplitSection())
    data.images[split.validation[:3]] = data.images[split.train[0]]
    data.images[split.test.indices_for_audit()[:5]] = data.images[split.train[1]]
    assert duplicate_counts(data, split) == {"validation": 3, "test": 5}


@settings(deadline=None, max_examples=60)
@given(
    images=arrays(
        np.uint8, st.tuples(st.just(40), st.just(1), st.integers(1, 3), st.integers(1, 4)), elements=st.integers(0, 2)
    )
)
def test_copies_are_those_that_a_comparison_of_all_pairs_finds(images: np.ndarray) -> None:
    data = replace(dataset([20, 20]), images=images)
    split = make_split(data, SplitSection())
    train = images[split.train]
    expected = {
        part: sum(bool((train == images[position]).all((1, 2, 3)).any()) for position in indices)
        for part, indices in (("validation", split.validation), ("test", split.test.indices_for_audit()))
    }
    assert duplicate_counts(data, split) == expected


def test_digits_are_the_1797_of_scikit_learn() -> None:
    digits = read_digits()
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 16)
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
