"""The table of families and features in the docs, made from the cases that the tests run.

`python -m tests.diffusion.family_table` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

from reactive.diffusion.models.catalogue import small_autoencoder
from reactive.diffusion.models.families import FAMILIES, family_named
from tests.diffusion.family_toys import TOYS
from tests.diffusion.test_control import EQUAL as CONTROLLED
from tests.diffusion.test_models_families import CASES
from tests.diffusion.test_quantised import BOUNDS
from tests.diffusion.test_quantised import FAMILIES as QUANTISED
from tests.diffusion.test_style import EQUAL
from tests.diffusion.test_transformer_families import WITH_PICTURE, WITH_SMALL, WITHOUT_PIPELINE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "families.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
COLUMNS = ("family", "walk", "photo", "blend", "LoRA", "style", "control", "small autoencoder", "quantised")
# the families of U-Nets, and the cases of `test_models_families.py` that are theirs
UNETS = {
    "sd": [name for name, case in CASES.items() if case.get("family", "sd") != "sdxl"],
    "sdxl": [name for name, case in CASES.items() if case.get("family") == "sdxl"],
}
# LoRA, style, control and small autoencoder, as far as `test_models_files.py`, `test_style.py`, `test_control.py` and
# `test_models_families.py` check them
UNET_REST = {"sd": ("weights equal", "equal", "equal", "equal"), "sdxl": ("runs", "equal", "equal", "equal")}


def table() -> str:
    """Return the table in Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [_row(family.name) for family in FAMILIES]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(family: str) -> tuple[str, ...]:
    # `test_style.py` compares these families, and that the others are refused
    assert (family in EQUAL) == (family_named(family).add_adapter is not None)
    assert (family in CONTROLLED) == (family_named(family).control is not None)
    assert family in QUANTISED
    stored = ", ".join(f"{kind} to {100 * bound:g} %" for kind, bound in BOUNDS.items())
    if family in UNETS:
        assert UNETS[family]
        # `test_style.py` has the image-to-image pipelines
        assert family in EQUAL
        assert family in CONTROLLED
        return family, "equal", "equal", "runs", *UNET_REST[family], stored
    assert family in TOYS
    control = "equal" if family in CONTROLLED else "refused"
    small = "equal" if family in WITH_SMALL else "refused"
    assert (small == "equal") == (small_autoencoder(family) is not None)
    assert (family in WITH_PICTURE) != (family in WITHOUT_PIPELINE)
    photo = "equal" if family in WITH_PICTURE else "equal from latents"
    return family, "equal", photo, "runs", "weights equal", "refused", control, small, stored


def written(page: str) -> str:
    """Return the page with today's table."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
