"""A picture of a map for the eye: the most probable class of every cell in its colour, and a legend in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from konvoi.colours import class_colours
from konvoi.files import write_aside

_MAP_PIXELS = 1000
_LEGEND_PIXELS = 400
_DPI = 100
_LEGEND_ENTRIES = 14
_INK = "#1c1f23"
_QUIET = "#5b636b"
_NO_DATA = (236, 238, 240)
_ELSE = (190, 196, 201)


@dataclass(frozen=True)
class Overview:
    """Every `step`-th cell of a map.

    Attributes:
        best: `(rows, columns)`, the most probable class, −1 where there are no data.
        counts: `(K,)`, of all cells, the number in which a class is the most probable.
        step: cells from one to the next.
    """

    best: NDArray[np.int64]
    counts: NDArray[np.int64]
    step: int


def overview(
    blocks: Iterable[tuple[slice, slice, NDArray[np.float32]]], rows: int, columns: int, classes: int
) -> Overview:
    """Thin a map out to at most 1000 cells a side.

    Args:
        blocks: rows and columns of cells, and their probabilities `(n, K, m)`.
        rows, columns: of the whole map.
        classes: K.
    """
    step = -(-max(rows, columns) // _MAP_PIXELS)
    best = np.full((-(-rows // step), -(-columns // step)), -1)
    counts = np.zeros(classes, dtype=np.int64)
    for where_down, where_across, probabilities in blocks:
        nowhere = np.isnan(probabilities[:, 0])
        chosen = np.where(nowhere, -1, np.nan_to_num(probabilities).argmax(axis=1))
        counts += np.bincount(chosen[~nowhere], minlength=classes)
        down = np.arange(where_down.start + -where_down.start % step, where_down.stop, step)
        across = np.arange(where_across.start + -where_across.start % step, where_across.stop, step)
        kept = chosen[np.ix_(down - where_down.start, across - where_across.start)]
        best[np.ix_(down // step, across // step)] = kept
    return Overview(best, counts, step)


def write_quicklook(
    path: Path, seen: Overview, class_names: tuple[str, ...], title: str, about: str, aspect: float
) -> None:
    """Write the PNG, at most 1500 pixels a side.

    Args:
        path: the file.
        seen: the map.
        class_names: the K classes.
        title: in bold above the map.
        about: a quiet line under the title.
        aspect: height of a cell by its width.

    Raises:
        OSError: it cannot be written.
    """
    colours = class_colours(len(class_names))
    by_area = [int(number) for number in np.argsort(-seen.counts, kind="stable") if seen.counts[number]]
    named, unnamed = by_area[:_LEGEND_ENTRIES], by_area[_LEGEND_ENTRIES:]
    table = np.array(
        [*(_ELSE if number in set(unnamed) else colours[number] for number in range(len(colours))), _NO_DATA]
    )
    picture = table[seen.best].astype(np.uint8)

    rows, columns = seen.best.shape
    scale = _MAP_PIXELS / max(columns, rows * aspect)
    width, height = columns * scale / _DPI, rows * scale * aspect / _DPI
    margin, head, legend = 0.3, 0.8, _LEGEND_PIXELS / _DPI
    legend_height = 0.24 * (len(named) + 3)
    page_width, page_height = 2 * margin + width + legend, head + max(height, legend_height) + margin
    figure = Figure(figsize=(page_width, page_height), dpi=_DPI, facecolor="white")
    figure.text(
        margin / page_width, 1 - 0.34 / page_height, title, weight="bold", size=12, color=_INK, parse_math=False
    )
    figure.text(margin / page_width, 1 - 0.6 / page_height, about, size=9, color=_QUIET, parse_math=False)
    axes = figure.add_axes(
        (margin / page_width, 1 - (head + height) / page_height, width / page_width, height / page_height)
    )
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    beside = figure.legend(
        handles=_legend(seen, class_names, colours, named, unnamed),
        loc="upper left",
        bbox_to_anchor=((margin + width + 0.1) / page_width, 1 - (head - 0.06) / page_height),
        frameon=False,
        fontsize=9.5,
        labelcolor=_INK,
        handlelength=1.1,
        handleheight=1.1,
        borderaxespad=0,
    )
    for text in beside.get_texts():
        text.set_parse_math(False)

    def save(aside: Path) -> None:
        figure.savefig(aside, format="png", metadata={"Software": None})

    write_aside(path, save)


def _legend(
    seen: Overview, class_names: tuple[str, ...], colours: list[Any], named: list[int], unnamed: list[int]
) -> list[Patch]:
    cells = max(1, int(seen.counts.sum()))
    entries = [
        Patch(
            facecolor=_unit(colours[number]),
            label=f"{_short(class_names[number])}  {_share(seen.counts[number] / cells)}",
        )
        for number in named
    ]
    if unnamed:
        share = seen.counts[unnamed].sum() / cells
        entries.append(Patch(facecolor=_unit(_ELSE), label=f"{len(unnamed)} further classes  {_share(share)}"))
    if (seen.best < 0).any():
        entries.append(Patch(facecolor=_unit(_NO_DATA), label="no data"))
    return entries


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def _short(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"
