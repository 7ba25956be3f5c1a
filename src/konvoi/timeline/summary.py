"""The slices of a recording added up: by part of the step, by kind of work, and by operator."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from konvoi.record import Record
from konvoi.timeline.operators import KINDS
from konvoi.timeline.recording import Recording
from konvoi.timeline.slices import PHASES, Slice

_OPERATORS_KEPT = 12


class OperatorTime(Record):
    """One operator: the seconds of a step in which it was the innermost with a kind of its own."""

    operator: str
    kind: str
    seconds: float


class TimelineSummary(Record):
    """Where the time of a step goes. Times are seconds of one step, the mean over the recorded ones.

    Attributes:
        recipe: its name.
        device: `cpu` or `cuda`.
        precision: of the forward pass.
        threads: of the processor.
        ranks: how many there were; this is the first one's time.
        batch: samples of a step on this rank.
        steps: recorded.
        seconds: of a step without the profiler.
        recorded: of a step under the profiler; the sum of `phases`, and of `kinds`.
        step_seconds: of each recorded step.
        phases: by part of the step.
        kinds: by kind of work.
        operators: the longest ones.
    """

    recipe: str
    device: str
    precision: str
    threads: int
    ranks: int
    batch: int
    steps: int
    seconds: float
    recorded: float
    step_seconds: tuple[float, ...]
    phases: dict[str, float]
    kinds: dict[str, float]
    operators: tuple[OperatorTime, ...]

    def share_of(self, kind: str) -> float:
        """Of a kind of work or a part of the step, in the recorded time."""
        return (self.kinds | self.phases).get(kind, 0.0) / self.recorded if self.recorded else 0.0

    @property
    def slow_down(self) -> float:
        """How much longer a step takes under the profiler; short operators are lengthened most."""
        return self.recorded / self.seconds


def summarise_slices(recipe: str, recording: Recording, slices: Sequence[Slice]) -> TimelineSummary:
    """Add up a recording's slices.

    Args:
        recipe: its name.
        recording: from which the slices are.
        slices: of one step or more.
    """
    steps = 1 + max(entry.step for entry in slices)
    phases = _sums(slices, lambda entry: entry.phase, steps)
    kinds = _sums(slices, lambda entry: entry.kind, steps)
    operators = _sums(
        [entry for entry in slices if entry.operator], lambda entry: f"{entry.operator}\n{entry.kind}", steps
    )
    longest = sorted(operators.items(), key=lambda entry: -entry[1])[:_OPERATORS_KEPT]
    by_step = _sums(slices, lambda entry: str(entry.step), 1)
    return TimelineSummary(
        recipe=recipe,
        device=recording.device,
        precision=recording.precision,
        threads=recording.threads,
        ranks=recording.ranks,
        batch=recording.batch,
        steps=steps,
        seconds=recording.seconds,
        recorded=sum(phases.values()),
        step_seconds=tuple(by_step[str(step)] for step in range(steps)),
        phases={phase: phases[phase] for phase in PHASES if phase in phases},
        kinds={kind: kinds[kind] for kind in KINDS if kind in kinds},
        operators=tuple(
            OperatorTime(operator=name.partition("\n")[0], kind=name.partition("\n")[2], seconds=seconds)
            for name, seconds in longest
        ),
    )


def median_step(slices: Sequence[Slice]) -> list[Slice]:
    """The slices of the recorded step whose length is the median; of an even number, the shorter one in the middle."""
    lengths = _sums(slices, lambda entry: str(entry.step), 1)
    middle = statistics.median_low(lengths.values())
    chosen = next(int(step) for step, length in lengths.items() if length == middle)
    return [entry for entry in slices if entry.step == chosen]


def _sums(slices: Sequence[Slice], key: Callable[[Slice], str], steps: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for entry in slices:
        sums[key(entry)] = sums.get(key(entry), 0.0) + entry.duration / 1e6 / steps
    return sums
