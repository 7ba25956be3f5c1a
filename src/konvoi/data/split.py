"""The split: which samples train, which validate, and which are sealed for the test.

Stratified by class or label throughout. The test indices are not an attribute one can read by accident: `Split.test` is
a `SealedTest` (see `data.seal`). Division in space is in `data.blocks`, several labels in `data.stratify`, the pixels
of one scene in `data.scene_split`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.blocks import divide_in_blocks
from konvoi.data.dataset import Dataset, Labels
from konvoi.data.pixels.leakage import Leakage
from konvoi.data.scene_split import divide_scene, scene_leakage, split_in_words
from konvoi.data.seal import SealedTest
from konvoi.data.split_lists import given_by_lists
from konvoi.data.stratify import divide, nested_order
from konvoi.errors import DataError
from konvoi.randomness import numpy_stream
from konvoi.recipe.split import SplitSection

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Disjoint index sets into one data set, sorted.

    Attributes:
        train: positions that train.
        validation: positions that choose the best epoch, and nothing else.
        test: the sealed rest.
        method: how the sets were made, for people.
        fingerprint: SHA-256 over the data's fingerprint and the three sets.
        left_out: samples that are in no set, by reason.
        not_found: what lists name and the data lack, a sentence a list.
        leakage: of the pixels of a scene, what the windows of one part hold of another; else None.
    """

    train: Indices
    validation: Indices
    test: SealedTest
    method: str
    fingerprint: str
    left_out: Mapping[str, Indices] = field(default_factory=dict)
    not_found: tuple[str, ...] = ()
    leakage: Leakage | None = None

    @property
    def left_out_in_words(self) -> tuple[str, ...]:
        """For example "1,204 samples: nearer than 2 km to a later part"; and what lists name and the data lack."""
        reasons = tuple(
            f"{len(positions):,} sample{'' if len(positions) == 1 else 's'}: {reason}"
            for reason, positions in self.left_out.items()
        )
        return reasons + self.not_found


def make_split(dataset: Dataset, settings: SplitSection) -> Split:
    """Divide a data set as the recipe says.

    Lists that the recipe names go first, then blocks in space, then the pixels of a scene are divided among
    themselves, then the parts that the files themselves have. Where
    nothing says what the test split is, a stratified share of all samples is sealed first. What is left is divided
    into train and validation: as lists or files say, by share, or as one fold of k (which sets a given validation set
    aside).

    Raises:
        DataError: a class is too small for the division (its name and count are in the message), lists or places are
            missing, or the files set samples aside for validation but none for testing.
    """
    left_out: dict[str, Indices] = {}
    not_found: tuple[str, ...] = ()
    if settings.lists is not None:
        dataset, not_found = given_by_lists(dataset, Path(settings.lists))
        source = f"lists in {settings.lists}: their"
    else:
        source = "the files' own"
    if settings.blocks is not None and settings.lists is None:
        train, validation, test, method = _in_space(dataset, settings, left_out)
    elif settings.pixels is not None or (dataset.scene is not None and settings.lists is None):
        train, validation, test, left_out = divide_scene(dataset, settings)
        method = split_in_words(dataset, settings)
    else:
        train, validation, test, method = _by_parts_or_shares(dataset, settings, source, left_out)
    if settings.labelled < 1 or settings.labelled_per_class is not None:
        kept = train[labelled_part(dataset.labels[train], settings)]
        left_out["of the training split, whose labels are not used"] = np.setdiff1d(train, kept)
        train = kept
        used = f"{settings.labelled:.4g}"
        if settings.labelled_per_class is not None:
            used = f"{settings.labelled_per_class:,} samples a class"
        method = f"{method}; {used} of the training split {'are' if settings.labelled_per_class else 'is'} used"
    for part, indices in (("training", train), ("validation", validation), ("test", test)):
        if len(indices) == 0:
            raise DataError(f"The {part} split is empty ({method}). Change the split section.")
    leakage = scene_leakage(dataset, {"train": train, "validation": validation, "test": test})
    if leakage is not None and leakage.leaks:
        method = f"leaking: {method}"
    return Split(
        train=train,
        validation=validation,
        test=SealedTest(test),
        method=f"{method}; seed {settings.seed}",
        fingerprint=_fingerprint(dataset, (train, validation, test)),
        left_out={reason: positions for reason, positions in left_out.items() if len(positions)},
        not_found=not_found,
        leakage=leakage,
    )


