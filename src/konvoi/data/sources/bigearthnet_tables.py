"""What stands beside BigEarthNet's patches: version 1's lists of names, version 2's tables in Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from konvoi.data.name_lists import find_list, read_names, read_parts
from konvoi.data.patches import PARTS
from konvoi.errors import DataError

FLAG_LISTS = {
    "snow": ("patches_with_seasonal_snow",),
    "cloud": ("patches_with_cloud_and_shadow",),
}
TABLE = "metadata.parquet"
TABLE_OF_FLAGGED = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"

Flags = dict[str, tuple[str, ...]]


def flags_and_parts(folders: Iterable[Path]) -> tuple[dict[str, str], Flags]:
    """Part by name, and flags by name, from version 1's lists."""
    folders = tuple(folders)
    flags: Flags = {}
    for flag, stems in FLAG_LISTS.items():
        path = find_list(folders, stems)
        if path is not None:
            for name in read_names(path):
                flags[name] = (*flags.get(name, ()), flag)
    return read_parts(folders), flags


def read_metadata(
    folders: Iterable[Path],
) -> tuple[dict[str, tuple[str, ...]], dict[str, str], Flags, dict[str, str]]:
    """Labels, part, flags and Sentinel-1 patch by name, from version 2's tables; empty where there are none.

    Patches of the second table (snow, cloud, shadow) have a part in neither list.
    """
    labels: dict[str, tuple[str, ...]] = {}
    parts: dict[str, str] = {}
    flags: Flags = {}
    radar: dict[str, str] = {}
    folders = tuple(folders)
    for file in (TABLE, TABLE_OF_FLAGGED):
        path = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if path is None:
            continue
        for row in _rows(path):
            name = row["patch_id"]
            if name in labels:
                raise DataError(f"{path} names the patch {name}, which was named before.")
            labels[name] = tuple(row["labels"] or ())
            if row["s1_name"]:
                radar[name] = row["s1_name"]
            found = tuple(
                flag
                for flag, column in (("snow", "contains_seasonal_snow"), ("cloud", "contains_cloud_or_shadow"))
                if row.get(column)
            )
            if found:
                flags[name] = found
            elif row["split"]:
                parts[name] = row["split"]
    return labels, parts, flags, radar


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(f"{path} is a Parquet table, which needs pyarrow: pip install 'konvoi[scenes]'.") from None
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    missing = {"patch_id", "labels", "split", "s1_name"} - set(rows[0] if rows else ())
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    for row in rows:
        row["split"] = {"val": "validation"}.get(row["split"], row["split"])
        if row["split"] and row["split"] not in PARTS:
            raise DataError(
                f"{path} puts the patch {row['patch_id']} into the split {row['split']!r}; expected are train, "
                "validation and test."
            )
    return rows
