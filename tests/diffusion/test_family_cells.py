"""Each family in the engine: feedback, lens, blends, lanes, joins, palettes, calibration and a card, as the docs' table says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reactive.diffusion.models.families import FAMILIES
from tests.diffusion.family_cells import CELLS, toy
from tests.diffusion.family_table import said

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", params=[family.name for family in FAMILIES])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    if request.param == "krea2":
        pytest.importorskip("accelerate")
    torch.set_num_threads(1)
    return request.param, toy(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.mark.parametrize("column", CELLS)
def test_a_family_does_what_the_docs_say(
    saved: tuple[str, Path], column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path))
    family, folder = saved
    assert CELLS[column](folder) == said(family, column)
