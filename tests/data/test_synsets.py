"""The tree of classes, from files made here in the form of ImageNet's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from konvoi.data.synsets import categories, read_synsets, synset_of
from konvoi.errors import DataError

EDGES = [
    ("n00000001", "n00000010"),
    ("n00000010", "n00000011"),
    ("n00000010", "n00000012"),
    ("n00000011", "n00000101"),
    ("n00000011", "n00000102"),
    ("n00000012", "n00000103"),
    ("n00000002", "n00000103"),
    ("n00000002", "n00000201"),
    ("n00000201", "n00000202"),
]
"""A made tree: 101 and 102 are birds, 103 a dog, 202 a toy; the dog is a toy too, as WordNet may give two parents."""

WORDS = {
    "n00000001": "thing",
    "n00000010": "animal, beast",
    "n00000011": "bird",
    "n00000012": "dog, domestic dog",
    "n00000002": "toy, bird",
    "n00000101": "robin",
    "n00000102": "jay",
    "n00000103": "puppy",
    "n00000202": "kite, box kite",
}

CLASSES = ("n00000101 robin", "n00000102 jay", "n00000103 puppy", "n00000202 kite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wordnet.is_a.txt").write_text("".join(f"{parent} {child}\n" for parent, child in EDGES))
    (tmp_path / "words.txt").write_text("".join(f"{synset}\t{words}\n" for synset, words in WORDS.items()))
    return tmp_path


def test_categories_are_what_lies_below_them(folder: Path) -> None:
    tree = read_synsets([folder])
    assert tree.above("n00000103") == {"n00000103", "n00000012", "n00000010", "n00000001", "n00000002"}
    found = categories(tree, CLASSES, ["animal", "bird", "toy", "dog", "robin", "n00000001", "unheard of"])
    # A dog is one class here, and a category of one says nothing. Of two birds, the toy has as many classes: the one
    # of the larger number.
    assert found == {"animal": (0, 1, 2), "bird": (0, 1), "toy": (2, 3), "n00000001": (0, 1, 2)}


def test_the_development_kits_table_says_the_same(folder: Path, tmp_path: Path) -> None:
    synsets = sorted(set(WORDS) | {"n00000201"})
    number = {synset: position for position, synset in enumerate(synsets, start=1)}
    rows = [
        (number[synset], synset, WORDS.get(synset, ""), [number[child] for parent, child in EDGES if parent == synset])
        for synset in synsets
    ]
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("children", "O")]
    (tmp_path / "kit" / "data").mkdir(parents=True)
    savemat(tmp_path / "kit" / "data" / "meta.mat", {"synsets": np.array(rows, dtype=fields)})
    kit, files = read_synsets([tmp_path / "kit"]), read_synsets([folder / "words.txt"])
    assert {child: set(parents) for child, parents in kit.parents.items()} == {
        child: {parent for parent, other in EDGES if other == child} for _, child in EDGES
    }
    assert kit.numbers[number["n00000103"]] == "n00000103"
    assert categories(kit, CLASSES) == categories(files, CLASSES)
    assert {synset: words for synset, words in kit.words.items() if words} == dict(files.words)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wordnet.is_a.txt", "n00000001 n00000002\nn1 x\n", r"line 2 is 'n1 x'; expected the synset of a parent"),
        ("words.txt", "dog n00000001\n", "line 1 is 'dog n00000001'; expected a synset and its words"),
        ("meta.mat", "no matrix", "not the table of synsets"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_synsets([tmp_path])
    assert str(tmp_path / name) in str(error.value)


def test_nothing_at_hand_is_nothing_found(tmp_path: Path) -> None:
    tree = read_synsets([tmp_path, tmp_path / "missing"])
    assert categories(tree, CLASSES) == {}
    assert synset_of("n01440764 tench") == "n01440764"
    assert synset_of("tench") is None
