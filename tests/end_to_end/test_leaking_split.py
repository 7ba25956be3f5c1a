"""The word leaking, from the audit before training to every table and figure after it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import konvoi
from konvoi.cli.commands import app
from konvoi.console.results import print_result
from konvoi.errors import DataError
from konvoi.evaluation.scores import Scores
from konvoi.recipe import Recipe, parse_recipe
from konvoi.report.figures import plot
from made_cubes import RECIPE, field_map, write_cube

RANDOM = "split.pixels={method: random}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_cube(tmp_path, field_map(), noise=2.0)
    (tmp_path / "fields.yaml").write_text(RECIPE)
    return tmp_path


def test_the_audit_shows_leakage_before_anything_is_trained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["data", "audit", str(place / "fields.yaml"), "--data-dir", str(place)]
    shown = CliRunner().invoke(app, [*arguments, "--set", RANDOM, "--picture", str(place / "parts.png")])
    assert shown.exit_code == 0, shown.output
    assert "leaking: random pixels, no guard band" in shown.output
    assert re.search(r"leaking split: [\d,]+ of [\d,]+ test windows", shown.output)
    assert (place / "parts.png").stat().st_size > 1000
    shown = CliRunner().invoke(app, arguments)
    assert "no window of a later part contains a pixel of an earlier one" in shown.output
    assert "leaking" not in shown.output
    odd = CliRunner().invoke(app, [*arguments, "--picture", str(place / "parts.gif")])
    assert isinstance(odd.exception, DataError)


@pytest.mark.parametrize("leaks", [True, False])
def test_tables_and_figures_carry_the_word(place: Path, leaks: bool, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = parse_recipe(RECIPE, "a test")
    if leaks:
        split = {"pixels": {"method": "random"}, "allow_leakage": True}
        recipe = Recipe.model_validate({**recipe.model_dump(), "split": split})
    run = konvoi.train(recipe, data_dir=place, run_dir=place / "run")
    assert run.facts.data.leaks == leaks
    capsys.readouterr()
    print_result(run)
    table = capsys.readouterr().out
    assert ("test, leaking" in table, "validation, leaking" in table, "caution: leaking split" in table) == (leaks,) * 3
    # A scene's table has OA, AA and kappa.
    assert run.evaluation is not None
    assert isinstance(run.evaluation.test, Scores)
    assert f"{run.evaluation.test.average_accuracy:.2%}" in table
    assert f"{run.evaluation.test.kappa:.4f}" in table

    page = run.report_path.read_text(encoding="utf-8")
    for figure in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        named = re.search(r'id="(\w+)-', figure)
        if named is not None and named[1] in ("learning", "errors", "confusion", "reliability"):
            assert ("leaking split" in figure) == leaks, named[1]
    assert ('<caption class="leaking">leaking split</caption>' in page) == leaks
    assert ("whose windows contain pixels that trained the network" in page) == leaks
    assert bool(re.search(r"<title>.*leaking split</title>", page)) == leaks
    assert ("leaking split" in page) == leaks
    words = [text.get_text() for text in plot(run, "confusion").texts]
    assert ("leaking split" in words) == leaks
