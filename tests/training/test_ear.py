"""Training material of the rhythm network: the truth moves with the music, and no test piece is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive.media.midi import parse_midi
from training.ear import accompany as mma
from training.ear.accompany import accompany, available
from training.ear.bands import arranged, counted_in, played, roots_of, swung
from training.ear.compose import DRUMS, STYLES, compose
from training.ear.drummers import Groove, by_rule, drum_part
from training.ear.scores import Score, bars_of, played_by, retimed, score_of, sounding_part, to_midi

BACKBEAT = Groove(
    np.array([(bar * 4 + beat, 36 if beat % 2 == 0 else 38, 100.0) for bar in range(4) for beat in range(4)]),
    4,
    4,
    118.0,
    "backbeat",
)


def piano(bars: int = 16, tempo: float = 120.0) -> Score:
    """Return chords on each beat over roots that change with the bar."""
    pace = 60 / tempo
    beats = np.arange(4 * bars) * pace
    roots = (48, 45, 41, 43)
    notes = [
        (beat, 0.8 * pace, roots[number // 4 % 4] + step, 80.0, 0.0)
        for number, beat in enumerate(beats)
        for step in (0, 12, 16)
    ]
    return Score(np.array(notes, float), np.zeros((0, 4)), beats, np.arange(0, 4 * bars, 4), "piano")


def on_beats(score: Score, channel: int) -> np.ndarray:
    """Return the distance of each note of a channel from the nearest beat, in beats."""
    times = score.notes[score.notes[:, 4] == channel, 0]
    place = np.interp(times, score.beats, np.arange(len(score.beats)))
    return np.abs(place - np.round(place))


def test_composed_beats_are_counted_in_bars_of_their_metre() -> None:
    styles = set()
    for seed in range(40):
        piece = compose(np.random.default_rng(seed), 12.0)
        styles.add(piece.style)
        assert np.all(np.diff(piece.beats) > 0.2)
        ones = np.searchsorted(piece.beats, piece.downbeats - 1e-6)
        assert np.all(np.diff(ones) == piece.metre.beats)
        assert all(0 <= note[2] <= 127 and 1 <= note[3] <= 127 for note in piece.notes)
    assert len(styles & set(STYLES)) > 5


@pytest.mark.skipif(not available(), reason="MMA is not installed")
def test_a_style_of_mma_keeps_the_stated_tempo() -> None:
    piece = accompany(np.random.default_rng(4), 10.0)
    written = parse_midi(piece.midi)
    assert piece.beats[: len(written.beats)] == pytest.approx(written.beats[: len(piece.beats)], abs=0.002)
    assert piece.beats[-1] > 9.0
    assert len(written.notes) > 20


def test_without_the_styles_of_mma_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mma, "LIBRARY", tmp_path)
    mma.styles.cache_clear()
    try:
        with pytest.raises(ValueError, match="apt-get install mma"):
            accompany(np.random.default_rng(4), 10.0)
    finally:
        mma.styles.cache_clear()


def test_a_score_is_restored_from_its_midi_with_one_tempo() -> None:
    score = retimed(piano(), np.cumsum(np.linspace(0.4, 0.7, 64)))
    notes = parse_midi(to_midi(score)).notes
    assert notes[:, 0] == pytest.approx(score.notes[:, 0], abs=0.001)
    assert score_of(to_midi(piano()), "again").notes[:, 1] == pytest.approx(piano().notes[:, 1], abs=0.002)
    assert not len(parse_midi(to_midi(score, drums=True)).notes)


def test_notes_move_with_their_beats() -> None:
    for seed in range(8):
        score = played(piano(), np.random.default_rng(seed), loose=seed % 2 == 0)
        assert np.all(np.diff(score.beats) > 0.1)
        # the human timing error is 7 ms on average
        assert np.median(on_beats(score, 0)) < 0.06
        assert len(score.opens) in (16, 17)
        assert set(np.diff(score.opens)) == {4}


def test_swing_moves_only_notes_between_beats() -> None:
    score = piano()
    half = score.notes + np.array([0.25, 0, 0, 0, 0])
    swinging = swung(replace(score, notes=np.concatenate([score.notes, half])), 2 / 3)
    place = np.interp(swinging.notes[:, 0], score.beats, np.arange(64))[:-3] % 1
    assert set(np.round(place[place < 0.99], 2)) == {0.0, 0.67}
    assert np.array_equal(swinging.beats, score.beats)


def test_a_count_in_is_a_bar() -> None:
    score = counted_in(piano(), np.random.default_rng(0))
    assert len(score.beats) == 68
    assert score.opens[:3].tolist() == [0, 4, 8]
    assert np.allclose(np.diff(score.beats), 0.5)
    assert (score.notes[:, 4] == DRUMS).sum() == 4


def test_bars_are_cut_out_with_their_notes() -> None:
    score = bars_of(piano(), 4, 3)
    assert score.beats == pytest.approx(np.arange(12) * 0.5)
    assert score.opens.tolist() == [0, 4, 8]
    assert score.notes[0, 2] == 48
    assert len(score.notes) == 36
    late = replace(score, notes=score.notes[score.notes[:, 0] > 1.9])
    assert sounding_part(late).opens.tolist() == [0, 4]
    assert sounding_part(late).beats[0] == pytest.approx(2.0)


def test_a_band_has_a_bass_on_the_roots_and_a_drummer_on_the_beat() -> None:
    drums, bass = 0, 0
    for seed in range(10):
        score = arranged(piano(), [BACKBEAT], np.random.default_rng(seed), style="rock")
        assert np.array_equal(score.beats, piano().beats)
        low = score.notes[score.notes[:, 4] == 12]
        roots = roots_of(piano())[np.clip(np.round(low[:, 0] / 0.5 - 0.499).astype(int), 0, 63)]
        if len(low):
            bass += 1
            assert np.mean((low[:, 2] - roots) % 12 == 0) > 0.6
        drums += (score.notes[:, 4] == DRUMS).any()
    assert bass >= 6
    assert drums >= 6


def test_a_drummer_keeps_kick_and_snare_on_their_beats() -> None:
    told = 0
    for seed in range(20):
        hits = drum_part(piano(), [BACKBEAT], np.random.default_rng(seed))
        if not len(hits):
            continue
        place = hits[:, 0] / 0.5
        kicks = place[hits[:, 2] == 36]
        if np.isin(np.round(kicks, 2) % 1, (0.0,)).all() and len(kicks) > 8:
            told += np.mean(np.round(kicks) % 2 == 0) > 0.9
    assert told > 8


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_rule_based_patterns_fill_their_bar(size: int) -> None:
    groove = by_rule(np.random.default_rng(size), size, triplets=False)
    assert groove.size == size
    assert np.all((groove.hits[:, 0] >= 0) & (groove.hits[:, 0] < size))


def test_programs_and_notes_are_written() -> None:
    written = score_of(played_by([(0.5 * n, 0.4, 60, 90, 3) for n in range(24)], {3: 30}), "tune")
    assert written.controls.tolist() == [[0.0, 3.0, -1.0, 30.0]]
    assert len(written.notes) == 24
