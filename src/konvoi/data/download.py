"""Fetching the data sets known by name: mirrors in turn, resumed, verified, and put in place in one step.

What is fetched, and its checksums, is in `data.known`; where it is kept by default is in `data.locations`.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from konvoi.data.known import KNOWN, KnownDataset, KnownFile, spellings
from konvoi.data.locations import cache_folder, find_in, ways_by_hand
from konvoi.data.sources.idx import open_plain_or_gzip
from konvoi.errors import DataError

if sys.platform != "win32":
    import fcntl

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are there, and the bytes in all (None if not known)."""

TRANSFERS_PER_MIRROR = 3
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 16
# What gzip may add to content that it cannot compress, and what a disk should keep free for others.
SLACK_BYTES = 1 << 20

logger = logging.getLogger(__name__)


class _MirrorFailed(Exception):
    """This mirror does not give the file; the message says why in a few words."""


class _ConnectionLost(_MirrorFailed):
    """This mirror gave a part of the file, and may give the rest."""


def download(name: str, destination: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch the files of a data set known by name, unless they are there already.

    Args:
        name: a key of `known.KNOWN`.
        destination: the folder for the files; default: the cache, where the sources look for them.
        progress: told of every piece that arrives.

    Returns:
        The folder with the files.

    Raises:
        DataError: the name is not known, no mirror gives a file, or the disk is full.
    """
    known = KNOWN.get(name)
    if known is None:
        raise DataError(
            f"{name!r} is not a data set that can be fetched by name. Known are: {', '.join(KNOWN)}. For "
            "other data, give the folder of the files with --data-dir."
        )
    folder = cache_folder(name) if destination is None else destination.expanduser()
    return fetch(known, folder, progress)


def fetch(
    known: KnownDataset,
    folder: Path,
    progress: Progress | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Path:
    """Fetch a data set's files into a folder; what `download` does once the name is looked up.

    A file whose content is right is left alone. One whose content is not is kept under another name, with a
    warning in the log, and fetched again. What an interrupted call left in `FILE.part` is continued.

    Args:
        known: the files and their mirrors.
        folder: made if it does not exist.
        progress: told of every piece that arrives.
        timeout_seconds: how long a mirror may be silent.

    Raises:
        DataError: no mirror gives a file, the folder cannot be written, or the disk is full.
    """
    # Before anything is written, because a shared cache may be complete and read-only.
    if all(_is_there(file, folder) for file in known.files):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            for file in known.files:
                _provide(known, file, folder, progress, timeout_seconds)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}). Free some space, or name another "
            "folder with --data-dir."
        ) from error
    return folder


def _is_there(file: KnownFile, folder: Path) -> bool:
    present = find_in(folder, spellings(file.name))
    return present is not None and _problem_with(present, file) is None


def _provide(
    known: KnownDataset, file: KnownFile, folder: Path, progress: Progress | None, timeout_seconds: float
) -> None:
    target = folder / f"{file.name}.gz"
    part = folder / f"{target.name}.part"
    present = find_in(folder, spellings(file.name))
    problem = None if present is None else _problem_with(present, file)
    if present is not None and problem is None:
        return

    failures = []
    for mirror in known.mirrors:
        url = mirror + target.name
        try:
            _fetch_from(url, part, file, progress, timeout_seconds)
        except _MirrorFailed as failure:
            failures.append(f"  {url}: {failure}")
            continue
        if present is not None:
            aside = present.with_name(f"{present.name}.replaced")
            logger.warning("%s: %s. It was fetched again; the old file is kept as %s.", present, problem, aside.name)
            present.replace(aside)
        with part.open("rb") as content:
            os.fsync(content.fileno())
        os.replace(part, target)
        return
    damaged = "" if present is None else f"\nThe file that is there cannot be used: {present}: {problem}."
    ways = [
        "try again later: a part that arrived is kept and continued",
        *ways_by_hand(known.name, _names(known)),
    ]
    raise DataError(
        f"{target.name} of {known.name} could not be fetched:\n"
        + "\n".join(failures)
        + damaged
        + "\nWays on:\n"
        + "\n".join(f"  {number}. {way}" for number, way in enumerate(ways, start=1))
    )


def _fetch_from(url: str, part: Path, file: KnownFile, progress: Progress | None, timeout_seconds: float) -> None:
    """Bring `part` to the complete and verified file, from this mirror.

    Raises:
        _MirrorFailed: it did not work. `part` then holds the beginning of the file, or does not exist.
    """
    for transfers_left in reversed(range(TRANSFERS_PER_MIRROR)):
        resumed = part.exists()
        try:
            _transfer(url, part, file, progress, timeout_seconds)
        except _ConnectionLost:
            if transfers_left:
                continue
            raise
        problem = _problem_with(part, file)
        if problem is None:
            return
        part.unlink()
        # The beginning may have come from another mirror, which compressed the same content differently.
        if resumed and transfers_left:
            continue
        raise _MirrorFailed(problem)


def _transfer(url: str, part: Path, file: KnownFile, progress: Progress | None, timeout_seconds: float) -> None:
    """One request, continuing after what `part` holds.

    Raises:
        _ConnectionLost: the answer ended early; what came is in `part`.
        _MirrorFailed: there was no usable answer.
    """
    offset = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "konvoi", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=timeout_seconds)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:
            # Nothing comes after what is there: it is complete, or of something else. The checksum decides.
            return
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
    except URLError as error:
        raise _MirrorFailed(_in_few_words(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorFailed(_in_few_words(error)) from error

    with response:
        if response.status == 206:
            content_range = response.headers.get("Content-Range", "")
            if not re.match(rf"bytes {offset}-", content_range):
                part.unlink()
                raise _MirrorFailed(
                    f"asked to continue at byte {offset}, it answered {content_range or 'without saying where'}"
                )
        else:
            # A server without ranges sends the whole file.
            offset = 0
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdigit() else None
        _require_space(part.parent, (total or file.size) - offset)
        with part.open("ab" if offset else "wb") as content:
            done = offset
            while piece := _next_piece(response):
                content.write(piece)
                done += len(piece)
                if done > file.size + SLACK_BYTES:
                    part.unlink()
                    raise _MirrorFailed(f"sends more than the {file.size:,} bytes that the file has")
                if progress is not None:
                    progress(part.name.removesuffix(".part"), done, total)
    if total is not None and done < total:
        raise _ConnectionLost(f"connection lost after {done:,} of {total:,} bytes")


def _next_piece(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"connection lost ({_in_few_words(error)})") from error


def _problem_with(path: Path, file: KnownFile) -> str | None:
    """Why a file's content is not the published one, in a few words, or None if it is."""
    digest = hashlib.sha256()
    size = 0
    try:
        with open_plain_or_gzip(path) as stream:
            # No further than one piece too many: a small damaged file can unpack to an enormous one.
            while size <= file.size and (piece := stream.read(1 << 20)):
                digest.update(piece)
                size += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "the gzip compression is damaged"
    except OSError as error:
        return f"cannot be read ({_in_few_words(error)})"
    if size != file.size:
        found = f"more than {file.size:,}" if size > file.size else f"{size:,}"
        return f"{found} bytes of content instead of {file.size:,}"
    if digest.hexdigest() != file.sha256:
        return "the content's checksum is not the published one"
    return None


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SLACK_BYTES:
        raise DataError(
            f"{folder}: {free / 1e6:,.1f} MB are free, and the download needs {needed / 1e6:,.1f} MB. Free "
            "some space, or name another folder with --data-dir."
        )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let a second process wait until the first has fetched: two that write one .part file damage it."""
    with (folder / ".download.lock").open("w") as lock:
        if sys.platform != "win32":
            # Some network file systems have no locks; the checksum still guards what is put in place.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _names(known: KnownDataset) -> list[str]:
    return [f"{file.name}.gz" for file in known.files]


def _in_few_words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
