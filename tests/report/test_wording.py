"""Numbers as a reader sees them, worked by hand."""

from datetime import datetime, timedelta, timezone

import pytest

from konvoi.report import wording


@pytest.mark.parametrize(
    ("interval", "digits"),
    [((0.90, 0.926), 1), ((0.9968, 0.9984), 3), ((0.3, 0.7), 0), ((0.5, 0.5), 1), ((0.984, 0.9995), 2)],
)
def test_the_interval_decides_the_digits(interval: tuple[float, float], digits: int) -> None:
    assert wording.fitting_digits(interval) == digits


def test_numbers_and_percentages() -> None:
    assert wording.number(11775) == "11,775"
    assert wording.percent(0.98765, 2) == "98.77\u202f%"
    assert wording.percent_range((0.976, 0.997), 1) == "97.6 – 99.7\u202f%"
    assert wording.by((1, 28, 28)) == "1\u202f×\u202f28\u202f×\u202f28"


@pytest.mark.parametrize(("difference", "text"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (-0.0001, "0.0"), (0.0, "0.0")])
def test_points_carry_their_sign_and_zero_has_none(difference: float, text: str) -> None:
    assert wording.points(difference, 1) == text


def test_only_a_perfect_score_is_shown_as_one() -> None:
    assert wording.score(1.0) == "1.000"
    assert wording.score(0.99999) == "0.999"
    assert wording.score(0.0) == "0.000"
    assert wording.score(0.00001) == "0.001"
    assert wording.score(None) == "–"


def test_a_probability_never_claims_certainty() -> None:
    assert wording.probability(0.99995) == "> 99.9\u202f%"
    assert wording.probability(0.874) == "87.4\u202f%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.0042, "4.2 ms"),
        (0.25, "0.25 s"),
        (47.1, "47.1 s"),
        (59.97, "1 min 00 s"),
        (245.2, "4 min 05 s"),
        (7379, "2 h 03 min"),
        (3599.7, "1 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds).replace("\u202f", " ") == text


def test_moments_are_told_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert wording.moment(datetime(2026, 11, 23, 0, 30, tzinfo=berlin)) == "2026-11-22 23:30 UTC"


def test_long_names_lose_their_middle_and_control_characters() -> None:
    assert wording.shortened("short", 10) == "short"
    assert wording.shortened("abcdefghijklmnop", 9) == "abcd…mnop"
    assert wording.shortened("two\n lines\x07", 20) == "two lines\ufffd"
