"""The machines against scikit-learn's, their folds and folding, and the choice of C by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from konvoi.randomness import numpy_stream
from konvoi.training.linear_svm import NEVER, deal_folds, fit_classifier, fit_hyperplane, fit_temperature
from konvoi.training.squared_hinge import Machines

COSTS = (0.1, 1.0, 10.0, 100.0, 1000.0)


def two_sides(samples: int, dimensions: int, noise: float = 1.0, seed: int = 0) -> tuple[NDArray, NDArray]:
    stream = np.random.default_rng(seed)
    values = stream.normal(size=(samples, dimensions)) * stream.uniform(0.5, 4, dimensions) + 7
    standard = (values - values.mean(0)) / values.std(0)
    return values, standard[:, 0] + standard[:, 1] + noise * stream.normal(size=samples) > 0.4


class TestMachines:
    @pytest.mark.parametrize(("samples", "dimensions"), [(200, 6), (90, 60), (60, 200)])
    @pytest.mark.parametrize("cost", [0.01, 0.1, 1.0])
    def test_the_solution_is_that_of_scikit_learn(self, samples: int, dimensions: int, cost: float) -> None:
        values, positive = two_sides(samples, dimensions)
        standard = StandardScaler().fit_transform(values)
        machines = Machines(standard)
        weights, bias = machines.weights(machines.fit(np.arange(samples), positive, np.full(samples, cost)))
        theirs = LinearSVC(C=cost, dual=False, tol=1e-10, max_iter=20_000).fit(standard, positive)
        np.testing.assert_allclose(weights, theirs.coef_[0], atol=2e-6)
        assert bias == pytest.approx(theirs.intercept_[0], abs=2e-6)

    @settings(deadline=None, max_examples=40)
    @given(
        samples=st.integers(4, 60),
        dimensions=st.integers(1, 60),
        exponent=st.floats(-3, 3),
        noise=st.floats(0, 5),
        seed=st.integers(0, 99),
    )
    def test_the_gradient_is_zero_for_any_c(
        self, samples: int, dimensions: int, exponent: float, noise: float, seed: int
    ) -> None:
        # Where a large C meets values that are all but divided, liblinear stops early; the minimum's gradient does not.
        stream = np.random.default_rng(seed)
        values = stream.normal(size=(samples, dimensions))
        positive = values[:, 0] + noise * stream.normal(size=samples) > 0
        costs = np.full(samples, 10**exponent) * stream.uniform(0.5, 2, samples)
        machines = Machines(values)
        weights, bias = machines.weights(machines.fit(np.arange(samples), positive, costs))
        signs = np.where(positive, 1.0, -1.0)
        short = np.maximum(0, 1 - signs * (values @ weights + bias)) * costs * signs * 2
        largest = 1 + np.abs(costs).max()
        np.testing.assert_allclose(weights, values.T @ short, atol=1e-7 * largest)
        assert bias == pytest.approx(short.sum(), abs=1e-7 * largest)

    def test_a_start_changes_nothing_but_the_way(self) -> None:
        values, positive = two_sides(80, 100)
        machines = Machines(StandardScaler().fit_transform(values))
        rows = np.arange(10, 70)
        first = machines.fit(rows, positive[rows], np.full(60, 0.1))
        after = machines.fit(rows, positive[rows], np.full(60, 3.0), first)
        alone = machines.fit(rows, positive[rows], np.full(60, 3.0))
        np.testing.assert_allclose(after.coefficients, alone.coefficients, atol=1e-9)
        held_out = np.arange(10)
        weights, bias = machines.weights(after)
        expected = StandardScaler().fit_transform(values)[held_out] @ weights + bias
        np.testing.assert_allclose(machines.decide(after, held_out), expected, atol=1e-9)


class TestHyperplane:
    @pytest.mark.parametrize(("samples", "dimensions"), [(150, 9), (60, 200)])
    def test_with_its_normalisation_folded_it_is_the_pipeline_of_scikit_learn(
        self, samples: int, dimensions: int
    ) -> None:
        values, positive = two_sides(samples, dimensions, noise=3)
        values[:, -1] = 2.5  # a constant value says nothing, and must not make numbers of noise
        found = fit_hyperplane(values, positive, np.arange(samples), (0.1, 1.0), 3, numpy_stream(0, "a test"))
        machine = LinearSVC(C=found.cost, dual=False, class_weight="balanced", tol=1e-10, max_iter=20_000)
        pipeline = make_pipeline(StandardScaler(), machine).fit(values, positive)
        np.testing.assert_allclose(values @ found.weights + found.bias, pipeline.decision_function(values), atol=1e-5)
        assert found.weights[-1] == 0

    def test_c_is_chosen_as_a_search_over_all_folds_chooses_it(self) -> None:
        values, positive = two_sides(120, 30, noise=4)
        groups = np.arange(120) // 2 * 2 + positive  # two patches an image
        costs = (0.0001, 0.01, 1.0)
        found = fit_hyperplane(values, positive, groups, costs, 3, numpy_stream(5, "a test"))
        fold_of = deal_folds(positive.astype(np.int64), groups, 3, numpy_stream(5, "a test"))
        assert fold_of is not None
        standard = StandardScaler().fit_transform(values)
        scores = []
        for cost in costs:
            predicted = np.empty(120, bool)
            for fold in range(3):
                held_out = fold_of == fold
                machine = LinearSVC(C=cost, dual=False, class_weight="balanced", tol=1e-10, max_iter=20_000)
                predicted[held_out] = machine.fit(standard[~held_out], positive[~held_out]).predict(standard[held_out])
            scores.append(balanced_accuracy_score(positive, predicted))
        assert found.accuracy == pytest.approx(max(scores))
        assert found.cost == costs[int(np.argmax(scores))]

    def test_without_enough_images_c_is_the_middle_one(self) -> None:
        values, positive = two_sides(20, 3)
        found = fit_hyperplane(values, positive, positive.astype(np.int64), COSTS, 3, numpy_stream(0, "a test"))
        assert (found.cost, found.accuracy) == (10.0, None)


class TestFolds:
    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=60), st.integers(2, 5))
    def test_groups_stay_whole_and_folds_alike(self, pairs: list[tuple[int, int]], folds: int) -> None:
        sides = np.array([side for side, _ in pairs])
        groups = np.array([10 * side + group for side, group in pairs])
        counts = {side: len(set(groups[sides == side].tolist())) for side in set(sides.tolist())}
        several = {side: count for side, count in counts.items() if count > 1}
        fold_of = deal_folds(sides, groups, folds, np.random.default_rng(0))
        if len(several) < 2:
            assert fold_of is None
            return
        assert fold_of is not None
        number = min(folds, *several.values())
        for group in set(groups.tolist()):
            assert len(set(fold_of[groups == group].tolist())) == 1
        for side, count in counts.items():
            folds_of_groups = [
                int(fold_of[groups == group][0]) for group in sorted(set(groups[sides == side].tolist()))
            ]
            if count == 1:
                assert folds_of_groups == [-1]
            else:
                sizes = np.bincount(folds_of_groups, minlength=number)
                assert len(sizes) == number
                assert sizes.max() - sizes.min() <= 1
                assert sizes.min() >= 1


class TestClassifier:
    def test_decisions_are_those_of_scikit_learn(self) -> None:
        stream = np.random.default_rng(1)
        labels = stream.integers(0, 4, 160)
        values = stream.normal(size=(160, 12)) * 3 + 1
        values[np.arange(160), labels] += 4
        found = fit_classifier(values, labels, 4, (0.01, 0.1, 1.0), 3, numpy_stream(0, "a test"), threads=2)
        machine = LinearSVC(C=found.cost, dual=False, tol=1e-10, max_iter=20_000)
        pipeline = make_pipeline(StandardScaler(), machine).fit(values, labels)
        np.testing.assert_allclose(
            values @ found.weights.T + found.biases, pipeline.decision_function(values), atol=1e-5
        )
        assert found.accuracy is not None
        assert found.accuracy > 0.6

    def test_a_class_without_samples_is_never_answered(self) -> None:
        stream = np.random.default_rng(1)
        labels = np.array([0, 2] * 20)
        values = stream.normal(size=(40, 3)) + labels[:, None]
        found = fit_classifier(values, labels, 3, COSTS, 3, numpy_stream(0, "a test"))
        decisions = values @ found.weights.T + found.biases
        assert (decisions[:, 1] == NEVER).all()
        np.testing.assert_allclose(decisions[:, 0], -decisions[:, 2], atol=1e-9)
        assert (decisions.argmax(axis=1) == labels).mean() > 0.8

    def test_the_temperature_is_that_of_lowest_cross_entropy(self) -> None:
        stream = np.random.default_rng(2)
        labels = stream.integers(0, 3, 300)
        decisions = stream.normal(size=(300, 3))
        decisions[np.arange(300), labels] += 1
        found = fit_temperature(decisions, labels)

        counts = np.bincount(labels)

        def cross_entropy(temperature: float) -> float:
            # Of each class one sample more of every other class, worked sample by sample.
            total = 0.0
            for row, label in zip(log_softmax(decisions / temperature, axis=1), labels, strict=True):
                total -= (counts[label] * row[label] + row.sum()) / (counts[label] + 3)
            return total / len(labels)

        tried = np.geomspace(0.05, 20, 200)
        assert cross_entropy(found) <= min(map(cross_entropy, tried)) + 1e-7

    def test_held_out_samples_that_are_all_right_are_no_certainty(self) -> None:
        labels = np.repeat([0, 1], 20)
        decisions = np.where(labels[:, None] == np.arange(2), 1.0, -1.0)
        probability = 1 / (1 + np.exp(-2 / fit_temperature(decisions, labels)))
        assert probability == pytest.approx(21 / 22, abs=1e-3)
