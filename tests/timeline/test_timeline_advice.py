"""Each rule speaks where its share is exceeded, names the share, and is silent elsewhere."""

import pytest

from konvoi.recipe import load_recipe
from konvoi.timeline.advice import Circumstances, advise
from konvoi.timeline.summary import TimelineSummary

HERE = Circumstances(best_precision="float32", cores=2)


def summary(precision: str = "float32", threads: int = 2, device: str = "cpu", **kinds: float) -> TimelineSummary:
    named = {name.replace("_", " "): share for name, share in kinds.items()}
    named["dense products"] = 1.0 - sum(named.values())
    return TimelineSummary(
        recipe="r", device=device, precision=precision, threads=threads, ranks=1, batch=16, steps=1, seconds=0.9,
        recorded=1.0, step_seconds=(1.0,), phases={"forward": 1.0}, kinds=named, operators=(),
    )  # fmt: skip


def advice_on(found: TimelineSummary, *overrides: str, recipe: str = "mnist-cnn", here: Circumstances = HERE) -> str:
    advice = advise(found, load_recipe(recipe, overrides), here)
    return "\n".join(f"{entry.found} {entry.change}" for entry in advice)


def test_nothing_stands_out() -> None:
    assert advice_on(summary(data=0.01, convolution=0.5)) == ""


@pytest.mark.parametrize(
    ("kinds", "share", "change"),
    [
        ({"data": 0.3}, "30.0%", "little is to be gained"),
        ({"copies_and_changes_of_format": 0.2}, "20.0%", "aten::copy_"),
        ({"conversions_of_precision": 0.25}, "25.0%", "budget.batch"),
        ({"between_operators": 0.4}, "40.0%", "konvoi study batch"),
        ({"normalisation": 0.3, "activation": 0.2}, "50.0%", "compute.compile: true"),
        ({"optimiser": 0.2}, "20.0%", "budget.accumulate"),
        ({"communication": 0.1}, "10.0%", "parallel.gradients: bfloat16"),
        ({"dropout_and_random_numbers": 0.12}, "12.0%", "after pooling"),
        ({"host_to_device": 0.06}, "6.0%", "fewer bands"),
    ],
)
def test_one_rule_speaks_with_its_evidence(kinds: dict[str, float], share: str, change: str) -> None:
    (line,) = advice_on(summary(**kinds)).splitlines()
    assert share in line
    assert change in line


def test_waiting_for_data_depends_on_where_they_are() -> None:
    found = summary(data=0.03)
    assert "symmetries" in advice_on(found, "input.augment={symmetries: true}")
    assert "local disk" in advice_on(found, recipe="bigearthnet-resnet50")
    assert "konvoi data pack" in advice_on(found, "source={kind: lmdb}", recipe="bigearthnet-resnet50")


def test_float32_where_there_are_units_for_less() -> None:
    units = Circumstances(best_precision="bfloat16", cores=2)
    assert "units for bfloat16" in advice_on(summary(convolution=0.5), here=units)
    assert advice_on(summary("bfloat16", convolution=0.5), here=units) == ""


def test_channels_last_switched_off() -> None:
    assert "channels_last: true" in advice_on(summary(convolution=0.5), "compute.channels_last=false")


def test_a_compiled_network_is_not_told_to_compile() -> None:
    assert advice_on(summary(normalisation=0.5), "compute.compile=true") == ""


def test_idle_cores() -> None:
    assert "1 of 2 cores" in advice_on(summary(threads=1))
    assert advice_on(summary(threads=1, device="cuda")) == ""
