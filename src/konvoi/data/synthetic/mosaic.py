"""The ground of one patch: which label covers which pixels, and of which covers each pixel is mixed.

Every label of a patch has a share of it. Regions are smooth where nature draws the borders and straight where fields
do; inside a region the covers of `covers` alternate at its scales. Light, snow and clouds are in `scene`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from konvoi.data.synthetic.covers import COVER_OF_LABEL, SHORE_ORDER, Cover
from konvoi.data.synthetic.fields import (
    Field,
    as_uniform,
    borders,
    distance_to_line,
    grown,
    parcels,
    smooth_fields,
)
from konvoi.data.synthetic.spectra import COVERS

SIZE = 120
"""Pixels of 10 m across a patch."""

_GRID = 160
_LEAST_SHARE = 0.05
_STRAIGHT = ("fields", "plots")

WET = np.array([cover in {"lake", "sea", "turbid water"} for cover in COVERS])
"""Of `COVERS`, those that are open water."""


@dataclass(frozen=True)
class Mosaic:
    """The ground of one patch.

    Attributes:
        regions: index into the patch's labels, `(120, 120)`.
        abundance: share of each of `COVERS` in each pixel, `(covers, 120, 120)`, adding up to 1.
        rough: relative deviation of brightness from pixel to pixel, `(120, 120)`.
        vigour: about standard normal; how dense the plants are, alike within a field.
        relief: smooth field of height, standard normal, `(120, 120)`.
    """

    regions: NDArray[np.int64]
    abundance: Field
    rough: Field
    vigour: Field
    relief: Field


def draw_mosaic(generator: np.random.Generator, labels: tuple[str, ...], field_metres: float) -> Mosaic:
    """The ground of a patch with these labels.

    Args:
        generator: draws everything.
        labels: one or more of the 43.
        field_metres: how wide a typical agricultural field is.
    """
    natural = smooth_fields(generator, 3 + len(labels), _GRID, 16.0, 1.4)[:, :SIZE, :SIZE]
    relief, bend, vigour, of_label = natural[0], natural[1], natural[2], natural[3:]
    width = field_metres / 10
    fields = parcels(generator, SIZE, width, 1.9 * width, 2.5 * bend)
    plots = parcels(generator, SIZE, 0.38 * width, 0.7 * width, 2.0 * bend)
    regions = _regions(generator, labels, of_label, relief, fields)
    scales = {
        "fields": generator.standard_normal(int(fields.max()) + 1, dtype=np.float32)[fields],
        "plots": generator.standard_normal(int(plots.max()) + 1, dtype=np.float32)[plots],
        "patches": 0.75 * smooth_fields(generator, 1, _GRID, 5.0, 1.0)[0, :SIZE, :SIZE] + 0.66 * vigour,
        "grain": _grain(generator),
        "currents": smooth_fields(generator, 1, _GRID, 22.0, 3.0)[0, :SIZE, :SIZE],
    }
    density = generator.standard_normal(int(fields.max()) + 1, dtype=np.float32)[fields]
    density = 0.85 * density + 0.5 * generator.standard_normal(int(plots.max()) + 1, dtype=np.float32)[plots]
    edges = {"fields": borders(fields), "plots": borders(plots)}
    abundance = np.zeros((len(COVERS), SIZE, SIZE), dtype=np.float32)
    rough = np.empty((SIZE, SIZE), dtype=np.float32)
    for number, label in enumerate(labels):
        inside = regions == number
        cover = COVER_OF_LABEL[label]
        abundance[:, inside] = _mixture(generator, cover, {name: field[inside] for name, field in scales.items()})
        rough[inside] = cover.rough
        straight = max(cover.fields, 0.8 * cover.plots)
        vigour[inside] = (1 - 0.6 * straight) * vigour[inside] + straight * density[inside]
        if cover.edges[0]:
            finest = max(_STRAIGHT, key=lambda name: getattr(cover, name))
            _cover_partly(abundance, cover.edges[0], inside & edges[finest], cover.edges[1])
    _draw_roads_and_farms(generator, labels, regions, abundance)
    return Mosaic(regions, abundance, rough, vigour, relief)


def _regions(
    generator: np.random.Generator, labels: tuple[str, ...], of_label: Field, relief: Field, fields: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Index into the labels for each pixel: each label takes, of what is left, where its own field is highest."""
    shares = _shares(generator, labels)
    regions = np.full((SIZE, SIZE), -1, dtype=np.int64)
    shore = [label for label in SHORE_ORDER if label in labels]
    # The coast is one slope with bays; strips follow each other up the slope.
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    slope = 1.4 * (rows * np.sin(angle) + columns * np.cos(angle)) + 0.3 * relief
    lines = {label for label in labels if COVER_OF_LABEL[label].shape == "band"}
    areas = sorted(set(labels) - set(shore) - lines, key=lambda label: shares[label])
    last = areas[-1] if areas else shore[-1] if shore else labels[-1]
    for label in (*shore, *sorted(lines), *areas):
        number = labels.index(label)
        free = regions < 0
        if label == last:
            # What is left by the shores and lines that come after it must stay for them.
            continue
        if label in shore:
            score = -slope
        elif label in lines:
            score = -distance_to_line(generator, SIZE, winding=generator.uniform(0.1, 1.0))
        else:
            straight = max(COVER_OF_LABEL[label].fields, COVER_OF_LABEL[label].plots)
            field = of_label[number]
            score = grown(field, fields) + 0.02 * field if generator.random() < 1.3 * straight else field
        wanted = min(round(shares[label] * SIZE * SIZE), int(free.sum()) - 1)
        if wanted > 0:
            values = np.where(free, score, -np.inf)
            threshold = np.partition(values.ravel(), -wanted)[-wanted]
            regions[free & (values >= threshold)] = number
    regions[regions < 0] = labels.index(last)
    return regions


