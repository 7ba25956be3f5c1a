"""The table of a scaling study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from konvoi.console.terminal import plain_table, terminal

if TYPE_CHECKING:
    from konvoi.studies.scale_results import ScaleResult


def print_scaling(results: Sequence[ScaleResult], sentences: Mapping[str, Sequence[str]]) -> None:
    """A row for each mode and number of ranks, then the study's sentences under their headings."""
    from konvoi.report.wording import duration
    from konvoi.studies.scale_results import compare

    table = plain_table()
    table.add_column("scaling")
    columns = ("ranks", "batch", "lr", "epoch", "samples/s", "speed-up", "efficiency")
    shares = ("computing", "gradients", "data")
    for column in (*columns, *shares, f"validation {results[0].measure}", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in compare(results):
        result = entry.result
        scored = ("diverged", "–")
        if result.score is not None and result.interval is not None:
            scored = (f"{result.score:.4f}", f"{result.interval[0]:.4f} – {result.interval[1]:.4f}")
        table.add_row(
            result.mode,
            f"{result.ranks:,}",
            f"{result.batch:,}",
            f"{result.lr:g}",
            duration(result.epoch_seconds),
            f"{result.samples_per_second:,.0f}",
            f"{entry.speed_up:.2f}",
            f"{entry.efficiency:.0%}",
            *(f"{share:.1%}" for share in result.shares),
            *scored,
        )
    console = terminal()
    console.print(table)
    for heading, lines in sentences.items():
        console.print(f"\n{heading}", style="bold")
        for line in lines:
            console.print(f"  {line}")
