"""The page: what of a run is shown, in which order; the words are in `template.html.j2`, the looks in `style.css`.

Everything that comes from outside (names of recipes, classes and files) is text, and jinja2 escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from konvoi.data.split import logged_openings
from konvoi.errors import RunError
from konvoi.evaluation.scores import Scores, wilson_interval
from konvoi.files import write_text
from konvoi.recipe import recipe_yaml
from konvoi.report import diagnosis, figures, pictures, wording
from konvoi.report.confusion import confusion_matrix, largest_error_share
from konvoi.report.svg import inline_svg
from konvoi.run import Evaluation, Examples, Run, RunFacts

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

_STATES_TO_MIND = {
    "running": "The training was still running when this report was written.",
    "interrupted": "The training was interrupted before its end; it can be resumed.",
    "diverged": "The training diverged: its loss was no longer a finite number.",
}


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
    reads = _test_reads(run)
    headline = _headline(run)
    examples = _if_there(run.examples) if evaluation is not None else None
    judged = (evaluation.test or evaluation.validation) if evaluation is not None else None
    split = "test" if evaluation is not None and evaluation.test is not None else "validation"
    content: dict[str, Any] = {
        "style": Markup(_resource("style.css")),
        "recipe": run.recipe,
        "recipe_yaml": recipe_yaml(run.recipe),
        "facts": facts,
        "history": history,
        "evaluation": evaluation,
        "headline": headline,
        "digits": wording.fitting_digits(headline.interval) if headline else 1,
        "reads": reads,
        "cautions": _cautions(facts, evaluation, len(reads)),
        "judged": judged,
        "split": split,
        "examples": examples,
        "mistakes": _mistakes(run, examples) if examples is not None else [],
        "diagnosis": diagnosis,
        "charts": _charts(run, judged),
        "largest_error_share": largest_error_share(judged) if judged is not None else 0.0,
        "seconds": figures.seconds_spent(history, evaluation.seconds if evaluation else None),
        "time_colours": figures.TIME_COLOURS,
        "train_rate": _train_rate(run),
        "views": _views(run, network, examples) if network is not None else None,
        "summary": _summary(network, facts) if network is not None else None,
    }
    return _environment().get_template("template.html.j2").render(content)


@dataclass(frozen=True)
class Headline:
    """The one number above all others.

    Attributes:
        split: whose accuracy it is.
        accuracy: with its 95 % `interval`.
        samples: how many images were judged.
        epoch: whose weights; None where the evaluation says it in words.
    """

    split: str
    accuracy: float
    interval: tuple[float, float]
    samples: int
    epoch: int | None


@dataclass(frozen=True)
class Picture:
    """A picture with its words."""

    uri: str
    true: str
    predicted: str
    probability: float
    name: str


@dataclass(frozen=True)
class Views:
    """The pictures of what the network sees; each list may be empty."""

    first_layer: Any
    filters: list[str]
    in_colour: bool
    specimen: str | None
    specimen_class: str
    blocks: list[tuple[Any, list[str]]]


def _headline(run: Run) -> Headline | None:
    """The test's accuracy; without it the validation's; before any evaluation the best epoch's."""
    evaluation, history = run.evaluation, run.history
    if evaluation is not None:
        split = "validation" if evaluation.test is None else "test"
        scores = evaluation.test or evaluation.validation
        return Headline(split, scores.accuracy, scores.interval, scores.samples, None)
    if not history:
        return None
    best = diagnosis.best_epoch(history)
    samples = run.facts.data.split_sizes["validation"]
    interval = wilson_interval(round(best.validation_accuracy * samples), samples)
    return Headline("validation", best.validation_accuracy, interval, samples, best.epoch)


def _test_reads(run: Run) -> list[dict[str, Any]]:
    try:
        return logged_openings(run.test_log)
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise RunError(f"{run.test_log} cannot be read, so nobody knows how often the test was: {error}.") from error


def _cautions(facts: RunFacts, evaluation: Evaluation | None, reads: int) -> list[tuple[str, str]]:
    """What a reader must know before believing the headline: (sentence, section that says more)."""
    cautions = []
    if facts.state in _STATES_TO_MIND:
        cautions.append((_STATES_TO_MIND[facts.state], "learning"))
    recorded = evaluation.test_reads if evaluation is not None else 0
    if max(reads, recorded) > 1:
        cautions.append(
            (
                f"The test split was read {wording.times(max(reads, recorded))}. Whoever chose something after the "
                "first time has chosen with the test's help.",
                "result",
            )
        )
    if reads < recorded:
        cautions.append(
            (
                f"The log of test readings holds {reads:,}, but the evaluation counted {recorded:,}: "
                "the log is not complete.",
                "result",
            )
        )
    if reads and (evaluation is None or evaluation.test is None):
        cautions.append(("The test split has been opened, but no test score is recorded.", "result"))
    for part, count in facts.data.duplicates.items():
        if count:
            size = facts.data.split_sizes[part]
            copies = f"{wording.number(count)} of {wording.number(size)} {part} images"
            cautions.append((f"{copies} stand in train as well, pixel by pixel, and can be known by heart.", "data"))
    if facts.data.skipped:
        cautions.append((f"{wording.counted(len(facts.data.skipped), 'file')} could not be read.", "data"))
    return cautions


