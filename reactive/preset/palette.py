"""Colours by name or by hexadecimal number."""

from __future__ import annotations

from reactive.errors import PresetError

MAX_COLOURS = 16


def colour_code(text: str) -> str:
    """Return a colour as ``#rrggbb``: ``#d01030``, ``#d13``, ``dark red`` or another colour of CSS.

    Raises
    ------
    ValueError
        If it is not such a colour; the message has the remedy after a bar.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb("".join(text.lower().split()))[:3]
    except ValueError:
        raise ValueError("is not a colour|write for instance dark red or #d01030") from None
    return f"#{red:02x}{green:02x}{blue:02x}"


def parse_palette(text: str, *, where: str) -> tuple[str, ...]:
    """Return the colours of ``"#200010, dark red, white"``, each as ``#rrggbb``.

    Raises
    ------
    PresetError
        If one is not a colour, or there are none or too many.
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) > MAX_COLOURS:
        raise PresetError(f"names {len(names)} colours", where=where, remedy=f"name at most {MAX_COLOURS}")
    colours = []
    for name in names:
        try:
            colours.append(colour_code(name[:80]))
        except ValueError as problem:
            what, _, remedy = str(problem).partition("|")
            raise PresetError(f'"{name[:80]}" {what}', where=where, remedy=remedy) from None
    return tuple(colours)
