"""Pieces mixed from banks of notes: every note has its time, length, pitch and loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.structure import module_order
from reactive.audio.spectrum import RATE
from training.ear.banks import PITCHES, SLOT, drum_set, play
from training.ear.kits import play as play_drums
from training.ear.scores import DRUMS, Score

FONT = Path("toy.sf2")
SAMPLES = 4 * RATE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with banks of an instrument of sines and of drums of clicks."""
    t = np.arange(round(SLOT * RATE)) / RATE
    sines = [np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t) for pitch in PITCHES]
    for program in (0, 5):
        np.save(tmp_path / f"toy-{program}.npy", np.round(8000 * np.array(sines)).astype(np.int16))
    clicks = np.zeros((61, 2000), np.int16)
    clicks[9, 0] = 20_000
    np.save(tmp_path / "toy-drums0.npy", clicks)
    return tmp_path


def score(notes: list[tuple[float, float, float, float, float]], controls: list[tuple[float, ...]] = []) -> Score:  # noqa: B006
    return Score(np.array(notes), np.array(controls, float).reshape(-1, 4), np.zeros(0), np.zeros(0, int), "toy")


def test_a_note_starts_and_ends_at_its_times(folder: Path) -> None:
    sound = play(score([(1.0, 0.5, 69, 100, 0)]), FONT, SAMPLES, folder, np.random.default_rng(0))
    assert not sound[: RATE - 1].any()
    assert np.abs(sound[RATE : RATE + 200]).max() > 0.2
    assert not sound[round(1.8 * RATE) :].any()


@pytest.mark.parametrize("pitch", [63, 64, 65, 69])
def test_notes_between_recorded_pitches_have_the_right_pitch(folder: Path, pitch: int) -> None:
    sound = play(score([(0.0, 2.0, pitch, 100, 0)]), FONT, SAMPLES, folder, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(sound[: 2 * RATE] * np.hanning(2 * RATE)))
    assert power.argmax() / 2 == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.003)


def test_velocity_and_volume_make_notes_louder(folder: Path) -> None:
    def level(velocity: float, controls: list[tuple[float, ...]]) -> float:
        made = play(score([(1.0, 1.0, 60, velocity, 3)], controls), FONT, SAMPLES, folder, np.random.default_rng(0))
        return float(np.abs(made).max())

    assert level(50, []) == pytest.approx(level(100, []) / 4, rel=0.01)
    assert level(100, [(0.5, 3, 7, 50)]) == pytest.approx(level(100, []) / 4, rel=0.01)
    # later messages, or messages for other channels, change nothing
    assert level(100, [(1.5, 3, 7, 50), (0.0, 4, 7, 50), (0.0, 3, -1, 5)]) == pytest.approx(level(100, []))


def test_drums_are_played_from_their_own_bank(folder: Path) -> None:
    sounds = drum_set(FONT, 0, folder)
    assert list(sounds) == [36]
    both = score([(0.5, 0.1, 36, 127, DRUMS), (1.0, 0.1, 60, 100, 0)])
    assert not play(both, FONT, SAMPLES, folder, np.random.default_rng(0))[: RATE - 1].any()
    hit = play_drums(sounds, both.notes[:1, [0, 2, 3]], SAMPLES)
    assert np.flatnonzero(hit).tolist() == [round(0.5 * RATE)]


def test_a_repeated_pattern_is_one_part(tmp_path: Path) -> None:
    (tmp_path / "a.sections").write_text("0.0\tp0\n4.0\tp0\n8.0\tp1\n12.0\tp0\n", encoding="utf-8")
    starts, names = module_order(tmp_path / "a.sections")
    assert starts.tolist() == [0.0, 8.0, 12.0]
    assert names == ["p0", "p1", "p0"]
