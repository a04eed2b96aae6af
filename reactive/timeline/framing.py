"""How photographs fill the frame: cropped, whole, or whole over a blurred copy, and what matters in single ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

Fit = Literal["cover", "contain", "blur"]
FITS: tuple[str, ...] = get_args(Fit)
_FOCUS = re.compile(
    r"(.+)@(0(?:\.\d{1,6})?|1(?:\.0{1,6})?|\.\d{1,6}),(0(?:\.\d{1,6})?|1(?:\.0{1,6})?|\.\d{1,6})", re.ASCII
)


@dataclass(frozen=True)
class Framing:
    """How the photographs that are fed in are framed.

    Attributes
    ----------
    fit
        ``cover`` fills the frame and crops, ``contain`` shows all of a photograph between bars, ``blur`` has a blurred copy there.
    focus
        What matters in a photograph, by its base name: shares of width and height from the upper left corner.
    """

    fit: str = "cover"
    focus: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def named(self, name: str) -> str:
        """Return what decides how one photograph is framed, as a text; empty if nothing was said."""
        place = self.focus.get(name)
        fit = "" if self.fit == "cover" else f" fit {self.fit}"
        return fit + (f" focus {place[0]:g},{place[1]:g}" if place else "")

    def told(self, focus: Sequence[str], fit: str = "") -> Framing:
        """Return it with what a user says: places in photographs, as ``band.jpg@0.5,0.2``, and how they fill the frame."""
        named = {name: place for name, place in map(split_focus, focus) if place is not None}
        return Framing(fit or self.fit, {**self.focus, **named})


COVER = Framing()


def split_focus(text: str) -> tuple[str, tuple[float, float] | None]:
    """Return the file of ``band.jpg@0.5,0.2``, and the place, if there is one."""
    match = _FOCUS.fullmatch(text)
    return (match[1], (float(match[2]), float(match[3]))) if match else (text, None)
