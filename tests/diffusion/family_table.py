"""The table of families and features in the docs, made from the cases that the tests run and by running `family_cells`.

`python -m tests.diffusion.family_table` writes it anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reactive.diffusion.models.catalogue import small_autoencoder
from reactive.diffusion.models.families import FAMILIES, family_named
from tests.diffusion.family_cells import CELLS, toy
from tests.diffusion.family_toys import TOYS
from tests.diffusion.test_block_control import EQUAL as BLOCKS_CONTROLLED
from tests.diffusion.test_control import EQUAL as UNETS_CONTROLLED
from tests.diffusion.test_models_families import CASES
from tests.diffusion.test_quantised import BOUNDS
from tests.diffusion.test_quantised import FAMILIES as QUANTISED
from tests.diffusion.test_style import EQUAL
from tests.diffusion.test_transformer_families import WITH_PICTURE, WITH_SMALL, WITHOUT_PIPELINE
from tests.diffusion.test_varying_lora import FAMILIES as VARYING

CONTROLLED = (*UNETS_CONTROLLED, *BLOCKS_CONTROLLED)
# a cell's word, by family and column
Word = Callable[[str, str], str]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "families.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
COLUMNS = (
    "family",
    "walk",
    "photo",
    *CELLS,
    "LoRA",
    "LoRA by the music",
    "style",
    "control",
    "small autoencoder",
    "quantised",
)
# the families of U-Nets, and the cases of `test_models_families.py` that are theirs
UNETS = {
    "sd": [name for name, case in CASES.items() if case.get("family", "sd") != "sdxl"],
    "sdxl": [name for name, case in CASES.items() if case.get("family") == "sdxl"],
}
# LoRA, style, control and small autoencoder, as far as `test_models_files.py`, `test_style.py`, `test_control.py` and
# `test_models_families.py` check them
UNET_REST = {"sd": ("weights equal", "equal", "equal", "equal"), "sdxl": ("runs", "equal", "equal", "equal")}


def table(word: Word) -> str:
    """Return the table in Markdown; `word` gives the cells of `family_cells`."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [_row(family.name, word) for family in FAMILIES]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def said(family: str, column: str) -> str:
    """Return a cell of the table as the docs have it, empty if there is none."""
    lines = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip().splitlines()
    head, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return next((dict(zip(head, row, strict=True)).get(column, "") for row in rows if row[0] == family), "")


def found(family: str, column: str) -> str:
    """Return the word that a toy of a family earns now."""
    with tempfile.TemporaryDirectory() as room, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REACTIVE_CACHE", f"{room}/cache")
        return CELLS[column](toy(Path(room) / "model", family))


def _row(family: str, word: Word) -> tuple[str, ...]:
    # `test_style.py` compares these families, and that the others are refused
    assert (family in EQUAL) == (family_named(family).add_adapter is not None)
    assert (family in CONTROLLED) == (family_named(family).control is not None)
    assert family in QUANTISED
    varying = "equal"
    assert family in VARYING
    cells = [word(family, column) for column in CELLS]
    stored = ", ".join(f"{kind} to {100 * bound:g} %" for kind, bound in BOUNDS.items())
    if family in UNETS:
        assert UNETS[family]
        # `test_style.py` has the image-to-image pipelines
        assert family in EQUAL
        assert family in CONTROLLED
        lora, *rest = UNET_REST[family]
        return family, "equal", "equal", *cells, lora, varying, *rest, stored
    assert family in TOYS
    control = "equal" if family in CONTROLLED else "refused"
    small = "equal" if family in WITH_SMALL else "refused"
    assert (small == "equal") == (small_autoencoder(family) is not None)
    assert (family in WITH_PICTURE) != (family in WITHOUT_PIPELINE)
    photo = "equal" if family in WITH_PICTURE else "equal from latents"
    return family, "equal", photo, *cells, "weights equal", varying, "refused", control, small, stored


def written(page: str, word: Word = said) -> str:
    """Return the page with today's table; the cells of `family_cells` as the page has them, unless they are found anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(word)}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
