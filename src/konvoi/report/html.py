"""The page: what of a run is shown, in which order; the words are in `template.html.j2`, the looks in `style.css`.

Everything that comes from outside (names of recipes, classes and files) is text, and jinja2 escapes it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from konvoi.data.band_lists import in_short
from konvoi.errors import RunError
from konvoi.evaluation.co_occurrence import co_occurrence, conditional_shares
from konvoi.evaluation.scores import Scores
from konvoi.evaluation.several_labels import SeveralLabelScores
from konvoi.files import write_text
from konvoi.models.summary import summarise
from konvoi.recipe import recipe_yaml
from konvoi.report import claims, cube, diagnosis, figures, gallery, labels, ranks, scenes, wording
from konvoi.report.confusion import confusion_matrix, largest_error_share
from konvoi.report.palette import call_leaking
from konvoi.report.svg import inline_svg
from konvoi.run import Places, Run

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

_WORDING = (
    *("by", "counted", "duration", "moment", "number", "percent", "percent_range", "points", "probability"),
    *("score", "shortened", "times"),
)
"""The functions of `wording` that the template uses as filters."""


def write_report(run: Run) -> Path:
    """Write `report.html` into a run folder, from whatever is there.

    Raises:
        RunError: the folder holds no run, or one of its records is damaged.
        OSError: the file cannot be written.
    """
    write_text(run.report_path, render(run, _if_there(run.network)))
    return run.report_path


def render(run: Run, network: nn.Module | None) -> str:
    """The report as HTML.

    Args:
        run: needs a recipe and facts; history, evaluation and examples are shown where they exist.
        network: with its trained weights; None leaves out what is drawn from it.
    """
    facts, history, evaluation = run.facts, run.history, run.evaluation
    reads = claims.openings(run)
    headline = claims.headline(run)
    examples = _if_there(run.examples) if evaluation is not None else None
    judged = (evaluation.test or evaluation.validation) if evaluation is not None else None
    several = isinstance(judged, SeveralLabelScores)
    places = run.places
    split = "test" if evaluation is not None and evaluation.test is not None else "validation"
    content: dict[str, Any] = {
        "style": Markup(_resource("style.css")),
        "recipe": run.recipe,
        "recipe_yaml": recipe_yaml(run.recipe),
        "facts": facts,
        "history": history,
        "layers": run.layers,
        "baselines": run.baselines,
        "members": run.members,
        "evaluation": evaluation,
        "headline": headline,
        "digits": wording.fitting_digits(headline.interval) if headline and headline.interval else 1,
        "reads": reads,
        "cautions": claims.cautions(run, reads),
        "judged": judged,
        "split": split,
        "several": run.facts.data.several_labels,
        "patches": scenes.patches_of(run, examples, judged, places),
        "mistakes": gallery.mistakes(run, examples) if examples is not None and not several else [],
        "cube": cube.cube_page(run),
        "diagnosis": diagnosis,
        "teamwork": ranks.teamwork(history),
        "charts": _charts(run) | _score_charts(run, judged) | _map_chart(places) | _spectra_chart(run),
        "largest_error_share": largest_error_share(judged) if isinstance(judged, Scores) else 0.0,
        "label_rows": labels.label_rows(judged, _train_counts(run)) if isinstance(judged, SeveralLabelScores) else [],
        "guessed_map": labels.guessed_map(judged) if isinstance(judged, SeveralLabelScores) else 0.0,
        "seconds": figures.seconds_spent(history, evaluation.seconds if evaluation else None),
        "time_colours": figures.TIME_COLOURS,
        "train_rate": _train_rate(run),
        "views": gallery.network_views(run, network, examples) if network is not None else None,
        "summary": summarise(network, facts.data.image_shape) if network is not None else None,
    }
    return _environment().get_template("template.html.j2").render(content)


def _charts(run: Run) -> dict[str, Markup]:
    history, evaluation = run.history, run.evaluation
    charts: dict[str, Markup] = {}
    if history:
        charts["learning"] = inline_svg(
            call_leaking(figures.learning_curves(history), run.facts.data.leaks),
            "learning",
            f"Learning curves over {wording.counted(len(history), 'epoch')}: loss and error rate of train and "
            f"validation, and the learning rate. The best epoch is {diagnosis.best_epoch(history).epoch:,}.",
        )
        spent = figures.seconds_spent(history, evaluation.seconds if evaluation else None)
        charts["time"] = inline_svg(figures.time_bar(spent), "time", "The shares of the table below as one bar.", 0.5)
    if any(record.over_ranks for record in history):
        charts["ranks"] = inline_svg(
            ranks.teamwork_figure(history),
            "ranks",
            "Images a second, and the shares of time that ranks waited for gradients and for data, epoch by epoch.",
        )
    return charts


def _score_charts(run: Run, judged: Scores | SeveralLabelScores | None) -> dict[str, Markup]:
    evaluation = run.evaluation
    if evaluation is None or judged is None:
        return {}
    if isinstance(judged, SeveralLabelScores):
        return _label_charts(run, judged, evaluation.test is not None)
    train, validation, test = evaluation.train, evaluation.validation, evaluation.test
    assert isinstance(train, Scores)
    assert isinstance(validation, Scores)
    assert isinstance(test, Scores | None)
    leaks = run.facts.data.leaks
    return {
        "errors": inline_svg(
            call_leaking(figures.error_intervals(train, validation, test), leaks),
            "errors",
            "Error rates of the splits with 95 % intervals; the figures are in the table below.",
        ),
        "confusion": inline_svg(
            call_leaking(confusion_matrix(judged), leaks),
            "confusion",
            f"Confusion matrix of {len(judged.classes):,} classes.",
            0.85,
        )
        if judged.confusion
        else Markup(""),
        "reliability": inline_svg(
            call_leaking(figures.reliability_curve(judged, test is not None), leaks),
            "reliability",
            f"Accuracy against confidence. The expected calibration error is {judged.calibration_error:.4f}.",
            0.75,
        ),
    }


def _label_charts(run: Run, judged: SeveralLabelScores, is_test: bool) -> dict[str, Markup]:
    charts = {
        "frequency": inline_svg(
            labels.frequency_against_precision(judged, _train_counts(run), is_test),
            "frequency",
            "Average precision of each label over its number of training images; the figures are in the table below.",
        ),
        "together": Markup(""),
    }
    predictions = _if_there(lambda: run.predictions("test" if is_test else "validation"))
    if predictions is not None:
        shares = conditional_shares(co_occurrence(predictions.labels))
        charts["together"] = inline_svg(
            labels.company_matrix(shares, [entry.name for entry in judged.classes]),
            "together",
            f"How often each of {judged.labels:,} labels comes with each other one.",
            0.85,
        )
    return charts


def _map_chart(places: Places | None) -> dict[str, Markup]:
    if places is None:
        return {"map": Markup("")}
    return {"map": inline_svg(scenes.split_map(places), "map", "The places of the patches of each part on a map.")}


def _spectra_chart(run: Run) -> dict[str, Markup]:
    scene = run.scene_map
    if scene is None:
        return {}
    names = run.facts.data.class_names
    return {
        "spectra": inline_svg(
            call_leaking(cube.spectra_figure(scene, names, run.bands), run.facts.data.leaks),
            "spectra",
            f"Mean spectra of the training pixels of {len(names):,} classes, with one standard deviation.",
            0.8,
        )
    }


def _train_counts(run: Run) -> tuple[int, ...]:
    return run.facts.data.class_counts["train"]


def _train_rate(run: Run) -> float | None:
    """Training samples a second over the whole run, waiting for data included."""
    history = run.history
    seconds = sum(
        sum(record.seconds.get(part, 0.0) for part in ("data", "step", "communication")) for record in history
    )
    return len(history) * run.facts.data.split_sizes["train"] / seconds if seconds else None


def _if_there(read: Callable[[], T]) -> T | None:
    """A part of the run that may not exist yet; the report is then without it."""
    try:
        return read()
    except RunError:
        return None


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in _WORDING}
    environment.filters["in_short"] = in_short
    environment.filters["with_subscripts"] = _with_subscripts
    environment.globals["fitting_digits"] = wording.fitting_digits
    return environment


def _with_subscripts(sentence: str) -> Markup:
    """E_in and E_out as the books print them."""
    return Markup(str(escape(sentence)).replace("E_in", "E<sub>in</sub>").replace("E_out", "E<sub>out</sub>"))


def _resource(name: str) -> str:
    return (resources.files("konvoi.report") / name).read_text(encoding="utf-8")