def labelled_part(labels: Labels, settings: SplitSection) -> Indices:
    """Which training samples' labels are used, `(n,)` sorted; fewer always lie inside more.

    Args:
        labels: of the training samples.
        settings: a share of them, or a number a class; a class that has fewer gives all.

    Raises:
        DataError: a number a class is asked for, where a sample may have several labels.
    """
    order = nested_order(labels, settings.labelled_seed)
    if settings.labelled_per_class is None:
        return np.sort(order[: max(1, round(settings.labelled * len(labels)))])
    if labels.ndim == 2:
        raise DataError(
            "split.labelled_per_class is for samples with one label each, and these may have several. Use "
            "split.labelled, a share."
        )
    of_order = labels[order]
    first = [order[of_order == label][: settings.labelled_per_class] for label in np.unique(of_order)]
    return np.sort(np.concatenate(first))


def _in_space(
    dataset: Dataset, settings: SplitSection, left_out: dict[str, Indices]
) -> tuple[Indices, Indices, Indices, str]:
    assert settings.blocks is not None
    blocks = settings.blocks
    shares = ((1 - settings.test) * (1 - settings.validation), (1 - settings.test) * settings.validation, settings.test)
    part_of, near = divide_in_blocks(dataset, blocks, shares, settings.seed)
    left_out[f"nearer than {blocks.buffer:g} km to a later part"] = np.flatnonzero(near)
    parts = [np.flatnonzero((part_of == part) & ~near) for part in range(3)]
    method = (
        f"blocks of {blocks.size:g} km with a buffer of {blocks.buffer:g} km, stratified; "
        f"test share {settings.test:g}, validation share {settings.validation:g} of the rest"
    )
    return parts[0], parts[1], parts[2], method


def _by_parts_or_shares(
    dataset: Dataset, settings: SplitSection, source: str, left_out: dict[str, Indices]
) -> tuple[Indices, Indices, Indices, str]:
    if dataset.given_validation is not None and dataset.given_test is None:
        raise DataError(
            f"{dataset.origin} has a validation part and no test part. Rename the validation part to test, and a share "
            "of the training part will validate; or add a test part."
        )
    everything = np.arange(len(dataset), dtype=np.int64)
    if dataset.given_left_out is not None:
        left_out["named by none of the split's lists"] = dataset.given_left_out
        everything = np.setdiff1d(everything, dataset.given_left_out)
    if dataset.given_test is not None:
        test = np.sort(dataset.given_test)
        rest = np.setdiff1d(everything, test)
        test_method = f"{source} test set"
    else:
        rest, test = _stratified_share(dataset, everything, settings.test, settings.seed, "test")
        test_method = f"stratified test share {settings.test:g}"
    if settings.folds is None and dataset.given_validation is not None:
        validation = np.sort(dataset.given_validation)
        train = np.setdiff1d(rest, validation)
        method = f"{test_method}; {source} validation set"
    elif settings.folds is None:
        train, validation = _stratified_share(dataset, rest, settings.validation, settings.seed, "validation")
        method = f"{test_method}; stratified validation share {settings.validation:g} of the rest"
    else:
        train, validation = _stratified_fold(dataset, rest, settings.folds, settings.fold, settings.seed)
        method = f"{test_method}; fold {settings.fold} of {settings.folds} of the rest validates, stratified"
    return train, validation, test, method


def _stratified_share(
    dataset: Dataset, candidates: Indices, share: float, seed: int, purpose: str
) -> tuple[Indices, Indices]:
    """Divide candidates into (kept, taken): of each class its rounded share, at least one and never all."""
    if dataset.several_labels:
        taken = _stratified_over_labels(dataset, candidates, (1 - share, share), seed, purpose) == 1
        return candidates[~taken], candidates[taken]
    chosen = []
    for label, class_name in enumerate(dataset.class_names):
        members = candidates[dataset.labels[candidates] == label]
        _require_members(class_name, len(members), 2, f"a {purpose} share of {share:g}")
        count = min(max(1, round(share * len(members))), len(members) - 1)
        stream = numpy_stream(seed, "split", purpose, label)
        chosen.append(stream.permutation(members)[:count])
    taken_positions = np.sort(np.concatenate(chosen))
    return np.setdiff1d(candidates, taken_positions), taken_positions


def _stratified_fold(
    dataset: Dataset, candidates: Indices, folds: int, fold: int, seed: int
) -> tuple[Indices, Indices]:
    """Divide candidates into (train, fold): the folds of all `fold` numbers are disjoint and cover everything."""
    if dataset.several_labels:
        chosen_here = _stratified_over_labels(dataset, candidates, (1 / folds,) * folds, seed, "folds") == fold
        return candidates[~chosen_here], candidates[chosen_here]
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


def _stratified_over_labels(
    dataset: Dataset, candidates: Indices, shares: tuple[float, ...], seed: int, purpose: str
) -> Indices:
    counts = dataset.labels[candidates].astype(np.int64)
    return divide(counts, np.ones(len(candidates), dtype=np.int64), shares, seed, purpose)


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
