"""A folder of images with one sub-folder for each class, with or without train/ and test/ above the classes.

Here it is decided which files belong to the data set and what their labels are; how one file becomes an array
is in `sources.image_file`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import GREY, RGB
from konvoi.data.dataset import Dataset
from konvoi.data.locations import DATA_VARIABLE
from konvoi.data.sources.image_file import IMAGE_SUFFIXES, read_image
from konvoi.errors import DataError
from konvoi.files import printable
from konvoi.recipe.source import ImageFolderSource

VALIDATION_NAMES = frozenset({"val", "valid", "validation"})
IGNORED_FOLDERS = frozenset({"__macosx", "__pycache__"})
IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "readme", "license", "licence"})
IGNORED_SUFFIXES = frozenset(
    {".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".py", ".ipynb"}
)
TOLERATED_UNREADABLE_SHARE = 0.1
ERRORS_SHOWN = 5
FILES_PER_TASK = 32


@dataclass(frozen=True)
class _Sample:
    path: Path
    class_name: str


@dataclass(frozen=True)
class _Listing:
    """What the names alone say, before any image is opened."""

    class_names: tuple[str, ...]
    training: list[_Sample]
    validation: list[_Sample]
    test: list[_Sample]
    skipped: list[str]


def read_image_folder(source: ImageFolderSource, data_dir: Path | None = None) -> Dataset:
    """All images of a folder, labelled by the name of the sub-folder they lie in (at any depth).

    Classes are the sub-folders, sorted by name. With train/ and test/ (in any case) above the classes, test/
    is `given_test`, and a val/ or validation/ beside train/ is `given_validation`: whoever sorted images that
    belong together into parts must not find them mixed again. Samples are sorted by path within each part.
    Unreadable files, and files that are neither images nor usual companions of images (.csv, .txt, …), are in
    `skipped`.

    Returns:
        Images `(N, C, H, W)` with C = 1 (grey) or 3 (rgb) and the recipe's height and width.

    Raises:
        DataError: the folder is missing or not laid out by class, classes of train/ and test/ differ, a class
            has no readable image, or more than one and more than 10 % of the images are unreadable.
    """
    root = _root(source, data_dir)
    listing = _list_files(root)
    samples = listing.training + listing.validation + listing.test
    names = [printable(sample.path.relative_to(root).as_posix()) for sample in samples]

    images, reasons = _read_all([sample.path for sample in samples], source)
    unreadable = [f"{names[position]}: {reason}" for position, reason in reasons.items()]
    if len(unreadable) > 1 and len(unreadable) > TOLERATED_UNREADABLE_SHARE * len(samples):
        shown = "\n".join(f"  {line}" for line in unreadable[:ERRORS_SHOWN])
        more = f"\n  … and {len(unreadable) - ERRORS_SHOWN} more" if len(unreadable) > ERRORS_SHOWN else ""
        raise DataError(
            f"{root}: {len(unreadable)} of {len(samples)} images cannot be read, more than the "
            f"{TOLERATED_UNREADABLE_SHARE:.0%} that are skipped:\n{shown}{more}\nCopy the folder again, or "
            "remove these files."
        )

    kept = [position for position in range(len(samples)) if position not in reasons]
    images = _keep(images, kept)
    label_of = {class_name: label for label, class_name in enumerate(listing.class_names)}
    labels = np.array([label_of[samples[position].class_name] for position in kept], dtype=np.int64)
    ends = np.cumsum([len(listing.training), len(listing.validation), len(listing.test)])
    training, validation, test = (
        np.flatnonzero(np.searchsorted(ends, kept, side="right") == part).astype(np.int64) for part in range(3)
    )
    in_parts = bool(listing.validation or listing.test)
    _require_every_class(root, "train/" if in_parts else "", labels[training], listing.class_names)
    if listing.test:
        _require_every_class(root, "test/", labels[test], listing.class_names)
    return Dataset(
        name=printable(root.resolve().name),
        images=images,
        labels=labels,
        class_names=tuple(printable(name) for name in listing.class_names),
        bands=GREY if source.channels == "grey" else RGB,
        given_test=test if listing.test else None,
        given_validation=validation if listing.validation else None,
        origin=f"image folder {printable(root)}",
        skipped=tuple(printable(line) for line in listing.skipped + unreadable),
        sample_names=tuple(names[position] for position in kept),
    )


# ---- which folder ------------------------------------------------------------------------------------------


def _root(source: ImageFolderSource, data_dir: Path | None) -> Path:
    if source.folder is None:
        if data_dir is None:
            raise DataError("No folder of images is named. Set source.folder in the recipe, or give --data-dir FOLDER.")
        candidates = [data_dir.expanduser()]
    else:
        named = Path(source.folder).expanduser()
        if data_dir is not None and named.is_absolute():
            raise DataError(
                f"The recipe names the folder {named} and the command line --data-dir {data_dir}. Leave one "
                "of the two out, so that it is clear which images are meant."
            )
        if data_dir is not None:
            candidates = [data_dir.expanduser() / named]
        else:
            candidates = [named]
            if variable := os.environ.get(DATA_VARIABLE):
                candidates.append(Path(variable).expanduser() / named)
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " and ".join(f"{folder} ({'a file' if folder.exists() else 'missing'})" for folder in candidates)
    raise DataError(
        f"The folder of images was not found: {looked}, seen from {Path.cwd()}. Correct source.folder, or "
        "give --data-dir FOLDER."
    )


# ---- which files, and which classes ------------------------------------------------------------------------


def _list_files(root: Path) -> _Listing:
    folders = _sub_folders(root)
    train, test, validation = _parts(root, folders)
    skipped: list[str] = []
    _note_stray_images(root, root, skipped)
    if train is None:
        class_names, training = _classes_in(root, root, folders, skipped)
        return _Listing(class_names, training, [], [], skipped)

    class_names, training = _classes_in(root, train, _sub_folders(train), skipped)
    validation_samples: list[_Sample] = []
    for folder in validation:
        found, samples = _classes_in(root, folder, _sub_folders(folder), skipped)
        _require_known_classes(class_names, found, train, folder)
        validation_samples += samples
    test_samples: list[_Sample] = []
    if test is not None:
        found, test_samples = _classes_in(root, test, _sub_folders(test), skipped)
        _require_known_classes(class_names, found, train, test)
        if missing := sorted(set(class_names) - set(found)):
            raise DataError(
                f"{test} has no sub-folder for {_quoted(missing)}, and {train} has. A test without these "
                "classes would not measure what was trained: add their images, or remove the classes from "
                "both."
            )
    used = {train, test, *validation}
    skipped += [f"{folder.name}: a folder beside {train.name}/, not read" for folder in folders if folder not in used]
    return _Listing(class_names, training, validation_samples, test_samples, skipped)


def _parts(root: Path, folders: Sequence[Path]) -> tuple[Path | None, Path | None, list[Path]]:
    """The folders train, test and validation, by their names; None, None, [] if `folders` are the classes."""
    train = _only_one(root, [folder for folder in folders if folder.name.lower() == "train"])
    test = _only_one(root, [folder for folder in folders if folder.name.lower() == "test"])
    validation = [folder for folder in folders if folder.name.lower() in VALIDATION_NAMES]
    if train is not None:
        # Trains are also a class: bus/, car/, train/. That one holds images and no classes of its own.
        if test is None and not validation and not _sub_folders(train):
            return None, None, []
        return train, test, validation
    if folders and len(validation) + (test is not None) == len(folders):
        raise DataError(
            f"{root} has {_quoted([folder.name for folder in folders])} and no train/. Name the folder that "
            "also has train/, or one whose sub-folders are the classes."
        )
    return None, None, []


def _only_one(root: Path, folders: Sequence[Path]) -> Path | None:
    if len(folders) > 1:
        raise DataError(
            f"{root} has {_quoted([folder.name for folder in folders])}, which differ only in capital "
            "letters. Keep one."
        )
    return folders[0] if folders else None


def _classes_in(
    root: Path, parent: Path, folders: Sequence[Path], skipped: list[str]
) -> tuple[tuple[str, ...], list[_Sample]]:
    """Class names and samples below the class folders `folders` of `parent`; adds to `skipped`."""
    if parent != root:
        _note_stray_images(root, parent, skipped)
    if not folders:
        found = sum(_is_image(path) for path in parent.iterdir())
        raise DataError(
            f"{parent} has no sub-folders{f', but {found} images directly in it' if found else ''}. "
            f"Expected: one sub-folder per class, for example {parent / 'cat'} and {parent / 'dog'}, with "
            "the images in them."
        )
    samples: list[_Sample] = []
    for folder in folders:
        before = len(samples)
        for path in _files_below(folder, seen=frozenset()):
            if _is_image(path):
                samples.append(_Sample(path, folder.name))
            elif not _is_junk(path):
                skipped.append(f"{path.relative_to(root).as_posix()}: not an image by its name")
        if len(samples) == before:
            raise DataError(
                f"The class folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Add images, "
                "or remove the folder if it is not a class."
            )
    return tuple(folder.name for folder in folders), samples


def _require_known_classes(known: Sequence[str], found: Sequence[str], train: Path, other: Path) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise DataError(
            f"{other} has {_quoted(unknown)}, and {train} has not: a network cannot be right about a class "
            f"it never saw. The classes of {train.name}/ are {_quoted(known)}; make the folders' names agree."
        )


def _require_every_class(root: Path, part: str, labels: NDArray[np.int64], class_names: Sequence[str]) -> None:
    counts = np.bincount(labels, minlength=len(class_names))
    if empty := [name for name, count in zip(class_names, counts, strict=True) if count == 0]:
        raise DataError(
            f"{root / part}: none of the images of {_quoted(empty)} can be read. Copy them again, or remove the class."
        )


def _note_stray_images(root: Path, folder: Path, skipped: list[str]) -> None:
    skipped += [
        f"{path.relative_to(root).as_posix()}: lies outside the class folders"
        for path in sorted(folder.iterdir())
        if _is_image(path)
    ]


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name.lower() not in IGNORED_FOLDERS
    )


def _files_below(folder: Path, seen: frozenset[Path]) -> Iterator[Path]:
    # A link to a folder is followed, but not into a folder that it lies in: that would never end.
    resolved = folder.resolve()
    if resolved in seen:
        return
    yield from (path for path in sorted(folder.iterdir()) if path.is_file())
    for inner in _sub_folders(folder):
        yield from _files_below(inner, seen | {resolved})


def _is_image(path: Path) -> bool:
    # macOS leaves a hidden ._cat.png beside each cat.png on foreign disks.
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in IGNORED_NAMES or path.suffix.lower() in IGNORED_SUFFIXES


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


# ---- the pixels --------------------------------------------------------------------------------------------


def _read_all(paths: Sequence[Path], source: ImageFolderSource) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """All images `(N, C, H, W)`, uint8, and the reason for each position whose file cannot be read."""
    shape = (len(paths), 1 if source.channels == "grey" else 3, *source.size)
    try:
        images = np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        raise DataError(
            f"{len(paths):,} images of {' × '.join(map(str, shape[1:]))} need "
            f"{np.prod(shape, dtype=float) / 2**30:,.1f} GiB of memory, more than there is. Choose a smaller "
            "source.size."
        ) from error

    def read_some(positions: range) -> dict[int, str]:
        reasons = {}
        for position in positions:
            path = paths[position]
            try:
                images[position] = read_image(path, source.channels, source.size)
            except DataError as error:
                reasons[position] = str(error).removeprefix(f"{path}: ")
        return reasons

    tasks = [range(start, min(start + FILES_PER_TASK, len(paths))) for start in range(0, len(paths), FILES_PER_TASK)]
    reasons: dict[int, str] = {}
    # Threads and not processes: Pillow lets go of the interpreter's lock while it decodes.
    executor = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
    try:
        for found in executor.map(read_some, tasks):
            reasons |= found
    finally:
        # After Ctrl-C nobody wants to wait for the rest of the images.
        executor.shutdown(cancel_futures=True)
    return images, reasons


def _keep(images: NDArray[np.uint8], kept: Sequence[int]) -> NDArray[np.uint8]:
    """The images at these ascending positions, moved to the front: a copy would double the memory."""
    if len(kept) == len(images):
        return images
    for new, old in enumerate(kept):
        if new != old:
            images[new] = images[old]
    return images[: len(kept)]
