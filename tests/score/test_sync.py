"""The sync score, on clips with a known lag."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.media.sound import open_track
from reactive.score.sync import boil, dead_stretch, pops, score_clip
from reactive.video.codec import video_codec
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from tests.toy import clicks, write_song

FPS = Fraction(24)


def click_times(seconds: float) -> np.ndarray:
    """Return irregular times, so that no beat can be confused with another."""
    return np.cumsum(np.random.default_rng(0).uniform(0.3, 0.8, int(seconds / 0.56)))


def flashing_clip(folder: Path, *, delay: float, seconds: float = 14.0) -> Path:
    """Write a clip whose brightness jumps `delay` seconds after each click."""
    times = click_times(seconds - 1)
    song = write_song(folder / "song.wav", clicks(times, seconds=seconds))
    frames = round(seconds * 24)
    level = np.zeros(frames)
    for i, time in enumerate(times):
        level[int(np.floor((time + delay) * 24 + 0.5)) :] = 60 + 120 * (i % 2)
    rng = np.random.default_rng(0)
    piece = folder / "piece.mkv"
    codec = video_codec("h264")
    with SegmentEncoder(piece, size=(160, 90), fps=FPS, codec=codec) as encoder:
        for k in range(frames):
            noise = rng.integers(0, 4, (90, 160, 3))
            encoder.write((level[k] + noise).astype(np.uint8))
    track = open_track(song)
    out = folder / "clip.mp4"
    join([(piece, frames)], track, out, fps=FPS, container="mp4", codec=codec, sound=(0, track.samples))
    return out


@pytest.mark.parametrize("delay", [-0.125, 0.0, 0.125])
def test_the_lag_of_a_clip_is_found(tmp_path: Path, delay: float) -> None:
    score = score_clip(flashing_clip(tmp_path, delay=delay))
    assert score.lag_ms == pytest.approx(1000 * delay, abs=500 / 24)
    assert score.correlation > 0.5
    assert score.frames == 14 * 24


def test_boil_is_low_where_hits_are_visible(tmp_path: Path) -> None:
    score = score_clip(flashing_clip(tmp_path, delay=0.0))
    assert score.boil < 0.2
    assert not score.pops


def test_dead_stretches_count_only_while_it_is_loud() -> None:
    change = np.full(100, 0.1)
    change[20:50] = 0
    loud = np.ones(100, bool)
    assert dead_stretch(change, loud) == 30
    loud[30:] = False
    assert dead_stretch(change, loud) == 10


def test_pops_are_jumps_without_a_hit() -> None:
    change = np.full(100, 0.01)
    change[[30, 60]] = 0.2
    explained = np.zeros(100, bool)
    assert pops(change, explained) == [30, 60]
    explained[60] = True
    assert pops(change, explained) == [30]


def test_a_hits_motion_may_decay_but_not_jump_again() -> None:
    change, explained = np.full(100, 0.01), np.zeros(100, bool)
    change[40:46] = [0.5, 0.3, 0.2, 0.1, 0.3, 0.1]
    explained[40] = True
    assert pops(change, explained) == [44, 45]


def test_boil_is_one_where_hits_are_invisible() -> None:
    onsets = np.zeros(200)
    onsets[::12] = 1.0
    assert boil(np.full(200, 0.05), onsets) == pytest.approx(1.0)


def test_a_file_that_is_not_a_clip_is_refused(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", clicks([0.5], seconds=2))
    with pytest.raises(MediaError, match="no moving pictures"):
        score_clip(song)
