"""Regenerate the tables of presets/README.md from the code: ``python -m training.write_reference``."""

from __future__ import annotations

from pathlib import Path

from reactive.preset.reference import reference

PAGE = Path(__file__).resolve().parents[1] / "presets" / "README.md"
MARK = "<!-- reference: written by python -m training.write_reference -->\n"


def page() -> str:
    """Return the page with its tables regenerated."""
    before, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    return before + mark + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
