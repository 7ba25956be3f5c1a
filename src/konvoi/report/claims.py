"""What the report claims first, and what speaks against believing it: the headline, the test's log, the cautions.

Sentences on single sections are in `diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from konvoi.data.seal import logged_openings
from konvoi.errors import RunError
from konvoi.evaluation.scores import Scores, wilson_interval
from konvoi.report.diagnosis import best_epoch
from konvoi.report.wording import counted, number, times
from konvoi.run import Run

_STATES_TO_MIND = {
    "running": "The training was still running when this report was written.",
    "interrupted": "The training was interrupted before its end; it can be resumed.",
    "diverged": "The training diverged: its loss was no longer a finite number.",
}


@dataclass(frozen=True)
class Headline:
    """The one number above all others.

    Attributes:
        split: whose score it is.
        measure: what `value` is: accuracy, or macro mAP where an image may have several labels.
        interval: of 95 %; None where it is not known yet.
        samples: how many images were judged.
        epoch: whose weights; None where the evaluation says it in words.
    """

    split: str
    measure: str
    value: float
    interval: tuple[float, float] | None
    samples: int
    epoch: int | None


@dataclass(frozen=True)
class Opening:
    """One reading of the sealed test split: when, by whom, how many images."""

    time: datetime
    reader: str
    samples: int


def headline(run: Run) -> Headline | None:
    """The test's score; without it the validation's; before any evaluation the best epoch's."""
    evaluation, history = run.evaluation, run.history
    if evaluation is not None:
        split = "validation" if evaluation.test is None else "test"
        scores = evaluation.test or evaluation.validation
        if isinstance(scores, Scores):
            return Headline(split, "accuracy", scores.accuracy, scores.interval, scores.samples, None)
        return Headline(split, "macro mAP", scores.macro_map, scores.macro_map_interval, scores.samples, None)
    if not history:
        return None
    best = best_epoch(history)
    samples = run.facts.data.split_sizes["validation"]
    if best.validation_map is not None:
        return Headline("validation", "macro mAP", best.validation_map, None, samples, best.epoch)
    interval = wilson_interval(round(best.validation_accuracy * samples), samples)
    return Headline("validation", "accuracy", best.validation_accuracy, interval, samples, best.epoch)


def openings(run: Run) -> list[Opening]:
    """Every opening of the test split that the run's log holds, oldest first.

    Raises:
        RunError: the log is damaged. A report that guessed here would be worth nothing.
    """
    try:
        return [
            Opening(datetime.fromisoformat(entry["time"]), str(entry["reader"]), int(entry["samples"]))
            for entry in logged_openings(run.test_log)
        ]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"{run.test_log} cannot be read, so nobody knows how often the test was: {error}.") from error


def cautions(run: Run, reads: Sequence[Opening]) -> list[tuple[str, str | None]]:
    """What a reader must know before believing the headline: (sentence, id of the section that says more)."""
    facts, evaluation = run.facts, run.evaluation
    recorded = evaluation.test_reads if evaluation is not None else 0
    times_read = max(len(reads), recorded)
    found: list[tuple[str, str | None]] = []
    if facts.data.caution:
        found.append((facts.data.caution, None))
    if facts.state in _STATES_TO_MIND:
        found.append((_STATES_TO_MIND[facts.state], None))
    if times_read > 1:
        found.append(
            (
                f"The test split was read {times(times_read)}. Whoever chose something after the "
                "first time has chosen with the test's help.",
                None,
            )
        )
    if len(reads) < recorded:
        found.append(
            (
                f"The log of test readings holds {len(reads):,}, but the evaluation counted {recorded:,}: "
                "the log is not complete.",
                None,
            )
        )
    if reads and (evaluation is None or evaluation.test is None):
        found.append(("The test split has been opened, but no test score is recorded.", None))
    for part, count in facts.data.duplicates.items():
        if count:
            size = facts.data.split_sizes[part]
            copies = f"{number(count)} of {number(size)} {part} images"
            found.append((f"{copies} stand in train as well, pixel by pixel, and can be known by heart.", "data"))
    if facts.data.skipped:
        found.append(
            (f"{counted(len(facts.data.skipped), 'entry', 'entries')} of the source could not be used.", "data")
        )
    return found
