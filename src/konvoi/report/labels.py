"""Labels of which an image may have several: the table's rows, and the figures of frequency and of company.

What the scores are is in `evaluation.several_labels`; the words around them are in `labels.html.j2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from konvoi.evaluation.several_labels import LabelScores, SeveralLabelScores
from konvoi.report.palette import INK, LINE, QUIET, TEST, TRAIN, VALIDATION, house_style, new_figure
from konvoi.report.wording import shortened

_CELL = 12.5
_LONGEST_NAME = 26
_GLYPH = 0.6
_NAMED = 6
_FAINTEST, _STRONGEST = 0.06, 0.95


def label_rows(scores: SeveralLabelScores, train_counts: Sequence[int]) -> list[tuple[int, LabelScores]]:
    """Training images and scores of each label, the most frequent first."""
    return sorted(zip(train_counts, scores.classes, strict=True), key=lambda row: -row[0])


def guessed_map(scores: SeveralLabelScores) -> float:
    """The macro mAP of a random order: the mean frequency of the labels that have positives."""
    shares = [entry.samples / scores.samples for entry in scores.classes if entry.samples]
    return float(np.mean(shares))


@house_style()
def frequency_against_precision(
    scores: SeveralLabelScores, train_counts: Sequence[int], is_test: bool = True
) -> Figure:
    """Average precision of each label over its number of training images."""
    figure = new_figure(470, 270)
    axes = figure.add_axes((0.09, 0.16, 0.885, 0.74))
    rows = [(count, entry) for count, entry in label_rows(scores, train_counts) if entry.average_precision is not None]
    counts = [max(count, 0.5) for count, _ in rows]
    precisions = [entry.average_precision or 0.0 for _, entry in rows]
    axes.set_xscale("log")
    guess = sorted((count, entry.samples / scores.samples) for count, (_, entry) in zip(counts, rows, strict=True))
    axes.plot(*zip(*guess, strict=True), color=QUIET, linewidth=1.0, linestyle=(0, (3, 3)))
    axes.scatter(counts, precisions, s=26, color=TEST if is_test else VALIDATION, alpha=0.8, linewidth=0, zorder=3)
    axes.set_ylim(0, 1.04)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("training images with the label (logarithmic)", loc="right")
    axes.set_title("Average precision")
    # The lowest ones are what a reader asks for by name.
    named: list[tuple[float, float]] = []
    for position in np.argsort(precisions, kind="stable"):
        place = (float(np.log10(counts[position])), precisions[position])
        if len(named) == min(_NAMED, len(rows) // 3):
            break
        if any(abs(place[0] - other[0]) < 1.2 and abs(place[1] - other[1]) < 0.045 for other in named):
            continue
        named.append(place)
        crowded = counts[position] > (min(counts) * max(counts)) ** 0.5
        axes.annotate(
            shortened(rows[position][1].name, _LONGEST_NAME),
            (counts[position], precisions[position]),
            xytext=(-6 if crowded else 6, -1),
            textcoords="offset points",
            ha="right" if crowded else "left",
            va="center",
            fontsize=7.5,
            color=QUIET,
        )
    return figure


@house_style()
def company_matrix(shares: NDArray[np.float64], names: Sequence[str]) -> Figure:
    """P(column | row) of labels; the diagonal, which is 1, stays empty.

    Args:
        shares: `(K, K)`, as `evaluation.co_occurrence.conditional_shares` gives them; NaN rows stay empty.
        names: the K labels.
    """
    labels = [shortened(name, _LONGEST_NAME) for name in names]
    size = min(8.5, 0.8 * _CELL) if len(names) > 12 else 9.5
    cell = _CELL if len(names) > 20 else 22.0
    room = max(len(label) for label in labels) * size * _GLYPH + 12
    width, height = room + cell * len(names) + 6, room + cell * len(names) + 6
    figure = new_figure(width, height)
    axes = figure.add_axes((room / width, 6 / height, cell * len(names) / width, cell * len(names) / height))
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(names), 0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    for line in range(len(names) + 1):
        axes.plot([0, len(names)], [line, line], color=LINE, linewidth=0.4, clip_on=False)
        axes.plot([line, line], [0, len(names)], color=LINE, linewidth=0.4, clip_on=False)
    for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.005), strict=True):
        if row == column:
            continue
        share = float(shares[row, column])
        axes.add_patch(
            Rectangle(
                (column, row), 1, 1, facecolor=TRAIN, alpha=_FAINTEST + (_STRONGEST - _FAINTEST) * share, linewidth=0
            )
        )
        if cell > _CELL:
            axes.text(
                column + 0.5,
                row + 0.53,
                f"{100 * share:.0f}",
                ha="center",
                va="center_baseline",
                fontsize=8,
                color=INK if share < 0.6 else "white",
            )
    middles = [position + 0.5 for position in range(len(names))]
    axes.tick_params(length=0, pad=4, labelsize=size, labelcolor=INK)
    axes.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.set_yticks(middles, labels)
    axes.set_xticks(middles, labels, rotation=90)
    return figure
