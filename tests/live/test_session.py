"""Changed controls are saved into the preset with comments kept; the grid is corrected and the timeline rebuilt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")
pytest.importorskip("tomlkit", reason="the extra [preview] is not installed")

from reactive.audio.corrections import NO_CORRECTIONS, Corrections, corrections_path, load_corrections
from reactive.audio.levels import SURE, Doubt
from reactive.errors import GridError, PresetError
from reactive.live.grid import correct_grid, grid_for_page
from reactive.live.material import PreviewOptions, SongMaterial, load_material
from reactive.live.session import Session
from reactive.preset.schema import load_preset

OWN = """\
# ours
version = 2
title = "Ours"   # on tour
style = "oil painting"
walk = "0.4"  # calm

[[macro]]
name = "storm"  # the knob

[[phase]]
name = "calm"   # the verse
bars = [1, 4]
walk = "0.2 + 0.5 * macro.storm"
prompts = [
  "a sea",  # home
  { text = "a tree", weight = 2 },
  "a {red|blue} door",
]

[phase.lens]
zoom = "1.02 + 0.1 * decay(kick, 0.2)"

[[phase]]
name = "wild"
bars = [1, 4]
mode = "feedback"
strength = "0.5"
prompts = ["fire", "smoke"]

[[pin]]
at = "start"
prompt = "a lamp"
"""


@pytest.fixture(scope="module")
def material(beat_wav: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> SongMaterial:
    # a copy, because corrections are stored beside the song
    song = tmp_path_factory.mktemp("song") / "song.wav"
    song.write_bytes(beat_wav.read_bytes())
    return load_material(song, PreviewOptions.of(model=str(toy_model), steps=1, threads=1, fps=Fraction(24)))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def session(material: SongMaterial, tmp_path: Path, data: Path) -> Iterator[Session]:
    own = tmp_path / "ours.toml"
    own.write_text(OWN)
    yield Session(material, lambda frames: None, (str(own), "drift"))
    if material.corrections:
        Session(material, lambda frames: None, (str(own),)).correct({"action": "as heard"})


def turn(session: Session, name: str, value: float, time: float = 3.0) -> None:
    session.change({"kind": "control", "time": time, "name": name, "value": value})


def test_changed_controls_are_written_and_everything_else_stays(session: Session) -> None:
    path = session.loaded[session.first].path
    os.chmod(path, 0o640)
    turn(session, "walk", 2.0)
    turn(session, "strength", -0.1)
    turn(session, "camera", 0.5)
    turn(session, "rate", 2.0)
    turn(session, "macro.storm", 0.9)
    turn(session, "seed", 5.0, 4.0)
    session.change({"kind": "prompt", "time": 5.0, "name": "a sea, oil painting", "text": "a lake, oil painting"})
    session.change({"kind": "prompt", "time": 5.5, "name": "a lake, oil painting", "text": "a {pond}, oil painting"})
    session.change({"kind": "prompt", "time": 6.0, "name": "a lamp, oil painting", "text": "a torch, oil painting"})
    session.change({"kind": "black", "time": 7.0, "value": 1})
    wanted = session.stage._decide(session.performance.state)[0]
    told = session.save_plan()
    assert (told["own"], told["path"]) == (True, str(path))
    assert len(told["says"]) == 7
    assert len(told["leaves"]) == 2
    epoch, written = session.save_preset()
    assert written == path
    assert epoch == session.engine.epoch
    text = path.read_text()
    for comment in ("# ours", "# on tour", "# calm", "# the verse", "# home", "# the knob"):
        assert comment in text
    assert path.stat().st_mode & 0o777 == 0o640
    preset = load_preset(path)
    assert preset.walk == "(0.4) * 2"
    assert preset.phase[0].walk == "(0.2 + 0.5 * macro.storm) * 2"
    assert preset.phase[1].strength == "(0.5) + (0 - 0.1)"
    assert preset.phase[1].switch.every == "1 bars"
    assert preset.macro[0].default == 0.9
    assert [entry.text for entry in preset.phase[0].prompts][:2] == ["a {{pond}}", "a tree"]
    assert preset.phase[0].prompts[1].weight == 2
    assert preset.pin[0].prompt == "a torch"
    # the sliders are reset, and the clip is the same as with the changed sliders from its start
    assert [change.kind for change in session.changes] == ["control", "black"]
    assert session.state()["controls"]["walk"] == 1.0
    now = session.stage._decide(session.performance.state)[0]
    for name in ("walk", "speed", "strength", "lens_zoom", "weight"):
        assert np.array_equal(now.columns[name], wanted.columns[name]), name
    assert [now.prompts[k] for k in now.columns["prompt_to"]] == [
        wanted.prompts[k] for k in wanted.columns["prompt_to"]
    ]
    assert session.reload() is None
    with pytest.raises(PresetError, match="nothing was turned"):
        session.save_preset()


def test_repeated_changes_do_not_accumulate(session: Session) -> None:
    path = session.loaded[session.first].path
    for value in (2.0, 1.5):
        turn(session, "walk", value)
        turn(session, "camera", value)
        turn(session, "strength", 0.1)
        session.save_preset()
    preset = load_preset(path)
    assert preset.walk == "(0.4) * 3"
    assert preset.phase[0].lens is not None
    assert preset.phase[0].lens.zoom == "1 + ((1.02 + 0.1 * decay(kick, 0.2)) - 1) * 3"
    assert preset.phase[1].strength == "(0.5) + 0.2"


def test_a_bundled_preset_is_forked_and_never_written(session: Session, data: Path) -> None:
    session.change({"kind": "preset", "time": 1.0, "name": "drift", "value": 0})
    turn(session, "walk", 3.0)
    before = session.loaded["drift"].path.read_bytes()
    shipped = session.loaded["drift"].path
    told = session.save_plan()
    assert (told["own"], told["path"], told["name"]) == (False, None, "my-drift")
    with pytest.raises(PresetError, match="bundled with"):
        session.save_preset()
    for name in ("../evil", "drift", "A", "", "a/b", "x" * 200):
        with pytest.raises(PresetError):
            session.save_preset(name)
    _, path = session.save_preset("my-drift")
    assert path == data / "presets" / "my-drift" / "preset.toml"
    assert shipped.read_bytes() == before
    assert load_preset(path).walk == f"({load_preset(shipped).walk}) * 3"
    assert session.state()["presets"] == [session.first, "my-drift"]
    assert session.state()["preset"] == "my-drift"
    # from now on it is the user's own preset, and its name is taken
    assert session.save_plan()["own"]
    turn(session, "walk", 2.0)
    with pytest.raises(PresetError, match="installed already"):
        session.save_preset("my-drift")
    assert session.save_preset()[1] == path


def test_a_file_that_changed_meanwhile_is_not_overwritten(session: Session) -> None:
    path = session.loaded[session.first].path
    turn(session, "walk", 2.0)
    path.write_text(OWN.replace("a sea", "a pond"))
    with pytest.raises(PresetError, match="changed meanwhile"):
        session.save_preset()
    assert "a pond" in path.read_text()


def test_an_error_in_the_file_is_shown_until_it_is_fixed(session: Session) -> None:
    path = session.loaded[session.first].path
    path.write_text(OWN.replace('"fire", "smoke"', '"fire", 3'))
    with pytest.raises(PresetError, match="prompts"):
        session.reload()
    assert session.state()["problem"]["remedy"]
    # everything continues with the old text
    turn(session, "walk", 2.0)
    assert session.state()["changes"] == 1
    path.write_text(OWN)
    assert session.reload() is None
    assert session.state()["problem"] is None


def test_half_and_double_keep_the_downbeat_and_are_inverse(session: Session) -> None:
    song, analysis = session.material.track.path, session.material.analysis
    tempo, beats = analysis.tempo, len(analysis.beats)
    bars = session.performance.timeline.columns["phase"].copy()
    session.correct({"action": "one", "time": float(analysis.beats[2]) + 0.02})
    assert session.material.analysis.downbeats[0] == pytest.approx(analysis.beats[2])
    session.correct({"action": "half"})
    assert session.material.analysis.tempo == pytest.approx(tempo / 2, rel=0.02)
    assert np.abs(session.material.analysis.downbeats - analysis.beats[2]).min() < 0.02
    assert not np.array_equal(session.performance.timeline.columns["phase"], bars)
    assert session.state()["grid"]["half"]
    # the beat that "half" removed can become the downbeat
    session.correct({"action": "one", "time": float(analysis.beats[5])})
    assert np.abs(session.material.analysis.downbeats - analysis.beats[5]).min() < 1e-6
    assert session.material.analysis.tempo == pytest.approx(tempo / 2, rel=0.02)
    saved, _ = load_corrections(song, session.material.track.sha256)
    assert saved == session.material.corrections
    assert corrections_path(song).is_file()
    session.correct({"action": "as heard"})
    assert len(session.material.analysis.beats) == beats
    assert not corrections_path(song).exists()
    session.correct({"action": "double"})
    assert session.material.analysis.tempo == pytest.approx(tempo * 2, rel=0.02)
    session.correct({"action": "double"})
    assert not session.material.corrections


def test_a_nudge_moves_the_grid_and_is_kept_after_a_restart(session: Session, toy_model: Path) -> None:
    first = session.material.raw.beats[4]  # type: ignore[union-attr]
    for _ in range(3):
        session.correct({"action": "nudge", "ms": 10})
    assert np.abs(session.material.analysis.beats - first - 0.03).min() < 1e-6
    turn(session, "walk", 2.0)
    session.correct({"action": "nudge", "ms": -10})
    assert session.state()["changes"] == 1
    options = PreviewOptions.of(model=str(toy_model), steps=1, threads=1)
    again = load_material(session.material.track.path, options)
    assert again.corrections.offset_ms == 20
    assert np.array_equal(again.analysis.beats, session.material.analysis.beats)
    session.correct({"action": "meter", "meter": "3/4"})
    assert session.state()["grid"]["meter"] == "3/4"


def test_a_part_is_named_in_the_page_and_kept_beside_the_song(session: Session, toy_model: Path) -> None:
    letter = session.material.analysis.sections[0].label
    session.correct({"action": "part", "section": letter, "name": "Guitar solo"})
    assert session.state()["grid"]["parts"][0]["name"] == "guitar solo"
    assert session.lanes()["song"]["sections"][0]["name"] == "guitar solo"
    again = load_material(session.material.track.path, PreviewOptions.of(model=str(toy_model), steps=1, threads=1))
    assert again.corrections.sections == (f"{letter}=guitar solo",)
    session.correct({"action": "part", "section": "1", "name": "chorus"})
    assert session.state()["grid"]["parts"][0]["name"] == "chorus"
    session.correct({"action": "part", "section": "1", "name": ""})
    session.correct({"action": "part", "section": letter.lower(), "name": ""})
    assert session.material.corrections.sections is None
    for wrong in ({"section": 3, "name": "x"}, {"section": "1"}):
        with pytest.raises(GridError):
            session.correct({"action": "part", **wrong})


@pytest.mark.parametrize(
    ("option", "corrections"),
    [
        ("--half", Corrections(half=True)),
        ("--double", Corrections(double=True)),
        ("--bpm 93.3", Corrections(bpm=93.3)),
        ("--meter 6/8", Corrections(meter="6/8")),
        ("--downbeat 3", Corrections(downbeat=3)),
    ],
)
def test_the_second_best_reading_is_offered_and_taken(
    material: SongMaterial, option: str, corrections: Corrections
) -> None:
    assert material.raw is not None
    raw = replace(material.raw, doubt=Doubt(0.6, 0.6, f"or 60 bpm: {option}", option))
    assert grid_for_page(raw, NO_CORRECTIONS)["other"] == "or 60 bpm"
    assert correct_grid(raw, NO_CORRECTIONS, {"action": "second best"}) == corrections
    # a nudge is kept
    nudged = replace(corrections, offset_ms=20.0)
    assert correct_grid(raw, Corrections(offset_ms=20.0), {"action": "second best"}) == nudged
    sure = replace(raw, doubt=Doubt(0.99, 0.99, raw.doubt.other, option))
    assert grid_for_page(sure, NO_CORRECTIONS)["other"] == ""


def test_a_song_without_a_second_best_reading_offers_none(material: SongMaterial) -> None:
    assert material.raw is not None
    raw = replace(material.raw, doubt=SURE)
    assert grid_for_page(raw, NO_CORRECTIONS)["other"] == ""
    with pytest.raises(ValueError, match="no second best reading"):
        correct_grid(raw, NO_CORRECTIONS, {"action": "second best"})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"action": "none"},
        {"action": "nudge"},
        {"action": "nudge", "ms": "1"},
        {"action": "one"},
        {"action": "tap", "taps": 3},
        {"action": "tap", "taps": [1, 2]},
        {"action": "tap", "taps": [1.0] * 8},
        {"action": "tap", "taps": ["a"] * 8},
        {"action": "meter", "meter": "9/1"},
    ],
)
def test_an_invalid_correction_changes_nothing(session: Session, data: dict[str, Any]) -> None:
    before, analysis = session.performance, session.material.analysis
    with pytest.raises(GridError):
        session.correct(data)
    assert session.performance is before
    assert session.material.analysis is analysis
    assert not session.material.corrections
