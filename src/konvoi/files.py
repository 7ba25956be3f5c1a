"""Writing files so that a reader, or a crash at any moment, sees the old content or the new, never a part."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was before.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    write_aside(path, lambda aside: _fill(aside, text))


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as text that can be printed and written as UTF-8; bytes that are not become \\x escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of `write_aside` that a killed process left in a folder."""
    for leftover in folder.glob(".*.part"):
        leftover.unlink(missing_ok=True)


def remove_leftovers_of(path: Path) -> None:
    """Remove those of one file, in a folder in which others may be at work."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.[0-9]*.part"):
        leftover.unlink(missing_ok=True)


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost when the machine loses power.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
