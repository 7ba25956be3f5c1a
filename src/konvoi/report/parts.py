"""Maps of a scene's split: which pixels train, validate, are tested, or lie in the guard band between."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.data.pixels.parts import GUARD, PART_NAMES, TEST, TRAIN, UNLABELLED, VALIDATION, PartsMap
from konvoi.data.scene_split import parts_map
from konvoi.data.split import Split
from konvoi.errors import DataError
from konvoi.files import write_aside
from konvoi.report import palette

UNLABELLED_COLOUR = "#f1f3f4"
GUARD_COLOUR = "#b9bfc5"

COLOURS = {
    UNLABELLED: UNLABELLED_COLOUR,
    TRAIN: palette.TRAIN,
    VALIDATION: palette.VALIDATION,
    TEST: palette.TEST,
    GUARD: GUARD_COLOUR,
}
"""The colours of the parts are those they have in all charts; guard and unlabelled pixels are greys."""


def parts_of(dataset: Dataset, split: Split) -> PartsMap:
    """The map of a split, the sealed test pixels included: their places, which no network sees here."""
    positions = {"train": split.train, "validation": split.validation, "test": split.test.indices_for_audit()}
    return parts_map(dataset, positions)


def parts_picture(parts: PartsMap) -> NDArray[np.float64]:
    """The map in the colours of the parts, `(H, W, 3)`, 0 to 1."""
    table = np.array([to_rgb(COLOURS[part]) for part in sorted(COLOURS)])
    return table[parts]


def show_map(axes: Axes, picture: NDArray[np.float64], title: str = "") -> None:
    """A picture without axes, pixel for pixel."""
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title)


def legend_of_parts(figure: Figure, y: float, *, x: float = 0.02, others: tuple[tuple[str, str], ...] = ()) -> None:
    """A line of swatches: the parts, and what else the figure's colours mean.

    Args:
        figure: to write on.
        y: height of the line, as a share of the figure's.
        x: where it starts, as a share of the figure's width.
        others: colours and their meanings.
    """
    from matplotlib.patches import Patch

    entries = [(COLOURS[part], PART_NAMES[part]) for part in (TRAIN, VALIDATION, TEST)]
    entries += [(GUARD_COLOUR, "guard, or not used"), (UNLABELLED_COLOUR, "unlabelled")]
    handles = [Patch(color=colour, label=name, linewidth=0) for colour, name in (*entries, *others)]
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(x, y), ncols=len(handles), handlelength=0.9,
        handleheight=0.9, columnspacing=1.4, handletextpad=0.5, borderpad=0, labelcolor=palette.QUIET, fontsize=9.0,
    )  # fmt: skip


@palette.house_style()
def parts_figure(parts: PartsMap, title: str) -> Figure:
    """One map of parts with its legend."""
    height, width = parts.shape
    across = 430.0
    down = min(1.6 * across, across * height / width)
    figure = palette.new_figure(across, down + 60)
    axes = figure.add_axes((0.02, 34 / (down + 60), 0.96, down / (down + 60) - 0.02))
    show_map(axes, parts_picture(parts), title)
    legend_of_parts(figure, 16 / (down + 60))
    return figure


def write_parts_picture(dataset: Dataset, split: Split, path: Path) -> None:
    """Write the map of a split.

    Raises:
        DataError: the name ends with none of .png, .svg and .pdf.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise DataError(f"{path} must end with .png, .svg or .pdf.")
    leaking = ", leaking" if split.leakage is not None and split.leakage.leaks else ""
    figure = parts_figure(parts_of(dataset, split), f"{dataset.name}{leaking}")
    write_aside(path, partial(figure.savefig, format=kind, dpi=160))
