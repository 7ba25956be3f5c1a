"""Which synset each validation picture of ILSVRC2012 shows, where they lie flat: from the files that come with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from konvoi.data.synsets import SYNSET
from konvoi.errors import DataError

TRUTH_FILES = (
    "LOC_val_solution.csv",
    "ILSVRC2012_validation_ground_truth.txt",
    "val.txt",
)
"""The table of the Kaggle edition; the development kit's list of numbers; Caffe's list of names and ranks."""

_FOLDERS = ("", "data", "devkit", "devkit/data", "ILSVRC2012_devkit_t12/data")
_NUMBER_AT_END = re.compile(r"(\d+)$")


def find_truth(folders: Sequence[Path]) -> Path | None:
    """The first of `TRUTH_FILES` in these folders, or where the archives unpack it below them."""
    tried = (folder / inner / name for name in TRUTH_FILES for folder in folders for inner in _FOLDERS)
    return next((path for path in tried if path.is_file()), None)


def read_truth(path: Path, names: Sequence[str], synsets: Sequence[str], numbers: Mapping[int, str]) -> dict[str, str]:
    """The synset of each picture, by its name without suffix.

    Read are lines of a name and a synset, parted by a comma or blanks (whatever follows, as the boxes of Kaggle's
    `PredictionString`, is passed over); lines of a name and a class's rank, from 0; and the development kit's lines of
    one number each, for the pictures 1, 2, … in their order.

    Args:
        path: the file.
        names: of the pictures that are asked for.
        synsets: of all classes, sorted; a rank counts in them.
        numbers: the synset for each number of the development kit, from its `meta.mat`.

    Raises:
        DataError: the file is none of these, or names a class that does not exist.
    """
    try:
        lines = [line.replace(",", " ").split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    lines = [line for line in lines if line]
    if all(len(line) == 1 and line[0].isdecimal() for line in lines):
        return _by_number(path, [int(line[0]) for line in lines], names, numbers)
    truth = {}
    for number, line in enumerate(lines, start=1):
        if len(line) > 1 and SYNSET.fullmatch(line[1]):
            truth[_stem(line[0])] = line[1]
        elif len(line) == 2 and line[1].isdecimal() and int(line[1]) < len(synsets):
            truth[_stem(line[0])] = synsets[int(line[1])]
        elif number > 1:  # the first line may name the columns
            raise DataError(
                f"{path}: line {number} is {' '.join(line)[:60]!r}; expected the name of a picture and its synset, or "
                f"its class's rank from 0 to {len(synsets) - 1}."
            )
    return truth


def _by_number(path: Path, labels: list[int], names: Sequence[str], numbers: Mapping[int, str]) -> dict[str, str]:
    if not numbers:
        raise DataError(
            f"{path} gives the development kit's own number for each picture, whose synsets stand in its meta.mat, and "
            "that was not found. Put meta.mat beside it, or give another table with --labels."
        )
    unknown = sorted(set(labels) - set(numbers))
    if unknown:
        raise DataError(f"{path} has the number {unknown[0]}, and meta.mat has no synset of that number.")
    truth = {}
    for name in names:
        found = _NUMBER_AT_END.search(name)
        if found and 1 <= int(found[1]) <= len(labels):
            truth[name] = numbers[labels[int(found[1]) - 1]]
    return truth


def _stem(name: str) -> str:
    return Path(name).stem
