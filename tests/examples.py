"""How many examples hypothesis takes where a test says so itself: as many as it says, times what the profile wants."""

from __future__ import annotations

from hypothesis import settings

# what hypothesis takes unless told, which the profiles `fixed` and `random` leave as it is
USUAL = 100


def scaled(count: int) -> int:
    """Return a number of examples under the profile that is loaded."""
    return max(1, count * settings.default.max_examples // USUAL)
