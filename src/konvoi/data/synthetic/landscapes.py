"""Landscapes: which labels occur together, how likely each is in each, and how the landscapes lie on a tile.

How often each label occurs is as published (`data.nomenclature.IMAGES_OF_43`). Which labels occur together is
modelled, not published: no table of co-occurrences of BigEarthNet was found. A patch has one latent landscape, and a
landscape has odds for each label; the odds below are our own round figures, and are fitted to the published counts by
iterative proportional fitting (Deming and Stephan, 1940).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.nomenclature import IMAGES_IN_ARCHIVE, IMAGES_OF_43, LABELS_43
from konvoi.data.synthetic.places import SITES

_SHORT = {
    "mixed agriculture": "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "arable": "Non-irrigated arable land",
    "complex": "Complex cultivation patterns",
    "broad-leaved": "Broad-leaved forest",
    "coniferous": "Coniferous forest",
    "mixed": "Mixed forest",
    "transitional": "Transitional woodland/shrub",
    "irrigated": "Permanently irrigated land",
    "fruit": "Fruit trees and berry plantations",
    "annual and permanent": "Annual crops associated with permanent crops",
    "agro-forestry": "Agro-forestry areas",
    "sclerophyllous": "Sclerophyllous vegetation",
    "villages": "Discontinuous urban fabric",
    "dense town": "Continuous urban fabric",
    "industry": "Industrial or commercial units",
    "roads": "Road and rail networks and associated land",
    "sport": "Sport and leisure facilities",
    "quarries": "Mineral extraction sites",
    "beaches": "Beaches, dunes, sands",
    "lakes": "Water bodies",
    "rivers": "Water courses",
    "sea": "Sea and ocean",
}

_ODDS: dict[str, tuple[float, dict[str, float]]] = {
    "boreal forest": (3.6, {
        "coniferous": 0.9, "mixed": 0.85, "transitional": 0.8, "lakes": 0.25, "Peatbogs": 0.2, "broad-leaved": 0.15,
        "mixed agriculture": 0.15, "arable": 0.15, "quarries": 0.01, "sport": 0.01, "Burnt areas": 0.0005,
    }),
    "boreal farmland": (4.2, {
        "arable": 0.9, "coniferous": 0.75, "mixed": 0.75, "transitional": 0.5, "mixed agriculture": 0.5, "lakes": 0.25,
        "villages": 0.2, "broad-leaved": 0.1, "Pastures": 0.05, "industry": 0.02, "rivers": 0.05, "sport": 0.02,
    }),
    "lakes and bogs": (3.6, {
        "lakes": 0.75, "Peatbogs": 0.6, "coniferous": 0.8, "mixed": 0.6, "transitional": 0.6, "Inland marshes": 0.1,
        "Moors and heathland": 0.02, "rivers": 0.04,
    }),
    "Baltic farmland": (3.8, {
        "arable": 0.9, "Pastures": 0.6, "complex": 0.45, "mixed agriculture": 0.6, "mixed": 0.5, "broad-leaved": 0.45,
        "coniferous": 0.3, "transitional": 0.35, "villages": 0.15, "lakes": 0.12, "fruit": 0.01, "Inland marshes": 0.02,
        "quarries": 0.01, "Peatbogs": 0.03,
    }),
    "mixed woods": (3.3, {
        "mixed": 0.75, "coniferous": 0.65, "broad-leaved": 0.65, "transitional": 0.45, "Pastures": 0.3, "arable": 0.3,
        "complex": 0.25, "mixed agriculture": 0.35, "villages": 0.1, "lakes": 0.05, "rivers": 0.02, "quarries": 0.01,
        "Natural grassland": 0.02, "Burnt areas": 0.0005,
    }),
    "temperate farmland": (3.3, {
        "arable": 0.95, "complex": 0.5, "villages": 0.4, "broad-leaved": 0.45, "mixed agriculture": 0.4,
        "Pastures": 0.35, "industry": 0.05, "Vineyards": 0.03, "fruit": 0.03, "rivers": 0.06, "lakes": 0.03,
        "mixed": 0.1, "quarries": 0.01, "sport": 0.02, "Inland marshes": 0.02, "roads": 0.01,
    }),
    "hills": (3.5, {
        "broad-leaved": 0.9, "mixed agriculture": 0.75, "complex": 0.6, "transitional": 0.45, "arable": 0.3,
        "Pastures": 0.3, "Natural grassland": 0.15, "villages": 0.15, "Vineyards": 0.03, "fruit": 0.04, "mixed": 0.1,
        "coniferous": 0.07, "quarries": 0.015, "Burnt areas": 0.001,
    }),
    "Atlantic pastures": (2.7, {
        "Pastures": 0.97, "arable": 0.35, "complex": 0.2, "mixed agriculture": 0.4, "villages": 0.2, "coniferous": 0.15,
        "broad-leaved": 0.15, "mixed": 0.15, "transitional": 0.15, "Peatbogs": 0.1, "lakes": 0.03, "sport": 0.01,
    }),
    "Atlantic bogs": (2.8, {
        "Peatbogs": 0.85, "Pastures": 0.6, "Moors and heathland": 0.25, "coniferous": 0.3, "transitional": 0.3,
        "mixed agriculture": 0.3, "Natural grassland": 0.1, "lakes": 0.1, "Inland marshes": 0.05,
        "Sparsely vegetated areas": 0.02, "Bare rock": 0.02,
    }),
    "agro-forestry": (3.4, {
        "agro-forestry": 0.85, "broad-leaved": 0.6, "arable": 0.5, "transitional": 0.4, "mixed agriculture": 0.25,
        "Olive groves": 0.2, "annual and permanent": 0.15, "Pastures": 0.15, "Natural grassland": 0.12,
        "sclerophyllous": 0.1, "irrigated": 0.15, "lakes": 0.06, "complex": 0.15, "Burnt areas": 0.002,
    }),
    "Mediterranean crops": (4.0, {
        "complex": 0.6, "irrigated": 0.3, "Vineyards": 0.35, "Olive groves": 0.35, "fruit": 0.15, "arable": 0.35,
        "annual and permanent": 0.3, "mixed agriculture": 0.5, "villages": 0.3, "broad-leaved": 0.3, "mixed": 0.2,
        "transitional": 0.3, "dense town": 0.05, "industry": 0.03, "agro-forestry": 0.1, "Rice fields": 0.02,
    }),
    "Mediterranean shrubs": (3.4, {
        "sclerophyllous": 0.4, "transitional": 0.75, "broad-leaved": 0.55, "mixed agriculture": 0.4, "coniferous": 0.3,
        "mixed": 0.4, "Natural grassland": 0.15, "Moors and heathland": 0.1, "Olive groves": 0.15, "agro-forestry": 0.1,
        "Sparsely vegetated areas": 0.02, "Burnt areas": 0.01, "Bare rock": 0.01, "complex": 0.15,
    }),
    "wet plain": (3.6, {
        "irrigated": 0.6, "Rice fields": 0.5, "rivers": 0.3, "Inland marshes": 0.25, "Salines": 0.1, "arable": 0.4,
        "Salt marshes": 0.15, "Pastures": 0.2, "complex": 0.2, "agro-forestry": 0.15, "lakes": 0.05, "Estuaries": 0.05,
    }),
    "mountains": (3.8, {
        "coniferous": 0.85, "Natural grassland": 0.5, "Bare rock": 0.35, "Sparsely vegetated areas": 0.2,
        "Moors and heathland": 0.35, "mixed": 0.4, "Pastures": 0.3, "broad-leaved": 0.2, "transitional": 0.2,
        "lakes": 0.02, "villages": 0.03,
    }),
    "town": (4.2, {
        "villages": 0.95, "arable": 0.5, "complex": 0.45, "Pastures": 0.35, "industry": 0.3, "broad-leaved": 0.3,
        "mixed": 0.2, "sport": 0.15, "roads": 0.08, "Construction sites": 0.04, "quarries": 0.08, "Airports": 0.02,
        "Dump sites": 0.03, "mixed agriculture": 0.3, "coniferous": 0.15, "rivers": 0.05, "Green urban areas": 0.03,
        "lakes": 0.05,
    }),
    "city": (4.6, {
        "villages": 0.9, "dense town": 0.8, "industry": 0.6, "Green urban areas": 0.25, "sport": 0.35, "roads": 0.2,
        "Port areas": 0.05, "Airports": 0.06, "Construction sites": 0.1, "Dump sites": 0.03, "arable": 0.25,
        "complex": 0.15, "rivers": 0.2, "broad-leaved": 0.15, "quarries": 0.03,
    }),
    "open sea": (1.02, {"sea": 1.0, "beaches": 0.001}),
    "southern coast": (3.2, {
        "sea": 0.9, "beaches": 0.25, "Coastal lagoons": 0.2, "Estuaries": 0.15, "Salt marshes": 0.2, "Salines": 0.08,
        "Intertidal flats": 0.1, "villages": 0.35, "Port areas": 0.06, "dense town": 0.1, "sclerophyllous": 0.2,
        "Moors and heathland": 0.05, "complex": 0.15, "sport": 0.06, "coniferous": 0.2, "irrigated": 0.1,
    }),
    "northern coast": (3.0, {
        "sea": 0.97, "coniferous": 0.4, "mixed": 0.4, "Pastures": 0.2, "Bare rock": 0.1, "Intertidal flats": 0.08,
        "beaches": 0.05, "Salt marshes": 0.05, "Estuaries": 0.03, "villages": 0.15, "mixed agriculture": 0.2,
        "arable": 0.15, "transitional": 0.2, "Port areas": 0.02, "Moors and heathland": 0.03, "Peatbogs": 0.05,
    }),
}  # fmt: skip
"""For each landscape: how many labels a patch has on average, and how likely each label is before fitting."""

LANDSCAPES: tuple[str, ...] = tuple(_ODDS)

_RARE = 1e-4


def landscape_shares() -> NDArray[np.float64]:
    """The share of all patches that each landscape has, `(landscapes,)`: all tiles count alike."""
    shares = np.array([[site.landscapes.get(name, 0.0) for name in LANDSCAPES] for site in SITES])
    mean: NDArray[np.float64] = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return mean


def label_shares() -> NDArray[np.float64]:
    """The published share of patches that have each label, `(43,)`."""
    return np.array([IMAGES_OF_43[label] for label in LABELS_43]) / IMAGES_IN_ARCHIVE


def label_probabilities(rounds: int = 60) -> NDArray[np.float64]:
    """How likely each label is in each landscape, `(landscapes, 43)`.

    Fitted so that over all landscapes each label has its published share; in each landscape the labels of a patch add
    up to about the number given for it.
    """
    table = np.full((len(LANDSCAPES), len(LABELS_43)), _RARE)
    labels_of_patch = np.empty(len(LANDSCAPES))
    for row, (number, odds) in enumerate(_ODDS.values()):
        labels_of_patch[row] = number
        for label, probability in odds.items():
            table[row, LABELS_43.index(_SHORT.get(label, label))] = probability
    # In the open sea there is nothing else, however rare.
    table[LANDSCAPES.index("open sea"), table[LANDSCAPES.index("open sea")] == _RARE] = 1e-7
    shares, wanted = landscape_shares(), label_shares()
    labels_of_patch *= wanted.sum() / (shares @ labels_of_patch)
    for _ in range(rounds):
        table *= np.minimum(1.5, labels_of_patch / table.sum(axis=1))[:, None]
        np.minimum(table, 0.99, out=table)
        table *= wanted / (shares @ table)
        np.minimum(table, 0.99, out=table)
    return table
