"""The downbeat moves to where the sections begin, only if they agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive.audio.downbeat_phase import change_strengths, correct_downbeat_phase
from reactive.audio.rhythm import NO_RHYTHM, Rhythm
from reactive.audio.spectrum import Spectra, measure
from reactive.media.sound import open_track
from tests.audio.songs import RATE, band
from tests.toy import write_song

BEAT, BARS, PARTS = 0.5, 8, 5


@pytest.fixture(scope="module")
def spectra(tmp_path_factory: pytest.TempPathFactory) -> Spectra:
    seconds = BARS * 4 * BEAT
    beats = np.arange(0, seconds - 1e-6, BEAT)
    loud = band(beats, seconds=seconds)
    soft = 0.35 * band(beats, seconds=seconds, drums=False)
    song = np.concatenate([loud, soft, loud, soft, loud]).astype(np.float32)
    path: Path = tmp_path_factory.mktemp("song") / "song.wav"
    return measure(open_track(write_song(path, song, RATE)))


def heard(first: int, *, size: int = 4) -> Rhythm:
    beats = np.arange(0, PARTS * BARS * 4) * BEAT
    opens = np.arange(first, len(beats), size)
    return Rhythm(120.0, beats, beats[opens], np.full(len(opens), size), 1.0)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_downbeat_that_disagrees_with_the_sections_moves(spectra: Spectra, first: int) -> None:
    moved = correct_downbeat_phase(heard(first), spectra)
    assert np.array_equal(moved.downbeats, moved.beats[::4])
    assert (moved.beats_per_bar == 4).all()
    assert len(moved.downbeats) == len(moved.beats_per_bar)


def test_a_downbeat_that_agrees_with_the_sections_stays(spectra: Spectra) -> None:
    assert correct_downbeat_phase(heard(0), spectra) is not None
    assert np.array_equal(correct_downbeat_phase(heard(0), spectra).downbeats, heard(0).downbeats)


def test_without_beats_or_with_bars_of_many_sizes_nothing_moves(spectra: Spectra) -> None:
    assert correct_downbeat_phase(NO_RHYTHM, spectra) is NO_RHYTHM
    mixed = replace(heard(2), beats_per_bar=np.resize([4, 3], len(heard(2).downbeats)))
    assert correct_downbeat_phase(mixed, spectra) is mixed


def test_changes_lie_where_the_features_change() -> None:
    rng = np.random.default_rng(3)
    levels = np.repeat(rng.normal(size=(4, 6)), 20, axis=0)
    found = np.flatnonzero(change_strengths(levels + 0.01 * rng.normal(size=levels.shape)))
    assert set(found.tolist()) <= {20, 40, 60}
    assert len(found) >= 2