def _shares(generator: np.random.Generator, labels: tuple[str, ...]) -> dict[str, float]:
    weights = np.array([3.0 if label == "Sea and ocean" else 1.3 for label in labels])
    drawn = generator.dirichlet(weights) * (1 - _LEAST_SHARE * len(labels)) + _LEAST_SHARE
    shares = dict(zip(labels, drawn.tolist(), strict=True))
    for label in labels:
        if COVER_OF_LABEL[label].shape == "band":
            shares[label] = float(generator.uniform(0.035, 0.1))
    return shares


def _mixture(generator: np.random.Generator, cover: Cover, scales: dict[str, Field]) -> Field:
    """Shares of all `COVERS` in the pixels of one region, `(covers, pixels)`."""
    weights = {name: getattr(cover, name) for name in scales}
    norm = np.sqrt(sum(weight**2 for weight in weights.values()))
    position = as_uniform(sum((weight / norm) * scales[name] for name, weight in weights.items() if weight))
    shares = np.array([share for _, share in cover.mixture])
    # The covers' shares differ from patch to patch, as they do from place to place.
    shares = shares * generator.gamma(4.0, 0.25, len(shares))
    upper = np.cumsum(shares / shares.sum())
    mixed = np.zeros((len(COVERS), position.size), dtype=np.float32)
    below = np.ones_like(position)
    for (name, _), limit in zip(cover.mixture, upper, strict=True):
        rest = np.clip((position - np.float32(limit)) / np.float32(cover.softness + 0.01) + 0.5, 0, 1)
        if limit > 1 - 1e-9:
            rest = np.zeros_like(position)
        rest = np.minimum(rest, below)
        mixed[COVERS.index(name)] += below - rest
        below = rest
    return mixed


def _grain(generator: np.random.Generator) -> Field:
    """Noise of single pixels, slightly correlated, standard normal."""
    white = generator.standard_normal((SIZE + 1, SIZE + 1), dtype=np.float32)
    summed = (white[1:, 1:] + 0.6 * (white[:-1, 1:] + white[1:, :-1])) / np.float32(np.sqrt(1.72))
    return summed.astype(np.float32, copy=False)


def _cover_partly(abundance: Field, cover: str, where: NDArray[np.bool_], share: float | Field) -> None:
    """Put one cover over a part of each chosen pixel."""
    abundance[:, where] *= 1 - share
    abundance[COVERS.index(cover), where] += share


def _draw_roads_and_farms(
    generator: np.random.Generator, labels: tuple[str, ...], regions: NDArray[np.int64], abundance: Field
) -> None:
    """Country roads and tracks on land, and scattered houses, most of them near a road."""
    land = abundance[WET].sum(axis=0) < 0.3
    farms = np.array([COVER_OF_LABEL[label].farms for label in labels], dtype=np.float32)[regions]
    open_land = float((farms > 0).mean())
    houses = farms
    for _ in range(int(generator.poisson(0.5 + 1.2 * open_land))):
        distance = distance_to_line(generator, SIZE, winding=generator.uniform(0.05, 0.8))
        paved = generator.random() < open_land
        breadth, share = (generator.uniform(0.4, 0.7), 0.7) if paved else (generator.uniform(0.3, 0.5), 0.45)
        near = land & (distance < 3)
        share = share * np.exp(-((distance[near] / breadth) ** 2))
        _cover_partly(abundance, "asphalt" if paved else "bright soil", near, share)
        houses = houses * (1 + (18 if paved else 2) * np.exp(-distance / 3))
    built = land & (generator.random((SIZE, SIZE), dtype=np.float32) < houses)
    kind = generator.choice(3, size=(SIZE, SIZE), p=[0.5, 0.42, 0.08])
    for number, roof in enumerate(("clay roof", "concrete", "bright roof")):
        _cover_partly(abundance, roof, built & (kind == number), 0.5)
    gardens = built.copy()
    gardens[1:] |= built[:-1]
    gardens[:, 1:] |= built[:, :-1]
    _cover_partly(abundance, "broad-leaved trees", gardens & land & ~built, 0.5)
