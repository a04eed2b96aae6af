"""Beats, bars and metre on songs with known truth, and on sound without a beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reactive import analyze, grid_of, open_track
from reactive.audio.bars import LONGEST, BeatPath, best_path
from reactive.audio.network import INPUTS, OUTPUTS, _convolve, dilations, inputs, logits, sigmoid, weights
from reactive.audio.rhythm import with_first_beat
from reactive.audio.spectrum import FRAMES_PER_SECOND, fold
from tests.audio.songs import RATE, band, steady
from tests.toy import write_song


def hear(folder: Path, song: np.ndarray, rate: int = RATE, **options: str):
    return analyze(open_track(write_song(folder / "song.wav", song, rate, **options)))


def agreement(found: np.ndarray, truth: np.ndarray, within: float = 0.07) -> float:
    """Return the F-measure of times."""
    if not len(found) or not len(truth):
        return 0.0
    near = np.abs(found[:, None] - truth[None]) <= within
    recall, precision = near.any(axis=0).mean(), near.any(axis=1).mean()
    return float(2 * recall * precision / max(recall + precision, 1e-9))


@pytest.mark.parametrize(("tempo", "size", "parts"), [(70, 3, 2), (100, 3, 2), (128, 4, 2), (200, 4, 1)])
def test_tempo_beats_and_bars(tmp_path: Path, tempo: float, size: int, parts: int) -> None:
    beats = steady(tempo, 20)
    heard = hear(tmp_path, band(beats, size, seconds=20, parts=parts))
    assert heard.tempo == pytest.approx(tempo, rel=0.02)
    assert agreement(heard.beats, beats) > 0.95
    assert agreement(heard.downbeats, beats[::size]) > 0.9
    assert heard.metre == f"{size}/4"
    nearest = beats[np.abs(heard.beats[:, None] - beats[None]).argmin(axis=1)]
    assert abs(np.median(heard.beats - nearest)) < 0.010


def test_at_60_the_level_may_be_doubled_but_the_beats_are_right(tmp_path: Path) -> None:
    heard = hear(tmp_path, band(steady(60, 20), seconds=20, parts=4))
    # kick, snare, kick, snare at 60 is a half-time groove at 120 too
    assert min(abs(heard.tempo - 60), abs(heard.tempo - 120)) < 2
    level = 60 / round(heard.tempo / 60) / 60
    assert agreement(heard.beats, np.arange(0.5, 19.7, level)) > 0.95


def test_five_in_a_bar(tmp_path: Path) -> None:
    beats = steady(110, 24)
    heard = hear(tmp_path, band(beats, 5, seconds=24))
    assert heard.metre == "5/4"
    assert agreement(heard.downbeats, beats[::5]) > 0.9


def test_a_change_of_tempo_is_followed(tmp_path: Path) -> None:
    slow = steady(100, 12)
    beats = np.concatenate([slow, np.arange(slow[-1] + 60 / 130, 23.7, 60 / 130)])
    heard = hear(tmp_path, band(beats, seconds=24))
    assert agreement(heard.beats, beats) > 0.9


def test_rubato_is_followed(tmp_path: Path) -> None:
    pace = 0.5 * (1 + 0.12 * np.sin(np.arange(42) / 4))
    beats = 0.5 + np.cumsum(pace)
    beats = beats[beats < 19.7]
    assert agreement(hear(tmp_path, band(beats, seconds=20)).beats, beats) > 0.85


@pytest.mark.parametrize("spoil", ["silence before", "clipped", "offset", "8 kHz", "stereo out of phase"])
def test_degrading_a_song_does_not_move_its_beats(tmp_path: Path, spoil: str) -> None:
    beats, rate, lead = steady(120, 16), RATE, 0.0
    song = band(beats, seconds=16)
    if spoil == "silence before":
        lead = 4.0
        song = np.concatenate([np.zeros(round(lead * RATE), np.float32), song])
    elif spoil == "clipped":
        song = np.clip(song * 12, -1, 1)
    elif spoil == "offset":
        song = song * 0.5 + 0.3
    elif spoil == "8 kHz":
        import soxr

        song, rate = soxr.resample(song, RATE, 8000), 8000
    else:
        song = np.stack([song, -song], axis=1)
    heard = hear(tmp_path, song, rate)
    assert heard.tempo == pytest.approx(120, rel=0.02)
    assert agreement(heard.beats[heard.beats > lead], beats + lead) > 0.95


def test_sound_without_a_beat_gets_a_regular_pulse(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(16 * RATE) / RATE
    swell = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) * (1 + np.sin(0.3 * t + f)) for f in (82, 123, 196, 247))
    heard = hear(tmp_path, (0.05 * swell).astype(np.float32))
    assert heard.tempo == 0
    assert heard.metre == ""
    grid = grid_of(heard)
    assert not grid.heard
    assert np.all(np.diff(grid.bar_position(np.linspace(0, 16, 500))) > 0)


def test_one_click_is_no_beat(tmp_path: Path) -> None:
    song = np.zeros(8 * RATE, np.float32)
    song[4 * RATE : 4 * RATE + 60] = 0.8
    heard = hear(tmp_path, song)
    assert heard.tempo == 0
    assert len(heard.onsets["all"].times) == 1
    assert heard.onsets["all"].times[0] == pytest.approx(4.0, abs=0.01)


def test_drum_roles_are_distinguished(tmp_path: Path) -> None:
    beats = steady(110, 16)
    heard = hear(tmp_path, band(beats, seconds=16))
    assert agreement(heard.onsets["kick"].times, beats[::2], 0.05) > 0.8
    assert agreement(heard.onsets["snare"].times, beats[1::2], 0.05) > 0.8
    assert np.all((heard.onsets["kick"].strengths > 0) & (heard.onsets["kick"].strengths <= 1))


def pulses(tempo: float, size: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    beat, down = np.full((2, round(seconds * FRAMES_PER_SECOND)), 0.02)
    for number, time in enumerate(steady(tempo, seconds)):
        row = round(time * FRAMES_PER_SECOND)
        beat[row - 1 : row + 2] = 0.5, 0.9, 0.5
        if number % size == 0:
            down[row] = 0.8
    return beat, down


@pytest.mark.parametrize(("tempo", "size"), [(62, 4), (97.3, 3), (140, 5), (180, 7), (215, 4)])
def test_the_search_finds_the_constructed_path(tempo: float, size: int) -> None:
    path = best_path(*pulses(tempo, size, 30))
    truth = np.round(steady(tempo, 30) * FRAMES_PER_SECOND)
    assert agreement(path.steps, truth, 1) > 0.97
    assert np.bincount(path.metres).argmax() == size
    opens = path.steps[path.places == 0]
    assert agreement(opens, truth[::size], 1) > 0.95


@pytest.mark.parametrize(("heard", "first"), [(0.9, 0), (0.1, 86)])
def test_an_audible_beat_at_the_start_belongs_to_the_grid(heard: float, first: int) -> None:
    steps = np.arange(86, 900, 86)
    count = len(steps)
    path = BeatPath(steps, np.arange(count) % 4, np.full(count, 4), 1.0)
    beat = np.zeros(1000)
    beat[steps] = 0.9
    beat[0] = heard
    found = with_first_beat(path, beat)
    assert found.steps[0] == first
    assert np.all(np.diff(found.steps) == 86)
    # it is the last beat of the previous bar
    assert found.places[0] == (3 if heard > 0.5 else 0)
    assert len(found.places) == len(found.metres) == len(found.steps)
    # half a beat earlier is not on this grid
    shifted = BeatPath(steps - 40, path.places, path.metres, 1.0)
    assert with_first_beat(shifted, beat) is shifted


def test_a_song_that_begins_with_a_beat_has_it(tmp_path: Path) -> None:
    beats = np.arange(0, 11.7, 0.5)
    heard = hear(tmp_path, band(beats, 4, seconds=12))
    assert heard.beats[0] < 0.07
    assert agreement(heard.beats, beats) > 0.97


def test_passages_of_a_long_song_join_seamlessly() -> None:
    path = best_path(*pulses(120, 4, 400))
    assert np.abs(np.diff(path.steps) - 0.5 * FRAMES_PER_SECOND).max() < 2
    assert np.all(np.diff(path.places) % 4 == 1)


@pytest.mark.parametrize("count", [0, 1, 30, LONGEST])
def test_the_search_handles_songs_of_any_length(count: int) -> None:
    path = best_path(np.full(count, 0.1), np.full(count, 0.05))
    assert len(path.steps) == len(path.places) == len(path.metres)
    assert np.all(np.diff(path.steps) > 0)


def test_the_network_is_a_stack_of_dilated_convolutions() -> None:
    torch = pytest.importorskip("torch")
    known = {name: value for name, value in weights().items() if name.startswith(("first", "block4"))}
    given = np.random.default_rng(0).random((300, INPUTS), np.float32)
    kernel, bias = (torch.from_numpy(known[f"first.{part}"]) for part in ("weight", "bias"))
    wanted = torch.nn.functional.conv1d(torch.from_numpy(given.T)[None], kernel.permute(2, 1, 0), bias, padding=1)[
        0
    ].T.numpy()
    assert np.abs(_convolve(given, known, "first", 1) - wanted).max() < 1e-4
    kernel, bias = (torch.from_numpy(known[f"block4.{part}"]) for part in ("weight", "bias"))
    wide = torch.nn.functional.conv1d(
        torch.from_numpy(wanted.T)[None], kernel.permute(2, 1, 0), bias, padding=8, dilation=4
    )
    assert np.abs(_convolve(wanted, known, "block4", 4) - wide[0].T.numpy()).max() < 1e-3
    found = sigmoid(logits(given, weights()))
    assert found.shape == (300, len(OUTPUTS))
    assert np.all((found >= 0) & (found <= 1))
    apart = dilations(weights())
    assert apart[:8] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert apart == sorted(apart)


def test_the_networks_input_does_not_depend_on_the_gain() -> None:
    song = band(steady(120, 6), seconds=6)
    assert np.abs(inputs(fold([song])) - inputs(fold([4 * song]))).max() < 1e-4
