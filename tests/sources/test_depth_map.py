"""Depth maps beside photographs: found by name, cropped like their photograph, never taken for photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactive.sources.depth_map import depth_map_of, is_map, map_path
from reactive.sources.ground import ground_files, load_ground
from reactive.sources.imagery import pictures_in


@pytest.fixture
def sloped(tmp_path: Path) -> Path:
    """A portrait photograph that gets brighter downwards, and its depth map, half as large, with the same slope."""
    slope = np.linspace(0, 255, 600)[:, None].repeat(300, axis=1).astype(np.uint8)
    Image.fromarray(slope).convert("RGB").save(tmp_path / "hill.jpg", quality=95)
    Image.fromarray(slope).resize((150, 300)).save(tmp_path / "hill.depth.png")
    return tmp_path / "hill.jpg"


def test_a_map_is_found_beside_its_photograph(sloped: Path) -> None:
    assert map_path(sloped) == depth_map_of(sloped) == sloped.with_name("hill.depth.png")
    assert is_map(sloped.with_name("hill.depth.png"))
    assert depth_map_of(sloped.with_name("hill.depth.png")) is None
    assert depth_map_of(sloped.with_name("other.jpg")) is None


def test_maps_are_not_photographs(sloped: Path) -> None:
    assert pictures_in(sloped.parent) == (sloped,)


@pytest.mark.parametrize("fit", ["cover", "contain", "blur"])
def test_a_map_is_framed_like_its_photograph(sloped: Path, fit: str) -> None:
    (file,) = ground_files((sloped,), (), (), (), fit=fit, focus={"hill.jpg": (0.5, 0.4)})
    ground = load_ground(file, width=160, height=90, room=1.3)
    assert ground.near is not None
    assert ground.near.shape == (90, 160)
    middle = slice(60, 100)
    assert np.abs(ground.near[:, middle].astype(int) - ground.exact[:, middle, 1]).max() <= 4


def test_named_grounds_have_maps_too_and_others_none(sloped: Path) -> None:
    (sloped.parent / "film.mp4").write_bytes(b"")
    found = ground_files((), (), ("hill.jpg", "film.mp4", "library:lighthouse"), (sloped.parent,))
    assert [file.depth for file in found] == [map_path(sloped), None, None]
    Image.new("RGB", (40, 30)).save(sloped.parent / "flat.png")
    (flat,) = ground_files((sloped.parent / "flat.png",), (), (), ())
    assert load_ground(flat, width=40, height=30, room=1.3).near is None
