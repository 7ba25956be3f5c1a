"""The page of a run on patches with several labels: every label's scores, their company, the patches and the map."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fake_patches import CAUTION, SIZES, places_of, write_patch_run
from fake_runs import FakeRun
from page import Page

from konvoi.data.nomenclature import LABELS_43
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.report import render
from konvoi.report.labels import company_matrix, frequency_against_precision, guessed_map, label_rows
from konvoi.report.scenes import split_map
from konvoi.report.wording import number, score, shortened

SCARY = ("<script>alert('x')</script>", "]]>", "{{ 7 * 7 }}")
VARIANTS = {
    "43 labels on a map": {"places": places_of()},
    "without places": {},
    "sealed": {"test": False},
    "interrupted": {"evaluated": False},
    "labels that the test lacks": {"lacking": LABELS_43[3:6]},
    "scary names": {"names": SCARY, "places": places_of(("train", "test"), 30)},
}


@pytest.fixture
def make_patch_run(tmp_path: Path) -> Callable[..., FakeRun]:
    return partial(write_patch_run, tmp_path / "run")


def scores_of(run: FakeRun) -> SeveralLabelScores:
    evaluation = run.run.evaluation
    assert evaluation is not None
    assert isinstance(evaluation.test, SeveralLabelScores)
    return evaluation.test


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_is_well_formed_and_stands_on_its_own(variant: str, make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run(**VARIANTS[variant])
    html = render(made.run, made.network)
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {link.removeprefix("#") for link in links if link} <= set(ids)
    assert "http://" not in html
    assert "https://" not in html
    for tag, attributes in page.tags:
        assert tag != "script"
        assert tag != "img" or "alt" in attributes
        assert tag != "svg" or attributes["aria-label"]
    assert CAUTION in page.text


def test_every_label_has_its_row_of_scores(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run()
    page, scores = Page(render(made.run, made.network)), scores_of(made)
    table = [row for row in page.rows if len(row) == 9 and row[0] in {shortened(name, 40) for name in LABELS_43}]
    trained = made.run.facts.data.class_counts["train"]
    assert [int(row[1].replace(",", "")) for row in table] == sorted(trained, reverse=True)
    by_name = {shortened(entry.name, 40): (count, entry) for count, entry in zip(trained, scores.classes, strict=True)}
    for name, *cells in table:
        count, entry = by_name[name]
        shown = (entry.average_precision, entry.f1, entry.f2, entry.precision, entry.recall, entry.threshold)
        assert cells == [number(count), number(entry.samples), *map(score, shown)]


def test_every_split_has_its_row(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run()
    page, scores = Page(render(made.run, made.network)), scores_of(made)
    low, high = scores.macro_map_interval
    assert page.row("test")[1:5] == [
        number(SIZES["test"]), score(scores.macro_map), f"{score(low)} – {score(high)}", score(scores.micro_map),
    ]  # fmt: skip


def test_labels_that_the_test_lacks_are_named_and_have_no_precision(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run(lacking=LABELS_43[3:5])
    page = Page(render(made.run, made.network))
    assert f"No image of the test split has {LABELS_43[3]}, {LABELS_43[4]}" in page.text
    row = next(row for row in page.rows if row[0] == shortened(LABELS_43[3], 40) and len(row) == 9)
    assert (row[2], row[3]) == ("0", score(None))


def test_patches_carry_what_was_right_missed_and_claimed(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run()
    page, scores, examples = Page(render(made.run, made.network)), scores_of(made), made.run.examples()
    assert examples is not None
    thresholds = np.array([entry.threshold for entry in scores.classes])
    labels = np.concatenate([examples.drawn_labels, examples.mistake_labels]) > 0
    claimed = np.concatenate([examples.drawn_probabilities, examples.mistake_probabilities]) > thresholds
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "li"]
    assert classes.count("right") == (labels & claimed).sum()
    assert classes.count("missed") == (labels & ~claimed).sum()
    assert classes.count("wrong") == (~labels & claimed).sum()


def test_a_sealed_test_split_shows_nothing_of_it(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run(test=False)
    page = Page(render(made.run, made.network))
    assert "The test split is still sealed" in page.text
    assert not [row for row in page.rows if row and row[0] == "test"]


def test_guessing_is_the_mean_frequency(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run(lacking=LABELS_43[:2])
    labels = made.run.predictions("test").labels
    frequency = labels.mean(axis=0)
    assert guessed_map(scores_of(made)) == pytest.approx(frequency[frequency > 0].mean())


def test_points_are_labels_at_their_frequency(make_patch_run: Callable[..., FakeRun]) -> None:
    made = make_patch_run(lacking=LABELS_43[:2])
    scores, trained = scores_of(made), made.run.facts.data.class_counts["train"]
    (points,) = frequency_against_precision(scores, trained).axes[0].collections
    expected = [(max(count, 0.5), entry.average_precision) for count, entry in label_rows(scores, trained)]
    np.testing.assert_allclose(points.get_offsets(), [pair for pair in expected if pair[1] is not None])


def test_the_company_matrix_colours_by_share() -> None:
    shares = np.array([[1.0, 0.25, 0.0], [0.5, 1.0, 1.0], [np.nan, np.nan, np.nan]])
    axes = company_matrix(shares, ("river", "field", "glacier")).axes[0]
    cells = {patch.get_xy(): patch.get_alpha() for patch in axes.patches}
    assert set(cells) == {(1, 0), (0, 1), (2, 1)}
    assert cells[1, 0] < cells[0, 1] < cells[2, 1]
    assert [text.get_text() for text in axes.texts] == ["25", "50", "100"]


def test_the_map_draws_every_place_once() -> None:
    places = places_of()
    whole, close = split_map(places).axes
    drawn = np.concatenate([points.get_offsets() for points in whole.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, places.longitude_latitude))
    legend = {points.get_label() for points in whole.collections}
    assert legend == {f"{name} ({(places.part == name).sum():,})" for name in np.unique(places.part)}
    west, east = close.get_xlim()
    south, north = close.get_ylim()
    kilometres = (111.195 * np.cos(np.radians((south + north) / 2)) * (east - west), 111.195 * (north - south))
    assert kilometres[1] == pytest.approx(27, rel=0.01)
    ratio = (close.get_position().width * 640) / (close.get_position().height * 380)
    assert kilometres[0] / kilometres[1] == pytest.approx(ratio, rel=0.01)
