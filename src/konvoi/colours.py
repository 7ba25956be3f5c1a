"""The colours of classes in maps: the same class has the same colour in every map of a network."""

from __future__ import annotations

Colour = tuple[int, int, int]

# Okabe and Ito, "Color universal design" (2008), which colour-blind readers can tell apart; their black is softened.
_HUES: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (70, 70, 70),
)
_TOWARDS_WHITE = (0.0, 0.5, -0.4, 0.75, -0.65, 0.25)


def class_colours(classes: int) -> list[Colour]:
    """One colour a class: eight hues, then the same lighter and darker.

    Up to eight can be told apart by everybody. Beyond 48 they repeat.
    """
    colours = []
    for number in range(classes):
        hue = _HUES[number % len(_HUES)]
        amount = _TOWARDS_WHITE[number // len(_HUES) % len(_TOWARDS_WHITE)]
        colours.append(_mixed(hue, 255 if amount > 0 else 0, abs(amount)))
    return colours


def _mixed(colour: Colour, grey: int, amount: float) -> Colour:
    red, green, blue = (round(part * (1 - amount) + grey * amount) for part in colour)
    return red, green, blue
