"""The audit of leakage: how many test windows hold training pixels, how much of them, and what chance would give.

A window is cut around each pixel and its centre is classified. A network that has been trained on a pixel has seen its
spectrum and its label; where that pixel stands in a test window, the network can score by memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.neighbourhood import distances_to, window_counts
from konvoi.data.pixels.parts import (
    GUARD,
    PART_NAMES,
    TEST,
    TRAIN,
    UNLABELLED,
    VALIDATION,
    GroundTruth,
    PartsMap,
    class_counts,
)
from konvoi.record import Record

_PAIRS = ((TEST, TRAIN), (VALIDATION, TRAIN), (TEST, VALIDATION))


class Overlap(Record):
    """What windows of one part hold of an earlier one.

    Attributes:
        of: the part whose windows are looked at.
        held: the part whose pixels are sought in them.
        windows: of `of`.
        holding: windows with a pixel of `held` among those of the scene they cover.
        share: `holding` / `windows`.
        pixels: mean share of a window's pixels that are of `held`.
        touching: windows that share a pixel with a window of `held`, whoever's the pixel is.
        nearest: smallest distance from a pixel of `of` to one of `held`, max(|Δrow|, |Δcolumn|).
        median_distance: of all pixels of `of` to the nearest one.
    """

    of: str
    held: str
    windows: int
    holding: int
    share: float
    pixels: float
    touching: int
    nearest: int
    median_distance: float


class Expectation(Record):
    """How many test windows would hold training pixels, were as many pixels drawn at random.

    Attributes:
        labelled_density: training pixels among labelled ones that are in a part.
        scene_density: training pixels among all of the scene.
        of_labelled: 1 − (1 − p)^(w² − 1) with p = `labelled_density`: right where every pixel of a window has a label.
        of_scene: the same with p = `scene_density`: right where labels are spread evenly over the scene.
        of_windows: the mean over test windows of 1 − (1 − p)^m, p = `labelled_density`, m other pixels of the window
            that are in a part. This is the one to compare with what is found: labels stand together in fields.
    """

    labelled_density: float
    scene_density: float
    of_labelled: float
    of_scene: float
    of_windows: float


class Leakage(Record):
    """What the audit found.

    Attributes:
        window: side of the windows in pixels.
        overlaps: of test and train, validation and train, test and validation, where both have pixels.
        expected: for random pixels of the same number.
        counts: pixels of each class in each part and in the guard.
        lacking: classes of which a part has no pixel, for each part.
    """

    window: int
    overlaps: tuple[Overlap, ...]
    expected: Expectation
    counts: dict[str, tuple[int, ...]]
    lacking: dict[str, tuple[str, ...]]

    @property
    def leaks(self) -> bool:
        """Whether any window of a later part holds a pixel of an earlier one."""
        return any(overlap.holding for overlap in self.overlaps)

    @property
    def caution(self) -> str:
        """What a reader of any result must know; "" where nothing leaks."""
        if not self.leaks:
            return ""
        found = "; ".join(_holding_in_words(overlap) for overlap in self.overlaps if overlap.holding)
        return f"leaking split: {found}"


def audit_leakage(parts: PartsMap, ground_truth: GroundTruth, class_names: Sequence[str], window: int) -> Leakage:
    """Look at every window of validation and test.

    Args:
        parts: `(H, W)`.
        ground_truth: `(H, W)`.
        class_names: of labels 0 … K-1.
        window: side in pixels, odd.
    """
    counts = class_counts(parts, ground_truth, len(class_names))
    present = counts.sum(axis=1) > 0
    return Leakage(
        window=window,
        overlaps=tuple(
            _overlap(parts, of, held, window) for of, held in _PAIRS if (parts == of).any() and (parts == held).any()
        ),
        expected=_expectation(parts, window),
        counts={PART_NAMES[part]: tuple(counts[:, part].tolist()) for part in (TRAIN, VALIDATION, TEST, GUARD)},
        lacking={
            PART_NAMES[part]: tuple(class_names[k] for k in np.flatnonzero(present & (counts[:, part] == 0)).tolist())
            for part in (TRAIN, VALIDATION, TEST)
        },
    )


def chance_of_a_training_pixel(density: float, window: int) -> float:
    """1 − (1 − p)^(w² − 1): that one at least of a window's pixels, its centre apart, is a training pixel."""
    return 1 - (1 - density) ** (window * window - 1)


