"""What README and docs say stays true where a test can know it."""

import json
import re
from pathlib import Path

import pytest

from konvoi.recipe import shipped_recipes

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_placeholder_is_left_and_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z]+@", text)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_accuracies_are_those_that_were_measured() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "recipe_accuracy.json").read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(measured) <= set(shipped_recipes())
    for name, runs in measured.items():
        mean = sum(run["test"] for run in runs) / len(runs)
        assert re.search(rf"\| `{name}` \| {runs[0]['parameters']:,} \| {mean:.2%} \|", readme), name
