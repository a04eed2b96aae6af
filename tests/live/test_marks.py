"""Cue points and snapshots: set, named, jumped to, recalled, kept beside the song; and everything put back to the preset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.errors import PresetError, TimelineError
from reactive.live.control.keys import PAGE_ACTIONS, default_keys, read_keys
from reactive.live.control.remote import target
from reactive.live.marks import MAX_SNAPSHOTS, Cue, Marks, load_marks, marks_path, save_marks
from reactive.live.material import PreviewOptions, load_material
from reactive.live.session import Session
from reactive.live.transport import Transport
from reactive.live.web.protocol import PAGE_SCRIPT
from reactive.media.sound import open_track
from reactive.render.take import check_change, load_take
from reactive.timeline.clock import nearest_frame
from reactive.timeline.perform import read_knobs, write_knobs
from tests.live.test_quantise import put


@pytest.fixture
def session(
    beat_wav: Path, toy_model: Path, live_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """A session of a copy of the song, as if it played and no time passed."""
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    song = tmp_path / "song.wav"
    song.write_bytes(beat_wav.read_bytes())
    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=Fraction(24))
    made = Session(load_material(song, options), lambda frames: None, (str(live_preset), "drift"))
    put(made, 3.3)
    yield made
    made.close()


def test_cue_points_are_named_and_kept_in_order() -> None:
    marks = Marks().with_cue(9.0).with_cue(2.0)
    assert [(cue.name, cue.time) for cue in marks.cues] == [("cue 2", 2.0), ("cue 1", 9.0)]
    marks = marks.renamed("cue", 1, " the drop ")
    assert marks.cue(1) == Cue(name="the drop", time=2.0)
    assert [cue.name for cue in marks.renamed("cue", 1, None).cues] == ["cue 1"]
    for wrong in ("", " ", "x" * 41, "a\nb"):
        with pytest.raises(TimelineError, match="no name"):
            marks.renamed("cue", 1, wrong)
    with pytest.raises(TimelineError, match="no cue point 3"):
        marks.cue(3)
    with pytest.raises(TimelineError, match="already"):
        marks.with_cue(9.0)
    full = Marks(tuple(Cue(name=str(number), time=float(number)) for number in range(64)))
    with pytest.raises(TimelineError, match="64 cue points"):
        full.with_cue(70.0)


def test_they_are_kept_beside_the_song_and_another_songs_are_left_alone(
    beat_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    song = tmp_path / "song.wav"
    song.write_bytes(beat_wav.read_bytes())
    track = open_track(song)
    marks = Marks().with_cue(1.5).stored(2, {"walk": 2.0, "macro.storm": 0.25})
    assert save_marks(track, marks) == marks_path(song)
    assert load_marks(track) == marks
    # a song of the same name with other sound
    other = replace(track, sha256="0" * 64, file_sha256="1" * 64)
    assert load_marks(other) == Marks()
    before = marks_path(song).read_text()
    apart = save_marks(other, Marks().with_cue(7.0))
    assert apart.is_relative_to(tmp_path / "data")
    assert marks_path(song).read_text() == before
    assert load_marks(other) == Marks().with_cue(7.0)
    for spoilt in (
        "[",
        "{}",
        json.dumps({"version": 1, "song_sha256": track.sha256, "cues": [{"name": 3, "time": -1}]}),
    ):
        marks_path(song).write_text(spoilt)
        assert load_marks(track) == Marks()
        # what can't be read is not overwritten
        assert save_marks(track, marks) != marks_path(song)
        assert marks_path(song).read_text() == spoilt
        apart.with_name(f"{track.sha256}.cues.json").unlink()


def test_a_cue_point_is_set_on_the_nearest_bar_and_jumped_to_on_the_next(session: Session) -> None:
    bars = [float(bar) for bar in session.grid.bars]
    session.set_cue()
    assert session.state()["cues"] == [{"name": "cue 1", "time": 3.3}]
    session.quantise_by("bar")
    put(session, bars[3] + 0.2)
    session.set_cue()
    assert session.state()["cues"][1]["time"] == pytest.approx(bars[3], abs=1e-4)
    assert load_marks(session.material.track) == session.marks
    jump = session.jump_to(1)
    assert jump == (bars[4], 3.3)
    assert session.state()["jump"] == [bars[4], 3.3]
    # the engine imagines what comes after the jump
    put_jump = replace(session.engine.transport, position=bars[4] - 0.2)
    session.engine.transport = put_jump
    fps = session.engine.timeline.fps
    here, there = session.engine.window()
    assert (here.stop, there.start) == (nearest_frame(bars[4], fps), nearest_frame(3.3, fps))
    # what is pressed before the jump comes with it
    session.change({"kind": "black", "value": 1, "time": bars[4] - 0.2})
    assert session.changes == []
    session.seek(3.32, True)
    assert [change.time for change in session.changes] == [3.3]
    assert session.state()["jump"] is None


def test_a_jump_is_once_and_a_loop_again_and_again() -> None:
    once = Transport(20.0, 4.0, playing=True, updated_at=0.0, jump=(5.0, 12.0))
    assert (once.at(0.5), once.at(2.0), once.until_turn(0.25)) == (4.5, 13.0, 0.75)
    looping = replace(once, jump=None, loop=(3.0, 5.0))
    assert (looping.at(0.5), looping.at(2.0), looping.at(4.0)) == (4.5, 4.0, 4.0)
    # what comes first counts
    assert replace(looping, jump=(4.5, 12.0)).turn == (4.5, 12.0)
    assert replace(looping, jump=(7.0, 12.0)).turn == (5.0, 3.0)
    assert replace(looping, position=6.0).until_turn(0.0) == 0.0
    assert replace(once, playing=False).until_turn(0.0) is None


def test_a_snapshot_is_recalled_at_once_or_over_beats(session: Session) -> None:
    session.change({"kind": "control", "name": "walk", "value": 2.0, "time": 1.0})
    session.change({"kind": "control", "name": "strength", "value": -0.2, "time": 1.0})
    session.store(1)
    stored = session.state()["controls"]
    session.change({"kind": "reset", "time": 2.0})
    assert session.state()["controls"] == {**stored, "walk": 1.0, "strength": 0.0}
    session.recall(1, 3.3)
    assert session.state()["controls"] == stored
    assert session.changes[-1].value == 0.0
    session.forget(back=True)
    # over four beats the walk's speed goes there step by step, exactly between the beats
    plain = session.performance.timeline.columns["speed"]
    session.glide = 4
    session.recall(1, 3.3)
    fps = session.engine.timeline.fps
    beats = session.grid.beat_position(np.array([3.3]))[0]
    end = float(np.interp(beats + 4, np.arange(len(session.grid.beats)), session.grid.beats))
    assert session.changes[-1].value == pytest.approx(end - 3.3)
    speed = session.performance.timeline.columns["speed"]
    first, last = nearest_frame(3.3, fps), nearest_frame(end, fps)
    ratio = speed[first:last] / plain[first:last]
    assert np.all(np.diff(ratio) > -1e-9)
    assert 1.0 < ratio[0] < 1.1
    assert speed[:first] == pytest.approx(plain[:first])
    assert speed[last + 1] == pytest.approx(2 * plain[last + 1])
    with pytest.raises(TimelineError, match="no snapshot 2"):
        session.recall(2, 3.3)
    with pytest.raises(TimelineError, match="no slot"):
        session.store(MAX_SNAPSHOTS + 1)


def test_a_recall_is_part_of_the_take(session: Session, tmp_path: Path) -> None:
    session.change({"kind": "control", "name": "walk", "value": 3.0, "time": 0.0})
    session.store(3)
    session.change({"kind": "reset", "time": 1.0})
    session.glide = 2
    session.recall(3, 3.3)
    session.save_take(tmp_path / "song.take.json")
    take = load_take(tmp_path / "song.take.json")
    assert [change.kind for change in take.changes] == ["control", "reset", "knobs"]
    again = session.stage.fold(take.preset, take.changes)
    for name, column in session.performance.timeline.columns.items():
        # a take has its times to a tenth of a millisecond
        assert np.array_equal(again.timeline.columns[name], column), name


def test_everything_goes_back_to_the_preset(session: Session) -> None:
    start = session.stage.start(session.first)
    plain = start.timeline
    for data in (
        {"kind": "control", "name": "rate", "value": 2.0},
        {"kind": "prompt", "name": "a sea", "text": "a lake"},
        {"kind": "phase", "value": 1},
        {"kind": "black", "value": 1},
        {"kind": "freeze", "value": 1},
    ):
        session.change(data | {"time": 1.0})
    session.change({"kind": "reset", "time": 5.0})
    state = session.state()
    assert [state[kind] for kind in ("black", "freeze", "hold")] == [False] * 3
    at = nearest_frame(5.0, session.engine.timeline.fps)
    assert session.performance.black[at - 1]
    assert not session.performance.black[at:].any()
    now = session.performance.timeline
    # the speed before loops are closed: the walk comes from somewhere else
    assert np.array_equal(session.performance.raw[at:], start.raw[at:])
    assert [now.phases[int(number)] for number in now.columns["phase"][at:]] == [
        plain.phases[int(number)] for number in plain.columns["phase"][at:]
    ]
    shown = {now.prompts[int(number)] for number in now.columns["prompt_to"][at + 24 :]}
    assert "a lake" not in shown


def test_knobs_of_another_preset_are_left_out_and_wrong_ones_refused(session: Session) -> None:
    assert read_knobs(write_knobs({"walk": 1.25, "macro.storm": 0.5})) == {"walk": 1.25, "macro.storm": 0.5}
    session.change({"kind": "knobs", "time": 1.0, "text": "macro.elsewhere=0.5 walk=2"})
    assert session.state()["controls"]["walk"] == 2.0
    assert "macro.elsewhere" not in session.state()["controls"]
    for wrong in ("", "walk", "walk=x", "wlak=1", "walk=nan"):
        with pytest.raises((TimelineError, PresetError)):
            session.change({"kind": "knobs", "time": 1.0, "text": wrong})
    with pytest.raises(ValueError, match="must be one of"):
        check_change({"kind": "knob", "time": 0.0})


def test_saving_into_the_preset_takes_recalls_in(session: Session) -> None:
    from reactive.live.save_preset import plan_save, remaining_changes

    session.change({"kind": "knobs", "time": 1.0, "text": "seed=4 walk=2"})
    plan = plan_save(session.stage.presets[session.first], session.performance.state, session.changes)
    left = remaining_changes(session.changes, plan)
    # the seed is no preset's to know
    assert [change.text for change in left] == ["seed=4"]


# -- after the song ---------------------------------------------------------------------------------------------------


def test_pictures_go_on_calmly_after_the_end_and_the_song_comes_back(session: Session) -> None:
    session.change({"kind": "control", "name": "walk", "value": 2.0, "time": 1.0})
    played = session.performance.timeline
    session.go_on()
    assert session.coda is not None
    fps = played.fps
    first, stop = (nearest_frame(edge, fps) for edge in session.coda)
    calm = session.engine.timeline
    for name, column in calm.columns.items():
        assert np.array_equal(column[:first], played.columns[name][:first]), name
    # the song hits there, its coda does not
    assert played.columns["hit"][first:stop].max() > 0.5
    assert calm.columns["hit"][first:stop].max() == 0
    walk = calm.columns["walk"][first:stop]
    steps = np.diff([*walk, walk[0]])
    # it moves, comes back without a seam, and is nowhere faster than the song was
    assert np.ptp(walk) > 0.1
    assert abs(steps[-1]) < 2 * abs(steps[-2]) + 1e-9
    assert np.abs(steps).max() <= np.diff(played.columns["walk"][first:stop]).max() + 1e-9
    # a change during it keeps it
    session.change({"kind": "black", "value": 1, "time": session.coda[1] - 0.1})
    assert session.engine.timeline.columns["hit"][first:stop].max() == 0
    session.forget(back=True)
    session.sound_again()
    for name, column in session.engine.timeline.columns.items():
        # undoing computes the walk in one sum
        assert np.allclose(column, played.columns[name], rtol=0, atol=1e-9), name


# -- keys ------------------------------------------------------------------------------------------------------------


def test_the_default_keys_are_known_to_the_page() -> None:
    keys = read_keys()
    assert keys["b"] == "blackout"
    own = {action for action in keys.values() if target(action) is None}
    assert own <= set(PAGE_ACTIONS)
    script = (PAGE_SCRIPT.parent / "main.js").read_text(encoding="utf-8")
    for action in PAGE_ACTIONS:
        assert f'"{action}":' in script or f" {action}:" in script, action
    labels = (PAGE_SCRIPT.parent / "keys.js").read_text(encoding="utf-8")
    for action in keys.values():
        kind = action.partition(".")[0]
        assert any(f"{mark}: " in labels for mark in (kind, f'"{kind}"', f'"{kind}."')), action


def test_a_file_changes_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[keys]\n"b" = "next"\n"m" = ""\n"F5" = "snapshot.2"\n"y 1" = "song.1"\n')
    keys = read_keys(file)
    assert (keys["b"], keys["F5"], keys["y 1"]) == ("next", "snapshot.2", "song.1")
    assert "m" not in keys
    assert keys["h"] == "hold"
    file.write_text(default_keys())
    assert read_keys(file) == read_keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no keys"),
        ("keys = 3", "has no keys"),
        ("[keys]\nb = 3", "no action"),
        ('[keys]\nb = "explode"', '"explode" is no action'),
        ('[keys]\n"Ctrl+B" = "next"', "no key"),
        ('[keys]\n"a b c" = "next"', "no key"),
        ('[keys]\n"" = "next"', "no key"),
        ('[keys]\n"g" = "next"', 'begins "g 1" too'),
        ('[cc]\n1 = "next"', '"cc" is not known'),
        ("[keys", "keys.toml"),
    ],
)
def test_wrong_keys_are_reported(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(PresetError, match=said) as caught:
        read_keys(file)
    assert "\n" not in str(caught.value)


def test_the_default_keys_are_printed() -> None:
    from click.testing import CliRunner

    from reactive.cli import main

    done: Any = CliRunner().invoke(main, ["preview", "--print-keys"])
    assert done.exit_code == 0
    assert done.output == default_keys()


def test_a_live_inputs_knobs_are_stored_and_recalled_for_its_preset(
    toy_model: Path, live_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.live.live_session import LiveSession, SoundInput
    from reactive.live.material import load_studio

    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1)
    toy_studio = load_studio(options)
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))

    def opened() -> LiveSession:
        return LiveSession(toy_studio, SoundInput("band", (), 48_000), lambda: None, (str(live_preset),))

    session = opened()
    rest = session.state()["controls"]["walk"]
    assert session.state()["snapshots"] == [None] * 8
    session.change({"kind": "control", "name": "walk", "value": 1.75})
    session.store(2)
    session.change({"kind": "reset"})
    assert session.state()["controls"]["walk"] == rest
    session.recall(2)
    assert session.state()["controls"]["walk"] == 1.75
    session.rename(2, "storm")
    with pytest.raises(TimelineError, match="no snapshot 5"):
        session.recall(5)
    session.quantise_by("bar")
    session.change({"kind": "reset"})
    session.conductor.waiting.clear()
    session.recall(2)
    assert [(change.kind, unit) for change, unit in session.conductor.waiting] == [("knobs", "bar")]
    # the next evening has them too, and another preset has its own
    assert opened().state()["snapshots"][1] == "storm"
    other = tmp_path / "other.toml"
    other.write_text(live_preset.read_text())
    assert (
        LiveSession(toy_studio, SoundInput("band", (), 48_000), lambda: None, (str(other),)).state()["snapshots"]
        == [None] * 8
    )
    session.rename(2, None)
    assert opened().state()["snapshots"] == [None] * 8
