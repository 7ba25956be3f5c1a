"""Where the pictures of a large archive lie: as files in folders, or inside tar files that are never unpacked.

A picture is 60 bytes here, whatever Python would take for an object: ILSVRC2012's 1.33 million are listed in 80 MB.
What the pictures show is not known here; how one is decoded is in `sources.image_file`.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from konvoi.data.patches import PatchError, Problem
from konvoi.data.sources.image_file import IMAGE_SUFFIXES
from konvoi.errors import DataError


@dataclass(frozen=True)
class Container:
    """A folder or a tar file that holds pictures directly.

    Attributes:
        path: of the folder or the file.
        label: the name that says what is in it: of the folder, of the tar file, or of the tar file inside a tar file.
    """

    path: Path
    label: str


class CompactNames(Sequence[str]):
    """Names, sorted, in one array of bytes."""

    def __init__(self, names: NDArray[np.bytes_]) -> None:
        self.array = names

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [name.decode() for name in self.array[position].tolist()]
        return bytes(self.array[position]).decode()

    def position(self, name: str) -> int:
        """Where a name stands; -1 where it does not."""
        encoded = name.encode()
        found = int(np.searchsorted(self.array, np.bytes_(encoded)))
        return found if found < len(self.array) and self.array[found] == encoded else -1


@dataclass(frozen=True)
class Pictures:
    """N pictures.

    Attributes:
        containers: where they lie.
        names: without suffix, sorted, each once.
        suffixes: the suffixes that occur.
        suffix: `(N,)`, which of them.
        container: `(N,)`, which of the containers.
        offset: `(N,)`, where the picture begins in its tar file; -1 for a file of its own.
        size: `(N,)`, its bytes in the tar file.
        problems: of files that are none of the pictures and should be.
    """

    containers: tuple[Container, ...]
    names: CompactNames
    suffixes: tuple[str, ...]
    suffix: NDArray[np.uint8]
    container: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    problems: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.names)

    def where(self, position: int) -> str:
        """The file of a picture, for people."""
        container = self.containers[self.container[position]]
        inner = self.offset[position] >= 0 and container.label != container.path.stem
        within = f"{container.label}.tar/" if inner else ""
        return f"{container.path}/{within}{self.names[position]}{self.suffixes[self.suffix[position]]}"

    def content(self, position: int) -> bytes:
        """The bytes of a picture's file.

        Raises:
            PatchError: it cannot be read, or ends before its end.
        """
        path = self.containers[self.container[position]].path
        offset, size = int(self.offset[position]), int(self.size[position])
        try:
            if offset < 0:
                whole: bytes = (path / f"{self.names[position]}{self.suffixes[self.suffix[position]]}").read_bytes()
                return whole
            with path.open("rb") as file:
                file.seek(offset)
                content: bytes = file.read(size)
        except OSError as error:
            raise PatchError(f"{self.where(position)}: cannot be read ({error.strerror}).") from error
        if len(content) < size:
            raise PatchError(
                f"{self.where(position)}: {path} ends after {len(content):,} of its {size:,} bytes. Copy it again."
            )
        return content


def list_pictures(places: Sequence[Path]) -> Pictures:
    """All pictures in folders and tar files: directly in them, in their sub-folders, and in tar files inside these.

    Args:
        places: folders, or tar files.

    Raises:
        DataError: a tar file is compressed, or none; or nothing is found.
    """
    listing = _Listing()
    for place in places:
        if place.is_dir():
            listing.add_folder(place)
        else:
            listing.add_tar(place)
    return listing.pictures(places)


class _Listing:
    def __init__(self) -> None:
        self._containers: list[Container] = []
        self._suffixes: dict[str, int] = {}
        # An array for each container, because a tuple for each picture would take ten times the memory.
        self._chunks: list[tuple[NDArray[np.bytes_], NDArray[np.int64]]] = []
        self._problems: list[Problem] = []

    def add_folder(self, folder: Path) -> None:
        found: list[tuple[str, int, int]] = []
        inner: list[Path] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    inner.append(Path(entry.path))
                elif entry.name.endswith(".tar"):
                    self.add_tar(Path(entry.path))
                else:
                    found.append((entry.name, -1, 0))
        self._add(Container(folder, folder.name), found)
        for path in sorted(inner):
            self.add_folder(path)

    def add_tar(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._add_members(path, file, path.stem, 0, path.stat().st_size)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error

    def _add_members(self, path: Path, file: IO[bytes], label: str, start: int, end: int) -> int:
        """The members of the tar file that begins at `start` of a file; those that are tar files themselves too.

        Returns:
            How many pictures there are.
        """
        found: list[tuple[str, int, int]] = []
        inside = 0
        file.seek(start)
        try:
            # Without compression ("r:"), because the middle of a compressed file cannot be read.
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in _members(archive):
                    name = Path(member.name).name
                    if not member.isreg() or name.startswith("."):
                        continue
                    if member.offset_data + member.size > end:
                        self._problems.append(
                            Problem(f"{path}/{member.name}", f"{path} ends in the middle of it. Copy it again.")
                        )
                        break
                    if name.endswith(".tar"):
                        after, last = file.tell(), member.offset_data + member.size
                        number = self._add_members(path, file, Path(name).stem, member.offset_data, last)
                        if number == 0:
                            self._problems.append(Problem(f"{path}/{member.name}", "a tar file with no picture in it"))
                        inside += number
                        file.seek(after)
                    else:
                        found.append((name, member.offset_data, member.size))
        except tarfile.TarError as error:
            if not found and not inside:
                raise DataError(
                    f"{path} is no tar file that can be read in place ({error}). Unpack it first if it is compressed; "
                    "else copy it again."
                ) from error
            self._problems.append(
                Problem(
                    str(path), f"ends or is damaged after {len(found) + inside:,} pictures ({error}). Copy it again."
                )
            )
        return inside + self._add(Container(path, label), found)

    def _add(self, container: Container, found: list[tuple[str, int, int]]) -> int:
        rows = []
        for name, offset, size in found:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                rows.append((stem.encode(), self._suffixes.setdefault(suffix, len(self._suffixes)), offset, size))
        if not rows:
            return 0
        numbers = np.array([(len(self._containers), *row[1:]) for row in rows], dtype=np.int64)
        self._containers.append(container)
        self._chunks.append((np.array([row[0] for row in rows], dtype=np.bytes_), numbers))
        return len(rows)

    def pictures(self, places: Sequence[Path]) -> Pictures:
        if not self._chunks:
            shown = ", ".join(str(place) for place in places)
            raise DataError(f"No pictures were found in {shown}. Read are {', '.join(sorted(IMAGE_SUFFIXES))}.")
        longest = max(names.dtype.itemsize for names, _ in self._chunks)
        names = np.concatenate([names.astype(f"S{longest}") for names, _ in self._chunks])
        numbers = np.concatenate([numbers for _, numbers in self._chunks])
        self._chunks.clear()
        order = np.argsort(names, kind="stable")
        names, numbers = names[order], numbers[order]
        again = np.flatnonzero(names[1:] == names[:-1]) + 1
        for position in again.tolist():
            path = self._containers[numbers[position, 0]].path
            self._problems.append(
                Problem(
                    f"{path}/{names[position].decode()}",
                    "another picture has this name; the first is read. Rename one of them.",
                )
            )
        kept = np.setdiff1d(np.arange(len(names)), again)
        names, numbers = names[kept], numbers[kept]
        return Pictures(
            containers=tuple(self._containers),
            names=CompactNames(names),
            suffixes=tuple(self._suffixes),
            suffix=numbers[:, 1].astype(np.uint8),
            container=numbers[:, 0].astype(np.int32),
            offset=numbers[:, 2].copy(),
            size=numbers[:, 3].copy(),
            problems=tuple(self._problems),
        )


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        # It keeps every header that it read; those of a million pictures are a gigabyte.
        archive.members.clear()  # type: ignore[attr-defined]
