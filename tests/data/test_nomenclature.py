"""The nomenclatures: against the real label files, the published figures, and cases worked by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest

from konvoi.data.nomenclature import (
    IMAGES_IN_ARCHIVE,
    IMAGES_OF_43,
    LABELS_19,
    LABELS_19_OF_43,
    LABELS_43,
    to_19,
)
from konvoi.errors import DataError


def test_sizes_of_the_nomenclatures() -> None:
    assert len(LABELS_43) == len(set(LABELS_43)) == 43
    assert len(LABELS_19) == len(set(LABELS_19)) == 19
    assert set(LABELS_19_OF_43) == set(IMAGES_OF_43) == set(LABELS_43)


def test_eleven_labels_are_dropped_and_the_others_merge_as_published() -> None:
    merged = Counter(LABELS_19_OF_43.values())
    assert merged[None] == 11
    sizes = {label: merged[label] for label in LABELS_19 if merged[label] > 1}
    assert sizes == {
        "Urban fabric": 2,
        "Arable land": 3,
        "Permanent crops": 4,
        "Natural grassland and sparsely vegetated areas": 2,
        "Moors, heathland and sclerophyllous vegetation": 2,
        "Inland wetlands": 2,
        "Coastal wetlands": 2,
        "Inland waters": 2,
        "Marine waters": 3,
    }


def test_dropped_labels() -> None:
    assert {label for label, merged in LABELS_19_OF_43.items() if merged is None} == {
        "Airports",
        "Bare rock",
        "Burnt areas",
        "Construction sites",
        "Dump sites",
        "Green urban areas",
        "Intertidal flats",
        "Mineral extraction sites",
        "Port areas",
        "Road and rail networks and associated land",
        "Sport and leisure facilities",
    }


def test_published_figures() -> None:
    assert max(IMAGES_OF_43, key=IMAGES_OF_43.__getitem__) == "Mixed forest"
    assert IMAGES_OF_43["Mixed forest"] == 217_119
    assert min(IMAGES_OF_43, key=IMAGES_OF_43.__getitem__) == "Burnt areas"
    assert IMAGES_OF_43["Burnt areas"] == 328
    # The sum guards against slips in the table; it gives 2.97 labels a patch.
    assert sum(IMAGES_OF_43.values()) == 1_750_375
    assert sum(IMAGES_OF_43.values()) / IMAGES_IN_ARCHIVE == pytest.approx(2.965, abs=1e-3)


def test_merging_keeps_the_order_and_names_each_class_once() -> None:
    assert to_19(["Vineyards", "Continuous urban fabric", "Olive groves"]) == ("Urban fabric", "Permanent crops")
    assert to_19(["Airports", "Burnt areas"]) == ()
    assert to_19([]) == ()


def test_a_label_that_is_not_known_is_named() -> None:
    with pytest.raises(DataError, match="'Transitional woodland, shrub' is not one of the 43"):
        to_19(["Transitional woodland, shrub"])


def test_every_label_of_the_real_files_is_known(shared_data: Path) -> None:
    files = sorted((shared_data / "bigearthnet-v1").glob("s*/*/*_labels_metadata.json"))
    assert len(files) == 20
    for file in files:
        labels = json.loads(file.read_text(encoding="utf-8"))["labels"]
        assert set(labels) <= set(LABELS_43)
        assert set(to_19(labels)) <= set(LABELS_19)
        assert to_19(labels)


def test_a_real_patch_in_both_nomenclatures(shared_data: Path) -> None:
    name = "S2B_MSIL2A_20170924T93020_69_24"
    file = shared_data / "bigearthnet-v1" / "s2" / name / f"{name}_labels_metadata.json"
    assert to_19(json.loads(file.read_text(encoding="utf-8"))["labels"]) == (
        "Coniferous forest",
        "Mixed forest",
        "Transitional woodland, shrub",
        "Inland wetlands",
        "Inland waters",
    )
