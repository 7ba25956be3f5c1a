"""Packing a source of patches into a store: in shards, in parallel, and resumable after a kill.

Every finished shard leaves a record beside its arrays; a packing that is started again keeps those and goes on. The
manifest is written last, so that a folder with a manifest is whole. What a store looks like is in `data.store`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pack_reading import ReadInto, Row, reading_pool
from konvoi.data.patches import PatchSource, Problem
from konvoi.data.store import (
    COLUMNS,
    FORMAT,
    MANIFEST,
    FileRecord,
    GridRecord,
    Manifest,
    ProblemRecord,
    Store,
    file_digest,
)
from konvoi.errors import DataError
from konvoi.files import remove_leftovers, write_aside, write_json

SHARD_SIZE = 4096
_PATCHES_A_TASK = 32
_PROBLEMS_SHOWN = 10

Progress = Callable[[int, int], None]
"""Is told how many patches are done, and how many there are."""


def pack(
    source: PatchSource,
    folder: Path,
    *,
    unreadable: Literal["refuse", "skip"] = "refuse",
    workers: int = 1,
    shard_size: int = SHARD_SIZE,
    progress: Progress | None = None,
) -> Store:
    """Write a store, or go on with one whose packing was stopped.

    Args:
        source: the patches.
        folder: is made; what an earlier packing of the same source left there is used.
        unreadable: what happens to patches that cannot be read, have an unknown label, or are copies of another:
            `refuse` stops with their names once every patch was looked at, and `skip` leaves them out. Either way
            the manifest, or the error, names and counts them.
        workers: processes that read.
        shard_size: patches a shard; memory while packing does not depend on it.
        progress: is told of every few patches.

    Raises:
        DataError: patches cannot be read (`refuse`), the folder holds something else, or nothing is left to pack.
    """
    plan = {
        "format": FORMAT,
        "kind": source.kind,
        "bands": source.bands.names,
        "grids": [(grid.name, grid.bands, grid.size, grid.dtype) for grid in source.grids],
        "class_names": source.class_names,
        "names": _digest_of_names(source.names),
        "shard_size": shard_size,
    }
    _begin(folder, json.loads(json.dumps(plan)))
    if (folder / MANIFEST).exists():
        return Store(folder)
    names = source.names
    starts = range(0, len(names), shard_size)
    done = 0
    with reading_pool(source, workers) as read_into:
        for number, start in enumerate(starts):
            chosen = list(names[start : start + shard_size])
            if not _shard_record(folder, number).exists():
                _pack_shard(source, folder, number, chosen, read_into, progress, (done, len(names)))
            done += len(chosen)
            if progress is not None:
                progress(done, len(names))
    return _finish(source, folder, len(starts), unreadable)


# ---- one shard ---------------------------------------------------------------------------------------------------


def _pack_shard(
    source: PatchSource,
    folder: Path,
    number: int,
    names: list[str],
    read_into: ReadInto,
    progress: Progress | None,
    done: tuple[int, int],
) -> None:
    """Read patches into new arrays, in parallel; then close the gaps of those that could not be read."""
    paths = {grid.name: folder / "shards" / f"{number:05d}-{grid.name}.npy" for grid in source.grids}
    parts = {name: path.with_name(f".{path.name}.part") for name, path in paths.items()}
    for grid in source.grids:
        np.lib.format.open_memmap(
            parts[grid.name], mode="w+", dtype=grid.dtype, shape=(len(names), len(grid.bands), *grid.size)
        )
    tasks = [(names[first : first + _PATCHES_A_TASK], first, parts) for first in range(0, len(names), _PATCHES_A_TASK)]
    results: list[Row | Problem] = []
    for rows in read_into(tasks):
        results += rows
        if progress is not None:
            progress(done[0] + len(results), done[1])
    kept = [position for position, row in enumerate(results) if isinstance(row, Row)]
    if len(kept) < len(names):
        for part in parts.values():
            _keep_rows(part, kept)
    files = []
    for name, path in paths.items():
        parts[name].replace(path)
        files.append({"path": f"shards/{path.name}", "bytes": path.stat().st_size, "sha256": file_digest(path)})
    _write_table(folder, number, [row for row in results if isinstance(row, Row)])
    problems = [(row.where, row.reason) for row in results if isinstance(row, Problem)]
    write_json(_shard_record(folder, number), {"patches": len(kept), "files": files, "problems": problems})


def _keep_rows(path: Path, rows: list[int]) -> None:
    old = np.load(path, mmap_mode="r")
    if not rows:
        _save(path, np.empty((0, *old.shape[1:]), old.dtype))
        return
    shorter = path.with_name(f"{path.name}.shorter.part")
    new = np.lib.format.open_memmap(shorter, mode="w+", dtype=old.dtype, shape=(len(rows), *old.shape[1:]))
    for target, row in enumerate(rows):
        new[target] = old[row]
    new.flush()
    shorter.replace(path)


# ---- the table of patches ------------------------------------------------------------------------------------------


def _write_table(folder: Path, number: int, rows: list[Row]) -> None:
    """The rows of one shard, as an uncompressed archive of NumPy arrays that `_finish` joins."""
    columns: dict[str, NDArray[Any]] = {
        "names": np.array([row.name for row in rows], dtype=np.str_),
        "labels": np.array(["\n".join(row.labels) for row in rows], dtype=np.str_),
        "reference_systems": np.array([row.crs for row in rows], dtype=np.str_),
        "places": np.array([row.place for row in rows], dtype=np.float64).reshape(-1, 4),
        "tiles": np.array([row.tile for row in rows], dtype=np.str_),
        "acquired": np.array([row.acquired for row in rows], dtype=np.str_),
        "aspects": np.array([row.aspect for row in rows], dtype=np.float32),
        "digests": np.array([list(row.digest) for row in rows], dtype=np.uint8).reshape(-1, 16),
        "moments": np.array([row.moments for row in rows], dtype=np.float64),
    }

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)

    write_aside(_shard_table(folder, number), write)


def _finish(source: PatchSource, folder: Path, shards: int, unreadable: Literal["refuse", "skip"]) -> Store:
    """Join the tables, find copies, and write the manifest."""
    records = [json.loads(_shard_record(folder, number).read_text(encoding="utf-8")) for number in range(shards)]
    tables = [dict(np.load(_shard_table(folder, number), allow_pickle=False)) for number in range(shards)]
    filled = [table for table, record in zip(tables, records, strict=True) if record["patches"]]
    problems = [*source.problems, *(Problem(*problem) for record in records for problem in record["problems"])]
    if not filled:
        raise DataError(f"{source.origin}: none of the {len(source.names):,} patches can be packed. {_first(problems)}")
    columns = {name: np.concatenate([table[name] for table in filled]) for name in filled[0]}
    columns |= _derived_columns(source, columns)
    if (columns["aspects"] == 1).all():
        del columns["aspects"]
    problems += _copies(columns)
    if problems and unreadable == "refuse":
        shown = "\n".join(f"  {problem.where}: {problem.reason}" for problem in problems[:_PROBLEMS_SHOWN])
        more = f"\n  … and {len(problems) - _PROBLEMS_SHOWN:,} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise DataError(
            f"{source.origin}: {len(problems):,} of {len(source.names):,} patches cannot be used:\n{shown}{more}\n"
            "Mend or remove these files; or give --unreadable skip, which leaves them out, names them in the manifest "
            "and goes on from here."
        )
    files = [FileRecord(**file) for record in records for file in record["files"]]
    (folder / "patches").mkdir(exist_ok=True)
    for name, values in columns.items():
        path = folder / "patches" / f"{name}.npy"
        write_aside(path, lambda aside, values=values: _save(aside, values))  # type: ignore[misc]
        files.append(FileRecord(path=f"patches/{path.name}", bytes=path.stat().st_size, sha256=file_digest(path)))
    digest = hashlib.sha256(repr((source.bands.to_json(), source.class_names)).encode())
    for file in files:
        digest.update(file.sha256.encode())
    manifest = Manifest(
        format=FORMAT,
        name=source.name,
        kind=source.kind,
        origin=source.origin,
        caution=source.caution,
        several_labels=source.several_labels,
        class_names=source.class_names,
        bands=source.bands.to_json(),
        grids=tuple(
            GridRecord(name=grid.name, bands=grid.bands, size=grid.size, dtype=grid.dtype) for grid in source.grids
        ),
        patches=len(columns["names"]),
        shards=tuple(record["patches"] for record in records),
        files=tuple(files),
        problems=tuple(ProblemRecord(where=problem.where, reason=problem.reason) for problem in problems),
        columns={name: COLUMNS[name] for name in COLUMNS if name in columns},
        fingerprint=digest.hexdigest(),
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return Store(folder)


def _derived_columns(source: PatchSource, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Labels as a table of 0 and 1, centres in degrees, parts and flags, and which rows are copies."""
    from konvoi.data.geography import longitude_latitude

    names = columns["names"].tolist()
    places = columns["places"]
    centres = np.stack([(places[:, 0] + places[:, 2]) / 2, (places[:, 1] + places[:, 3]) / 2], axis=1)
    first_row: dict[bytes, int] = {}
    earliest = [first_row.setdefault(digest.tobytes(), row) for row, digest in enumerate(columns["digests"])]
    flags = [source.flags.get(name, ()) for name in names]
    return {
        "labels": _labels(columns["labels"].tolist(), source),
        "longitude_latitude": longitude_latitude(centres, columns["reference_systems"]),
        "parts": np.array([source.parts.get(name, "") for name in names], dtype=np.str_),
        "snow": np.array(["snow" in found for found in flags]),
        "cloud": np.array(["cloud" in found for found in flags]),
        "duplicate": np.array([row != first for row, first in enumerate(earliest)]),
    }


