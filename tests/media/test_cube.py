"""Colour lookup tables: they are read exactly, and invalid ones are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.media.cube import read_cube


def written(folder: Path, text: str) -> Path:
    path = folder / "look.cube"
    path.write_text(text)
    return path


def cube_text(side: int, make) -> str:
    steps = np.linspace(0, 1, side)
    rows = [" ".join(f"{v:.6f}" for v in make(r, g, b)) for b in steps for g in steps for r in steps]
    return f'TITLE "look"\n# a comment\nLUT_3D_SIZE {side}\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n\n' + "\n".join(rows)


def test_red_runs_fastest(tmp_path: Path) -> None:
    cube = read_cube(written(tmp_path, cube_text(5, lambda r, g, b: (r, g * 0.5, 1 - b))))
    colours = np.random.default_rng(0).random((50, 3))
    wanted = colours * [1, 0.5, -1] + [0, 0, 1]
    assert np.abs(cube.applied(colours) - wanted).max() < 1e-5


def test_curves_and_their_range(tmp_path: Path) -> None:
    text = "LUT_1D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 2 2 2\n0 0 0\n.5 1 0\n1 1 1\n"
    cube = read_cube(written(tmp_path, text))
    assert cube.applied(np.array([[1.0, 0.5, 0.5]]))[0] == pytest.approx([0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0 0\n", "LUT_3D_SIZE"),
        ("LUT_3D_SIZE 2\n0 0 0\n", "8"),
        ("LUT_3D_SIZE 200\n", "size"),
        ("LUT_1D_SIZE 2\n0 0\n1 1 1\n", "three numbers"),
        ("LUT_1D_SIZE 2\n0 0 nan\n1 1 1\n", "three numbers"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 1 1 1\n0 0 0\n1 1 1\n", "DOMAIN_MAX"),
        ("<xml>\n", "<xml>"),
        ("\n", "LUT_3D_SIZE"),
    ],
)
def test_invalid_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        read_cube(written(tmp_path, text))
