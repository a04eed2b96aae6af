"""The colours of a preview: those of the options, of the preset, and of its colour table, as in the clip."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")
pytest.importorskip("tomlkit", reason="the extra [preview] is not installed")

from click.testing import CliRunner

from reactive.cli import main
from reactive.diffusion.grade import coloured
from reactive.errors import MediaError
from reactive.live.latest_frame import LatestFrameRenderer
from reactive.live.material import PreviewOptions, SongMaterial, load_material
from reactive.live.session import Session
from reactive.media.cube import read_cube
from reactive.timeline.colours import recoloured
from reactive.timeline.timeline import Timeline
from tests.live.streams import beat_stream
from tests.live.test_live_session import conduct

# swaps red and blue
TABLE = "LUT_3D_SIZE 2\n0 0 0\n0 0 1\n0 1 0\n0 1 1\n1 0 0\n1 0 1\n1 1 0\n1 1 1\n"
PRESET = """\
version = 2
title = "Plain"
[colour]
palette = ["#200010", "#d01030"]
[[phase]]
name = "one"
prompts = ["a sea", "a tree"]
"""
CHOSEN = {
    "palette": ("#001030", "#f0e0a0"),
    "palette_strength": 0.6,
    "saturation": 1.5,
    "contrast": 1.2,
    "temperature": 0.3,
    "tint": -0.2,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "swap.cube"
    path.write_text(TABLE)
    return path


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "plain.toml"
    path.write_text(PRESET)
    return path


@pytest.fixture(scope="module")
def bare(beat_wav: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> SongMaterial:
    song = tmp_path_factory.mktemp("song") / "song.wav"
    song.write_bytes(beat_wav.read_bytes())
    return load_material(song, PreviewOptions.of(model=str(toy_model), steps=1, threads=1, fps=Fraction(24)))


def with_colours(material: SongMaterial, **colours: object) -> SongMaterial:
    return replace(material, options=material.options.changed(**colours))


def shown(material: SongMaterial, timeline: Timeline) -> torch.Tensor:
    """Return the preview's first frames, uint8 [8, 3, height, width]."""
    return torch.from_numpy(np.stack(list(material.imaginer(timeline).frames(0, 8))))


def test_a_song_has_the_colours_of_the_options(bare: SongMaterial, preset: Path, table: Path) -> None:
    told = with_colours(bare, **CHOSEN, lut=table)
    session = Session(told, lambda frames: None, (str(preset),))
    timeline = session.performance.timeline
    # the pictures without any colours, not even the preset's
    grey = {name: np.full(timeline.frames, -1) for name in ("palette_from", "palette_to")}
    plain = shown(bare, replace(timeline, columns=timeline.columns | grey))
    wanted = recoloured(timeline, told.options.colours.colours)
    assert wanted.palettes == (CHOSEN["palette"],)
    expected = coloured(plain, wanted.columns, wanted.palettes, np.arange(8), read_cube(table))
    assert torch.equal(shown(told, timeline), expected)
    assert (expected != plain).any()
    assert (expected != shown(bare, timeline)).any()


def test_a_live_input_has_the_colours_of_the_options(bare: SongMaterial, preset: Path, table: Path) -> None:
    rows = conduct(preset, beat_stream(1)[0])[:4]
    told = with_colours(bare, **CHOSEN)
    told.lut = read_cube(table)
    plain, graded = LatestFrameRenderer(bare, lambda: None), LatestFrameRenderer(told, lambda: None)
    differ = 0
    for row in rows:
        rested = replace(row, palettes=(), columns=row.columns | {"palette_from": -1.0, "palette_to": -1.0})
        for renderer in (plain, graded):
            renderer.hear(rested)
        picture, seen = plain.imagine(rested), graded.imagine(rested)
        timeline = recoloured(graded._stream.timeline(), told.options.colours.colours)
        number = np.array([graded._stream.last])
        assert torch.equal(seen, coloured(picture[None], timeline.columns, timeline.palettes, number, told.lut)[0])
        differ += int((seen != picture).any())
    assert differ == len(rows) == 4


def test_a_presets_own_table_is_shown_while_it_plays(bare: SongMaterial, preset: Path, table: Path) -> None:
    (preset.parent / "own.cube").write_text(TABLE)
    graded = preset.with_name("graded.toml")
    graded.write_text(PRESET.replace("title", 'lut = "own.cube"\ntitle'))
    session = Session(bare, lambda frames: None, (str(preset), str(graded)))
    assert bare.lut is None
    session.change({"kind": "preset", "time": 1.0, "name": str(graded)})
    assert bare.lut is not None
    np.testing.assert_array_equal(bare.lut.values, read_cube(table).values)
    session.forget(back=True)
    assert bare.lut is None
    # one of the options holds for all presets
    other = with_colours(bare, lut=table)
    Session(other, lambda frames: None, (str(graded),))
    assert other.lut is not None
    (preset.parent / "own.cube").unlink()
    broken = preset.with_name("broken.toml")
    broken.write_text(PRESET.replace("title", 'lut = "gone.cube"\ntitle'))
    with pytest.raises(MediaError, match=r"gone\.cube"):
        Session(bare, lambda frames: None, (str(preset), str(broken)))


@pytest.mark.parametrize("changed", ['palette = ["#001030", "#1030d0"]', "palette = []"])
def test_a_palette_that_is_edited_while_it_plays_is_shown(bare: SongMaterial, preset: Path, changed: str) -> None:
    session = Session(bare, lambda frames: None, (str(preset),))
    preset.write_text(PRESET.replace('palette = ["#200010", "#d01030"]', changed))
    os.utime(preset, (1, 1))
    session.engine.changed = -1
    assert session.reload() is not None
    assert session.engine.changed == 0


def test_a_colour_table_that_is_missing_stops_the_preview_in_one_line(tmp_path: Path, beat_wav: Path) -> None:
    told = CliRunner().invoke(main, ["preview", str(beat_wav), "--no-open", "--lut", str(tmp_path / "none.cube")])
    assert told.exit_code != 0
    assert [line for line in told.stderr.splitlines() if "none.cube" in line] == told.stderr.splitlines()[-1:]
