"""Splits as lists of names: reading what others published, and writing one's own for them to read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from konvoi.data.dataset import Dataset
from konvoi.data.name_lists import names_in, read_parts
from konvoi.data.patches import PARTS
from konvoi.data.stratify import nested_order
from konvoi.errors import DataError
from konvoi.files import write_text

if TYPE_CHECKING:
    from konvoi.data.split import Split

SUBSETS = (1, 10, 100)
"""Percentages of the training split, each a list of its own that lies inside the next one."""


def given_by_lists(dataset: Dataset, folder: Path) -> tuple[Dataset, tuple[str, ...]]:
    """The data set with the parts that lists say, in place of those of its own files.

    Samples that no list names are left out; without a list for validation, a share of the training list validates.

    Returns:
        The data set; and a sentence for each list with names that the data lack, for people.

    Raises:
        DataError: the samples have no names; there are no lists; or a part of them has no sample here.
    """
    names = _names(dataset, "split.lists")
    parts = read_parts([folder])
    if not parts:
        raise DataError(f"split.lists: {folder} holds no lists named train, val or validation, and test.")
    part_of = np.array([parts.get(name, "") for name in names])
    found = {part: np.flatnonzero(part_of == part) for part in ("", *PARTS)}
    for part in set(parts.values()):
        if not len(found[part]):
            raise DataError(
                f"split.lists: none of the {part} list's names in {folder} is among the {len(dataset):,} samples of "
                f"{dataset.name}, whose first is {names[0]}."
            )
    given = replace(
        dataset,
        given_test=found["test"],
        given_validation=found["validation"] if len(found["validation"]) else None,
        given_left_out=found[""] if len(found[""]) else None,
    )
    return given, _without_samples(parts, set(names), dataset.name)


def write_split(dataset: Dataset, split: Split, seed: int, folder: Path) -> list[Path]:
    """Write train.csv, validation.csv and test.csv; and nested parts of the training split, train-1.csv and so on.

    `split.lists` reads the first three; `split.labelled` uses the same nested order.

    Returns:
        The files.

    Raises:
        DataError: the samples have no names, or names that a list cannot hold.
    """
    names = _names(dataset, "Lists")
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"Two samples of {dataset.name} have the name {twice}; lists cannot tell them apart.")
    lists = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test.indices_for_audit(),
    }
    order = nested_order(dataset.labels[split.train], seed)
    for percentage in SUBSETS:
        count = max(1, round(percentage / 100 * len(split.train)))
        lists[f"train-{percentage}"] = split.train[np.sort(order[:count])]
    texts = {
        folder / f"{stem}.csv": _as_list([names[position] for position in positions.tolist()])
        for stem, positions in lists.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _as_list(names: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([name] for name in names)
    read = names_in(text.getvalue())
    if read != names:
        lost = next(name for name, found in zip_longest(names, read) if name != found)
        raise DataError(f"The name {lost!r} cannot stand in a list: it would be read as something else. Rename it.")
    return text.getvalue()


def _without_samples(parts: dict[str, str], known: set[str], data: str) -> tuple[str, ...]:
    sentences = []
    for part in PARTS:
        lost = [name for name, of in parts.items() if of == part and name not in known]
        if lost:
            sentences.append(
                f"{len(lost):,} name{'' if len(lost) == 1 else 's'} of the {part} list without a sample in {data}, "
                f"the first {lost[0]}"
            )
    return tuple(sentences)


def _names(dataset: Dataset, what: str) -> list[str]:
    if dataset.sample_names is None:
        raise DataError(f"{what} need names, and the samples of {dataset.name} have none.")
    return [str(name) for name in dataset.sample_names]
