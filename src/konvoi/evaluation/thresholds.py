"""Decision thresholds, one a label, tuned on validation and nothing else.

What is decided with them is scored in `evaluation.several_labels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tune_thresholds(
    probabilities: NDArray[np.float32], labels: NDArray[np.uint8] | NDArray[np.bool_]
) -> NDArray[np.float64]:
    """For each label the threshold of highest F1 on these samples.

    A threshold lies in the middle between two probabilities that are neighbours in the sorted list, below the lowest
    in the middle between it and 0. Of several equally good ones that in the widest gap is taken, where a small change
    of the probabilities decides least; of equally wide gaps the highest. A label without positives has 0.5. A label
    that is best predicted even at probability 0 has a threshold just below 0.

    Args:
        probabilities: `(N, K)`, of the validation split.
        labels: `(N, K)` of 0 and 1.

    Returns:
        `(K,)` float64; a label is predicted where its probability is above. Compare in float64: between neighbouring
        float32 numbers there is no third.
    """
    thresholds = np.full(labels.shape[1], 0.5)
    for k in range(labels.shape[1]):
        order = np.argsort(-probabilities[:, k], kind="stable")
        ranked = probabilities[order, k].astype(np.float64)
        hits = np.cumsum(labels[order, k] > 0)
        if len(hits) == 0 or hits[-1] == 0:
            continue
        last_of_ties = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        # With the first n samples predicted: F1 = 2 hits / (positives + n). Equal fractions are equal floats here.
        f1 = 2 * hits[last_of_ties] / (hits[-1] + last_of_ties + 1)
        above = ranked[last_of_ties]
        below = np.append(above[1:], 0.0 if above[-1] > 0 else -(2.0**-24))
        chosen = int(np.argmax(np.where(f1 == f1.max(), above - below, -1.0)))
        thresholds[k] = (above[chosen] + below[chosen]) / 2
    return thresholds
