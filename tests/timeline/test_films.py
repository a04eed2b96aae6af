"""Films cut to the song: which part each shot shows, how it plays, and which films stay at song time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from reactive import build_timeline
from reactive.preset.schema import Preset, check_preset
from reactive.timeline.file import timeline_to_text
from reactive.timeline.films import SONG_TIME, Footage
from reactive.timeline.timeline import Timeline

FPS = Fraction(24)
SAMPLES = 16 * 44_100


def preset_of(**film: object) -> Preset:
    phase = {"name": "one", "mode": "video", "prompts": ["a", "b"], "switch": {"every": "2 bars", "how": "cut"}}
    return check_preset({"version": 2, "title": "x", "phase": [phase], "film": film}, where="x")


def footage(seconds: float, bursts: tuple[float, ...] = ()) -> Footage:
    """A film that is calm except for a fifth of a second at each burst."""
    at = np.arange(int(seconds * 8)) / 8
    # a slowly rising amount of motion, so that no two positions are equal
    movement = 0.001 + 1e-5 * at
    for burst in bursts:
        movement[np.abs(at - burst) < 0.13] = 0.2
    return Footage(seconds, 8, movement.astype(np.float32))


def made(analysis, preset: Preset, *films: Footage | None) -> Timeline:
    names = tuple(f"{number}.mp4" for number in range(len(films)))
    return build_timeline(analysis, preset, samples=SAMPLES, fps=FPS, seed=1, videos=names, footage=films)


def shots(timeline: Timeline) -> list[np.ndarray]:
    return np.split(timeline.columns["film_time"], timeline.cuts)


def test_a_film_of_the_songs_length_stays_at_song_time(beat_analysis) -> None:
    assert (made(beat_analysis, preset_of(), footage(17.0)).columns["film_time"] == SONG_TIME).all()
    assert (made(beat_analysis, preset_of(), None).columns["film_time"] == SONG_TIME).all()


def test_the_strongest_motion_coincides_with_the_strongest_hit(beat_analysis) -> None:
    bursts = (9.0, 21.0, 33.0, 47.0, 60.0, 75.0)
    timeline = made(beat_analysis, preset_of(), footage(90.0, bursts))
    columns = timeline.columns
    assert len(shots(timeline)) >= 4
    for first, times in zip([0, *timeline.cuts], shots(timeline), strict=False):
        hits = columns["hit"][first : first + len(times)]
        strongest = times[hits > 0.8 * hits.max()]
        assert min(np.abs(strongest - burst).min() for burst in bursts) < 0.3


def test_no_part_repeats_before_the_rest_was_shown(beat_analysis) -> None:
    timeline = made(beat_analysis, preset_of(), footage(40.0, (5.0, 30.0)))
    seen = np.concatenate([np.unique(np.round(times * 4)) for times in shots(timeline)])
    # 16 s of song from 40 s of film
    assert len(np.unique(seen)) > 0.95 * len(seen) - len(shots(timeline))


def test_it_plays_at_its_rate_and_back_and_forth_if_too_short(beat_analysis) -> None:
    for rate in (1.0, 0.5, -1.0, 0.0):
        timeline = made(beat_analysis, preset_of(rate=str(rate)), footage(60.0))
        for times in shots(timeline):
            assert np.diff(times) == pytest.approx(rate / 24, abs=1e-5)
    short = made(beat_analysis, preset_of(), footage(1.0)).columns["film_time"]
    assert 0 <= short.min() < short.max() <= 1
    assert np.abs(np.diff(short)[np.abs(np.diff(short)) < 0.1]).max() == pytest.approx(1 / 24, abs=1e-5)


def test_it_jumps_back_on_kicks_and_restarts_on_bars(beat_analysis) -> None:
    timeline = made(beat_analysis, preset_of(jump="-0.5 * gate(kick, 0.1)"), footage(60.0))
    kicks = timeline.columns["hit"] >= 0.1
    for first, times in zip([0, *timeline.cuts], shots(timeline), strict=False):
        inside = kicks[first + 1 : first + len(times)]
        assert np.diff(times)[inside] == pytest.approx(1 / 24 - 0.5, abs=1e-5)
    again = made(beat_analysis, preset_of(again="1 bar"), footage(60.0))
    # at 120 beats a minute a bar lasts 48 frames
    for times in shots(again):
        assert times[48:96] == pytest.approx(times[: len(times[48:96])], abs=1e-5)


def test_films_change_no_other_column_and_without_them_none_is_written(beat_analysis) -> None:
    plain = build_timeline(beat_analysis, preset_of(), samples=SAMPLES, fps=FPS, seed=1, videos=("0.mp4",))
    cut = made(beat_analysis, preset_of(), footage(60.0))
    changed = {name for name in cut.columns if (cut.columns[name] != plain.columns[name]).any()}
    assert changed == {"film_time"}
    assert "film_time" not in timeline_to_text(plain)
    assert "film_time" in timeline_to_text(cut)