def findings(leakage: Leakage) -> list[str]:
    """One sentence a finding."""
    words = [
        f"{_holding_in_words(overlap)}; the nearest is {overlap.nearest} pixel{'' if overlap.nearest == 1 else 's'} "
        f"away, the median {overlap.median_distance:g}, and {overlap.touching:,} windows share any pixel with a "
        f"{overlap.held} window"
        for overlap in leakage.overlaps
    ]
    expected, window = leakage.expected, leakage.window
    if window > 1:
        words.append(
            f"as many training pixels drawn at random would stand in {percent(expected.of_windows)} of the test "
            f"windows of {window} × {window}; 1 − (1 − p)^{window**2 - 1} is {percent(expected.of_labelled)} with p = "
            f"{expected.labelled_density:.4f} of the labelled pixels and {percent(expected.of_scene)} with p = "
            f"{expected.scene_density:.4f} of the scene's"
        )
    words += [
        f"{part} lacks {len(names)} of {len(leakage.counts['train'])} classes: {', '.join(names)}"
        for part, names in leakage.lacking.items()
        if names
    ]
    return words


def percent(share: float) -> str:
    """A share of windows; never rounded to none or all where it is neither."""
    rounded = f"{share:.1%}"
    if rounded == "100.0%" and share < 1:
        return "more than 99.9%"
    return "less than 0.1%" if rounded == "0.0%" and share > 0 else rounded


def _holding_in_words(overlap: Overlap) -> str:
    adjective = "training" if overlap.held == "train" else overlap.held
    if not overlap.holding:
        return f"none of {overlap.windows:,} {overlap.of} windows contains a {adjective} pixel"
    return (
        f"{overlap.holding:,} of {overlap.windows:,} {overlap.of} windows ({percent(overlap.share)}) contain "
        f"{adjective} pixels, which are {percent(overlap.pixels)} of their pixels on average"
    )


def _overlap(parts: PartsMap, of: int, held: int, window: int) -> Overlap:
    own, sought = parts == of, parts == held
    found = window_counts(sought, window)[own]
    inside = window_counts(np.ones(parts.shape, dtype=bool), window)[own]
    distances = distances_to(sought)[own]
    return Overlap(
        of=PART_NAMES[of],
        held=PART_NAMES[held],
        windows=len(found),
        holding=int((found > 0).sum()),
        share=float((found > 0).mean()),
        pixels=float((found / inside).mean()),
        touching=int((distances <= window - 1).sum()),
        nearest=int(distances.min()),
        median_distance=float(np.median(distances)),
    )


def _expectation(parts: PartsMap, window: int) -> Expectation:
    in_a_part: NDArray[np.bool_] = (parts != UNLABELLED) & (parts != GUARD)
    trains = int((parts == TRAIN).sum())
    labelled = int(in_a_part.sum())
    # Of a test pixel's neighbours, none is the pixel itself: one less to draw from.
    density = trains / max(labelled - 1, 1)
    others = window_counts(in_a_part, window)[parts == TEST] - 1
    return Expectation(
        labelled_density=trains / max(labelled, 1),
        scene_density=trains / parts.size,
        of_labelled=chance_of_a_training_pixel(trains / max(labelled, 1), window),
        of_scene=chance_of_a_training_pixel(trains / parts.size, window),
        of_windows=float((1 - (1 - min(density, 1.0)) ** others).mean()) if len(others) else 0.0,
    )
