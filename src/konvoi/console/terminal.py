"""The terminal, and how figures and shapes are written on it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def terminal() -> Console:
    """Where everything is printed."""
    # A pipe or a file has no width; a table cut to 80 columns there would lose figures.
    # And what a user named "a[bold]" is text, not markup.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = 160
    return console


def plain_table() -> Table:
    """A table without lines."""
    return Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2))


def by(shape: Sequence[int]) -> str:
    """A shape as 3×120×120."""
    return "×".join(str(side) for side in shape)


def count_or_dash(number: int) -> str:
    """A number, or a dash for none."""
    return f"{number:,}" if number else "–"
