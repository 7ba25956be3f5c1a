"""Dividing samples with several labels, or groups of samples, so that every part has its share of every label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.randomness import numpy_stream


def divide(
    label_counts: NDArray[np.int64], sizes: NDArray[np.int64], shares: tuple[float, ...], seed: int, purpose: str
) -> NDArray[np.int64]:
    """The part of each group, by iterative stratification.

    K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, algorithm 1:
    the label with the fewest samples left is dealt out first, each sample to the part that still wants most of that
    label; ties go to the part that wants most samples at all, then to chance. Beyond the paper, a group may hold many
    samples (the largest are dealt first), and a part that has none of a label goes first when only as many groups with
    it are left as there are such parts.

    Args:
        label_counts: `(G, K)`, how many samples with each label a group holds; of single samples, 0 and 1.
        sizes: `(G,)`, samples in each group.
        shares: of each part; their sum is 1.
        seed: of the ties.
        purpose: names the stream of random numbers.

    Returns:
        `(G,)` numbers of parts.
    """
    parts = range(len(shares))
    generator = numpy_stream(seed, "stratify", purpose)
    # A random order once, instead of a random draw at each tie.
    order = generator.permutation(len(sizes))
    chances = generator.permuted(np.tile(np.arange(len(shares)), (len(sizes), 1)), axis=1).tolist()
    group_sizes = sizes.tolist()
    rows, columns = np.nonzero(label_counts)
    labels_of: list[list[tuple[int, int]]] = [[] for _ in group_sizes]
    for row, column, count in zip(rows.tolist(), columns.tolist(), label_counts[rows, columns].tolist(), strict=True):
        labels_of[row].append((column, count))
    left = (label_counts > 0).sum(axis=0)
    wanted = np.outer(label_counts.sum(axis=0), shares).tolist()
    wanted_samples = [float(sizes.sum()) * share for share in shares]
    without = [set(parts) for _ in left]
    part_of = np.full(len(sizes), -1, dtype=np.int64)

    def assign(group: int, part: int) -> None:
        part_of[group] = part
        wanted_samples[part] -= group_sizes[group]
        for label, count in labels_of[group]:
            wanted[label][part] -= count
            without[label].discard(part)
            left[label] -= 1

    while True:
        open_labels = np.flatnonzero(left)
        if not len(open_labels):
            break
        label = int(open_labels[np.argmin(left[open_labels])])
        candidates = order[(label_counts[order, label] > 0) & (part_of[order] < 0)]
        largest_first = candidates[np.argsort(-label_counts[candidates, label], kind="stable")]
        for group in largest_first.tolist():
            lacking = without[label]
            allowed = lacking if lacking and left[label] <= len(lacking) else parts
            desire, chance = wanted[label], chances[group]
            assign(group, max(allowed, key=lambda part: (desire[part], wanted_samples[part], chance[part])))
    unlabelled = order[part_of[order] < 0]
    for group in unlabelled[np.argsort(-sizes[unlabelled], kind="stable")].tolist():
        assign(group, max(parts, key=lambda part: (wanted_samples[part], chances[group][part])))
    return part_of


def nested_order(labels: NDArray[np.int64] | NDArray[np.uint8], seed: int) -> NDArray[np.int64]:
    """An order in which every beginning is stratified, so that small labelled sets lie inside larger ones.

    A sample with several labels counts for its rarest one. Samples that hold every label between them come first, one
    a label at most; from there on each label's samples are spread evenly over the order.

    Args:
        labels: `(N,)` numbers of classes, or `(N, K)` of 0 and 1.
        seed: of the order within a label.

    Returns:
        `(N,)` positions, a permutation.
    """
    rarest = _rarest_label(labels)
    position = np.empty(len(labels))
    for label in np.unique(rarest):
        members = numpy_stream(seed, "nested", int(label)).permutation(np.flatnonzero(rarest == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    position[_one_of_each(labels, position)] = -1.0
    chance = numpy_stream(seed, "nested", "ties").permutation(len(labels))
    return np.lexsort((chance, position))


def _one_of_each(labels: NDArray[np.int64] | NDArray[np.uint8], position: NDArray[np.float64]) -> list[int]:
    """Samples that hold every label between them, chosen from the rarest label to the most frequent one."""
    if labels.ndim == 1:
        firsts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        return [int(members[position[members].argmin()]) for members in firsts]
    counts = labels.sum(axis=0, dtype=np.int64)
    chosen: list[int] = []
    for label in np.argsort(counts, kind="stable").tolist():
        if counts[label] and not labels[chosen, label].any():
            members = np.flatnonzero(labels[:, label])
            chosen.append(int(members[position[members].argmin()]))
    return chosen


def _rarest_label(labels: NDArray[np.int64] | NDArray[np.uint8]) -> NDArray[np.int64]:
    if labels.ndim == 1:
        return labels.astype(np.int64)
    counts = labels.sum(axis=0, dtype=np.int64)
    ranked = np.where(labels > 0, counts, len(labels) + 1)
    rarest = ranked.argmin(axis=1)
    # Samples without a label are a class of their own.
    numbers: NDArray[np.int64] = np.where(labels.any(axis=1), rarest, labels.shape[1])
    return numbers
