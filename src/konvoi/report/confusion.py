"""The confusion matrix as a figure, for 2 to some 50 classes."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from konvoi.evaluation.scores import Scores
from konvoi.report.palette import ERROR, INK, LINE, QUIET, house_style, new_figure
from konvoi.report.wording import shortened

# Cells shrink as classes grow, so that fifty still fit a screen: (up to so many classes, points a cell).
_CELL_SIZES = ((12, 27.0), (20, 21.0), (30, 16.0), (10_000, 12.5))
_NUMBERED_DIAGONAL = 20
_LONGEST_NAME = 26
_FAINTEST, _STRONGEST = 0.13, 0.72
"""Opacity of the smallest and the largest share; above it, the numbers would not stand out in light and dark."""
_GLYPH = 0.6
"""Width of an average glyph over its height, to leave room for names."""


@dataclass(frozen=True)
class _Layout:
    cell: float
    name_size: float
    left: float
    top: float
    names: list[str]
    upright: bool


@house_style()
def confusion_matrix(scores: Scores) -> Figure:
    """Counts with the true class in rows and the predicted one in columns.

    The diagonal is grey, so that the errors show; their colour is the share of the row, the strongest being the
    largest such share.
    """
    layout = _layout([entry.name for entry in scores.classes])
    classes, cell = len(layout.names), layout.cell
    # With two classes the words above the matrix are wider than it.
    right = max(6.0, 48 - classes * cell / 2)
    width, height = layout.left + classes * cell + right, layout.top + classes * cell + 6
    figure = new_figure(width, height)
    axes = figure.add_axes((layout.left / width, 6 / height, classes * cell / width, classes * cell / height))
    axes.set_xlim(0, classes)
    axes.set_ylim(classes, 0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(visible=False)
    for line in range(classes + 1):
        axes.plot([0, classes], [line, line], color=LINE, linewidth=0.5, clip_on=False)
        axes.plot([line, line], [0, classes], color=LINE, linewidth=0.5, clip_on=False)
    largest = largest_error_share(scores)
    sizes = {on_diagonal: _number_size(scores, cell, on_diagonal) for on_diagonal in (True, False)}
    for true, row in enumerate(scores.confusion):
        for predicted, count in enumerate(row):
            if count == 0:
                continue
            on_diagonal = true == predicted
            share = count / sum(row)
            opacity = 0.45 if on_diagonal else _FAINTEST + (_STRONGEST - _FAINTEST) * share / largest
            colour = LINE if on_diagonal else ERROR
            axes.add_patch(Rectangle((predicted, true), 1, 1, facecolor=colour, alpha=opacity, linewidth=0))
            if on_diagonal and classes > _NUMBERED_DIAGONAL:
                continue
            axes.text(
                predicted + 0.5,
                true + 0.53,
                f"{count:,}",
                ha="center",
                va="center_baseline",
                fontsize=sizes[on_diagonal],
                color=QUIET if on_diagonal else INK,
            )
    _label(figure, layout)
    return figure


def largest_error_share(scores: Scores) -> float:
    """The largest share of a row off the diagonal; 0 where there is no error."""
    return max((count / scores.classes[true].samples for true, _, count in scores.mistakes()), default=0.0)


def _number_size(scores: Scores, cell: float, on_diagonal: bool) -> float:
    """One size for all numbers on, or all off the diagonal, with which the longest fits its cell."""
    longest = max(
        len(f"{count:,}")
        for true, row in enumerate(scores.confusion)
        for predicted, count in enumerate(row)
        if (true == predicted) == on_diagonal
    )
    return min(9.5, 0.5 * cell, 0.92 * cell / (longest * _GLYPH))


def _layout(names: list[str]) -> _Layout:
    cell = next(size for up_to, size in _CELL_SIZES if len(names) <= up_to)
    labels = [shortened(name, _LONGEST_NAME) for name in names]
    longest = max(len(label) for label in labels)
    name_size = min(9.5, 0.8 * cell)
    upright = longest * name_size * _GLYPH <= cell
    length = longest * name_size * _GLYPH
    return _Layout(
        cell=cell,
        name_size=name_size,
        left=max(length, 10) + 30,
        top=(name_size if upright else length) + 32,
        names=labels,
        upright=upright,
    )


def _label(figure: Figure, layout: _Layout) -> None:
    (axes,) = figure.axes
    middles = [position + 0.5 for position in range(len(layout.names))]
    axes.tick_params(length=0, pad=4, labelsize=layout.name_size, labelcolor=INK)
    axes.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.set_yticks(middles, layout.names)
    axes.set_xticks(middles, layout.names, rotation=0 if layout.upright else 90)
    height, width = figure.get_figheight() * 72, figure.get_figwidth() * 72
    middle = layout.left + len(layout.names) * layout.cell / 2
    figure.text(middle / width, 1 - 12 / height, "predicted class", ha="center", va="baseline", color=QUIET)
    figure.text(
        14 / width,
        (6 + len(layout.names) * layout.cell / 2) / height,
        "true class",
        rotation=90,
        ha="right",
        va="center",
        color=QUIET,
    )
