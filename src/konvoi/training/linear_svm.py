"""Linear support vector machines on arrays: one hyperplane, or a classifier, with C by cross-validation.

Both are fitted on standardised values, and the standardisation is folded into what they return: weights and biases of
the values as they are. The machine itself is in `squared_hinge`; patches, networks and files are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.training.squared_hinge import Machines, one_thread_of_algebra

Values = NDArray[np.floating[Any]]

NEVER = -1e4
"""The decision value of a class that no training sample has."""


@dataclass(frozen=True)
class Hyperplane:
    """values @ weights + bias is the machine's decision function.

    Attributes:
        weights: `(d,)` float64.
        bias: of the values as they are, as the weights are.
        cost: the C that was chosen.
        accuracy: balanced accuracy (mean of both sides' recalls) of the cross-validation at this C; None where there
            were too few groups for one.
    """

    weights: NDArray[np.float64]
    bias: float
    cost: float
    accuracy: float | None


@dataclass(frozen=True)
class LinearClassifier:
    """values @ weights.T + biases are the decision functions of K machines, each one class against the rest.

    Attributes:
        weights: `(K, d)` float64.
        biases: `(K,)` float64; of a class without samples, `NEVER`.
        cost: the C that was chosen, the same of all.
        accuracy: of the cross-validation at this C; None where there were too few samples for one.
        temperature: by which decision values are divided to be logits: that of the lowest cross-entropy on the samples
            held out in the cross-validation (C. Guo et al., "On calibration of modern neural networks", ICML 2017,
            section 4.2), with a prior.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    cost: float
    accuracy: float | None
    temperature: float


def fit_hyperplane(
    values: Values,
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64],
    costs: Sequence[float],
    folds: int,
    stream: np.random.Generator,
) -> Hyperplane:
    """Tell two sides apart; both count alike, however many they are.

    Args:
        values: `(n, d)`.
        positive: `(n,)`, of which there are some of both.
        groups: `(n,)`; what is of one group, for example of one image, is held out together.
        costs: from which C is chosen, by the mean of both sides' recalls; of equal ones the smallest.
        folds: fewer where a side has fewer groups. With less than two, the middle of `costs` is taken.
        stream: deals the groups into folds.
    """
    mean, scale = standardisation(values)
    machines = Machines((values - mean) / scale)
    ascending = sorted(costs)
    fold_of = deal_folds(positive.astype(np.int64), groups, folds, stream)
    cost, accuracy = ascending[len(ascending) // 2], None
    if fold_of is not None:
        right = (_held_out_decisions(machines, positive, fold_of, ascending, balanced=True) > 0) == positive
        accuracy, cost = _best((right[:, positive].mean(axis=1) + right[:, ~positive].mean(axis=1)) / 2, ascending)
    rows = np.arange(len(positive))
    weights, bias = machines.weights(machines.fit(rows, positive, _costs_of(positive, cost, balanced=True)))
    weights = weights / scale
    return Hyperplane(weights, float(bias - weights @ mean), cost, accuracy)


def fit_classifier(
    values: Values,
    labels: NDArray[np.int64],
    classes: int,
    costs: Sequence[float],
    folds: int,
    stream: np.random.Generator,
    search: NDArray[np.int64] | None = None,
    threads: int = 1,
) -> LinearClassifier:
    """Tell classes apart, each from the rest, with one C for all.

    Args:
        values: `(n, d)`.
        labels: `(n,)`, 0 … classes - 1, of which there are two at least.
        classes: K.
        costs: from which C is chosen, by accuracy; of equal ones the smallest.
        folds: fewer where a class has fewer samples; classes with one sample are always learned from.
        stream: deals the samples into folds.
        search: which samples take part in the cross-validation; all by default.
        threads: that fit machines at the same time.
    """
    mean, scale = standardisation(values)
    standard = (values - mean) / scale
    met = np.unique(labels)
    chosen = np.arange(len(labels)) if search is None else search
    ascending = sorted(costs)
    cost, accuracy, temperature = ascending[len(ascending) // 2], None, 1.0
    fold_of = deal_folds(labels[chosen], chosen, folds, stream)
    with one_thread_of_algebra(), ThreadPoolExecutor(threads, thread_name_prefix="konvoi-svm") as pool:
        if fold_of is not None:
            machines = Machines(standard[chosen])
            decisions = np.full((len(ascending), len(chosen), classes), NEVER)
            sides = [labels[chosen] == label for label in met]
            decided = pool.map(lambda side: _held_out_decisions(machines, side, fold_of, ascending, False), sides)
            for label, found in zip(met, decided, strict=True):
                decisions[:, :, label] = found
            judged = fold_of >= 0
            truth = labels[chosen][judged]
            accuracy, cost = _best((decisions[:, judged].argmax(axis=2) == truth).mean(axis=1), ascending)
            temperature = fit_temperature(decisions[ascending.index(cost)][judged], truth)
        whole = Machines(standard)
        rows = np.arange(len(labels))
        fitted = pool.map(
            lambda label: whole.weights(whole.fit(rows, labels == label, _costs_of(labels == label, cost, False))), met
        )
        weights, biases = np.zeros((classes, values.shape[1])), np.full(classes, NEVER)
        for label, (own, bias) in zip(met, fitted, strict=True):
            weights[label] = own / scale
            biases[label] = bias - weights[label] @ mean
    return LinearClassifier(weights, biases, cost, accuracy, temperature)


def standardisation(values: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each column, `(d,)` each; 1 for the deviation of a column that is constant."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # Rounding leaves a constant column with a tiny deviation, and dividing by it would make numbers of noise.
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    return mean, np.where(constant, 1.0, deviation)


def deal_folds(
    sides: NDArray[np.int64], groups: NDArray[np.int64], folds: int, stream: np.random.Generator
) -> NDArray[np.int64] | None:
    """The fold of each value, dealt out side by side in whole groups.

    Args:
        sides: `(n,)`, the class of each value; a group lies on one side.
        groups: `(n,)`.
        folds: as many as the smallest side with two groups has groups, at most.
        stream: shuffles the groups.

    Returns:
        `(n,)`, -1 for a side with a single group, which is held out in no fold; None where fewer than two sides can be
        held out.
    """
    fold_of = np.full(len(sides), -1, dtype=np.int64)
    of_side = {side: np.unique(groups[sides == side]) for side in np.unique(sides).tolist()}
    several = {side: members for side, members in of_side.items() if len(members) > 1}
    if len(several) < 2:
        return None
    folds = min(folds, *(len(members) for members in several.values()))
    for side, members in several.items():
        fold_of_group = np.empty(len(members), dtype=np.int64)
        fold_of_group[stream.permutation(len(members))] = np.arange(len(members)) % folds
        here = sides == side
        fold_of[here] = fold_of_group[np.searchsorted(members, groups[here])]
    return fold_of


def fit_temperature(decisions: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The T of lowest cross-entropy of softmax(decisions / T), within 0.01 … 100.

    Against targets that leave room for a sample of each other class, (n + 1) / (n + K) for a class of n samples and
    1 / (n + K) for the others: held-out samples that are all right would else be a reason for certainty (J. Platt,
    "Probabilistic outputs for support vector machines", 1999, for two classes).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    classes = decisions.shape[1]
    of_class = np.bincount(labels, minlength=classes)[labels][:, None]
    targets = (1.0 + of_class * (labels[:, None] == np.arange(classes))) / (of_class + classes)

    def cross_entropy(logarithm: float) -> float:
        return float(-(targets * log_softmax(decisions * np.exp(-logarithm), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(np.log(0.01), np.log(100)), method="bounded").x))


def _costs_of(positive: NDArray[np.bool_], cost: float, balanced: bool) -> NDArray[np.float64]:
    """The C of each sample; balanced, both sides weigh alike, as with scikit-learn's class_weight="balanced"."""
    if not balanced:
        return np.full(len(positive), cost)
    share = float(positive.mean())
    costs: NDArray[np.float64] = np.where(positive, cost / (2 * share), cost / (2 * (1 - share)))
    return costs


def _best(scores: NDArray[np.float64], ascending: Sequence[float]) -> tuple[float, float]:
    """The highest score, and the smallest C that has it."""
    best = int(np.argmax(scores))
    return float(scores[best]), ascending[best]


def _held_out_decisions(
    machines: Machines,
    positive: NDArray[np.bool_],
    fold_of: NDArray[np.int64],
    ascending: Sequence[float],
    balanced: bool,
) -> NDArray[np.float64]:
    """For each C the decision values `(n,)` of machines that did not see the sample; 0 where it is in no fold."""
    decisions = np.zeros((len(ascending), len(positive)))
    for fold in range(int(fold_of.max()) + 1):
        rows, held_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        solution = None
        for number, cost in enumerate(ascending):
            solution = machines.fit(rows, positive[rows], _costs_of(positive[rows], cost, balanced), solution)
            decisions[number, held_out] = machines.decide(solution, held_out)
    return decisions
