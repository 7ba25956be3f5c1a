"""ImageNet in the layouts of ILSVRC2012: folders by synset, tar files by synset, and pictures named by their synset.

    SOURCE/train/n01440764/n01440764_10026.JPEG …     SOURCE/val/n01440764/ILSVRC2012_val_00000293.JPEG …
    SOURCE/train/n01440764.tar …                      SOURCE/val/ILSVRC2012_val_00000001.JPEG … and a table
    SOURCE/ILSVRC2012_img_train.tar                   SOURCE/ILSVRC2012_img_val.tar and a table
    SOURCE/ILSVRC/Data/CLS-LOC/train …                as Kaggle packs it
    SOURCE (a folder or a tar file) with n01440764_tench.JPEG …

Tar files are read where they are. The pictures of val/ are the test part, which stays sealed; a share of train/ will
validate. O. Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 115 (2015).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import RGB, Bands
from konvoi.data.patches import Grid, Patch, PatchError, Problem
from konvoi.data.sources.image_file import BILINEAR, decode
from konvoi.data.sources.imagenet_truth import find_truth, read_truth
from konvoi.data.sources.picture_listing import CompactNames, Pictures, list_pictures
from konvoi.data.synsets import SYNSET, SynsetTree, read_synsets, synset_of
from konvoi.errors import DataError

DEFAULT_SIZE = 256
"""Pixels a side of a stored picture; the short side to which pictures are customarily brought for validation."""

_BASES = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")
_TRAIN = ("train", "ILSVRC2012_img_train.tar", "train.tar")
_VAL = ("val", "validation", "ILSVRC2012_img_val.tar", "val.tar")
_NO_CLASS = -1


class _Parts(Mapping[str, str]):
    """`train` and `test` by name, without an entry in memory for each picture."""

    def __init__(self, names: CompactNames, is_test: NDArray[np.bool_]) -> None:
        self._names = names
        self._is_test = is_test

    def __getitem__(self, name: str) -> str:
        position = self._names.position(name)
        if position < 0:
            raise KeyError(name)
        return "test" if self._is_test[position] else "train"

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class ImageNetSource:
    """Pictures, listed; see `data.patches.PatchSource` for the attributes.

    Every picture is stored as a square of `size` pixels a side: resized bilinearly with antialiasing, never cut off in
    training. A training picture is squeezed into the square as a whole, and its `aspect` says how to undo that: crops
    are chosen, and drawn, in the picture's own geometry. What is lost is the finer detail of its long side. Of a
    picture of the test part, the square in its middle is stored, with the short side resized to `size`: customary
    validation sees nothing else.
    """

    kind: str
    name: str
    origin: str
    class_names: tuple[str, ...]
    size: int
    problems: tuple[Problem, ...]
    pictures: Pictures = field(repr=False)
    classes: NDArray[np.int16] = field(repr=False)
    is_test: NDArray[np.bool_] | None = field(repr=False)
    bands: Bands = RGB
    several_labels: bool = False
    caution: str = ""

    @property
    def grids(self) -> tuple[Grid, ...]:
        """One grid, of red, green and blue."""
        return (Grid("rgb", RGB.names, (self.size, self.size), "uint8"),)

    @property
    def names(self) -> Sequence[str]:
        """Of the pictures: of their files, without suffix."""
        return self.pictures.names

    @property
    def parts(self) -> Mapping[str, str]:
        """Train or test by name; none where there are no folders of parts."""
        return {} if self.is_test is None else _Parts(self.pictures.names, self.is_test)

    @property
    def flags(self) -> Mapping[str, tuple[str, ...]]:
        """None."""
        return {}

    def read(self, name: str) -> Patch:
        """One picture, decoded and resized.

        Raises:
            PatchError: it is truncated or no picture, or it is not known what it shows.
        """
        position = self.pictures.names.position(name)
        where = self.pictures.where(position)
        if self.classes[position] == _NO_CLASS:
            raise PatchError(f"{where}: neither its folder nor its name nor a table says which synset it shows.")
        try:
            picture = decode(io.BytesIO(self.pictures.content(position)), where, enough=self.size).convert("RGB")
        except PatchError:
            raise
        except DataError as error:
            raise PatchError(str(error)) from error
        width, height = picture.size
        aspect, box = width / height, (0.0, 0.0, float(width), float(height))
        if self.is_test is not None and self.is_test[position]:
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            aspect, box = 1.0, (left, top, left + side, top + side)
        pixels = np.asarray(picture.resize((self.size, self.size), BILINEAR, box=box), dtype=np.uint8)
        return Patch(
            arrays={"rgb": np.ascontiguousarray(pixels.transpose(2, 0, 1))},
            labels=(self.class_names[self.classes[position]],),
            aspect=aspect,
        )


def open_imagenet(source: Path, size: int = DEFAULT_SIZE, truth: Path | None = None) -> ImageNetSource:
    """List the pictures of ILSVRC2012, or of any part of it.

    Args:
        source: a folder, or a tar file; see above for what may be in it.
        size: pixels a side of a stored picture.
        truth: the table of the validation pictures' synsets, where it is not beside them.

    Raises:
        DataError: there are no pictures, their synsets are not known, or val/ has classes that train/ has not.
    """
    train, val = _parts_below(source)
    pictures = list_pictures([source] if train is None else [train] if val is None else [train, val])
    in_val = np.array([val is not None and path.path.is_relative_to(val) for path in pictures.containers])
    is_test = in_val[pictures.container]
    folders = [source, source.parent] if source.is_file() else [source, *([val] if val and val.is_dir() else [])]
    tree = read_synsets([source if source.is_dir() else source.parent, *([truth.parent] if truth else [])])
    shown, words = _synsets_of(pictures)
    synsets = sorted({synset for synset in shown[~is_test].tolist() if synset})
    if not synsets:
        raise DataError(
            f"{source}: the synset of no picture is known. Expected are folders or tar files named by synset "
            "(n01440764), or pictures whose names begin with it (n01440764_10026.JPEG)."
        )
    unlabelled = np.flatnonzero(is_test & (shown == ""))
    if len(unlabelled):
        table = truth or find_truth(folders)
        if table is None:
            raise DataError(
                f"{val} holds {len(unlabelled):,} pictures whose synsets are not known. Give their table with "
                "--labels: LOC_val_solution.csv, or the development kit's "
                "ILSVRC2012_validation_ground_truth.txt beside its meta.mat."
            )
        names = [pictures.names[position] for position in unlabelled.tolist()]
        known = read_truth(table, names, synsets, tree.numbers)
        shown[unlabelled] = [known.get(name, "") for name in names]
    _require_known(shown[is_test], synsets, train, val)
    ranks = {synset: rank for rank, synset in enumerate(synsets)} | {"": _NO_CLASS}
    return ImageNetSource(
        kind="imagenet",
        name="ImageNet",
        origin=f"{source}, resized to {size} × {size} pixels",
        class_names=tuple(_class_name(synset, tree, words) for synset in synsets),
        size=size,
        problems=pictures.problems,
        pictures=pictures,
        classes=np.array([ranks[synset] for synset in shown.tolist()], dtype=np.int16),
        is_test=is_test if val is not None else None,
    )


def looks_like_imagenet(source: Path) -> bool:
    """Whether a folder has one of the layouts above; every tar file is taken for one of them."""
    if source.is_file():
        return True
    train, _ = _parts_below(source)
    place = source if train is None else train
    if place.is_file():
        return True
    found = [path.name for path, _ in zip(sorted(place.iterdir()), range(64), strict=False)]
    return any(synset_of(name) for name in found)


def _parts_below(source: Path) -> tuple[Path | None, Path | None]:
    """Where training and validation pictures lie; None for what there is not."""
    if source.is_file():
        return None, None
    for base in _BASES:
        train = next((source / base / name for name in _TRAIN if (source / base / name).exists()), None)
        if train is not None:
            return train, next((source / base / name for name in _VAL if (source / base / name).exists()), None)
    return None, None


def _synsets_of(pictures: Pictures) -> tuple[NDArray[np.str_], dict[str, set[str]]]:
    """The synset of each picture by its folder, tar file or name, "" where none says it; and words in their names."""
    found = np.full(len(pictures), "", dtype="<U9")
    words: dict[str, set[str]] = {}
    for number, container in enumerate(pictures.containers):
        own = np.flatnonzero(pictures.container == number)
        if SYNSET.fullmatch(container.label):
            found[own] = container.label
            continue
        for position in own.tolist():
            name = pictures.names[position]
            synset, _, rest = name.partition("_")
            if SYNSET.fullmatch(synset):
                found[position] = synset
                if not rest.isdecimal():
                    words.setdefault(synset, set()).add(rest.replace("_", " "))
    return found, words


def _class_name(synset: str, tree: SynsetTree, words: Mapping[str, set[str]]) -> str:
    """The synset and its first word: several synsets have the same word, and the order of classes is theirs."""
    known = tree.words.get(synset) or tuple(words.get(synset, ()) if len(words.get(synset, ())) == 1 else ())
    return f"{synset} {known[0]}".strip() if known else synset


def _require_known(shown: NDArray[np.str_], synsets: list[str], train: Path | None, val: Path | None) -> None:
    unknown = sorted(set(shown.tolist()) - set(synsets) - {""})
    if unknown:
        raise DataError(
            f"{val} has pictures of {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}, and {train} has none: "
            "a network cannot be right about a class it never saw. Copy what is missing, or remove these."
        )
