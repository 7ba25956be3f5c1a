"""The split: which samples train, which validate, and which are sealed for the test.

Stratified by class throughout. The test indices are not an attribute one can read by accident:
`Split.test` is a `SealedTest`, which opens only with a reader's name and a log to write it to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.dataset import Dataset
from konvoi.errors import DataError
from konvoi.randomness import numpy_stream
from konvoi.recipe.schema import SplitSection

Indices = NDArray[np.int64]


class SealedTest:
    """The test indices behind a seal: every opening is written to a log before the indices are given out."""

    def __init__(self, indices: Indices) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def open(self, reader: str, log: Path) -> Indices:
        """The indices, after one JSON line (time, reader, samples) was appended to `log` and synced."""
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "reader": reader,
                "samples": len(self._indices),
            }
        )
        with log.open("a+", encoding="utf-8") as file:
            file.seek(0)
            torn = file.read()[-1:] not in ("", "\n")
            file.write(("\n" if torn else "") + line + "\n")
            file.flush()
            os.fsync(file.fileno())
        return self._indices

    def indices_for_audit(self) -> Indices:
        """The indices for counting and comparing (see `data.audit`); never for a network."""
        return self._indices


def logged_openings(log: Path) -> list[dict[str, Any]]:
    """Every opening of the test split that a log holds, oldest first.

    A line that was torn by a crash still counts as an opening, by "unknown", at the time the log was last written.
    """
    if not log.exists():
        return []
    openings = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip():
            try:
                openings.append(json.loads(line))
            except ValueError:
                written = datetime.fromtimestamp(log.stat().st_mtime, UTC)
                openings.append({"time": written.isoformat(timespec="seconds"), "reader": "unknown", "samples": 0})
    return openings


@dataclass(frozen=True)
class Split:
    """Disjoint index sets into one data set, sorted, that together cover it.

    Attributes:
        train: positions that train.
        validation: positions that choose the best epoch, and nothing else.
        test: the sealed rest.
        method: how the sets were made, for people.
        fingerprint: SHA-256 over the data's fingerprint and the three sets.
    """

    train: Indices
    validation: Indices
    test: SealedTest
    method: str
    fingerprint: str


def make_split(dataset: Dataset, settings: SplitSection) -> Split:
    """Divide a data set as the recipe says.

    The files' own test set, where there is one, is the test split; otherwise a stratified share of all
    samples is sealed first. What is left is divided into train and validation: as the files say, by share, or
    as one fold of k (which sets the files' own validation set aside).

    Raises:
        DataError: a class is too small for the division (its name and count are in the message), or the files
            set samples aside for validation but none for testing.
    """
    if dataset.given_validation is not None and dataset.given_test is None:
        raise DataError(
            f"{dataset.origin} has a validation part and no test part. Rename the validation part to test, and a share "
            "of the training part will validate; or add a test part."
        )
    everything = np.arange(len(dataset), dtype=np.int64)
    if dataset.given_test is not None:
        test = np.sort(dataset.given_test)
        rest = np.setdiff1d(everything, test)
        test_method = "the files' own test set"
    else:
        rest, test = _stratified_share(dataset, everything, settings.test, settings.seed, "test")
        test_method = f"stratified test share {settings.test:g}"
    if settings.folds is None and dataset.given_validation is not None:
        validation = np.sort(dataset.given_validation)
        train = np.setdiff1d(rest, validation)
        method = f"{test_method}; the files' own validation set"
    elif settings.folds is None:
        train, validation = _stratified_share(dataset, rest, settings.validation, settings.seed, "validation")
        method = f"{test_method}; stratified validation share {settings.validation:g} of the rest"
    else:
        train, validation = _stratified_fold(dataset, rest, settings.folds, settings.fold, settings.seed)
        method = f"{test_method}; fold {settings.fold} of {settings.folds} of the rest validates, stratified"
    return Split(
        train=train,
        validation=validation,
        test=SealedTest(test),
        method=f"{method}; seed {settings.seed}",
        fingerprint=_fingerprint(dataset, (train, validation, test)),
    )


def _stratified_share(
    dataset: Dataset, candidates: Indices, share: float, seed: int, purpose: str
) -> tuple[Indices, Indices]:
    """Divide candidates into (kept, taken): of each class its rounded share, at least one and never all."""
    taken = []
    for label, class_name in enumerate(dataset.class_names):
        members = candidates[dataset.labels[candidates] == label]
        _require_members(class_name, len(members), 2, f"a {purpose} share of {share:g}")
        count = min(max(1, round(share * len(members))), len(members) - 1)
        stream = numpy_stream(seed, "split", purpose, label)
        taken.append(stream.permutation(members)[:count])
    chosen = np.sort(np.concatenate(taken))
    return np.setdiff1d(candidates, chosen), chosen


def _stratified_fold(
    dataset: Dataset, candidates: Indices, folds: int, fold: int, seed: int
) -> tuple[Indices, Indices]:
    """Divide candidates into (train, fold): the folds of all `fold` numbers are disjoint and cover everything."""
    chosen = []
    first_fold = 0
    for label, class_name in enumerate(dataset.class_names):
        members = candidates[dataset.labels[candidates] == label]
        _require_members(class_name, len(members), folds, f"{folds} folds")
        shuffled = numpy_stream(seed, "split", "folds", label).permutation(members)
        # Dealing on from where the last class ended keeps the folds' total sizes within one sample.
        chosen.append(shuffled[(np.arange(len(shuffled)) + first_fold) % folds == fold])
        first_fold = (first_fold + len(shuffled)) % folds
    validation = np.sort(np.concatenate(chosen))
    return np.setdiff1d(candidates, validation), validation


def _require_members(class_name: str, found: int, needed: int, purpose: str) -> None:
    if found < needed:
        raise DataError(
            f"Class {class_name!r} has {found} sample{'' if found == 1 else 's'} to divide, and {purpose} needs at "
            f"least {needed}. Add samples, leave the class out, or change the split section."
        )


def _fingerprint(dataset: Dataset, parts: Sequence[Indices]) -> str:
    digest = hashlib.sha256(dataset.fingerprint.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(part, dtype="<i8").data)
    return digest.hexdigest()
