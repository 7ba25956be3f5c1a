"""Whole fields held out: the connected pixels of a class go to one part, and no field is cut."""

from __future__ import annotations

import numpy as np

from konvoi.data.pixels.components import fields
from konvoi.data.pixels.parts import TEST, TRAIN, UNLABELLED, VALIDATION, GroundTruth, PartsMap, Shares
from konvoi.randomness import numpy_stream


def field_parts(ground_truth: GroundTruth, shares: Shares, seed: int, draw: int) -> PartsMap:
    """Fields given to the parts, class by class, the largest first, each to the part that still wants most pixels.

    When only as many fields of a class are left as parts have none, those parts go first: training, then the test, then
    validation. So a class with one field trains and is not tested, which the audit says; such scenes ask for another
    method.

    Args:
        ground_truth: `(H, W)`.
        shares: of the parts.
        seed: of the order of the fields.
        draw: which of several possible divisions; the first goes by size, the others by chance.
    """
    numbers, classes = fields(ground_truth)
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(classes))
    part_of = np.zeros(len(classes), dtype=np.uint8)
    for label in np.unique(classes).tolist():
        own = numpy_stream(seed, "pixels", "fields", label, draw).permutation(np.flatnonzero(classes == label))
        if draw == 0:
            own = own[np.argsort(-sizes[own], kind="stable")]
        wanted = {part: share * sizes[own].sum() for part, share in zip((TRAIN, VALIDATION, TEST), shares, strict=True)}
        lacking = [part for part in (TRAIN, TEST, VALIDATION) if wanted[part] > 0]
        for position, field in enumerate(own.tolist()):
            if len(own) - position <= len(lacking):
                part = lacking[0]
            else:
                part = max(wanted, key=lambda part: wanted[part])
            part_of[field] = part
            wanted[part] -= sizes[field]
            lacking = [other for other in lacking if other != part]
    parts = np.full(ground_truth.shape, UNLABELLED, dtype=np.uint8)
    labelled = numbers >= 0
    parts[labelled] = part_of[numbers[labelled]]
    return parts
