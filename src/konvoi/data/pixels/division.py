"""One interface to all methods: from a ground-truth map and the recipe's settings to a map of parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.pixels.blocks import block_parts
from konvoi.data.pixels.given_map import given_parts
from konvoi.data.pixels.growing import grown_parts
from konvoi.data.pixels.guard import guard_width, with_guard
from konvoi.data.pixels.parts import (
    GUARD,
    IN_ORDER,
    TEST,
    TRAIN,
    VALIDATION,
    GroundTruth,
    PartsMap,
    Shares,
    class_counts,
)
from konvoi.data.pixels.random_pixels import random_parts
from konvoi.data.pixels.regions import ranked_regions, region_parts
from konvoi.data.pixels.stratified import stratified_parts
from konvoi.data.pixels.whole_fields import field_parts
from konvoi.errors import DataError
from konvoi.recipe.pixel_split import (
    GrownPixels,
    PixelBlocks,
    PixelMap,
    PixelRegions,
    PixelsSection,
    RandomPixels,
    StratifiedPixels,
    WholeFields,
)
from konvoi.recipe.split import SplitSection

DEFAULT = PixelBlocks(method="blocks")
"""How a scene is divided where the recipe does not say."""

_DRAWS = 16


def split_pixels(
    ground_truth: GroundTruth,
    settings: SplitSection,
    window: int,
    *,
    cube: NDArray[Any] | None = None,
    given: NDArray[Any] | None = None,
) -> PartsMap:
    """The part of each pixel; every labelled one is in train, validation, test or the guard.

    Where chance has a say in regions (which blocks, which seed of a region), several divisions are drawn and the one
    is taken that, behind a guard of half a window or more, leaves the fewest classes without a part, and whose parts
    then have the shares wanted most nearly, class by class. Only the ground truth is looked at, and with a narrower
    guard or none the regions are the same.

    Args:
        ground_truth: `(H, W)`, -1 where a pixel has no label.
        settings: `pixels`, `test`, `validation` and `seed` of the recipe's split section.
        window: side in pixels of the windows that will be cut, odd; the guard depends on it.
        cube: `(C, H, W)`, as stored; needed where regions are ranked by variance.
        given: the codes of a map of the user's, `(H, W)`; needed by `method: map`.

    Raises:
        DataError: a map of another size, or without the codes that the recipe names.
    """
    pixels = settings.pixels or DEFAULT
    shares = part_shares(settings)
    width = guard_width(pixels.guard, window)
    seed = settings.seed

    def best(divide: Callable[[int], PartsMap]) -> PartsMap:
        chosen = min(
            (divide(draw) for draw in range(_DRAWS)),
            key=lambda parts: _shortcomings(with_guard(parts, max(width, window // 2)), ground_truth, shares),
        )
        return with_guard(chosen, width)

    match pixels:
        case RandomPixels():
            return with_guard(random_parts(ground_truth, shares, seed), width)
        case StratifiedPixels():
            return with_guard(stratified_parts(ground_truth, shares, seed), width)
        case PixelBlocks(size=size):
            return best(lambda draw: block_parts(ground_truth, shares, size, seed, draw))
        case PixelRegions(rank=rank, reach=reach, neighbours=neighbours):
            classes = ranked_regions(ground_truth, rank, reach, neighbours, cube)
            return best(lambda draw: region_parts(ground_truth, classes, shares, seed, draw))
        case GrownPixels():
            return best(lambda draw: grown_parts(ground_truth, shares, seed, draw))
        case WholeFields():
            return best(lambda draw: field_parts(ground_truth, shares, seed, draw))
        case PixelMap():
            assert given is not None, "method map needs the map"
            return with_guard(given_parts(ground_truth, given, pixels, settings.validation, seed), width)


def part_shares(settings: SplitSection) -> Shares:
    """Of train, validation and test: the test's share of all labelled pixels, the validation's of the rest."""
    rest = 1 - settings.test
    return rest * (1 - settings.validation), rest * settings.validation, settings.test


def method_in_words(settings: SplitSection, window: int) -> str:
    """For people."""
    pixels = settings.pixels or DEFAULT
    width = guard_width(pixels.guard, window)
    guard = f"guard band of {width} pixel{'' if width == 1 else 's'}" if width else "no guard band"
    shares = f"test share {settings.test:g}, validation share {settings.validation:g} of the rest"
    return f"{_name(pixels)}, {guard} for windows of {window} × {window}" + (
        "" if isinstance(pixels, PixelMap) else f"; {shares}"
    )


def _name(pixels: PixelsSection) -> str:
    match pixels:
        case RandomPixels():
            return "random pixels"
        case StratifiedPixels():
            return "random pixels, stratified"
        case PixelBlocks(size=size):
            return f"blocks of {size} × {size} pixels, stratified"
        case PixelRegions(rank=rank):
            return f"contiguous regions of each class, ranked by {rank}"
        case GrownPixels():
            return "regions grown from seeds in each field"
        case WholeFields():
            return "whole fields"
        case PixelMap(file=file):
            return f"the map {file}"


def require_pixels(
    parts: PartsMap, ground_truth: GroundTruth, class_names: Sequence[str], settings: SplitSection, window: int
) -> None:
    """See that no part is empty, and that every class has pixels to train on unless the recipe allows that it has none.

    Classes that lack validation or test pixels are named by the audit: their scores are missing, and no score is wrong.

    Raises:
        DataError: with the class and its pixels in each part.
    """
    counts = class_counts(parts, ground_truth, len(class_names))
    words = method_in_words(settings, window)
    ways = (
        "Use another method or seed (split.pixels, split.seed), larger blocks, a smaller window (source.window) or "
        "another test share"
    )
    for part, purpose in ((TRAIN, "training"), (VALIDATION, "validation"), (TEST, "the test")):
        if not counts[:, part].any():
            raise DataError(
                f"No pixel is left for {purpose} ({words}): of {counts.sum():,} labelled pixels, "
                f"{_in_words(counts.sum(axis=0))}. {ways}."
            )
    lacking = np.flatnonzero((counts[:, TRAIN] == 0) & (counts.sum(axis=1) > 0)).tolist()
    if lacking and not settings.allow_untrained_classes:
        named = "; ".join(
            f"{class_names[label]!r} has {counts[label].sum():,} labelled pixels, of which {_in_words(counts[label])}"
            for label in lacking
        )
        raise DataError(
            f"{'A class has' if len(lacking) == 1 else f'{len(lacking)} classes have'} no training pixels ({words}): "
            f"{named}. {ways}; leave the class out (source.unlabelled); or set split.allow_untrained_classes, and all "
            "its test pixels count as mistakes."
        )


def _in_words(counts: NDArray[np.int64]) -> str:
    return (
        f"{counts[TRAIN]:,} train, {counts[VALIDATION]:,} validate, {counts[TEST]:,} are tested and "
        f"{counts[GUARD]:,} are in the guard band"
    )


def _shortcomings(parts: PartsMap, ground_truth: GroundTruth, shares: Shares) -> tuple[float, ...]:
    """What is wrong with a division, the worst first; the smaller, the better."""
    counts = class_counts(parts, ground_truth, int(ground_truth.max()) + 1)
    counts = counts[counts.sum(axis=1) > 0]
    without = {part: int((counts[:, part] == 0).sum()) for part in IN_ORDER}
    reached = counts[:, IN_ORDER] / counts.sum(axis=1, keepdims=True)
    return without[TRAIN], without[TEST], without[VALIDATION], float(np.abs(reached - np.array(shares)).sum())
