"""Loudness against the values that ITU-R BS.1770 and EBU Tech 3341 state for synthetic signals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from reactive.media.loudness import k_weighting, measure


def tone(level: float, *, seconds: float, rate: int = 48_000, hertz: float = 1000.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (10 ** (level / 20) * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def cut(song: np.ndarray, size: int = 7001) -> Iterator[np.ndarray]:
    for first in range(0, len(song), size):
        yield song[first : first + size]


def test_the_filters_are_those_of_the_recommendation() -> None:
    (b, a), (c, d) = k_weighting(48_000)
    assert b == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert a == pytest.approx([1.0, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert c == pytest.approx([1, -2, 1])
    assert d == pytest.approx([1.0, -1.99004745483398, 0.99007225036621], abs=1e-9)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_a_full_scale_tone_on_one_channel_is_minus_3_lufs(rate: int) -> None:
    one = np.stack([tone(0, seconds=5, rate=rate, hertz=997), np.zeros(5 * rate, np.float32)], axis=1)
    assert measure(cut(one), rate=rate, channels=2).integrated == pytest.approx(-3.01, abs=0.05)


def test_stereo_tones_have_their_level() -> None:
    both = np.repeat(tone(-23, seconds=5)[:, None], 2, axis=1)
    assert measure(cut(both), rate=48_000, channels=2).integrated == pytest.approx(-23.0, abs=0.1)


def test_much_quieter_parts_are_gated() -> None:
    # EBU Tech 3341, test signal 3: 10 s at -36, 60 s at -23, 10 s at -36 dBFS give -23 LUFS
    song = np.concatenate([tone(-36, seconds=10), tone(-23, seconds=60), tone(-36, seconds=10)])
    assert measure(cut(np.repeat(song[:, None], 2, axis=1)), rate=48_000, channels=2).integrated == pytest.approx(
        -23.0, abs=0.1
    )


def test_the_peak_between_samples_is_found() -> None:
    t = np.arange(48_000)
    quarter = (0.5 * np.sin(2 * np.pi * t / 4 + np.pi / 4)).astype(np.float32)[:, None]
    assert np.abs(quarter).max() == pytest.approx(0.5 * np.sqrt(0.5), abs=1e-6)
    assert measure(cut(quarter), rate=48_000, channels=1).true_peak == pytest.approx(-6.02, abs=0.2)
    assert measure(cut(quarter, 100), rate=48_000, channels=1).true_peak == pytest.approx(-6.02, abs=0.2)


def test_silence_has_no_loudness() -> None:
    found = measure([np.zeros((48_000, 2), np.float32)], rate=48_000, channels=2)
    assert found.integrated == found.true_peak == -np.inf
