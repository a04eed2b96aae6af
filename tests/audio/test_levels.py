"""Metrical level and downbeat over complete songs: evidence, decision, and how uncertainty is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reactive import analyze, open_track
from reactive.audio.levels import (
    EVIDENCE,
    SURE,
    WEIGHTS,
    Reading,
    apply_reading,
    choose_reading,
    evidence,
    level_numbers,
    likeliest,
    readings,
)
from reactive.audio.onset import Onsets
from reactive.audio.rhythm import NO_RHYTHM, Rhythm
from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra
from tests.audio.genres import genre, straight
from tests.audio.songs import RATE
from tests.audio.test_rhythm import agreement
from tests.toy import write_song

NO_ONSETS = Onsets(np.zeros(0), np.zeros(0))
BACKBEAT = {"kick": (0.0, 2.0), "snare": (1.0, 3.0), "hat": tuple(np.arange(0, 4, 0.5))}


def found(beats: np.ndarray, first: int = 0, size: int = 4) -> Rhythm:
    """Return beats in the form of the search's result."""
    opens = np.arange(first, len(beats), size)
    tempo = 60 / float(np.median(np.diff(beats)))
    return Rhythm(tempo, beats, beats[opens], np.full(len(opens), size), 1.0)


def heard(song: np.ndarray, *, size: int = 4, beats: np.ndarray) -> tuple[dict[str, np.ndarray], Spectra]:
    """Return the activations of an accurate network, and the song's spectra."""
    from reactive.audio.spectrum import fold

    spectra = fold([song])
    rows = -(-len(spectra.mel) // 2)
    curves = {name: np.full(rows, 0.02) for name in ("beat", "downbeat", "kick", "snare", "hat")}
    at = np.round((beats * FRAMES_PER_SECOND - 0.5) / 2).astype(int)
    curves["beat"][at] = 0.9
    curves["downbeat"][at[::size]] = 0.9
    curves["kick"][at[0::2]] = 0.9
    curves["snare"][at[1::2]] = 0.9
    return curves, spectra


def test_every_reading_has_complete_bars() -> None:
    rhythm = found(straight(120, 16))
    every = readings(rhythm, NO_ONSETS)
    assert sum(reading.found_one for reading in every) == 1
    assert {reading.level for reading in every} == {1.0, 0.5, 2.0, 1 / 3}
    for reading in every:
        again = apply_reading(rhythm, reading)
        assert np.isin(again.downbeats, again.beats).all()
        assert len(again.downbeats) == len(again.beats_per_bar)
    same = next(reading for reading in every if reading.found_one)
    assert np.array_equal(apply_reading(rhythm, same).downbeats, rhythm.downbeats)


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        # the found level is kept, and its likeliest bars are taken
        ([0.2, 0.3, 0.25, 0.25], 1),
        # no reading of the other level is likelier than 0.45, but together they are
        ([0.1, 0.05, 0.45, 0.4], 2),
        ([0.5, 0.4, 0.05, 0.05], 0),
    ],
)
def test_a_level_is_as_likely_as_all_its_bars_together(share: list[float], chosen: int) -> None:
    beats, other = straight(120, 4), straight(60, 4)
    every = [Reading(beats, one, 4, 1.0, True, one == 0) for one in (0, 1)]
    every += [Reading(other, one, 4, 0.5, False, False) for one in (0, 1)]
    levels = level_numbers(every)
    assert levels.tolist() == [0, 0, 1, 1]
    assert likeliest(np.array(share), levels, 0) == chosen


def test_without_bars_of_one_size_there_is_no_decision() -> None:
    beats = straight(120, 16)
    mixed = Rhythm(120.0, beats, beats[::4], np.resize([4, 3], 16), 1.0)
    empty: dict[str, np.ndarray] = {}
    spectra = Spectra(*(np.zeros(0, np.float32) for _ in range(7)))
    assert readings(NO_RHYTHM, NO_ONSETS) == readings(mixed, NO_ONSETS) == []
    assert choose_reading(mixed, empty, NO_ONSETS, spectra) == (mixed, SURE)


def test_evidence_is_highest_for_the_right_reading() -> None:
    beats = straight(120, 16)
    curves, spectra = heard(genre(beats, 4, BACKBEAT), beats=beats)
    every = readings(found(beats), NO_ONSETS)
    table = evidence(every, curves, spectra)
    assert table.shape == (len(every), len(EVIDENCE))
    assert set(WEIGHTS) == set(EVIDENCE)
    right = next(number for number, reading in enumerate(every) if reading.found_one)
    for name in ("beats", "chords", "bass"):
        column = table[:, EVIDENCE.index(name)]
        assert column[right] >= column.max() - 0.15, name
    backbeat = table[:, EVIDENCE.index("backbeat")]
    assert backbeat[right] == backbeat[[reading.found for reading in every]].max()


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_downbeat_against_all_evidence_moves(first: int) -> None:
    beats = straight(120, 24)
    curves, spectra = heard(genre(beats, 4, BACKBEAT), beats=beats)
    moved, doubt = choose_reading(found(beats, first), curves, NO_ONSETS, spectra)
    assert np.array_equal(moved.downbeats, beats[::4])
    assert doubt.one > 0.7
    assert 0 <= doubt.level <= 1