def _charts(run: Run, judged: Scores | None) -> dict[str, Markup]:
    history, evaluation = run.history, run.evaluation
    charts = {}
    if history:
        charts["learning"] = inline_svg(
            figures.learning_curves(history),
            "learning",
            f"Learning curves over {wording.counted(len(history), 'epoch')}: loss and error rate of train and "
            f"validation, and the learning rate. The best epoch is {diagnosis.best_epoch(history).epoch:,}.",
        )
        spent = figures.seconds_spent(history, evaluation.seconds if evaluation else None)
        charts["time"] = inline_svg(figures.time_bar(spent), "time", "The time of the table below as one bar.", 0.5)
    if evaluation is not None and judged is not None:
        train, validation, test = evaluation.train, evaluation.validation, evaluation.test
        charts["errors"] = inline_svg(
            figures.error_intervals(train, validation, test),
            "errors",
            "Error rates of the splits with 95 % intervals; the figures are in the table below.",
        )
        charts["confusion"] = inline_svg(
            confusion_matrix(judged), "confusion", f"Confusion matrix of {len(judged.classes):,} classes.", 0.85
        )
        charts["reliability"] = inline_svg(
            figures.reliability_curve(judged, test is not None),
            "reliability",
            f"Accuracy against confidence. The expected calibration error is {judged.calibration_error:.4f}.",
            0.75,
        )
    return charts


def _mistakes(run: Run, examples: Examples) -> list[Picture]:
    names, bands = run.facts.data.class_names, run.bands
    shown = zip(
        examples.mistakes, examples.mistake_labels, examples.mistake_probabilities, examples.mistake_names, strict=True
    )
    return [
        Picture(
            uri=pictures.png_uri(pictures.photograph(image, bands)),
            true=names[int(label)],
            predicted=names[int(probabilities.argmax())],
            probability=float(probabilities.max()),
            name=name,
        )
        for image, label, probabilities, name in shown
    ]


def _views(run: Run, network: nn.Module, examples: Examples | None) -> Views:
    from konvoi.report.views import feature_maps, first_layer

    layer = first_layer(network, run.facts.data.image_shape)
    blocks = []
    if examples is not None:
        blocks = feature_maps(network, _as_input(run, examples.specimen))
    return Views(
        first_layer=layer,
        filters=_uris(pictures.weight_pictures(layer.weights)) if layer else [],
        in_colour=layer is not None and layer.weights.shape[1] == 3,
        specimen=pictures.png_uri(pictures.photograph(examples.specimen[0], run.bands)) if examples else None,
        specimen_class=run.facts.data.class_names[examples.specimen_label] if examples else "",
        blocks=[(block, _uris(pictures.map_pictures(block.maps))) for block in blocks],
    )


def _as_input(run: Run, image: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    import torch

    from konvoi.data.batches import Preparation

    preparation = Preparation(run.bands, torch.device("cpu"), run.recipe.compute.channels_last)
    return preparation.normalise(torch.from_numpy(image).float())


def _summary(network: nn.Module, facts: RunFacts) -> Any:
    from konvoi.models.summary import summarise

    return summarise(network, facts.data.image_shape)


def _train_rate(run: Run) -> float | None:
    """Training samples a second over the whole run, waiting for data included."""
    history = run.history
    seconds = sum(record.seconds.get("data", 0.0) + record.seconds.get("step", 0.0) for record in history)
    return len(history) * run.facts.data.split_sizes["train"] / seconds if seconds else None


def _uris(shown: Sequence[pictures.Pixels]) -> list[str]:
    return [pictures.png_uri(picture) for picture in shown]


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
    for name in ("by", "counted", "duration", "moment", "number", "percent", "percent_range", "points", "score", "times"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["probability"] = wording.probability
    environment.filters["shortened"] = wording.shortened
    environment.globals["fitting_digits"] = wording.fitting_digits
    return environment


def _resource(name: str) -> str:
    return (resources.files("konvoi.report") / name).read_text(encoding="utf-8")
