"""What is kept beside a map while it is made, so that a killed prediction goes on where it was.

.NAME.part.npy    the finished rows of cells, one after the other: (rows, K, columns) float32
.NAME.part.json   how many rows are finished, and the fingerprint of what makes them

A row counts once it is on the disk and the JSON file says so. Nothing else is kept: rows of cells that were not
finished are computed again from their windows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from konvoi.errors import DataError
from konvoi.files import remove_leftovers_of, write_json


class UnfinishedMap:
    """The rows of a map that are finished."""

    def __init__(self, out: Path, shape: tuple[int, int, int], fingerprint: str) -> None:
        """Go on with what lies beside `out`, if it has the same fingerprint; otherwise begin anew.

        Args:
            out: the map that will be written.
            shape: `(rows, K, columns)` of all of it.
            fingerprint: of weights, scene and settings.

        Raises:
            DataError: the folder does not exist or cannot be written.
        """
        self._out = out
        self._rows_path = out.with_name(f".{out.name}.part.npy")
        self._facts_path = out.with_name(f".{out.name}.part.json")
        self._shape = shape
        self._fingerprint = fingerprint
        self.rows_done = 0
        self.replaced_another = False
        try:
            self._begin()
        except OSError as error:
            raise DataError(f"{out} cannot be written: {error.strerror or error}.") from error

    def _begin(self) -> None:
        for written in (self._out, self._facts_path):
            remove_leftovers_of(written)
        facts = _json(self._facts_path)
        self.replaced_another = facts is not None and facts.get("fingerprint") != self._fingerprint
        if facts is not None and not self.replaced_another and self._rows_path.exists():
            kept = int(facts["rows_done"])
            if self._rows_path.stat().st_size >= self._start_of(kept):
                self.rows_done = kept
        if self.rows_done == 0:
            self._facts_path.unlink(missing_ok=True)
            with self._rows_path.open("wb") as file:
                file.write(self._header())
                os.fsync(file.fileno())

    def append(self, rows: NDArray[np.float32]) -> None:
        """Keep finished rows, `(n, K, columns)`.

        Raises:
            OSError: the disk is full; the rows are then not counted.
        """
        with self._rows_path.open("r+b") as file:
            # A killed predecessor may have written a part of these rows.
            file.truncate(self._start_of(self.rows_done))
            file.seek(self._start_of(self.rows_done))
            file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.rows_done += len(rows)
        write_json(self._facts_path, {"fingerprint": self._fingerprint, "rows_done": self.rows_done})

    def blocks(self, side: int) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
        """The whole map in blocks of at most `side` × `side` cells: rows, columns, and `(n, K, m)`."""
        rows, _, columns = self._shape
        for top in range(0, rows, side):
            for left in range(0, columns, side):
                down, across = slice(top, min(top + side, rows)), slice(left, min(left + side, columns))
                # Mapped anew for each block: pages that were read would otherwise all stay in the process.
                yield down, across, np.array(np.load(self._rows_path, mmap_mode="r")[down, :, across])

    def remove(self) -> None:
        """Remove both files; the map is written."""
        self._facts_path.unlink(missing_ok=True)
        self._rows_path.unlink(missing_ok=True)

    @property
    def _row_bytes(self) -> int:
        return 4 * self._shape[1] * self._shape[2]

    def _start_of(self, row: int) -> int:
        return len(self._header()) + row * self._row_bytes

    def _header(self) -> bytes:
        """That of a NumPy file, so that anyone can look into it."""
        from io import BytesIO

        header = BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": tuple(self._shape)}
        )
        return header.getvalue()


def fingerprint(network: nn.Module, scene: Path, settings: dict[str, Any]) -> str:
    """SHA-256 of a network's weights, a scene's path, size and time of change, and whatever else decides the map."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    facts = scene.stat()
    described = {"scene": str(scene.resolve()), "bytes": facts.st_size, "changed": facts.st_mtime_ns, **settings}
    digest.update(json.dumps(described, sort_keys=True).encode())
    return digest.hexdigest()


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
