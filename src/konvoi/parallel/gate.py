"""A gate in front of forked ranks, which opens when all of them are there."""

from __future__ import annotations

import os
import select

_LONGEST_SECONDS = 60.0


class Gate:
    """Keeps ranks from connecting to their launcher while it is still forking.

    A connection makes a thread of the launcher look up where it comes from, under a lock of the C library. A rank that
    is forked while that is held has it held for good, and would wait for it without end at its own first connection.
    """

    def __init__(self, ranks: int) -> None:
        """Count forks of this process from now on.

        Args:
            ranks: how many make up all of them; after a restart, as many again.
        """
        self._ranks = ranks
        self._forked = 0
        self._counts = True
        self._read, self._write = os.pipe()
        os.register_at_fork(after_in_parent=self._count)

    def pass_through(self) -> None:
        """In a rank: return when the launcher has forked all, or has ended."""
        os.close(self._write)
        # What is read is the end of the pipe: nobody has its other side any more.
        select.select([self._read], [], [], _LONGEST_SECONDS)
        os.close(self._read)

    def close(self) -> None:
        """In the launcher: count no more."""
        self._counts = False
        os.close(self._read)
        os.close(self._write)

    def _count(self) -> None:
        if not self._counts:
            return
        self._forked += 1
        if self._forked == self._ranks:
            os.close(self._read)
            os.close(self._write)
            self._read, self._write = os.pipe()
            self._forked = 0
