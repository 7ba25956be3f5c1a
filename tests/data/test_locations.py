"""The order of the places, and what is said when none holds the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from konvoi.data import locations
from konvoi.data.locations import cache_folder, find_files
from konvoi.errors import DataError

FILES = [("a.gz", "a"), ("b.gz", "b")]


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data anywhere, whatever the machine that runs the tests has."""
    monkeypatch.delenv("KONVOI_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", tmp_path / "system")


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_places_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place holds the files; each, once it is empty, gives way to the next."""
    monkeypatch.setenv("KONVOI_DATA", str(tmp_path / "variable"))
    in_order = [
        put(tmp_path / "variable" / "set", "a", "b"),
        put(tmp_path / "variable", "a", "b"),
        put(tmp_path / "system" / "set", "a", "b"),
        put(tmp_path / "cache" / "konvoi" / "set", "a", "b"),
    ]
    named = put(tmp_path / "named", "a", "b")
    assert find_files("set", FILES, named) == (named / "a", named / "b")
    for folder in in_order:
        assert find_files("set", FILES) == (folder / "a", folder / "b")
        (folder / "b").unlink()
    with pytest.raises(DataError, match="not found"):
        find_files("set", FILES)


def test_the_sub_folder_with_the_name_goes_before_the_folder_itself(tmp_path: Path) -> None:
    put(tmp_path / "data", "a", "b")
    inner = put(tmp_path / "data" / "set", "a", "b")
    assert find_files("set", FILES, tmp_path / "data") == (inner / "a", inner / "b")


def test_the_preferred_spelling_is_taken(tmp_path: Path) -> None:
    folder = put(tmp_path, "a", "a.gz", "b")
    assert find_files("set", FILES, folder) == (folder / "a.gz", folder / "b")


def test_files_are_not_gathered_from_two_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONVOI_DATA", str(put(tmp_path / "variable", "a")))
    put(cache_folder("set"), "b")
    with pytest.raises(DataError) as caught:
        find_files("set", FILES)
    assert f"{tmp_path / 'variable'}: 1 of 2 files; missing b.gz" in str(caught.value)
    assert f"{cache_folder('set')}: 1 of 2 files; missing a.gz" in str(caught.value)


def test_a_named_folder_without_the_files_is_an_error_even_if_the_cache_has_them(tmp_path: Path) -> None:
    put(cache_folder("set"), "a", "b")
    assert find_files("set", FILES)
    with pytest.raises(DataError) as caught:
        find_files("set", FILES, put(tmp_path / "named", "a"))
    message = str(caught.value)
    assert message.startswith(f"--data-dir {tmp_path / 'named'} does not hold the files of set")
    assert f"{tmp_path / 'named' / 'set'}: no such folder" in message
    assert f"{tmp_path / 'named'}: 1 of 2 files; missing b.gz" in message


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        (
            "mnist",
            ["1. konvoi data get mnist", "--data-dir FOLDER or KONVOI_DATA=FOLDER", "3. copy the 2 files into"],
        ),
        ("fashion-mnist", ["1. konvoi data get fashion-mnist", "apt install dataset-fashion-mnist"]),
        ("leaves", ["1. put the 2 files (a.gz, b.gz)", "Known by name", "mnist, fashion-mnist"]),
    ],
)
def test_nothing_found_names_the_places_and_the_ways_on(tmp_path: Path, name: str, ways: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        find_files(name, FILES)
    message = str(caught.value)
    for place in (
        "--data-dir: not given",
        "$KONVOI_DATA: not set",
        f"{tmp_path / 'system' / name}: no such folder",
        f"{tmp_path / 'cache' / 'konvoi' / name}: no such folder",
    ):
        assert place in message
    for way in ways:
        assert way in message
    assert "konvoi data get leaves" not in message
    assert ("apt install" in message) == (name == "fashion-mnist")


@pytest.mark.parametrize("name", ["", ".", "..", "../mnist", "/etc", "a/b"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot name a data set"):
        find_files(name, FILES)


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_a_cache_that_is_not_absolute_is_ignored(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("mnist") == tmp_path / ".cache" / "konvoi" / "mnist"
