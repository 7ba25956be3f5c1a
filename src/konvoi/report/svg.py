"""From a matplotlib figure to SVG that can stand inside a page.

A figure's own SVG is a document for itself: its ids repeat from figure to figure, its style sheet would apply to the
whole page, its colours are fixed. Here they become ids with a prefix, no style sheet, and CSS variables.
"""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from konvoi.report.palette import CSS_NAMES, house_style

_PIXELS_PER_POINT = 1.3
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_LONG_DECIMAL = re.compile(r"(-?\d+\.\d\d)\d+")
_REFERENCE = re.compile(r"#([A-Za-z][\w.-]*)")
_UPRIGHT = re.compile(r"rotate\(-?0 [^)]*\)")
_NUMERIC_ATTRIBUTES = ("d", "x", "y", "width", "height", "transform")


def inline_svg(figure: Figure, name: str, description: str, smallest: float = 0.6) -> Markup:
    """SVG for the inside of an HTML page.

    Args:
        figure: unchanged.
        name: prefix of the ids, unique in the page.
        description: what the figure shows, for those who cannot see it.
        smallest: the share of its size down to which a narrow window may shrink it before it scrolls.
    """
    root = ElementTree.fromstring(_saved(figure))
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style"} or (_local(child.tag) == "defs" and not _drawn(child)):
                parent.remove(child)
    referenced = {name for element in root.iter() for value in element.attrib.values() for name in _ids_in(value)}
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = _cleaned(element.attrib, name, referenced)
        # Line breaks between elements are a fifth of the file; inside of <text> they never occur.
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = None
    view_box = root.attrib["viewBox"]
    width = float(view_box.split()[2]) * _PIXELS_PER_POINT
    root.attrib = {
        "viewBox": view_box,
        "role": "img",
        "aria-label": description,
        "style": f"width: 100%; max-width: {width:.0f}px; min-width: {width * smallest:.0f}px",
    }
    # The one thing that is not escaped: all text in it has gone through ElementTree, which escapes.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _saved(figure: Figure) -> str:
    text = io.StringIO()
    with house_style(), warnings.catch_warnings():
        # Only the layout's font lacks the glyph; the page's fonts, with which the text is shown, may have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _drawn(definitions: ElementTree.Element) -> bool:
    return any(_local(child.tag) != "style" for child in definitions)


def _ids_in(value: str) -> list[str]:
    if value.startswith("#") or "url(#" in value:
        return _REFERENCE.findall(value)
    return []


def _cleaned(attributes: dict[str, str], name: str, referenced: set[str]) -> dict[str, str]:
    cleaned = {}
    for key, value in attributes.items():
        key = _local(key)
        if key == "id":
            if value not in referenced:
                continue
            value = f"{name}-{value}"
        elif key == "style":
            value = _themed(value)
        elif _ids_in(value):
            value = _REFERENCE.sub(rf"#{name}-\1", value)
        elif key in _NUMERIC_ATTRIBUTES:
            value = " ".join(_LONG_DECIMAL.sub(r"\1", _UPRIGHT.sub("", value)).split())
        if value:
            cleaned[key] = value
    return cleaned


def _themed(style: str) -> str:
    """Colours of the palette as CSS variables; the font is the page's."""
    declarations = [part.strip() for part in style.split(";") if not part.strip().startswith("font-family")]
    return _COLOUR.sub(lambda match: _variable(match.group()), "; ".join(filter(None, declarations)))


def _variable(colour: str) -> str:
    return f"var(--{CSS_NAMES[colour]})" if colour in CSS_NAMES else colour
