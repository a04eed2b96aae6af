"""A preset's own colour table, and the shortest length of a place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reactive.errors import MediaError, OutputError, PresetError
from reactive.media.video import rgb_frames
from reactive.preset.contents import check_content, kind_of
from reactive.render.inputs import read_inputs
from reactive.render.run import make_clip
from reactive.render.settings import Settings
from reactive.render.targets import targets
from tests.toy import beat_song, write_song

PRESET = 'version = 2\ntitle = "Sea"\nlut = "red.cube"\n[[phase]]\nname = "a"\nprompts = ["sea"]\n'
# every colour becomes a red of its own brightness
RED = "LUT_3D_SIZE 2\n" + "".join(f"{max(r, g, b)} 0 0\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sea").mkdir()
    (tmp_path / "sea" / "preset.toml").write_text(PRESET)
    (tmp_path / "sea" / "red.cube").write_text(RED)
    write_song(tmp_path / "song.wav", beat_song(3))
    return tmp_path


def settings(folder: Path, toy_model: Path, **changes: object) -> Settings:
    chosen = {"preset": str(folder / "sea"), "model": str(toy_model), "steps": 1, "device": "cpu", "duration": 0.5}
    return Settings.of(**chosen | {"imagine_size": (64, 48), "size": (64, 48)} | changes)


def test_a_presets_table_colours_the_clip(folder: Path, toy_model: Path) -> None:
    make_clip(folder / "song.wav", folder / "red.mp4", settings(folder, toy_model))
    frames = np.stack([picture for picture, _ in rgb_frames(folder / "red.mp4")]).astype(int)
    assert frames[..., 0].mean() > 20
    assert frames[..., 1:].mean() < 12


def test_a_given_table_comes_first(folder: Path, toy_model: Path) -> None:
    (folder / "own.cube").write_text(RED)
    assert read_inputs("song.wav", [], settings(folder, toy_model)).lut == folder / "sea" / "red.cube"
    assert read_inputs("song.wav", [], settings(folder, toy_model, lut=folder / "own.cube")).lut is None


def test_a_bundle_takes_tables_that_can_be_read(folder: Path) -> None:
    assert kind_of("red.cube") == "table"
    check_content(folder / "sea" / "red.cube", "red.cube")
    (folder / "sea" / "red.cube").write_text("LUT_3D_SIZE 2\n0 0\n")
    with pytest.raises(PresetError, match="entries"):
        check_content(folder / "sea" / "red.cube", "red.cube")
    with pytest.raises(MediaError):
        read_inputs("song.wav", [], Settings.of(preset=str(folder / "sea")))


def test_a_clip_shorter_than_its_place_takes_is_refused(folder: Path, toy_model: Path) -> None:
    assert targets()["reels"].choices()["shortest"] == 3
    short = settings(folder, toy_model, duration=None, start=1.0, shortest=targets()["reels"].shortest)
    with pytest.raises(OutputError, match=r"would last 2\.00 s, and this place takes at least 3 s"):
        make_clip(folder / "song.wav", folder / "short.mp4", short)
    assert not (folder / "short.mp4").exists()
    assert not (folder / ".reactive").exists()
