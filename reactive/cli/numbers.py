"""The numbers that options take: plain digits within a range. No NaN, no infinity, no notations that only Python knows."""

from __future__ import annotations

import re
from typing import Any

import click

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_REAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?")
# seeds have 63 bits
MAX_SEED = 2**63 - 1
# no song is longer than a day
LONGEST = 86_400.0


class IntOption(click.IntRange):
    """A whole number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or refuse it as a usage error."""
        if isinstance(value, str) and not _WHOLE.fullmatch(value.strip()):
            self.fail(f'"{_short(value)}" is not a whole number.', param, ctx)
        return super().convert(value, param, ctx)


class FloatOption(click.FloatRange):
    """A number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or refuse it as a usage error."""
        if isinstance(value, str) and not _REAL.fullmatch(value.strip()):
            self.fail(f'"{_short(value)}" is not a number.', param, ctx)
        return super().convert(value, param, ctx)


def _short(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
