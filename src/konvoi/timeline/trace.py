"""Reading a trace in Chrome's format: spans on threads and on a GPU, and what each thread did at every moment.

The format: "Trace Event Format", Google 2016; times are microseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GPU_CATEGORIES = ("kernel", "gpu_memcpy", "gpu_memset")
_THREAD_CATEGORIES = ("cpu_op", "user_annotation")
_LAUNCH_CATEGORIES = ("cuda_runtime", "cuda_driver")


@dataclass(frozen=True)
class Span:
    """Something with a name that lasted from `start` to `end`, in microseconds.

    Attributes:
        thread: on which it was; of a GPU, its stream.
        correlation: the number that a launch on a thread shares with its span on the GPU.
    """

    name: str
    start: float
    end: float
    thread: object
    correlation: int | None = None


@dataclass(frozen=True)
class Stretch:
    """A stretch of a thread's time in which the same spans were open: `stack`, from the outermost to the innermost."""

    start: float
    end: float
    stack: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """The spans of a trace.

    Attributes:
        threads: operators and marks of each thread.
        gpu: kernels and copies.
        launches: on threads, by the number that they share with the GPU's span.
    """

    threads: Mapping[object, Sequence[Span]]
    gpu: Sequence[Span]
    launches: Mapping[int, Span]

    def thread_with(self, name: str) -> object:
        """The thread on which a span of this name is."""
        for thread, spans in self.threads.items():
            if any(span.name == name for span in spans):
                return thread
        raise ValueError(f"the trace has no span {name!r}")


def read_trace(content: Mapping[str, Any]) -> Trace:
    """Sort the events of a trace by where they happened."""
    threads: dict[object, list[Span]] = defaultdict(list)
    gpu, launches = [], {}
    for event in content["traceEvents"]:
        if event.get("ph") != "X":
            continue
        category = event.get("cat")
        start = float(event["ts"])
        arguments = event.get("args", {})
        number = arguments.get("correlation")
        span = Span(event["name"], start, start + float(event.get("dur", 0)), event.get("tid"), number)
        if category in GPU_CATEGORIES:
            gpu.append(span)
        elif category in _THREAD_CATEGORIES:
            threads[span.thread].append(span)
        elif category in _LAUNCH_CATEGORIES and number is not None:
            launches[number] = span
    return Trace(threads, sorted(gpu, key=lambda span: span.start), launches)


def stretches(spans: Iterable[Span]) -> list[Stretch]:
    """A thread's time from its first span to its last, cut wherever a span begins or ends; in order, without gaps.

    Spans of one thread are nested: one that began within another ends with it at the latest.
    """
    found: list[Stretch] = []
    open_spans: list[Span] = []
    now: float | None = None

    def advance(until: float) -> None:
        nonlocal now
        if now is not None and until > now:
            found.append(Stretch(now, until, tuple(span.name for span in open_spans)))
        now = until if now is None else max(now, until)

    for span in sorted(spans, key=lambda entry: (entry.start, -entry.end)):
        while open_spans and open_spans[-1].end <= span.start:
            advance(open_spans[-1].end)
            open_spans.pop()
        advance(span.start)
        if open_spans and span.end > open_spans[-1].end:
            # Rounded to a nanosecond, an end may lie behind that of the span around it.
            span = Span(span.name, span.start, open_spans[-1].end, span.thread)
        open_spans.append(span)
    while open_spans:
        advance(open_spans[-1].end)
        open_spans.pop()
    return found


def at(cut: Sequence[Stretch], moment: float) -> int | None:
    """The position of the stretch that a moment lies in; None outside of all."""
    position = bisect_right(cut, moment, key=lambda stretch: stretch.start) - 1
    return position if position >= 0 and moment < cut[position].end else None
