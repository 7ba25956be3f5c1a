"""The page says what the records say, stands on its own, and trusts no name."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fake_runs import FakeRun
from page import Page

from konvoi.errors import RunError
from konvoi.report import render, write_report
from konvoi.report.wording import by, fitting_digits, number, percent, percent_range, score

SCARY = "<script>alert('x')</script> & \"quoted\""


VARIANTS = {
    "tested": {},
    "sealed": {"test": False},
    "interrupted": {"evaluated": False, "epochs": 3},
    "not begun": {"evaluated": False, "epochs": 0},
    "one epoch, two classes": {"names": ("cat", "dog"), "epochs": 1, "test_errors": 3},
    "43 classes in colour": {
        "names": tuple(f"{index:02d} a sign with a rather long name, as signs have them" for index in range(43)),
        "image_shape": (3, 32, 32),
        "test_errors": 150,
    },
    "120 classes": {"names": tuple(f"n{index:08d} thing" for index in range(120)), "test_errors": 900},
    "a dense network": {"kind": "mlp", "image_shape": (3, 32, 32)},
    "no mistakes": {"test_errors": 0},
    "scary names": {"names": (SCARY, "]]>", "{{ 7 * 7 }}", "\x07 $x$", "漢字"), "origin": SCARY, "skipped": (SCARY,)},
}


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_it_is_well_formed_and_its_anchors_exist(self, variant: str, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(**VARIANTS[variant])
        page = Page(render(made.run, made.network))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
        assert links
        assert {link.removeprefix("#") for link in links if link} <= set(ids)

    def test_it_needs_nothing_but_itself(self, variant: str, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(**VARIANTS[variant])
        html = render(made.run, made.network)
        assert "http://" not in html
        assert "https://" not in html
        assert len(html) < 1_500_000
        for tag, attributes in Page(html).tags:
            assert tag != "script"
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("src", "href"):
                assert (attributes.get(name) or "#").startswith(("#", "data:"))

    def test_it_can_be_heard(self, variant: str, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(**VARIANTS[variant])
        page = Page(render(made.run, made.network))
        for tag, attributes in page.tags:
            if tag == "img":
                assert "alt" in attributes
            if tag == "svg":
                assert attributes["aria-label"]
            if tag == "th":
                assert attributes["scope"] in {"row", "col"}


class TestNumbers:
    def test_the_headline_is_the_tests_accuracy(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        page = Page(render(made.run, made.network))
        evaluation = made.run.evaluation
        assert evaluation is not None
        assert evaluation.test is not None
        digits = fitting_digits(evaluation.test.interval)
        shown = percent(evaluation.test.accuracy, digits)
        interval = percent_range(evaluation.test.interval, digits)
        assert plain(f"{shown} test accuracy, 95 % interval {interval} on 360 images") in plain(page.text)
        assert "read once, 2026-11-23 16:50 UTC, by the evaluation: 360 images" in page.text
        assert "Caution" not in page.text

    def test_the_splits_are_those_of_the_evaluation(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        page = Page(render(made.run, made.network))
        evaluation = made.run.evaluation
        assert evaluation is not None
        assert evaluation.test is not None
        digits = fitting_digits(evaluation.test.interval)
        for name, scores in (("train, Ein", evaluation.train), ("test, Eout", evaluation.test)):
            assert page.row(name) == [
                name,
                number(scores.samples),
                number(scores.samples - scores.correct),
                percent(1 - scores.accuracy, digits),
                percent_range((1 - scores.interval[1], 1 - scores.interval[0]), digits),
                score(scores.macro_f1),
                f"{scores.cross_entropy:.4f}",
            ]

    def test_every_class_has_its_row(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(names=("cat", "dog", "emu"))
        page = Page(render(made.run, made.network))
        evaluation = made.run.evaluation
        assert evaluation is not None
        assert evaluation.test is not None
        counts = made.run.facts.data.class_counts
        for index, entry in enumerate(evaluation.test.classes):
            figures = [score(value) for value in (entry.precision, entry.recall, entry.f1)]
            assert [entry.name, number(entry.samples), number(entry.predicted), *figures] in page.rows
            assert [entry.name, *(number(part[index]) for part in counts.values())] in page.rows

    def test_layers_and_their_sums(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        page = Page(render(made.run, made.network))
        assert page.row("conv1") == ["conv1", "Conv2d", by((6, 8, 8)), "54", "", "3,456", by((3, 3))]
        assert page.row("logits")[3:6] == ["6,400", "10", "6,400"]
        parameters = sum(parameter.numel() for parameter in made.network.parameters())
        assert f"{parameters:,} parameters in all" in page.text
        assert "conv1 has 54 weights + 0 biases = 54" in page.text
        assert "64 pixels to only 15 units has 960 + 15 = 975" in page.text

    def test_time_is_the_sum_of_the_epochs(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(epochs=4)
        page = Page(render(made.run, made.network))
        assert plain(page.row("step")[1]) == "10.0 s"
        assert plain(page.row("evaluation")[1]) == "1.5 s"
        assert plain("15.7 s in all; 436 training images a second") in plain(page.text)

    def test_mistakes_are_shown_with_their_classes(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(test_errors=40)
        html = render(made.run, made.network)
        page = Page(html)
        assert "The 32 most confident of 40 mistakes" in page.text
        examples = made.run.examples()
        alternatives = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
        for name, label, probabilities in zip(
            examples.mistake_names, examples.mistake_labels, examples.mistake_probabilities, strict=True
        ):
            assert f"{name}: true class {label}, predicted {probabilities.argmax()}" in alternatives

    def test_fingerprints_are_short_and_whole_in_the_title(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        page = Page(render(made.run, made.network))
        titles = {attributes.get("title") for tag, attributes in page.tags if tag == "code"}
        assert {"0123456789abcdef" * 4, "fedcba9876543210" * 4} <= titles
        assert "data 0123456789ab, split fedcba987654" in page.text


class TestHonesty:
    def test_a_sealed_test_is_said_and_validation_is_named(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(test=False)
        page = Page(render(made.run, made.network))
        assert "validation accuracy, 95" in page.text
        assert "test accuracy" not in page.text
        assert "The test split is still sealed" in page.text

    def test_reading_the_test_twice_is_a_caution(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(reads=2)
        page = Page(render(made.run, made.network))
        assert "Caution. The test split was read twice." in page.text
        assert page.row("2026-11-23 16:51 UTC") == ["2026-11-23 16:51 UTC", "evaluation", "360"]

    def test_a_log_that_lost_lines_is_noticed(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(reads=2)
        made.run.test_log.unlink()
        text = Page(render(made.run, made.network)).text
        assert "the log is not complete" in text
        assert "still sealed" not in text

    def test_a_torn_line_of_the_log_counts_as_an_opening(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        with made.run.test_log.open("a") as log:
            log.write('{"time": "2026-')
        text = Page(render(made.run, made.network)).text
        assert "Caution. The test split was read twice." in text
        assert "unknown" in text

    def test_a_log_of_something_else_is_an_error_and_not_a_report(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        made.run.test_log.write_text("[1, 2]\n")
        with pytest.raises(RunError, match="nobody knows how often"):
            render(made.run, made.network)

    def test_an_opened_test_without_a_score_is_a_caution(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run()
        (made.run.folder / "evaluation.json").unlink()
        assert "opened, but no test score is recorded" in Page(render(made.run, made.network)).text

    def test_copies_and_skipped_files_are_cautions(self, make_run: Callable[..., FakeRun]) -> None:
        skipped = tuple(f"broken{number}.png: not an image" for number in range(7))
        made = make_run(duplicates={"validation": 0, "test": 12}, skipped=skipped)
        text = Page(render(made.run, made.network)).text
        assert "Caution. 12 of 360 test images stand in train as well" in text
        assert "0 of 240 validation images" in text
        assert "Caution. 7 entries of the source could not be used" in text
        assert "broken4.png: not an image and 2 more" in text

    def test_no_mistakes_is_not_an_error_of_zero(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(test_errors=0)
        text = plain(Page(render(made.run, made.network)).text)
        assert "All 360 test images are classified correctly" in text
        assert "it may still be as high as 1.06 %" in text

    def test_before_the_evaluation_the_best_epoch_speaks(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(evaluated=False, epochs=3)
        assert [record.epoch for record in made.run.history if record.best][-1] == 3
        page = Page(render(made.run, made.network))
        assert "after epoch 3, the best so far; not yet evaluated" in page.text
        assert "The training was interrupted" in page.text
        assert "Calibration" not in page.text

    def test_without_an_epoch_no_accuracy_is_claimed(self, make_run: Callable[..., FakeRun]) -> None:
        made = make_run(evaluated=False, epochs=0)
        assert "there is no accuracy to report" in Page(render(made.run, made.network)).text


def test_names_from_outside_are_text(make_run: Callable[..., FakeRun]) -> None:
    made = make_run(names=(SCARY, "{{ 7 * 7 }}"), origin=SCARY, about=SCARY, skipped=(SCARY,), test_errors=5)
    html = render(made.run, made.network)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6
    assert "{{ 7 * 7 }}" in Page(html).text
    assert SCARY in Page(html).text


def test_the_recipe_can_be_copied_from_the_page(make_run: Callable[..., FakeRun]) -> None:
    made = make_run(data_dir="/data/digits")
    html = render(made.run, made.network)
    recipe = re.findall(r"<pre[^>]*>(.*?)</pre>", html, flags=re.DOTALL)
    assert recipe[0] == "konvoi train recipe.yaml --data-dir FOLDER"
    assert recipe[1].replace("&#39;", "'") == made.run.recipe_path.read_text()


def test_a_run_without_a_checkpoint_is_reported_without_its_network(make_run: Callable[..., FakeRun]) -> None:
    run = make_run().run
    path = write_report(run)
    assert path == run.report_path
    page = Page(path.read_text(encoding="utf-8"))
    assert "What the network sees" not in page.text
    assert "test accuracy" in page.text


def test_the_same_run_gives_the_same_page(make_run: Callable[..., FakeRun]) -> None:
    made = make_run()
    assert render(made.run, made.network) == render(made.run, made.network)


def plain(text: str) -> str:
    """With ordinary spaces."""
    return " ".join(text.split())
