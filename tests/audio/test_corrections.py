"""A grid that a person corrects, and where the correction is stored."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.audio.analysis import Analysis
from reactive.audio.beats_file import read_beats
from reactive.audio.click import write_click
from reactive.audio.corrections import (
    Corrections,
    apply_corrections,
    bar_size,
    corrections_path,
    load_corrections,
    make_room,
    merge_corrections,
    save_corrections,
)
from reactive.audio.grid import grid_of
from reactive.audio.hear import HearingOptions, hear
from reactive.audio.onset import Onsets
from reactive.audio.structure import Section
from reactive.errors import GridError
from reactive.media.sound import open_track
from tests.examples import scaled
from tests.toy import beat_song, write_song

DURATION = 20.0


@pytest.fixture
def heard() -> Analysis:
    beats = np.arange(0.5, 19.9, 0.5)
    return Analysis(
        sha256="0" * 64,
        duration=DURATION,
        sample_rate=44_100,
        channels=2,
        tempo=120.0,
        beats=beats,
        downbeats=beats[::4],
        onsets={"all": Onsets(beats, np.ones(len(beats)))},
        sections=(Section(0, 8.6, "A", 0.5), Section(8.6, DURATION, "B", 1.0)),
        envelopes={"rms": np.ones(1722, np.float32)},
        fine=np.ones(100),
        silent=False,
        beats_per_bar=np.full(len(beats[::4]), 4),
        metre="4/4",
    )


def test_half_double_and_downbeat_corrections(heard: Analysis) -> None:
    half = apply_corrections(heard, Corrections(half=True))
    assert half.tempo == pytest.approx(60)
    assert set(half.beats) < set(heard.beats)
    assert half.beats[0] == heard.downbeats[0]
    double = apply_corrections(heard, Corrections(double=True))
    assert double.tempo == pytest.approx(240)
    assert set(double.beats) > set(heard.beats)
    moved = apply_corrections(heard, Corrections(downbeat=3))
    assert moved.beats == pytest.approx(heard.beats)
    assert moved.downbeats[0] == heard.beats[2]
    assert np.diff(moved.downbeats) == pytest.approx(2.0)


def test_metre_tempo_and_offset(heard: Analysis) -> None:
    waltz = apply_corrections(heard, Corrections(meter="3/4"))
    assert waltz.metre == "3/4"
    assert np.all(waltz.beats_per_bar == 3)
    assert np.diff(waltz.downbeats) == pytest.approx(1.5)
    late = apply_corrections(heard, Corrections(offset_ms=25))
    assert late.beats == pytest.approx(heard.beats + 0.025)
    steady = apply_corrections(heard, Corrections(bpm=60))
    assert np.diff(steady.beats) == pytest.approx(1.0)
    # its phase follows the onsets
    assert np.abs(np.mod(steady.beats + 0.25, 0.5) - 0.25).max() < 0.005


def test_sections_follow_the_bars(heard: Analysis) -> None:
    fixed = apply_corrections(heard, Corrections(downbeat=2))
    assert fixed.sections[1].start in fixed.downbeats
    assert fixed.sections[0].end == fixed.sections[1].start
    assert fixed.corrected


def test_own_beats(heard: Analysis) -> None:
    beats = tuple(np.arange(1.0, 19.0, 0.7).tolist())
    fixed = apply_corrections(heard, Corrections(beats=beats, downbeats=beats[::3]))
    assert fixed.beats == pytest.approx(beats)
    assert fixed.downbeats == pytest.approx(beats[::3])
    assert fixed.metre == "3/4"
    assert grid_of(fixed).heard


@settings(max_examples=scaled(30))
@given(
    st.one_of(st.none(), st.floats(20, 400)),
    st.one_of(st.none(), st.floats(-900, 900)),
    st.sampled_from(["", "half", "double"]),
    st.one_of(st.none(), st.integers(1, 10)),
    st.sampled_from([None, "3/4", "6/8", "7/4"]),
)
def test_any_correction_gives_an_ascending_grid(bpm, offset, level, downbeat, meter) -> None:
    beats = np.arange(0.5, 19.9, 0.5)
    analysis = Analysis(
        "",
        DURATION,
        44_100,
        1,
        120.0,
        beats,
        beats[::4],
        {"all": Onsets(beats, np.ones(len(beats)))},
        (Section(0, DURATION, "A", 1.0),),
        {},
        np.ones(1),
        False,
    )
    wanted = Corrections(bpm, offset, level == "half", level == "double", downbeat, meter)
    try:
        grid = grid_of(apply_corrections(analysis, wanted))
    except GridError:
        # a slow grid may have fewer beats than the requested one
        return
    assert np.all(np.diff(grid.beats) > 0)
    assert np.all(np.diff(grid.bars) > 0)
    seconds = np.linspace(0, DURATION, 300)
    assert np.all(np.diff(grid.bar_position(seconds)) > 0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bpm", 5),
        ("bpm", float("nan")),
        ("offset_ms", 1e9),
        ("downbeat", 0),
        ("meter", "four"),
        ("meter", "0/4"),
        ("meter", "4/3"),
    ],
)
def test_impossible_corrections_are_refused(option: str, value: object) -> None:
    with pytest.raises(GridError):
        Corrections(**{option: value})


def test_metres() -> None:
    assert [bar_size(text) for text in ("4/4", "3/4", "5/4", "6/8", "9/8", "12/8", "7/8")] == [4, 3, 5, 2, 3, 4, 7]


def test_corrections_are_stored_beside_the_song_and_accumulate(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(b"x")
    first = merge_corrections(Corrections(), Corrections(half=True, beats=(1.0, 2.0)))
    assert save_corrections(song, "a" * 64, first) == corrections_path(song)
    loaded, note = load_corrections(song, "a" * 64)
    assert (loaded, note) == (first, "")
    second = merge_corrections(loaded, Corrections(double=True, meter="3/4"))
    assert second.double
    assert not second.half
    assert second.beats == (1.0, 2.0)
    assert song.read_bytes() == b"x"
    save_corrections(song, "a" * 64, Corrections())
    assert not corrections_path(song).exists()


def test_corrections_of_another_song_are_named_and_left_unchanged(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    save_corrections(song, "a" * 64, Corrections(half=True))
    loaded, note = load_corrections(song, "b" * 64)
    assert not loaded
    assert "another song" in note


def test_another_song_of_this_name_keeps_its_grid(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    save_corrections(song, "a" * 64, Corrections(half=True), "c" * 64)
    # neither resetting nor correcting this song changes the other one's file
    save_corrections(song, "b" * 64, Corrections())
    assert load_corrections(song, "a" * 64)[0].half
    note = make_room(song, "b" * 64)
    assert "another song" in note
    assert save_corrections(song, "b" * 64, Corrections(bpm=99)) == corrections_path(song)
    assert load_corrections(song, "b" * 64) == (Corrections(bpm=99), "")
    # when the other song has this name again its grid is found, by either of its hashes
    for digests in (("a" * 64,), ("d" * 64, "c" * 64)):
        assert load_corrections(song, *digests)[0].half
    assert make_room(song, "b" * 64) == ""


def test_an_unreadable_grid_is_renamed(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    corrections_path(song).write_text('{"song_sha256": "aa", oops')
    assert "can't be read" in make_room(song, "b" * 64)
    save_corrections(song, "b" * 64, Corrections(bpm=99))
    texts = [file.read_text() for file in tmp_path.iterdir()]
    assert len(texts) == 2
    assert any("oops" in text for text in texts)


def test_a_grid_is_recognised_by_either_hash(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    save_corrections(song, "a" * 64, Corrections(half=True), "b" * 64)
    assert load_corrections(song, "a" * 64, "x" * 64)[0].half
    assert load_corrections(song, "y" * 64, "b" * 64)[0].half
    assert not load_corrections(song, "y" * 64, "x" * 64)[0].half
    # older files have the hash of the file only
    save_corrections(song, "b" * 64, Corrections(double=True))
    assert load_corrections(song, "y" * 64, "b" * 64)[0].double


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_grid_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    song = tmp_path / "song.wav"
    save_corrections(song, "a" * 64, Corrections(half=True))
    text = corrections_path(song).read_text(encoding="utf-8")
    corrections_path(song).write_text(text, encoding=encoding)
    assert load_corrections(song, "a" * 64) == (Corrections(half=True), "")


def test_the_longest_name_of_a_song_has_room_for_its_grid(tmp_path: Path) -> None:
    names = ["\u591c" * 80 + "0123456789.wav", "\u591c" * 80 + "0123456780.wav", "n" * 251 + ".wav"]
    for number, name in enumerate(names):
        song = tmp_path / name
        song.write_bytes(b"x")
        assert save_corrections(song, f"{number}" * 64, Corrections(bpm=90 + number)) == corrections_path(song)
    for number, name in enumerate(names):
        assert load_corrections(tmp_path / name, f"{number}" * 64) == (Corrections(bpm=90 + number), "")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"song_sha256": "a", "grid": {"beats": [2, 1]}}', '{"song_sha256": "a", "grid": {"bpm": 1}}'],
)
def test_a_damaged_file_is_named_and_left_unchanged(tmp_path: Path, text: str) -> None:
    song = tmp_path / "song.wav"
    corrections_path(song).write_text(text, encoding="utf-8")
    loaded, note = load_corrections(song, "a")
    assert not loaded
    assert note


def test_corrections_in_a_read_only_folder_are_stored_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    # a file in place of the folder, so that nobody can write into it
    (tmp_path / "file").write_text("")
    song = tmp_path / "file" / "song.wav"
    kept = save_corrections(song, "c" * 64, Corrections(bpm=99))
    assert kept is not None
    assert kept.is_relative_to(tmp_path / "data")
    assert json.loads(kept.read_text())["grid"]["bpm"] == 99


def test_files_of_beats(tmp_path: Path) -> None:
    path = tmp_path / "beats.txt"
    path.write_text("# tapped\n0.5\t1.1\n1.0\t1.2\n\n1.5\t2.1\n", encoding="utf-8")
    assert read_beats(path) == ((0.5, 1.0, 1.5), (0.5, 1.5))
    # in Beat This!'s format, with an upbeat first
    path.write_text("0.48\t4\n0.96\t1\n1.44\t2\n1.92\t3\n2.4\t4\n2.88\t1\n", encoding="utf-8")
    assert read_beats(path)[1] == (0.96, 2.88)
    path.write_text("0.5\n1\n", encoding="utf-8")
    assert read_beats(path) == ((0.5, 1.0), ())
    for text in ("0.5\nx\n", "1\n0.5\n", "1\n", "nan\n1\n", "-1\n2\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(GridError):
            read_beats(path)


def test_clicks_are_heard_where_the_grid_is(tmp_path: Path, heard: Analysis) -> None:
    track = open_track(write_song(tmp_path / "song.wav", np.zeros((8 * 44_100, 2), np.float32)))
    out = tmp_path / "click.wav"
    write_click(track, grid_of(replace(heard, duration=8.0)), out)
    sound, rate = soundfile.read(out)
    assert sound.shape == (8 * 44_100, 2)
    starts = np.flatnonzero(
        (np.abs(sound[1:, 0]) > 1e-3) & (np.abs(sound[:-1, 0]) <= 1e-3) & (np.abs(sound[2:, 0].max()) > 0)
    )
    begun = starts[np.diff(starts, prepend=-rate) > 0.2 * rate] / rate
    assert begun == pytest.approx(np.arange(0.0, 8, 0.5), abs=0.001)
    assert list(tmp_path.glob(".*")) == []


def test_a_cached_song_needs_neither_librosa_nor_torch(tmp_path: Path) -> None:
    import os
    import subprocess

    song = write_song(tmp_path / "song.wav", np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32))
    script = (
        "import sys; from reactive.audio.hear import hear; heard = hear(sys.argv[1]); "
        "loaded = [n for n in ('librosa', 'torch', 'scipy') if n in sys.modules]; print(heard.analysis.duration, loaded)"
    )
    environment = os.environ | {"REACTIVE_CACHE": str(tmp_path / "cache")}
    lines = [
        subprocess.run(
            [sys.executable, "-c", script, str(song)], capture_output=True, text=True, check=True, env=environment
        ).stdout.split(maxsplit=1)
        for _ in range(2)
    ]
    assert lines[0][0] == lines[1][0] == "1.0"
    assert "librosa" in lines[0][1]
    assert lines[1][1].strip() == "[]"


def test_a_kept_one_that_counted_other_beats_is_dropped_and_named(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(seconds=8))
    beats = tuple(np.arange(0.5, 7.9, 0.5).tolist())
    hear(song, HearingOptions(corrections=Corrections(beats=beats, downbeat=14)))
    # half the tempo leaves no beat 14, and would make beat 7 another one
    halved = hear(song, HearingOptions(corrections=Corrections(half=True)))
    assert any("--downbeat 14" in note and "dropped" in note for note in halved.notes)
    assert len(halved.analysis.beats) == 8
    assert load_corrections(song, halved.track.sha256)[0] == Corrections(beats=beats, downbeats=None, half=True)
    # the same tempo again, or another correction, leaves it alone
    merged = merge_corrections(Corrections(half=True, downbeat=3), Corrections(half=True, offset_ms=20))
    assert merged == Corrections(half=True, downbeat=3, offset_ms=20)
    assert merge_corrections(Corrections(half=True, downbeat=3), Corrections(double=True)).downbeat is None


def test_a_kept_one_beyond_the_last_beat_does_not_stop_what_is_given_now(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(seconds=8))
    track = open_track(song)
    beats = tuple(np.arange(0.5, 7.9, 0.5).tolist())
    save_corrections(song, track.sha256, Corrections(beats=beats, downbeat=400))
    moved = hear(song, HearingOptions(corrections=Corrections(offset_ms=20)))
    assert any("--downbeat 400" in note and "The last is 15" in note for note in moved.notes)
    assert load_corrections(song, track.sha256)[0] == Corrections(beats=beats, offset_ms=20)
    with pytest.raises(GridError, match="there is no beat 300"):
        hear(song, HearingOptions(corrections=Corrections(downbeat=300)))