def _labels(joined: list[str], source: PatchSource) -> NDArray[Any]:
    """`(N, K)` of 0 and 1; or, where a patch has one label at most, its number, which is a thousandth of 1,000 of 0."""
    numbers = {label: number for number, label in enumerate(source.class_names)}
    if not source.several_labels:
        return np.array([numbers.get(label.partition("\n")[0], -1) for label in joined], dtype=np.int32)
    labels = np.zeros((len(joined), len(numbers)), dtype=np.uint8)
    for row, found in enumerate(joined):
        labels[row, [numbers[label] for label in found.split("\n") if label]] = 1
    return labels


def _copies(columns: dict[str, NDArray[Any]]) -> list[Problem]:
    first: dict[bytes, str] = {}
    problems = []
    for name, digest in zip(columns["names"].tolist(), columns["digests"], strict=True):
        original = first.setdefault(digest.tobytes(), name)
        if original != name:
            problems.append(Problem(name, f"the same pixels as {original}"))
    return problems


# ---- places and beginnings ---------------------------------------------------------------------------------------


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the folder, or see that what is in it belongs to the same packing."""
    record = folder / "packing.json"
    if folder.exists() and any(folder.iterdir()):
        try:
            begun = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DataError(
                f"{folder} is not empty and holds no packing to go on with. Choose another folder."
            ) from None
        if begun != plan:
            changed = ", ".join(key for key in plan if begun.get(key) != plan[key])
            raise DataError(
                f"{folder} was begun with another source or other settings ({changed} differ). Choose another folder, "
                "or remove this one."
            )
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder / "shards")
    write_json(record, plan)


def _digest_of_names(names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(names), SHARD_SIZE):
        digest.update("\n".join(names[start : start + SHARD_SIZE]).encode() + b"\n")
    return digest.hexdigest()


def _shard_record(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:05d}.json"


def _shard_table(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:05d}-patches.npz"


def _save(path: Path, values: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _first(problems: list[Problem]) -> str:
    counts = Counter(problem.reason for problem in problems)
    return f"The first of {len(counts)} reasons: {problems[0].where}: {problems[0].reason}" if problems else ""
