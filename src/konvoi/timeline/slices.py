"""Of every moment of the recorded steps: the part of the step that it belongs to, and the kind of work that was done.

On a processor the moments are those of the thread that trains. On a GPU they are the GPU's own, and each kernel belongs
to where it was launched; while the GPU does nothing, it waits for the data or for the processor.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from konvoi.timeline.operators import (
    BETWEEN,
    COMMUNICATION,
    DATA,
    HOST_TO_DEVICE,
    LOSS,
    OPTIMISER,
    kind_of,
    kind_of_name,
    operator_of,
)
from konvoi.timeline.trace import Span, Stretch, Trace, at, read_trace, stretches
from konvoi.training.data_parallel import AVERAGE_MARK

DATA_MARK = "konvoi: data"
STEP_MARK = "konvoi: step"
LOSS_MARK = "konvoi: loss"
WAIT_MARK = "konvoi: wait for the GPU"

FORWARD, BACKWARD, REST = "forward", "backward", "rest"
PHASES = (DATA, FORWARD, LOSS, BACKWARD, COMMUNICATION, OPTIMISER, REST)
"""Parts of a step in their order. `REST` is what the loop does besides: seeds, the average of weights, counting."""

_AUTOGRAD = "autograd::engine::evaluate_function"
_ZERO_GRAD, _OPTIMISER_STEP = "Optimizer.zero_grad", "Optimizer.step"


@dataclass(frozen=True)
class Slice:
    """A stretch of time with the part of the step and the kind of work that it belongs to.

    Attributes:
        start: in microseconds.
        end: in microseconds.
        step: which of the recorded steps, from 0.
        phase: one of `PHASES`.
        kind: one of `operators.KINDS`.
        operator: the innermost one, if there is one.
    """

    start: float
    end: float
    step: int
    phase: str
    kind: str
    operator: str | None = None

    @property
    def duration(self) -> float:
        """Microseconds."""
        return self.end - self.start


def slices_of(content: Mapping[str, Any], several_ranks: bool = False) -> list[Slice]:
    """Cut the recorded steps into slices, in order and without gaps, from the first batch's beginning to the end.

    Args:
        content: a trace in Chrome's format with the marks above.
        several_ranks: whether gradients are waited for at the end of the backward pass.
    """
    trace = read_trace(content)
    main = trace.thread_with(STEP_MARK)
    own = _own_time(trace, main, several_ranks)
    return _gpu_time(trace, main, own) if trace.gpu else own


def _own_time(trace: Trace, main: object, several_ranks: bool) -> list[Slice]:
    """Slices of the thread that trains."""
    cut = stretches(trace.threads[main])
    inside = [position for position, stretch in enumerate(cut) if _mark(stretch) is not None]
    cut = cut[inside[0] : inside[-1] + 1]
    steps = _numbers(cut)
    phases = _phases(cut, steps, several_ranks)
    slices = []
    for stretch, step, phase in zip(cut, steps, phases, strict=True):
        slices.append(
            Slice(
                stretch.start,
                stretch.end,
                step,
                phase,
                phase if phase in (DATA, LOSS, OPTIMISER, COMMUNICATION) else kind_of(stretch.stack),
                operator_of(stretch.stack),
            )
        )
    return slices


def _mark(stretch: Stretch) -> str | None:
    return next((name for name in stretch.stack if name in (DATA_MARK, STEP_MARK, WAIT_MARK)), None)


def _numbers(cut: Sequence[Stretch]) -> list[int]:
    """The step of each stretch: one begins where the waiting for its data does."""
    numbers, step, before = [], -1, None
    for stretch in cut:
        mark = _mark(stretch)
        if mark == DATA_MARK and before != DATA_MARK:
            step += 1
        before = mark or before
        numbers.append(max(step, 0))
    return numbers


def _anchor(stretch: Stretch) -> str | None:
    """The part that a stretch's own spans name; None where only its neighbours tell."""
    for name in stretch.stack:
        if name == DATA_MARK:
            return DATA
        if name == LOSS_MARK:
            return LOSS
        if name == AVERAGE_MARK:
            return COMMUNICATION
        if name.startswith((_ZERO_GRAD, _OPTIMISER_STEP)):
            return OPTIMISER
        if name.startswith(_AUTOGRAD):
            return BACKWARD
    return None


