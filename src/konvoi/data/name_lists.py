"""Lists of patch names, one a line: the official splits, and the patches with snow or cloud."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from konvoi.data.patches import PARTS
from konvoi.errors import DataError

SUFFIXES = (".csv", ".txt", ".csv.gz", ".csv.bz2", ".txt.gz", ".txt.bz2")
STEMS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
_HEADERS = {"name", "patch", "patch_id", "patch_name"}


def read_names(path: Path) -> list[str]:
    """The names in a list: the first column, whatever the line endings; a header is passed over.

    Raises:
        DataError: the file cannot be read, or names something twice.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".bz2":
            content = bz2.decompress(content)
        elif path.suffix == ".gz":
            content = gzip.decompress(content)
        names = names_in(content.decode("utf-8-sig"))
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(f"The list {path} cannot be read: {error}.") from error
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"The list {path} names {twice} twice.")
    return names


def names_in(text: str) -> list[str]:
    """The first column of a list's text; names that hold a comma or a quotation mark are quoted, as in all CSV.

    Raises:
        csv.Error: a quotation mark is not closed.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = [name for row in rows if row and (name := row[0].strip())]
    return names[1:] if names and names[0].lower() in _HEADERS else names


def find_list(folders: Iterable[Path], stems: Iterable[str]) -> Path | None:
    """The first file with one of these stems, in any of the usual formats."""
    stems = tuple(stems)
    for folder in folders:
        for stem in stems:
            for suffix in SUFFIXES:
                if (folder / f"{stem}{suffix}").is_file():
                    return folder / f"{stem}{suffix}"
    return None


def read_parts(folders: Iterable[Path]) -> dict[str, str]:
    """Part by name, from the lists train, val (or validation) and test; empty where no folder has lists.

    Raises:
        DataError: there is a list, but none for the test; or a name stands in two lists.
    """
    folders = tuple(folders)
    lists = {part: path for part in PARTS if (path := find_list(folders, STEMS[part])) is not None}
    if not lists:
        return {}
    missing = [part for part in ("train", "test") if part not in lists]
    if missing:
        raise DataError(
            f"{next(iter(lists.values()))} is a list of a split, but beside it there is none named "
            f"{' or '.join(missing)}. Add it, or take the lists away."
        )
    parts: dict[str, str] = {}
    for part, path in lists.items():
        for name in read_names(path):
            if name in parts:
                raise DataError(f"{name} stands in two lists, {lists[parts[name]]} and {path}. It can be in one part.")
            parts[name] = part
    return parts
