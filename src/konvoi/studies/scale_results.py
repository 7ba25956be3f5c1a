"""What a training on so many ranks says about scaling: its speed, where its time went, and its score.

Speed-up and efficiency follow from several of them: `compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from konvoi.errors import RunError
from konvoi.record import Record
from konvoi.run import Run
from konvoi.studies.variants import validation_score
from konvoi.training.history import EpochRecord

Mode = Literal["strong", "weak"]
MODES: tuple[Mode, ...] = ("strong", "weak")


class EpochTime(Record):
    """One epoch of training, without validation.

    Attributes:
        steps: optimiser steps.
        samples: over all ranks.
        data: seconds that the first rank waited for data.
        step: seconds that it computed.
        communication: seconds that it waited for gradients, beyond what the backward pass covered.
    """

    steps: int
    samples: int
    data: float
    step: float
    communication: float

    @property
    def seconds(self) -> float:
        """Of the whole epoch."""
        return self.data + self.step + self.communication


class ScaleResult(Record):
    """One training.

    Attributes:
        mode: strong: all sizes have the same batch of a step; weak: the same batch a rank.
        ranks: that trained together.
        batch: of a step, over all ranks; the first epoch's.
        lr: the peak learning rate.
        epochs: the timed ones: all but the first, which warms up, unless it is the only one.
        only_first: whether the first epoch was the only one, and its warming up is in the times.
        measure: accuracy, or macro mAP where an image may have several labels.
        score: on validation; None where the training diverged.
        interval: 95 % of it.
        ranks_in_words: how many on which hosts, and who started them.
        device: the processor's or GPU's name.
        threads: of a rank.
        run: its folder.
    """

    mode: Mode
    ranks: int
    batch: int
    lr: float
    epochs: tuple[EpochTime, ...]
    only_first: bool
    measure: str
    score: float | None
    interval: tuple[float, float] | None
    ranks_in_words: str
    device: str
    threads: int
    run: str

    @property
    def epoch_seconds(self) -> float:
        """The median over epochs."""
        return float(np.median([epoch.seconds for epoch in self.epochs]))

    @property
    def samples_per_second(self) -> float:
        """The median over epochs."""
        return float(np.median([epoch.samples / epoch.seconds for epoch in self.epochs]))

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of the first rank's time: computing, communicating, waiting for data."""
        parts = np.array([(epoch.step, epoch.communication, epoch.data) for epoch in self.epochs]).sum(axis=0)
        computing, communicating, waiting = (parts / parts.sum()).tolist()
        return computing, communicating, waiting


@dataclass(frozen=True)
class Compared:
    """A result beside the smallest of its mode.

    Attributes:
        speed_up: samples a second, as a multiple of the smallest's.
        efficiency: the speed-up over the ratio of ranks.
    """

    result: ScaleResult
    speed_up: float
    efficiency: float


def compare(results: Sequence[ScaleResult]) -> list[Compared]:
    """Mode by mode, from the fewest ranks to the most."""
    compared = []
    for mode in MODES:
        own = sorted((result for result in results if result.mode == mode), key=lambda result: result.ranks)
        for result in own:
            speed_up = result.samples_per_second / own[0].samples_per_second
            compared.append(Compared(result, speed_up, speed_up * own[0].ranks / result.ranks))
    return compared


def result_of(run: Run, mode: Mode) -> ScaleResult:
    """What a run says.

    Raises:
        RunError: it has not finished an epoch, or is not evaluated.
    """
    from konvoi.training.schedule import peak_learning_rate

    facts, history, evaluation = run.facts, run.history, run.evaluation
    if not history:
        raise RunError(f"{run.folder} has not finished an epoch ({facts.state}), so there is nothing to compare.")
    if evaluation is None and facts.state != "diverged":
        raise RunError(
            f"{run.folder} has no scores yet ({facts.state}). Continue it with `konvoi train --resume {run.folder}`, "
            f"or score it with `konvoi evaluate {run.folder}`."
        )
    measure, score, interval = validation_score(evaluation, facts.data.several_labels)
    timed = _epoch_times(history)
    return ScaleResult(
        mode=mode,
        ranks=facts.ranks,
        batch=run.recipe.budget.batch,
        lr=peak_learning_rate(run.recipe),
        epochs=tuple(timed[1:] or timed),
        only_first=len(timed) == 1,
        measure=measure,
        score=score,
        interval=interval,
        ranks_in_words=facts.environment.get("ranks", ""),
        device=facts.environment.get("gpu", facts.environment["processor"]),
        threads=int(facts.environment["threads"]),
        run=str(run.folder),
    )


def _epoch_times(history: Sequence[EpochRecord]) -> list[EpochTime]:
    times, before = [], 0
    for record in history:
        data, step = record.seconds["data"], record.seconds["step"]
        communication = record.seconds.get("communication", 0.0)
        times.append(
            EpochTime(
                steps=record.steps - before,
                samples=round(record.samples_per_second * (data + step + communication)),
                data=data,
                step=step,
                communication=communication,
            )
        )
        before = record.steps
    return times
