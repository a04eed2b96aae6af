"""Sections, moments, harmony and loudness, independent of the level of the master."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import analyze, build_timeline, get_preset, grid_of, open_track
from reactive.audio.analysis import Analysis
from reactive.audio.loudness import metered, momentary
from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra
from reactive.audio.structure import Section, find_moments
from reactive.timeline.signals import frame_signals
from tests.audio.songs import RATE, band, drum, note, steady
from tests.toy import write_song

TEMPO, BARS = 120.0, 8
PART = BARS * 4 * 60 / TEMPO


def part(kind: str) -> np.ndarray:
    """Return eight bars of one of three kinds: all instruments, chords and melody only, or drums with a high riff."""
    beats = np.arange(0, PART - 1e-6, 60 / TEMPO)
    if kind == "A":
        return band(beats, seconds=PART)
    if kind == "B":
        return 0.35 * band(beats, seconds=PART, drums=False)
    song = np.zeros(round(PART * RATE) + RATE)
    for number, beat in enumerate(np.arange(0, PART - 1e-6, 30 / TEMPO)):
        for sound, level in ((note(76 + (0, 3, 7, 10)[number % 4], 0.2), 0.4), (drum("hat"), 0.5)):
            first = round(beat * RATE)
            song[first : first + len(sound)] += level * sound
        if number % 2 == 0:
            first = round(beat * RATE)
            kick = drum("kick")
            song[first : first + len(kick)] += 0.9 * kick
    return (0.3 * song[: round(PART * RATE)]).astype(np.float32)


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Analysis]:
    order = "ABACB"
    folder = tmp_path_factory.mktemp("song")
    song = np.concatenate([part(kind) for kind in order])
    return order, analyze(open_track(write_song(folder / "song.wav", song, RATE)))


def test_sections_begin_where_the_parts_do(assembled: tuple[str, Analysis]) -> None:
    order, heard = assembled
    truth = np.arange(1, len(order)) * PART
    found = np.array([section.start for section in heard.sections[1:]])
    near = np.abs(found[:, None] - truth[None]) <= 0.5
    recall, precision = near.any(axis=0).mean(), near.any(axis=1).mean()
    assert 2 * recall * precision / (recall + precision) >= 0.8


def test_letters_repeat_where_the_music_does(assembled: tuple[str, Analysis]) -> None:
    order, heard = assembled
    seconds = np.arange(0.25, heard.duration, 0.5)
    truth = np.array([order[min(int(t / PART), len(order) - 1)] for t in seconds])
    starts = [section.start for section in heard.sections]
    found = np.array([heard.sections[int(np.searchsorted(starts, t, side="right")) - 1].label for t in seconds])
    alike, said = truth[:, None] == truth[None], found[:, None] == found[None]
    precision, recall = (alike & said).sum() / said.sum(), (alike & said).sum() / alike.sum()
    assert 2 * precision * recall / (precision + recall) >= 0.75


def test_a_drop_is_found_with_the_build_before_it(assembled: tuple[str, Analysis]) -> None:
    _, heard = assembled
    drops = [moment.start for moment in heard.moments if moment.kind == "drop"]
    # after B all instruments play again
    assert any(abs(time - 2 * PART) < 0.5 for time in drops)
    frames, fps = round(heard.duration * 24), Fraction(24)
    signals = frame_signals(heard, grid_of(heard), frames=frames, fps=fps)
    at = int(np.flatnonzero(signals["drop"])[0])
    build = signals["build"]
    assert build[at - 1] > 0.9
    assert build[at + 1] == 0
    assert build[at - 24] < build[at - 12] < build[at - 2]
    assert any(moment.kind == "break" for moment in heard.moments)
    assert signals["break"][round(1.5 * PART * 24)] > 0
    assert signals["energy.level"][round(1.5 * PART * 24)] < signals["energy.level"][round(0.5 * PART * 24)]


def test_a_build_that_gets_loud_at_its_end_leads_to_a_drop() -> None:
    rows = round(FRAMES_PER_SECOND)
    bars = np.arange(0, 32, 1.0)
    # eight bars each: loud, a build without bass whose last bars are nearly as loud and rumble, loud again, soft
    level = np.repeat([1.0, 0.2, 1.0, 0.2], 8)
    level[13:16] = 0.6, 0.8, 0.95
    bass = np.repeat([0.5, 1e-4, 0.5, 0.1], 8)
    bass[13:16] = 0.1, 0.3, 0.5
    power, low = (np.repeat(values, rows).astype(np.float32) for values in (level, bass))
    none = np.zeros(0, np.float32)
    spectra = Spectra(none, np.stack([low, low, low], axis=1), power, none, none, none, none)
    sections = [Section(8.0 * number, 8.0 * number + 8, letter, 0.5) for number, letter in enumerate("ABAC")]
    moments = find_moments(spectra, bars, sections, 32.0)
    assert [moment.start for moment in moments if moment.kind == "drop"] == [16.0]
    assert [moment.end for moment in moments if moment.kind == "build"] == [16.0]


def test_silence_inside_a_song_is_a_moment(tmp_path: Path) -> None:
    song = band(steady(120, 12), seconds=12)
    song[5 * RATE : 8 * RATE] = 0
    heard = analyze(open_track(write_song(tmp_path / "song.wav", song, RATE)))
    silences = [moment for moment in heard.moments if moment.kind == "silence"]
    assert any(abs(m.start - 5) < 0.3 and abs(m.end - 8) < 0.3 for m in silences)


def test_every_signal_keeps_within_its_bounds(assembled: tuple[str, Analysis]) -> None:
    from reactive.preset.vocabulary import AFTER_PHASES, SIGNALS

    _, heard = assembled
    signals = frame_signals(heard, grid_of(heard), frames=500, fps=Fraction(25))
    assert set(signals) == set(SIGNALS) - AFTER_PHASES
    for name, curve in signals.items():
        assert curve.shape == (500,), name
        assert np.all((curve >= 0) & (curve <= 1)), name


@pytest.mark.parametrize("decibels", [-12.0, 12.0])
def test_the_level_of_a_master_moves_no_value_of_the_timeline(tmp_path: Path, decibels: float) -> None:
    song = 0.2 * np.concatenate([part("B")[: 8 * RATE], part("A")[: 8 * RATE]])
    columns = []
    for name, gain in (("as it is", 1.0), ("changed", 10 ** (decibels / 20))):
        track = open_track(write_song(tmp_path / f"{name}.wav", song * np.float32(gain), RATE, subtype="FLOAT"))
        heard = analyze(track)
        columns.append(
            (
                frame_signals(heard, grid_of(heard), frames=384, fps=Fraction(24)),
                build_timeline(
                    heard, get_preset("loop-destroy"), samples=track.samples, fps=Fraction(24), seed=1
                ).columns,
            )
        )
    for before, after in zip(columns[0], columns[1], strict=True):
        for name in before:
            assert np.abs(before[name] - after[name]).max() <= 0.02, name


def test_the_key_is_heard(tmp_path: Path) -> None:
    song = np.concatenate([note(pitch, 0.5) for pitch in (57, 60, 64, 57, 62, 65, 69, 64, 68, 71, 57, 64)] * 3)
    heard = analyze(open_track(write_song(tmp_path / "song.wav", (0.2 * song).astype(np.float32), RATE)))
    assert heard.key == "A minor"


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("level", [-23.0, -40.0])
def test_momentary_loudness_of_the_standard_tone(rate: int, level: float) -> None:
    t = np.arange(3 * rate) / rate
    # a stereo tone of 1 kHz at x dBFS has x LUFS (EBU Tech 3341, case 1)
    tone = 10 ** (level / 20) * np.sin(2 * np.pi * 1000 * t)
    energies: list[np.ndarray] = []
    blocks = np.array_split(np.stack([tone, tone], axis=1).astype(np.float32), 7)
    assert sum(len(block) for block in metered(blocks, rate, energies)) == len(t)
    curve = momentary(energies)
    assert np.abs(curve[5:25] - level).max() < 0.1
