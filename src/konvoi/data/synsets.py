"""ImageNet's classes: synsets of WordNet, their words, and the tree that they hang in; from the user's own files.

No word and no edge of WordNet is part of Konvoi. Read are the files that ImageNet publishes beside its pictures:
`wordnet.is_a.txt` ("parent child" on each line), `words.txt`, and the development kit's `meta.mat`, which has both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from konvoi.errors import DataError

SYNSET = re.compile(r"n\d{8}")
"""A noun's synset: n and its eight digits."""

EDGES_FILE = "wordnet.is_a.txt"
WORD_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
META_FILE = "meta.mat"
_DEPTH_OF_SEARCH = 3

CATEGORIES = (
    *("animal", "mammal", "dog", "cat", "bird", "reptile", "amphibian", "fish", "insect", "arachnid", "crustacean"),
    *("plant", "fruit", "fungus", "food", "person", "vehicle", "furniture", "clothing", "musical instrument"),
    *("tool", "container", "building", "weapon", "geological formation"),
)
"""The words whose synsets are looked for in the tree, as categories that a reader understands."""


@dataclass(frozen=True)
class SynsetTree:
    """What is known of synsets; parts that no file told are empty.

    Attributes:
        parents: by synset; WordNet gives some of them two.
        words: a synset's words, the first one first.
        numbers: the development kit's own numbers (`ILSVRC2012_ID`), whose order is not that of the synsets.
    """

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[int, str] = field(default_factory=dict)

    def above(self, synset: str) -> set[str]:
        """All ancestors of a synset, and itself."""
        found: set[str] = set()
        waiting = [synset]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.parents.get(one, ())
        return found


def synset_of(class_name: str) -> str | None:
    """The synset that a class's name begins with: of "n01440764 tench" it is n01440764; None where there is none."""
    found = SYNSET.match(class_name)
    return found.group() if found else None


def categories(
    tree: SynsetTree, class_names: Sequence[str], wanted: Iterable[str] = CATEGORIES
) -> dict[str, tuple[int, ...]]:
    """The classes below each category, as positions in `class_names`; categories with fewer than two are left out.

    A word that several synsets share ("crane") means the one with most of these classes below it.

    Args:
        tree: with parents.
        class_names: that begin with their synsets.
        wanted: words, or synsets themselves.
    """
    below: defaultdict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(class_names):
        synset = synset_of(name)
        for ancestor in sorted(tree.above(synset)) if synset else ():
            below[ancestor].append(position)
    # From the smallest to the largest, so that the largest one keeps a word that they share.
    of_word = {
        word: synset
        for synset in sorted(below, key=lambda synset: (len(below[synset]), synset))
        for word in tree.words.get(synset, ())
    }
    found = {}
    for word in wanted:
        members = below.get(of_word.get(word, word), [])
        if len(members) > 1:
            found[word] = tuple(members)
    return found


def read_synsets(places: Sequence[Path]) -> SynsetTree:
    """All that the files in these folders tell of synsets, and in folders below them to a depth of three.

    Args:
        places: folders, or the files themselves; what does not exist is passed over.

    Raises:
        DataError: a file is there and not what its name says.
    """
    parents: dict[str, tuple[str, ...]] = {}
    words: dict[str, tuple[str, ...]] = {}
    numbers: dict[int, str] = {}
    for path in _files(places):
        if path.name == EDGES_FILE:
            parents |= _read_edges(path)
        elif path.name == META_FILE:
            meta = _read_meta(path)
            parents |= {synset: found for synset, found in meta.parents.items() if synset not in parents}
            words |= meta.words
            numbers |= meta.numbers
        else:
            # Of two files, the first has ImageNet's own words for its classes.
            words = _read_words(path) | words
    return SynsetTree(parents, words, numbers)


def _files(places: Sequence[Path]) -> list[Path]:
    known = (EDGES_FILE, META_FILE, *WORD_FILES)
    found: dict[Path, None] = {}
    for place in places:
        if place.is_file() and place.name in known:
            found |= dict.fromkeys(place.parent / name for name in known if (place.parent / name).is_file())
        elif place.is_dir():
            found |= dict.fromkeys(_below(place, known, _DEPTH_OF_SEARCH))
    return sorted(found, key=lambda path: (known.index(path.name), str(path)))


def _below(folder: Path, names: Sequence[str], depth: int) -> list[Path]:
    found = [folder / name for name in names if (folder / name).is_file()]
    if depth:
        # Folders of pictures are not entered: they are many, and hold nothing of this.
        inner = sorted(
            path for path in folder.iterdir() if path.is_dir() and path.name.lower() not in {"train", "val", "test"}
        )
        for path in inner[:64]:
            if not SYNSET.fullmatch(path.name):
                found += _below(path, names, depth - 1)
    return found


def _read_edges(path: Path) -> dict[str, tuple[str, ...]]:
    parents: defaultdict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(_lines(path), start=1):
        ends = line.split()
        if len(ends) != 2 or not all(SYNSET.fullmatch(end) for end in ends):
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; expected the synset of a parent and that of its child, like "
                "n02084071 n02085374."
            )
        parents[ends[1]].append(ends[0])
    return {child: tuple(found) for child, found in parents.items()}


def _read_words(path: Path) -> dict[str, tuple[str, ...]]:
    words = {}
    for number, line in enumerate(_lines(path), start=1):
        synset, *rest = line.split(None, 1)
        if not SYNSET.fullmatch(synset) or not rest:
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; expected a synset and its words, like n02084071 dog, "
                "domestic dog."
            )
        words[synset] = _parted(rest[0])
    return words


def _read_meta(path: Path) -> SynsetTree:
    """The development kit's table: `synsets`, with WNID, words, children and ILSVRC2012_ID for each."""
    from scipy.io import loadmat

    try:
        rows = list(loadmat(path, squeeze_me=True)["synsets"])
        names: dict[int, str] = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        words = {str(row["WNID"]): _parted(row["words"]) for row in rows if isinstance(row["words"], str)}
        parents: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            for child in _numbers(row["children"]):
                parents[names[child]].append(str(row["WNID"]))
    # A file of MATLAB's that is damaged or another's is answered with almost any exception.
    except Exception as error:
        raise DataError(
            f"{path} is not the table of synsets of ILSVRC2012's development kit ({error}). Copy it again, or "
            "remove it."
        ) from error
    return SynsetTree({child: tuple(found) for child, found in parents.items()}, words, names)


def _numbers(entry: Any) -> list[int]:
    import numpy as np

    return [int(value) for value in np.atleast_1d(entry)]


def _parted(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(",") if word.strip())


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return [line for line in lines if line.strip()]
