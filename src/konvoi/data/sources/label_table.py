"""A table of names and labels beside a folder of images: CSV, Parquet or JSON, one label or several.

The name stands in a column called name, patch, patch_id, file, filename, image or id, the first of these that there is,
else in the first column. The labels stand in one column called labels, label, classes or class (several parted by `;`
or `|`, or a list), or in columns of 0 and 1, one a class.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from konvoi.errors import DataError

NAME_COLUMNS = ("name", "patch", "patch_id", "file", "filename", "image", "id")
LABEL_COLUMNS = ("labels", "label", "classes", "class")
_SEPARATORS = (";", "|")


@dataclass(frozen=True)
class LabelTable:
    """Labels by name.

    Attributes:
        labels: each one or several, in the table's order; none where a row has none.
        class_names: all that occur, sorted; or the columns of 0 and 1, in their order.
        several_labels: whether the table's form allows several a row.
    """

    labels: dict[str, tuple[str, ...]]
    class_names: tuple[str, ...]
    several_labels: bool


def read_label_table(path: Path) -> LabelTable:
    """Read a table.

    Raises:
        DataError: the file cannot be read; a name stands twice; a row lacks a column; or no column holds labels.
    """
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path} holds no rows.")
    columns = list(rows[0])
    name_column = _column(columns, NAME_COLUMNS) or columns[0]
    label_column = _column(columns, LABEL_COLUMNS)
    needed = [name_column] if label_column is None else [name_column, label_column]
    for number, row in enumerate(rows, start=1):
        lacking = [column for column in needed if column not in row]
        if lacking:
            raise DataError(f"{path}: row {number} lacks {' and '.join(lacking)}; it has {', '.join(row)}.")
    others = [column for column in columns if column != name_column]
    if label_column is None:
        indicators = [column for column in others if all(_as_indicator(row.get(column)) is not None for row in rows)]
        if len(indicators) < 2 or len(indicators) < len(others):
            raise DataError(
                f"{path} has the columns {', '.join(columns)}: none is called {', '.join(LABEL_COLUMNS)}, and they are "
                "not all of 0 and 1, one a class. Rename the column of labels."
            )
        found = [tuple(column for column in indicators if _as_indicator(row[column])) for row in rows]
        class_names, several = tuple(indicators), True
    else:
        cells = [row[label_column] for row in rows]
        several = any(isinstance(cell, list | tuple) or _separator(cell) for cell in cells)
        found = [_labels(cell) for cell in cells]
        class_names = tuple(sorted({label for labels in found for label in labels}))
    table: dict[str, tuple[str, ...]] = {}
    for number, (row, labels) in enumerate(zip(rows, found, strict=True), start=1):
        name = str(row[name_column]).strip()
        if not name or row[name_column] is None:
            raise DataError(f"{path}: row {number} has no {name_column}.")
        if name in table:
            raise DataError(f"{path}: row {number} names {name}, which was named before. Each name may stand once.")
        table[name] = labels
    return LabelTable(table, class_names, several)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        match path.suffix.lower():
            case ".csv" | ".tsv" | ".txt":
                return _csv_rows(path)
            case ".json":
                return _json_rows(path)
            case ".parquet":
                return _parquet_rows(path)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"The label table {path} cannot be read: {error}.") from error
    raise DataError(f"The label table {path} is none of .csv, .tsv, .json and .parquet.")


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        # A semicolon may part columns or labels; the header, which holds no labels, tells.
        delimiter = max((",", "\t", ";"), key=head.count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        _once(reader.fieldnames or (), "column")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has another number of cells than the header")
            rows.append(dict(row))
        return rows


def _json_rows(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    if isinstance(content, dict):
        return [{"name": name, "labels": labels} for name, labels in content.items()]
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    raise ValueError("expected is an object of names and labels, or a list of objects")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands twice, the standard reader would keep the last value and say nothing."""
    _once([key for key, _ in pairs], "name")
    return dict(pairs)


def _once(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise ValueError(f"the {what} {twice!r} stands twice")


def _column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column with the first of these names, in any case of letters."""
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path} is a Parquet table, which needs pyarrow: pip install 'konvoi[scenes]'.") from None
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(error) from error
    return rows


def _labels(cell: Any) -> tuple[str, ...]:
    if cell is None:
        return ()
    if isinstance(cell, list | tuple):
        parts = [str(part) for part in cell]
    else:
        separator = _separator(cell)
        parts = str(cell).split(separator) if separator else [str(cell)]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _separator(cell: Any) -> str | None:
    if not isinstance(cell, str):
        return None
    return next((separator for separator in _SEPARATORS if separator in cell), None)


def _as_indicator(cell: Any) -> bool | None:
    words = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
    return words.get(str(cell).strip().lower())
