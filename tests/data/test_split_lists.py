"""Lists of names: what is written is read again, and what does not fit is said."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_samples import parts_of, several

from konvoi.data.split import make_split
from konvoi.data.split_lists import write_split
from konvoi.errors import DataError
from konvoi.recipe.split import Blocks, SplitSection


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    data = several(200)
    split = make_split(data, SplitSection(blocks=Blocks(size=15, buffer=2)))
    paths = write_split(data, split, 0, tmp_path)
    assert [path.name for path in paths] == [
        "train.csv", "validation.csv", "test.csv", "train-1.csv", "train-10.csv", "train-100.csv"
    ]  # fmt: skip
    again = make_split(data, SplitSection(lists=str(tmp_path)))
    assert all(np.array_equal(one, other) for one, other in zip(parts_of(split), parts_of(again), strict=True))
    tenth = make_split(data, SplitSection(lists=str(tmp_path), labelled=0.1))
    names = (tmp_path / "train-10.csv").read_text().split("\n")[:-1]
    assert names == [f"patch {position}" for position in tenth.train]


def test_what_is_wrong_with_lists_is_said(tmp_path: Path) -> None:
    data = several(50)
    with pytest.raises(DataError, match="holds no lists"):
        make_split(data, SplitSection(lists=str(tmp_path)))
    (tmp_path / "train.csv").write_text("patch 1\npatch 2\n")
    with pytest.raises(DataError, match="there is none named test"):
        make_split(data, SplitSection(lists=str(tmp_path)))
    (tmp_path / "test.csv").write_text("someone else's\n")
    with pytest.raises(DataError, match="none of the test list's names"):
        make_split(data, SplitSection(lists=str(tmp_path)))
    (tmp_path / "test.csv").write_text("patch 3\npatch 3\n")
    with pytest.raises(DataError, match="names patch 3 twice"):
        make_split(data, SplitSection(lists=str(tmp_path)))


def test_what_lists_name_and_the_data_lack_is_counted(tmp_path: Path) -> None:
    data = several(80)
    write_split(data, make_split(data, SplitSection()), 0, tmp_path)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("gone 1\ngone 2\n")
    with (tmp_path / "test.csv").open("a") as file:
        file.write("gone 3\n")
    words = make_split(data, SplitSection(lists=str(tmp_path))).left_out_in_words
    assert words == (
        "2 names of the train list without a sample in several, the first gone 1",
        "1 name of the test list without a sample in several, the first gone 3",
    )


def test_what_no_list_names_is_left_out_and_counted(tmp_path: Path) -> None:
    data = several(80)
    split = make_split(data, SplitSection())
    write_split(data, split, 0, tmp_path)
    names = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join(names[5:]))
    again = make_split(data, SplitSection(lists=str(tmp_path)))
    assert again.train.tolist() == split.train[5:].tolist()
    assert again.left_out_in_words == ("5 samples: named by none of the split's lists",)


@pytest.mark.parametrize("name", ["a, b.png", 'say "cheese".png', "über/käse;1.png", "two\nlines"])
def test_names_with_commas_and_quotation_marks_come_back(tmp_path: Path, name: str) -> None:
    data = several(40)
    data = replace(data, sample_names=[f"{number} {name}" for number in range(40)])
    split = make_split(data, SplitSection())
    write_split(data, split, 0, tmp_path)
    again = make_split(data, SplitSection(lists=str(tmp_path)))
    assert again.fingerprint == split.fingerprint


def test_names_that_a_list_cannot_hold_are_refused(tmp_path: Path) -> None:
    data = several(40)
    split = make_split(data, SplitSection())
    with pytest.raises(DataError, match="Two samples of several have the name same"):
        write_split(replace(data, sample_names=["same"] * 40), split, 0, tmp_path)
    for wrong in (" spaces ", ""):
        names = [f"patch {number}" for number in range(40)]
        names[split.test.indices_for_audit()[3]] = wrong
        with pytest.raises(DataError, match=f"The name '{wrong}' cannot stand in a list"):
            write_split(replace(data, sample_names=names), split, 0, tmp_path)
    names = [f"patch {number}" for number in range(40)]
    names[split.train[0]] = "name"
    with pytest.raises(DataError, match="The name 'name' cannot stand in a list"):
        write_split(replace(data, sample_names=names), split, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_lists_go_before_blocks_and_blocks_before_the_files_parts(tmp_path: Path) -> None:
    data = replace(several(200), given_test=np.arange(20))
    blocked = make_split(data, SplitSection(blocks=Blocks(size=15)))
    assert blocked.method.startswith("blocks of 15 km")
    assert blocked.test.indices_for_audit().tolist() != list(range(20))
    (tmp_path / "train.csv").write_text("".join(f"patch {number}\n" for number in range(50, 200)))
    (tmp_path / "test.csv").write_text("".join(f"patch {number}\n" for number in range(50)))
    listed = make_split(data, SplitSection(lists=str(tmp_path), blocks=Blocks(size=15)))
    assert listed.test.indices_for_audit().tolist() == list(range(50))


def test_the_official_lists_of_the_archive_are_read(shared_data, tmp_path: Path) -> None:
    folder = shared_data / "bigearthnet-v1" / "splits"
    names = [line for part in ("train", "val", "test") for line in _lines(folder, part)[:30]]
    data = replace(several(90), sample_names=names)
    split = make_split(data, SplitSection(lists=str(folder)))
    assert [part.tolist() for part in parts_of(split)] == [list(range(30 * n, 30 * n + 30)) for n in range(3)]
    # 269,695, 123,723 and 125,866 names, less the 30 that are here.
    counts = [sentence.split(" ")[0] for sentence in split.left_out_in_words]
    assert counts == ["269,665", "123,693", "125,836"]


def _lines(folder: Path, part: str) -> list[str]:
    (path,) = folder.glob(f"{part}.*")
    content = path.read_bytes()
    opened = {".bz2": bz2.decompress, ".gz": gzip.decompress}.get(path.suffix, bytes)(content)
    return [line.strip() for line in opened.decode().splitlines()]