def _phases(cut: Sequence[Stretch], steps: Sequence[int], several_ranks: bool) -> list[str]:
    """The part of the step that each stretch belongs to; those without a name by what comes before and after."""
    anchors = [_anchor(stretch) for stretch in cut]
    following: list[str | None] = [None] * len(cut)
    for position in range(len(cut) - 2, -1, -1):
        if steps[position + 1] == steps[position]:
            following[position] = anchors[position + 1] or following[position + 1]
    phases, before = [], DATA
    for stretch, anchor, after in zip(cut, anchors, following, strict=True):
        if anchor is not None:
            before = anchor
            phases.append(anchor)
        else:
            phases.append(_between(before, after, several_ranks) if _mark(stretch) == STEP_MARK else REST)
    return phases


def _between(before: str, after: str | None, several_ranks: bool) -> str:
    match before, after:
        case _, "loss":
            return FORWARD
        case "loss", _:
            return BACKWARD
        case "backward", "backward":
            return BACKWARD
        case "backward", "optimiser":
            # Several ranks wait here for the gradients that still travel; one alone clips or unscales them.
            return COMMUNICATION if several_ranks else OPTIMISER
        case _:
            return REST


def _gpu_time(trace: Trace, main: object, own: Sequence[Slice]) -> list[Slice]:
    """Slices of the GPU's time; where kernels overlap, computing comes before communicating."""
    beginning = own[0].start
    kernels = [span for span in trace.gpu if span.end > beginning]
    end = max([own[-1].end, *(span.end for span in kernels)])
    cuts = {thread: stretches(spans) for thread, spans in trace.threads.items()}
    known = [(span, *_belonging(span, trace, cuts, main, own)) for span in kernels]
    edges = [edge for span in kernels for edge in (span.start, span.end) if edge > beginning]
    moments = sorted({beginning, end, *edges, *(entry.start for entry in own)})
    slices, running, upcoming = [], [], 0
    for start, stop in pairwise(moments):
        while upcoming < len(known) and known[upcoming][0].start <= start:
            running.append(known[upcoming])
            upcoming += 1
        running = [entry for entry in running if entry[0].end > start]
        if running:
            computing = [entry for entry in running if entry[2] != COMMUNICATION]
            _, phase, kind, operator, step = (computing or running)[0]
            if kind == COMMUNICATION:
                phase = COMMUNICATION
            slices.append(Slice(start, stop, step, phase, kind, operator))
        else:
            position = _position(own, start)
            phase = own[position].phase
            slices.append(Slice(start, stop, own[position].step, phase, DATA if phase == DATA else BETWEEN))
    return slices


def _belonging(
    span: Span, trace: Trace, cuts: Mapping[object, list[Stretch]], main: object, own: Sequence[Slice]
) -> tuple[str, str, str | None, int]:
    """The part, kind, operator and step of a kernel, by what its launch was part of."""
    launch = trace.launches.get(span.correlation) if span.correlation is not None else None
    moment = span.start if launch is None else launch.start
    at_launch = own[_position(own, moment)]
    stack: tuple[str, ...] = ()
    if launch is not None and launch.thread in cuts:
        position = at(cuts[launch.thread], moment)
        stack = () if position is None else cuts[launch.thread][position].stack
    by_name = kind_of_name(span.name)
    if by_name in (COMMUNICATION, HOST_TO_DEVICE):
        return at_launch.phase, by_name, None, at_launch.step
    phase = at_launch.phase
    if launch is not None and launch.thread != main and any(name.startswith(_AUTOGRAD) for name in stack):
        phase = BACKWARD
    kind = phase if phase in (DATA, LOSS, OPTIMISER) else kind_of(stack) if stack else by_name or BETWEEN
    return phase, kind, operator_of(stack), at_launch.step


def _position(own: Sequence[Slice], moment: float) -> int:
    return max(0, bisect_right(own, moment, key=lambda entry: entry.start) - 1)