def test_half_the_tempo_of_the_networks_beats_is_corrected() -> None:
    beats = straight(120, 24)
    curves, spectra = heard(genre(beats, 4, BACKBEAT), beats=beats)
    moved, doubt = choose_reading(found(beats[::2]), curves, NO_ONSETS, spectra)
    assert moved.tempo == pytest.approx(120, rel=0.01)
    assert doubt.option.startswith("--")
    assert doubt.option in doubt.other


def hear(folder: Path, song: np.ndarray):
    return analyze(open_track(write_song(folder / "song.wav", song, RATE)))


@pytest.mark.parametrize("tempo", [170, 174, 182, 190])
def test_drum_and_bass_is_not_found_at_half_its_tempo(tmp_path: Path, tempo: float) -> None:
    beats = straight(tempo, 28)
    song = genre(beats, 4, {"kick": (0.0, 2.5), "snare": (1.0, 3.0), "hat": tuple(np.arange(0, 4, 0.5))})
    assert hear(tmp_path, song).tempo == pytest.approx(tempo, rel=0.02)


def test_half_time_at_140_is_found_or_reported_as_uncertain(tmp_path: Path) -> None:
    beats = straight(140, 24)
    song = genre(beats, 4, {"kick": (0.0, 1.5), "snare": (2.0,), "hat": tuple(np.arange(0, 4, 0.5))})
    analysis = hear(tmp_path, song)
    if analysis.tempo != pytest.approx(140, rel=0.02):
        assert analysis.tempo == pytest.approx(70, rel=0.02)
        doubt = analysis.doubt
        assert ("or 140 bpm: --double", "--double") in [
            (doubt.other, doubt.option),
            (doubt.further, doubt.further_option),
        ]


def test_a_ballad_is_not_doubled(tmp_path: Path) -> None:
    beats = straight(68, 14)
    song = genre(beats, 4, BACKBEAT, arpeggio=2)
    assert hear(tmp_path, song).tempo == pytest.approx(68, rel=0.02)


def test_a_waltz_has_three_beats_a_bar(tmp_path: Path) -> None:
    beats = straight(108, 24, 3)
    song = genre(beats, 3, {"kick": (0.0,), "hat": (1.0, 2.0)})
    analysis = hear(tmp_path, song)
    assert analysis.metre == "3/4"
    assert agreement(analysis.downbeats, beats[::3]) > 0.9


def test_a_band_that_drifts_after_a_count_in_is_followed(tmp_path: Path) -> None:
    pace = 60 / np.linspace(118, 126, 100)
    beats = 0.5 + np.concatenate([[0], np.cumsum(pace)])
    song = genre(beats[4:], 4, BACKBEAT)
    from tests.audio.songs import drum

    for tick in beats[:4]:
        first = round(tick * RATE)
        song[first : first + 2000] += 0.2 * drum("hat")[:2000].astype(np.float32)
    assert agreement(hear(tmp_path, song).beats, beats) >= 0.9


@pytest.mark.parametrize("shape", ["triplets", "shuffle"])
def test_triplets_and_shuffles_are_counted_in_their_beats(tmp_path: Path, shape: str) -> None:
    beats = straight(112, 20)
    late = (0.0, 2 / 3) if shape == "shuffle" else (0.0, 1 / 3, 2 / 3)
    hats = tuple(beat + part for beat in range(4) for part in late)
    song = genre(beats, 4, {"kick": (0.0, 2.0), "snare": (1.0, 3.0), "hat": hats})
    assert hear(tmp_path, song).tempo == pytest.approx(112, rel=0.02)


def test_analyze_reports_uncertainty_until_a_correction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from reactive.cli import main

    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    song = write_song(tmp_path / "song.wav", genre(straight(120, 14), 4, BACKBEAT), RATE)
    told = CliRunner().invoke(main, ["analyze", str(song)])
    assert told.exit_code == 0
    assert "sure of the tempo by" in told.output
    # the same from the cache, and no uncertainty after a person's correction
    assert "sure of the tempo by" in CliRunner().invoke(main, ["analyze", str(song)]).output
    assert "sure of the tempo by" not in CliRunner().invoke(main, ["analyze", str(song), "--half"]).output
