"""The analysis, on songs with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive import analyze, grid_of, open_track
from reactive.audio import cache
from reactive.audio.cache import hear_once, known_track
from reactive.audio.rhythm import extend_beats
from reactive.errors import MediaError
from tests.toy import RATE, beat_song, clicks, write_song


def hear(path: Path, song: np.ndarray, rate: int = RATE, **options: str):
    return analyze(open_track(write_song(path / "song.wav", song, rate, **options)))


def matched(found: np.ndarray, truth: np.ndarray, within: float) -> float:
    """Return the F-measure of times against the truth."""
    hits = sum(bool(np.any(np.abs(found - t) <= within)) for t in truth)
    recall, precision = hits / len(truth), min(1.0, hits / max(len(found), 1))
    return 2 * recall * precision / max(recall + precision, 1e-9)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_clicks_are_found_at_their_times_at_any_sample_rate(tmp_path: Path, rate: int) -> None:
    times = np.arange(0.5, 12, 0.5)
    analysis = hear(tmp_path, clicks(times, seconds=12.5, rate=rate), rate)
    onsets = analysis.onsets["all"].times
    assert matched(onsets, times, 0.02) > 0.97
    nearest = times[np.abs(times[None] - onsets[:, None]).argmin(axis=1)]
    assert abs(np.median(onsets - nearest)) < 0.005


@pytest.mark.parametrize("tempo", [90, 120, 140])
def test_tempo_and_beats(tmp_path: Path, tempo: float) -> None:
    seconds = 24.0
    analysis = hear(tmp_path, beat_song(seconds, tempo))
    assert analysis.tempo == pytest.approx(tempo, rel=0.01)
    truth = np.arange(0, seconds - 0.5, 60 / tempo)
    inside = truth[(truth >= analysis.beats[0] - 0.1) & (truth <= analysis.beats[-1] + 0.1)]
    assert matched(analysis.beats, inside, 0.03) > 0.95


def test_downbeats_lie_on_harmonic_change(beat_analysis) -> None:
    bars = np.mod(beat_analysis.downbeats, 2.0)
    assert np.all(np.minimum(bars, 2.0 - bars) < 0.06)


def test_sections_cover_the_song_and_separate_quiet_from_loud(beat_analysis) -> None:
    sections = beat_analysis.sections
    assert sections[0].start == 0
    assert sections[-1].end == pytest.approx(16.0)
    assert all(a.end == b.start for a, b in zip(sections, sections[1:], strict=False))
    assert all(0 <= section.energy <= 1 for section in sections)
    assert any(abs(section.start - 8.0) < 0.1 for section in sections)
    assert sections[-1].energy > sections[0].energy


def test_a_louder_master_gives_the_same_analysis(tmp_path: Path) -> None:
    song = beat_song(12)
    quiet = hear(tmp_path, song * 0.2, subtype="FLOAT")
    loud = hear(tmp_path, song * 0.8, subtype="FLOAT")
    assert np.array_equal(quiet.beats, loud.beats)
    for band in quiet.onsets:
        assert len(quiet.onsets[band].times) == len(loud.onsets[band].times)


def test_silence_is_reported_as_silent(tmp_path: Path) -> None:
    analysis = hear(tmp_path, np.zeros(3 * RATE, np.float32))
    assert analysis.silent
    assert analysis.tempo == 0
    assert len(analysis.beats) == 0
    assert all(len(found.times) == 0 for found in analysis.onsets.values())
    assert len(analysis.sections) >= 1


def test_a_drone_has_no_beat_but_a_grid(tmp_path: Path) -> None:
    t = np.arange(10 * RATE) / RATE
    analysis = hear(tmp_path, (0.3 * np.sin(2 * np.pi * 110 * t)).astype(np.float32))
    assert not analysis.silent
    assert analysis.tempo == 0
    grid = grid_of(analysis)
    assert not grid.heard
    assert len(grid.bars) > 3


@pytest.mark.parametrize("samples", [1, 100, 4410])
def test_a_song_of_a_tenth_of_a_second_is_analysed(tmp_path: Path, samples: int) -> None:
    analysis = hear(tmp_path, np.full(samples, 0.3, np.float32))
    assert analysis.duration == pytest.approx(samples / RATE)
    assert analysis.sections[-1].end == pytest.approx(analysis.duration)


@pytest.mark.parametrize("spoil", ["offset", "clip", "lead"])
def test_degraded_songs_keep_their_beat(tmp_path: Path, spoil: str) -> None:
    song = beat_song(20)
    lead = 0.0
    if spoil == "offset":
        song = song * 0.5 + 0.3
    elif spoil == "clip":
        song = np.clip(song * 6, -1, 1)
    else:
        lead = 3.0
        song = np.concatenate([np.zeros((round(lead * RATE), 2), np.float32), song])
    analysis = hear(tmp_path, song.astype(np.float32))
    assert analysis.tempo == pytest.approx(120, rel=0.02)
    phase = np.mod(analysis.beats - lead, 0.5)
    assert np.median(np.minimum(phase, 0.5 - phase)) < 0.03


def test_plain_data_has_the_documented_fields(beat_analysis) -> None:
    data = beat_analysis.to_dict()
    assert {"duration", "sample_rate", "tempo", "beats", "downbeats", "onsets", "sections"} <= data.keys()
    assert set(data["onsets"]) == {"all", "low", "mid", "high", "kick", "snare", "hat"}
    assert set(data["sections"][0]) >= {"start", "end", "label"}


def test_a_grid_covers_the_whole_song(beat_analysis) -> None:
    grid = grid_of(beat_analysis)
    assert grid.heard
    assert grid.beats[0] < 0.6
    assert grid.beats[-1] > 15.4
    seconds = np.linspace(0, 16, 1000)
    assert np.all(np.diff(grid.bar_position(seconds)) > 0)
    assert np.all(np.diff(grid.beat_position(seconds)) > 0)


def test_beats_continue_to_both_ends() -> None:
    beats = extend_beats(np.arange(4.0, 8.0, 0.5), 12.0)
    assert beats == pytest.approx(np.arange(0.0, 12.0, 0.5))


def test_a_song_that_was_heard_is_known_without_decoding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    song = write_song(tmp_path / "song.wav", beat_song(8))
    opened = open_track(song)
    assert known_track(song) == opened
    hear_once(song)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "open_track", lambda path: pytest.fail("was decoded"))
        assert known_track(song) == opened
        # the same bytes under another name
        moved = song.rename(tmp_path / "moved.wav")
        assert known_track(moved) == replace(opened, path=moved)
    # a kept analysis that is damaged is no error
    (kept,) = (tmp_path / "cache").rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    assert known_track(moved) == replace(opened, path=moved)
    with pytest.raises(MediaError, match=r"none\.wav"):
        known_track(tmp_path / "none.wav")
