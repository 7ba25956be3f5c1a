"""Scores by category, where classes hang in a tree: how well birds are told apart, and whether they are seen as birds.

Categories may lie in one another (dog, mammal, animal). Pure arithmetic; which classes belong together is said by the
caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from konvoi.evaluation.scores import TOP, positions_of_labels, wilson_interval
from konvoi.record import Record


class CategoryScores(Record):
    """The samples of one category.

    Attributes:
        name: of the category.
        classes: how many classes lie in it.
        samples: how many samples of these classes were scored.
        accuracy: share of them whose own class was the most probable one.
        interval: Wilson's 95 % interval of it.
        top5: share of them whose own class was among the five most probable; None with too few classes.
        recall: share of them that were taken for any class of the category.
        precision: share of the samples taken for a class of the category that belong to it; None where none was.
    """

    name: str
    classes: int
    samples: int
    accuracy: float
    interval: tuple[float, float]
    top5: float | None
    recall: float
    precision: float | None


def category_scores(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], members: Mapping[str, Sequence[int]]
) -> tuple[CategoryScores, ...]:
    """Score each category that has samples.

    Args:
        probabilities: `(N, K)`.
        labels: `(N,)`, 0 … K-1.
        members: the classes of each category, by their numbers.
    """
    places = positions_of_labels(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    found = []
    for name, classes in members.items():
        inside = np.zeros(probabilities.shape[1], dtype=np.bool_)
        inside[list(classes)] = True
        own, taken = inside[labels], inside[predicted]
        samples = int(own.sum())
        if samples == 0:
            continue
        correct = int((places[own] == 0).sum())
        found.append(
            CategoryScores(
                name=name,
                classes=len(classes),
                samples=samples,
                accuracy=correct / samples,
                interval=wilson_interval(correct, samples),
                top5=float((places[own] < TOP).mean()) if probabilities.shape[1] > 2 * TOP else None,
                recall=float(taken[own].mean()),
                precision=float(own[taken].mean()) if taken.any() else None,
            )
        )
    return tuple(found)
