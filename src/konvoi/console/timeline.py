"""Where the time of a step goes, and what to change."""

from __future__ import annotations

from collections.abc import Sequence

from konvoi.console.terminal import plain_table, terminal
from konvoi.timeline.advice import Advice
from konvoi.timeline.summary import TimelineSummary

_DISTORTED = 1.3


def print_timeline(summary: TimelineSummary, advice: Sequence[Advice]) -> None:
    """Parts of the step, kinds of work, the longest operators, and the advice."""
    console = terminal()
    ranks = "" if summary.ranks == 1 else f", rank 0 of {summary.ranks}"
    console.print(
        f"{summary.recipe}: {summary.batch} samples a step{ranks}, {summary.precision}, {summary.device}, "
        f"{summary.threads} thread{'' if summary.threads == 1 else 's'}",
        style="bold",
    )
    console.print(
        f"a step takes {1e3 * summary.seconds:,.1f} ms ({summary.batch / summary.seconds:,.0f} samples/s), and "
        f"{1e3 * summary.recorded:,.1f} ms under the profiler; shares are of the latter, over {summary.steps} steps"
    )
    if summary.slow_down > _DISTORTED:
        console.print(
            "caution: the profiler makes the step longer, and short operators and what is between them most of all"
        )
    for title, times in (("part of the step", summary.phases), ("kind of work", summary.kinds)):
        table = plain_table()
        table.add_column(title)
        table.add_column("ms", justify="right")
        table.add_column("share", justify="right")
        for name, seconds in sorted(times.items(), key=lambda entry: -entry[1]):
            table.add_row(name, f"{1e3 * seconds:,.2f}", f"{summary.share_of(name):.1%}")
        console.print()
        console.print(table)
    table = plain_table()
    table.add_column("operator")
    table.add_column("kind of work")
    table.add_column("ms", justify="right")
    for entry in summary.operators:
        table.add_row(entry.operator, entry.kind, f"{1e3 * entry.seconds:,.2f}")
    console.print()
    console.print(table)
    console.print("\nwhat to change", style="bold")
    if not advice:
        console.print("nothing stands out: the time goes into the network's own arithmetic")
    for conclusion in advice:
        console.print(f"- {conclusion.found} {conclusion.change}")
