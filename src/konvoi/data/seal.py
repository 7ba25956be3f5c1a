"""The seal on the test split: its indices open only with a reader's name and a log to write it to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SealedTest:
    """The test indices behind a seal: every opening is written to a log before the indices are given out."""

    def __init__(self, indices: NDArray[np.int64]) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def open(self, reader: str, log: Path) -> NDArray[np.int64]:
        """The indices, after one JSON line (time, reader, samples) was appended to `log` and synced."""
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "reader": reader,
                "samples": len(self._indices),
            }
        )
        with log.open("a+", encoding="utf-8") as file:
            file.seek(0)
            torn = file.read()[-1:] not in ("", "\n")
            file.write(("\n" if torn else "") + line + "\n")
            file.flush()
            os.fsync(file.fileno())
        return self._indices

    def indices_for_audit(self) -> NDArray[np.int64]:
        """The indices for counting and comparing (see `data.audit`); never for a network."""
        return self._indices


def logged_openings(log: Path) -> list[dict[str, Any]]:
    """Every opening of the test split that a log holds, oldest first.

    A line that was torn by a crash still counts as an opening, by "unknown", at the time the log was last written.
    """
    if not log.exists():
        return []
    openings = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip():
            try:
                openings.append(json.loads(line))
            except ValueError:
                written = datetime.fromtimestamp(log.stat().st_mtime, UTC)
                openings.append({"time": written.isoformat(timespec="seconds"), "reader": "unknown", "samples": 0})
    return openings
