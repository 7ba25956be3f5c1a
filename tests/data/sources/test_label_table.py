"""Tables of labels in all their forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from konvoi.data.sources.label_table import LabelTable, read_label_table
from konvoi.errors import DataError

BOTH = {"a": ("water",), "b": ("forest", "water"), "c": ()}


def table(tmp_path: Path, name: str, text: str) -> LabelTable:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_label_table(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "name,labels\na,water\nb,forest;water\nc,\n"),
        ("t.csv", "labels;patch\nwater;a\nforest|water;b\n;c\n"),
        ("t.tsv", "file\tlabel\na\twater\nb\tforest; water\nc\t\n"),
        ("t.json", json.dumps({"a": "water", "b": ["forest", "water"], "c": []})),
        (
            "t.json",
            json.dumps(
                [{"id": "a", "class": ["water"]}, {"id": "b", "class": ["forest", "water"]}, {"id": "c", "class": []}]
            ),
        ),
    ],
)
def test_several_labels(tmp_path: Path, name: str, text: str) -> None:
    read = table(tmp_path, name, text)
    assert read.labels == BOTH
    assert read.class_names == ("forest", "water")
    assert read.several_labels


def test_one_label_each(tmp_path: Path) -> None:
    read = table(tmp_path, "t.csv", "\ufeffname,class\na,water\nb,forest\n")
    assert read == LabelTable({"a": ("water",), "b": ("forest",)}, ("forest", "water"), False)


def test_columns_of_0_and_1_keep_their_order(tmp_path: Path) -> None:
    read = table(tmp_path, "t.csv", "image,water,forest\na,1,0\nb,1,1\nc,0,0\n")
    assert read.labels == {"a": ("water",), "b": ("water", "forest"), "c": ()}
    assert read.class_names == ("water", "forest")


def test_the_name_is_rather_the_files_than_a_number(tmp_path: Path) -> None:
    read = table(tmp_path, "t.csv", "id,Filename,class_number,Label\n1,a.tif,7,x\n2,b.tif,8,y\n")
    assert read.labels == {"a.tif": ("x",), "b.tif": ("y",)}


def test_indicators_may_be_decimal(tmp_path: Path) -> None:
    read = table(tmp_path, "t.csv", "name,x,y\na,1.0,0.0\nb,0.0,1.0\n")
    assert read.labels == {"a": ("x",), "b": ("y",)}


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    parquet.write_table(
        pa.table({"patch_id": ["a", "b", "c"], "labels": [["water"], ["forest", "water"], []]}), tmp_path / "t.parquet"
    )
    assert read_label_table(tmp_path / "t.parquet").labels == BOTH


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "name,label\na,x\na,y\n", "row 2 names a, which was named before"),
        ("t.csv", "name,label\n,x\n", "row 1 has no name"),
        ("t.csv", "name,colour\na,x\nb,y\n", "none is called labels, label"),
        ("t.csv", "name,label\na,x,y\n", "another number of cells"),
        ("t.csv", "name,label\n", "holds no rows"),
        ("t.json", "{", "cannot be read"),
        ("t.json", "3", "expected is an object"),
        ("t.json", '{"a": "x", "a": "y"}', "the name 'a' stands twice"),
        (
            "t.json",
            '[{"name": "a", "label": "x"}, {"file": "b", "label": "y"}]',
            "row 2 lacks name; it has file, label",
        ),
        ("t.json", '[{"name": "a", "label": "x"}, {"name": "b", "lable": "y"}]', "row 2 lacks label; it has name, lab"),
        ("t.csv", "name,x,x\na,1,0\nb,0,1\n", "the column 'x' stands twice"),
        ("t.xls", "", "is none of"),
        ("t.parquet", "nothing", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, name, text)
