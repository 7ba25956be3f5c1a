"""What the scores say, in sentences: the gap between E_in and E_out, calibration, confusions.

Arithmetic on records; nothing is drawn and no page is known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from konvoi.evaluation.scores import Scores
from konvoi.report.wording import counted, fitting_digits, percent, points
from konvoi.training.history import EpochRecord

UNDERFIT = 0.25
"""An E_in above this share of the error of guessing is called underfitting. A convention, not a theorem."""


@dataclass(frozen=True)
class Gap:
    """The errors inside and outside the training split, and their difference.

    Attributes:
        e_in: share of training images that are classified wrongly.
        e_out: the same of images that did not train.
        interval: 95 % interval of the difference.
    """

    e_in: float
    e_out: float
    interval: tuple[float, float]

    @property
    def difference(self) -> float:
        """E_out − E_in."""
        return self.e_out - self.e_in


def gap_between(inside: Scores, outside: Scores) -> Gap:
    """The gap with Newcombe's hybrid interval, which is made of the two Wilson intervals.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17 (1998), method 10.
    """
    e_in, e_out = 1 - inside.accuracy, 1 - outside.accuracy
    in_low, in_high = 1 - inside.interval[1], 1 - inside.interval[0]
    out_low, out_high = 1 - outside.interval[1], 1 - outside.interval[0]
    difference = e_out - e_in
    low = difference - math.hypot(e_out - out_low, in_high - e_in)
    high = difference + math.hypot(out_high - e_out, e_in - in_low)
    return Gap(e_in, e_out, (low, high))


def guessing_error(scores: Scores) -> float:
    """The error of always answering with the most frequent class."""
    return 1 - max(entry.samples for entry in scores.classes) / scores.samples


def gap_in_words(inside: Scores, outside: Scores, split: str) -> str:
    """One or two sentences on over- and underfitting; `split` names what stands for E_out."""
    gap = gap_between(inside, outside)
    guess = guessing_error(outside)
    digits = fitting_digits(gap.interval)
    low, high = (points(end, digits) for end in gap.interval)
    size = f"{points(gap.difference, digits)} points (95 % interval {low} to {high})"
    if 1 - outside.interval[0] >= guess:
        return (
            f"The {split} error cannot be told from that of always answering with the most frequent class, "
            f"{percent(guess)}: nothing shows that the network has learned what carries over to new images."
        )
    if gap.interval[1] < 0:
        sentence = (
            f"The {split} error is lower than the training error by more than chance explains, {size}. "
            f"The {split} images are easier or differ from the training images in another way; see how they were split."
        )
    elif gap.interval[0] <= 0:
        sentence = f"The gap, {size}, is small beside its uncertainty: no overfitting can be seen."
    elif gap.difference >= gap.e_out / 2:
        sentence = (
            f"The network overfits: the gap, {size}, is most of the {split} error. More or augmented images, "
            "dropout or weight decay act on it; a larger network would not."
        )
    else:
        sentence = (
            f"The network overfits a little: the gap is {size}, but most of the {split} error is already there on the "
            "images it trained on."
        )
    if gap.e_in > UNDERFIT * guess:
        adverb = "" if gap.interval[0] <= 0 else "also "
        sentence += (
            f" It {adverb}underfits: with an E_in of {percent(gap.e_in)} it does not even fit the images that it has "
            "seen. A larger network or a longer training may help, unless the labels themselves are in doubt."
        )
    return sentence


def calibration_in_words(scores: Scores) -> str:
    """Whether the mean confidence lies within the accuracy's interval."""
    claimed = math.fsum(entry.samples * (entry.confidence or 0.0) for entry in scores.reliability) / scores.samples
    digits = fitting_digits(scores.interval)
    claim = (
        f"On average the network claims {percent(claimed, digits)} and is right in {percent(scores.accuracy, digits)}"
    )
    low, high = scores.interval
    if claimed > high:
        return f"{claim} of the images: it is over-confident."
    if claimed < low:
        return f"{claim} of the images: it is under-confident."
    return f"{claim} of the images; the difference lies within the uncertainty."


@dataclass(frozen=True)
class Confusion:
    """How often images of one class were taken for another."""

    true: str
    predicted: str
    count: int
    of: int


def frequent_confusions(scores: Scores, most: int = 5) -> list[Confusion]:
    """The largest entries off the confusion matrix's diagonal, the largest first; single ones are left out."""
    names = [entry.name for entry in scores.classes]
    found = [
        Confusion(names[true], names[predicted], count, scores.classes[true].samples)
        for true, predicted, count in scores.mistakes()
        if count > 1
    ]
    return sorted(found, key=lambda entry: -entry.count)[:most]


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """The last epoch that was the best so far when it ended."""
    return [record for record in history if record.best][-1]


def curves_in_words(history: Sequence[EpochRecord], planned: int) -> str:
    """How many epochs there were, and whether more might have helped."""
    best, last = best_epoch(history), history[-1]
    ran = counted(len(history), "epoch")
    if len(history) < planned:
        ran = f"{len(history):,} of {counted(planned, 'epoch')}"
    measure = "accuracy" if best.validation_map is None else "macro mAP"
    sentence = f"Training ran for {ran}; validation {measure} was highest after epoch {best.epoch:,}."
    if best.epoch == last.epoch and len(history) > 1:
        sentence += " As that is the last one, a longer training might reach more."
    return sentence
