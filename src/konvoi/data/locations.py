"""Where the files of a data set with a name may lie on this machine, and in which order the places are tried.

Looks at names only: opens no file, fetches none. Fetching is in `data.download`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from konvoi.data.known import KNOWN
from konvoi.errors import DataError

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's packages of data sets install their files."""

DATA_VARIABLE = "KONVOI_DATA"
"""The environment variable that stands in for --data-dir."""


def cache_folder(name: str) -> Path:
    """Where downloads of a data set are kept: `$XDG_CACHE_HOME/konvoi/NAME`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a path that is not absolute is to be ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "konvoi" / name


def find_files(name: str, files: Sequence[Sequence[str]], data_dir: Path | None = None) -> tuple[Path, ...]:
    """The files of a data set, all from one folder.

    The places, in order: `data_dir`, `$KONVOI_DATA` (of both the sub-folder named after the data set, then
    the folder itself), `/usr/share/datasets/NAME`, and the cache. A `data_dir` that does not hold the files
    is an error, because going on to another place would train on other data than the user named.

    Args:
        name: the data set's name.
        files: for each file wanted, the names it may have, the preferred one first.
        data_dir: the folder that the user named, or None.

    Returns:
        One path for each entry of `files`, in its order.

    Raises:
        DataError: no place holds all files; the message names the places and the ways on.
    """
    if Path(name).name != name or name in {"", ".", ".."}:
        raise DataError(
            f"{name!r} cannot name a data set: the name is also the name of its folder, so it has to be one "
            "plain word such as mnist. Set source.dataset to one, and give the folder with --data-dir."
        )
    if data_dir is not None:
        candidates = _named_then_itself(data_dir, name)
        found = _first_complete(candidates, files)
        if found is None:
            raise DataError(
                f"--data-dir {data_dir} does not hold the files of {name}. Looked in:\n"
                + "\n".join(f"  {folder}: {_shortfall(folder, files)}" for folder in candidates)
                + f"\nExpected there: {_listing(files)}.\n"
                "Name the folder that has them, or leave --data-dir out to have the usual places tried."
            )
        return found

    candidates = []
    if variable := os.environ.get(DATA_VARIABLE):
        candidates += _named_then_itself(Path(variable), name)
    candidates += [SYSTEM_FOLDER / name, cache_folder(name)]
    found = _first_complete(candidates, files)
    if found is None:
        unset = [] if variable else [f"  ${DATA_VARIABLE}: not set"]
        looked = [f"  {folder}: {_shortfall(folder, files)}" for folder in candidates]
        if name in KNOWN:
            ways = [f"konvoi data get {name}"]
            remark = ""
        else:
            ways = []
            remark = f"\nKnown by name, and so fetched by `konvoi data get`: {', '.join(KNOWN)}."
        ways += ways_by_hand(name, [names[0] for names in files])
        raise DataError(
            f"The files of {name} were not found. Looked in:\n"
            + "\n".join(["  --data-dir: not given", *unset, *looked])
            + "\nWays on:\n"
            + "\n".join(f"  {number}. {way}" for number, way in enumerate(ways, start=1))
            + remark
        )
    return found


def ways_by_hand(name: str, file_names: Sequence[str]) -> list[str]:
    """How a person brings the files to a machine without `konvoi data get`, a line for each way."""
    ways = [
        f"put the {len(file_names)} files ({', '.join(file_names)}) in a folder, and name it with "
        f"--data-dir FOLDER or {DATA_VARIABLE}=FOLDER"
    ]
    known = KNOWN.get(name)
    if known is not None and known.debian_package is not None:
        ways.append(f"on Debian and Ubuntu: apt install {known.debian_package}")
    else:
        ways.append(f"copy the {len(file_names)} files into {cache_folder(name)}")
    return ways


def _named_then_itself(folder: Path, name: str) -> list[Path]:
    # All data sets of this family name their files alike, so the folder with the right name goes first.
    folder = folder.expanduser()
    return [folder / name, folder]


def _first_complete(folders: Sequence[Path], files: Sequence[Sequence[str]]) -> tuple[Path, ...] | None:
    for folder in folders:
        found = [find_in(folder, names) for names in files]
        complete = tuple(path for path in found if path is not None)
        if len(complete) == len(files):
            return complete
    return None


def find_in(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of these names that is a file in the folder."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _shortfall(folder: Path, files: Sequence[Sequence[str]]) -> str:
    if not folder.is_dir():
        return "not a folder" if folder.exists() else "no such folder"
    missing = [names[0] for names in files if find_in(folder, names) is None]
    if len(missing) == len(files):
        return "none of the files"
    return f"{len(files) - len(missing)} of {len(files)} files; missing {', '.join(missing)}"


def _listing(files: Sequence[Sequence[str]]) -> str:
    return ", ".join(names[0] for names in files)
