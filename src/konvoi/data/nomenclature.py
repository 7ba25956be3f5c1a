"""The two label nomenclatures of BigEarthNet, the way from one to the other, and how often each label occurs.

BigEarthNet's patches carry classes of level 3 of CORINE Land Cover 2018: 43 of its 44, because "Glaciers and perpetual
snow" does not occur. Sumbul et al. (2021) merge 32 of them into 19 classes that single-date images can tell apart, and
drop the other 11; a patch that has only dropped labels ends with none (57 patches of 590,326).

Sources: names, spelling, order and merging as in the published `label_indices.json` of the authors' 19-class models;
numbers of images from Sumbul, Charfuelan, Demir, Markl, "BigEarthNet: A Large-Scale Benchmark Archive for Remote
Sensing Image Understanding", IGARSS 2019, table 1; the 19 classes from Sumbul et al., "BigEarthNet-MM: A Large-Scale,
Multimodal, Multilabel Benchmark Archive for Remote Sensing Image Classification and Retrieval", IEEE Geoscience and
Remote Sensing Magazine 9 (3), 2021, table 1. Reading the files that carry the labels is the task of `data.sources`.
"""

from __future__ import annotations

from collections.abc import Iterable

from konvoi.errors import DataError

_MIXED_AGRICULTURE = "Land principally occupied by agriculture, with significant areas of natural vegetation"

_TABLE: tuple[tuple[str, str | None, int], ...] = (
    ("Continuous urban fabric", "Urban fabric", 10_784),
    ("Discontinuous urban fabric", "Urban fabric", 69_872),
    ("Industrial or commercial units", "Industrial or commercial units", 12_895),
    ("Road and rail networks and associated land", None, 3_384),
    ("Port areas", None, 509),
    ("Airports", None, 979),
    ("Mineral extraction sites", None, 4_618),
    ("Dump sites", None, 959),
    ("Construction sites", None, 1_174),
    ("Green urban areas", None, 1_786),
    ("Sport and leisure facilities", None, 5_353),
    ("Non-irrigated arable land", "Arable land", 196_695),
    ("Permanently irrigated land", "Arable land", 13_589),
    ("Rice fields", "Arable land", 3_793),
    ("Vineyards", "Permanent crops", 9_567),
    ("Fruit trees and berry plantations", "Permanent crops", 4_754),
    ("Olive groves", "Permanent crops", 12_538),
    ("Pastures", "Pastures", 103_554),
    ("Annual crops associated with permanent crops", "Permanent crops", 7_022),
    ("Complex cultivation patterns", "Complex cultivation patterns", 107_786),
    (_MIXED_AGRICULTURE, _MIXED_AGRICULTURE, 147_095),
    ("Agro-forestry areas", "Agro-forestry areas", 30_674),
    ("Broad-leaved forest", "Broad-leaved forest", 150_944),
    ("Coniferous forest", "Coniferous forest", 211_703),
    ("Mixed forest", "Mixed forest", 217_119),
    ("Natural grassland", "Natural grassland and sparsely vegetated areas", 12_835),
    ("Moors and heathland", "Moors, heathland and sclerophyllous vegetation", 5_890),
    ("Sclerophyllous vegetation", "Moors, heathland and sclerophyllous vegetation", 11_241),
    ("Transitional woodland/shrub", "Transitional woodland, shrub", 173_506),
    ("Beaches, dunes, sands", "Beaches, dunes, sands", 1_578),
    ("Bare rock", None, 3_277),
    ("Sparsely vegetated areas", "Natural grassland and sparsely vegetated areas", 1_563),
    ("Burnt areas", None, 328),
    ("Inland marshes", "Inland wetlands", 6_236),
    ("Peatbogs", "Inland wetlands", 23_207),
    ("Salt marshes", "Coastal wetlands", 1_562),
    ("Salines", "Coastal wetlands", 424),
    ("Intertidal flats", None, 1_003),
    ("Water courses", "Inland waters", 10_572),
    ("Water bodies", "Inland waters", 83_811),
    ("Coastal lagoons", "Marine waters", 1_498),
    ("Estuaries", "Marine waters", 1_086),
    ("Sea and ocean", "Marine waters", 81_612),
)

IMAGES_IN_ARCHIVE = 590_326
"""Patches of version 1."""

LABELS_43: tuple[str, ...] = tuple(name for name, _, _ in _TABLE)
"""The classes of level 3 as the label files of version 1 spell them, in the order of their CORINE codes."""

LABELS_19: tuple[str, ...] = tuple(dict.fromkeys(merged for _, merged, _ in _TABLE if merged is not None))
"""The merged classes as version 2 spells them, in the order in which their first level-3 class stands above."""

LABELS_19_OF_43: dict[str, str | None] = {name: merged for name, merged, _ in _TABLE}
"""For each of the 43 its merged class; None for the 11 that are dropped."""

IMAGES_OF_43: dict[str, int] = {name: images for name, _, images in _TABLE}
"""In how many of the patches of version 1 each label occurs, as published."""


def to_19(labels: Iterable[str]) -> tuple[str, ...]:
    """The merged classes of a patch's level-3 labels: each once, in the order of `LABELS_19`; perhaps none.

    Raises:
        DataError: a label is not one of the 43.
    """
    found = set()
    for label in labels:
        if label not in LABELS_19_OF_43:
            raise DataError(
                f"{label!r} is not one of the 43 level-3 labels of BigEarthNet. Expected are names spelled as in its "
                "label files, for example 'Transitional woodland/shrub'."
            )
        found.add(LABELS_19_OF_43[label])
    return tuple(label for label in LABELS_19 if label in found)
