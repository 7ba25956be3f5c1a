"""SVG that can stand in a page: own ids, no style sheet, colours that follow the page."""

import re
from importlib import resources
from xml.etree import ElementTree

import pytest
from fake_runs import history_of

from konvoi.report import palette
from konvoi.report.figures import learning_curves
from konvoi.report.svg import inline_svg


@pytest.fixture(scope="module")
def drawn() -> str:
    return str(inline_svg(learning_curves(history_of(30, best=20)), "curves", 'A "quoted" <description>'))


def test_ids_carry_the_name_and_every_reference_has_its_target(drawn: str) -> None:
    root = ElementTree.fromstring(drawn)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    references = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", drawn))
    assert references
    assert set(ids) == references
    assert len(ids) == len(set(ids))
    assert all(name.startswith("curves-") for name in ids)


def test_two_figures_share_no_id() -> None:
    figure = learning_curves(history_of(4))
    first, second = (set(re.findall(r'\bid="([^"]+)"', inline_svg(figure, name, ""))) for name in ("a", "b"))
    assert first
    assert not first & second


def test_nothing_reaches_out_of_the_figure(drawn: str) -> None:
    assert "<style" not in drawn
    assert "<metadata" not in drawn
    assert "http" not in drawn
    assert "font-family" not in drawn


def test_text_stays_text(drawn: str) -> None:
    assert re.search(r"<text[^>]*>best epoch: \d+</text>", drawn)


def test_every_colour_is_a_variable_of_the_page(drawn: str) -> None:
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    assert {"train", "validation", "ink", "quiet", "line"} <= set(re.findall(r"var\(--([a-z]+)\)", drawn))


def test_the_description_is_escaped(drawn: str) -> None:
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == 'A "quoted" <description>'


def test_the_page_knows_every_colour_in_light_and_dark() -> None:
    style = (resources.files("konvoi.report") / "style.css").read_text()
    light = style[style.index(":root") : style.index("@media (prefers-color-scheme: dark)")]
    dark = style[style.index("@media (prefers-color-scheme: dark)") : style.index("box-sizing")]
    for colour, name in palette.CSS_NAMES.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: #" in dark


def contrast(first: str, second: str) -> float:
    """The ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out(scheme: str) -> None:
    style = (resources.files("konvoi.report") / "style.css").read_text()
    start = style.index(":root") if scheme == "light" else style.index("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style[start : style.index("}", start)]))
    for text in ("ink", "quiet", "link"):
        for ground in ("paper", "wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in ("train", "validation", "test", "error"):
        assert contrast(colours[line], colours["paper"]) >= 3, line
