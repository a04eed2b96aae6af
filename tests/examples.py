"""The number of hypothesis examples of a test that sets its own, scaled by the profile."""

from __future__ import annotations

from hypothesis import settings

# hypothesis's default, which the profiles `fixed` and `random` leave unchanged
USUAL = 100


def scaled(count: int) -> int:
    """Return a number of examples scaled by the loaded profile."""
    return max(1, count * settings.default.max_examples // USUAL)
