"""SIGINT and SIGTERM as a wish that the loop can look at between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from konvoi.parallel.launch import watched_by_agent


class SignalWatch:
    """Within `with`, remembers the first SIGINT or SIGTERM instead of dying of it; a second one kills as usual.

    A rank under an elastic agent gets each signal twice, from the terminal and from the agent, so there a second one
    is the same; the agent itself kills ranks that take too long.

    Outside the main thread, where Python cannot handle signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not watched_by_agent():
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
