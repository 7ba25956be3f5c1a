"""Classifiers on frozen features: what a network has learned, asked with few labels.

Each takes features `(n, D)` and labels of the training images, and returns scores `(m, K)` of others, whose order is
what counts. Nothing but the training images is looked at, also where a parameter is chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[Any]
Probe = Callable[[Features, Labels, Features, int], NDArray[np.float64]]

_NEIGHBOURS = 20
_TEMPERATURE = 0.07
_COSTS = (0.001, 0.01, 0.1, 1.0)
_FOLDS = 3


def linear_probe(train: Features, labels: Labels, test: Features, classes: int) -> NDArray[np.float64]:
    """Logistic regression on standardised features, one label against the rest, C = 0.1."""
    from sklearn.linear_model import LogisticRegression

    return _one_against_rest(train, labels, test, classes, lambda _: LogisticRegression(C=0.1, max_iter=1000))


def support_vectors(train: Features, labels: Labels, test: Features, classes: int) -> NDArray[np.float64]:
    """Linear support vector machines on standardised features; C of each by threefold cross-validation."""
    from sklearn.svm import LinearSVC

    def build(truth: NDArray[np.bool_]) -> Any:
        from sklearn.model_selection import GridSearchCV

        machine = LinearSVC(class_weight="balanced", random_state=0)
        if min(truth.sum(), (~truth).sum()) < _FOLDS:
            return machine.set_params(C=_COSTS[1])
        return GridSearchCV(machine, {"C": _COSTS}, scoring="average_precision", cv=_FOLDS)

    return _one_against_rest(train, labels, test, classes, build)


def nearest_neighbours(train: Features, labels: Labels, test: Features, classes: int) -> NDArray[np.float64]:
    """Votes of the 20 most similar images, each weighing exp(cosine / 0.07).

    After Z. Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018, section
    3.4.
    """
    truth = indicators(labels, classes).astype(np.float64)
    known, asked = _unit(train), _unit(test)
    neighbours = min(_NEIGHBOURS, len(known))
    scores = np.empty((len(asked), classes))
    for start in range(0, len(asked), 1024):
        similarity = asked[start : start + 1024] @ known.T
        nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        weights = np.exp(np.take_along_axis(similarity, nearest, axis=1) / _TEMPERATURE)
        votes = np.einsum("mn,mnk->mk", weights, truth[nearest])
        scores[start : start + 1024] = votes / weights.sum(axis=1, keepdims=True)
    return scores


PROBES: dict[str, Probe] = {"linear": linear_probe, "svm": support_vectors, "knn": nearest_neighbours}


def indicators(labels: Labels, classes: int) -> NDArray[np.bool_]:
    """Labels as `(n, K)` of true and false."""
    if labels.ndim == 2:
        return np.asarray(labels > 0)
    return np.asarray(labels[:, None] == np.arange(classes))


def _one_against_rest(
    train: Features, labels: Labels, test: Features, classes: int, build: Callable[[NDArray[np.bool_]], Any]
) -> NDArray[np.float64]:
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    known, asked = (train - mean) / scale, (test - mean) / scale
    truth = indicators(labels, classes)
    # A label that all or no training images have cannot be learned; its order stays that of chance.
    scores = np.zeros((len(test), classes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        for label in range(classes):
            if truth[:, label].any() and not truth[:, label].all():
                scores[:, label] = build(truth[:, label]).fit(known, truth[:, label]).decision_function(asked)
    return scores


def _unit(features: Features) -> Features:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: Features = features / np.maximum(lengths, 1e-12)
    return unit
