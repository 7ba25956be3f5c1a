"""The colours of all charts and their matplotlib style.

Seven colours, each with one meaning throughout the report; `style.css` holds the same names twice, for light and
dark pages. What is drawn with them is in `figures` and `confusion`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import matplotlib.style
from matplotlib.figure import Figure

F = TypeVar("F", bound=Figure)

# The hues of Okabe and Ito ("Color universal design", 2008), which colour-blind readers can tell apart; orange,
# green and purple are darkened until a thin line of them has a contrast of 3 on white.
TRAIN = "#0072b2"
VALIDATION = "#c47a00"
TEST = "#00805f"
ERROR = "#b03a78"
INK = "#1c1f23"
QUIET = "#5b636b"
LINE = "#d5dade"

CSS_NAMES = {
    TRAIN: "train",
    VALIDATION: "validation",
    TEST: "test",
    ERROR: "error",
    INK: "ink",
    QUIET: "quiet",
    LINE: "line",
}
"""The CSS variable that stands for each colour, so that a chart follows the page into the dark."""

POINTS_PER_INCH = 72

STYLE = {
    "font.size": 10.0,
    # A class may be called "$5 note"; text is text, never a formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 10.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    # The same figure gets the same ids, so that the same run gives the same file.
    "svg.hashsalt": "konvoi",
}


@contextmanager
def house_style() -> Iterator[None]:
    """The style above for the length of a `with`, over matplotlib's defaults and not over the user's settings."""
    with matplotlib.style.context(["default", STYLE]):
        yield


class Chart(Figure):
    """A figure that notebooks show by themselves; matplotlib's own needs pyplot for that."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        with house_style():
            self.savefig(picture, format="png", dpi=2 * POINTS_PER_INCH)
        return picture.getvalue()


def call_leaking(figure: F, leaks: bool) -> F:
    """Write "leaking split" into a figure's corner where that is so, which then goes wherever the figure goes."""
    if leaks:
        with house_style():
            figure.text(0.005, 0.995, "leaking split", ha="left", va="top", color=ERROR, fontsize=9, fontweight="bold")
    return figure


def new_figure(width: float, height: float) -> Chart:
    """An empty figure of so many points, apart from pyplot, so that nothing stays in its global state."""
    return Chart(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), dpi=POINTS_PER_INCH)
