"""Imports point one way, and the commands start without torch."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "konvoi"

LAYERS = [
    {"errors", "record", "files", "randomness", "memory", "environment", "colours", "imports"},
    {"parallel"},
    {"recipe"},
    {"data", "models"},
    {"evaluation"},
    {"training"},
    {"run"},
    {"predict", "report"},
    {"experiment"},
    {"studies", "cluster", "hardware", "timeline"},
    {"console"},
    {"cli"},
    {"__main__"},
]
"""From the ground up; a part imports from layers below its own, and from its own part."""

LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """The parts of Konvoi that a file imports anywhere, late imports included."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            # `from konvoi import experiment` names the part in the imported names.
            names = [f"konvoi.{alias.name}" for alias in node.names] if node.module == "konvoi" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("konvoi.")}
    return parts


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = part_of(path)
    assert own in LEVEL, f"{own} has no place in the layers yet"
    wrong = {part for part in imported_parts(path) if part != own and LEVEL[part] >= LEVEL[own]}
    assert not wrong, f"{own} must not import {', '.join(sorted(wrong))}"


def test_every_module_says_what_lives_in_it() -> None:
    silent = [str(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not silent


def test_no_relative_imports_hide_from_this_test() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
