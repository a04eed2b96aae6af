"""Evaluation of expressions on arrays."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reactive.preset.vocabulary import FUNCTIONS, SIGNALS
from reactive.timeline.evaluate import Scope, decay, evaluate, hold, smooth, wander

FPS = Fraction(24)


def scope(frames: int = 240) -> Scope:
    rng = np.random.default_rng(0)
    return Scope({name: rng.random(frames) for name in SIGNALS}, np.linspace(0, 5, frames), FPS)


def test_arithmetic() -> None:
    at = scope()
    expected = 0.5 + 2 * at.signals["rms"] - at.signals["low"] / 4
    assert evaluate("0.5 + 2 * rms - low / 4", at) == pytest.approx(expected)
    assert not evaluate("1 / (rms - rms)", at).any()


def test_every_function_gives_a_finite_curve_of_the_right_length() -> None:
    at = scope()
    for name, function in FUNCTIONS.items():
        curves = ["rms - 0.5"] * function.curves[0]
        curve = evaluate(f"{name}({', '.join(curves)})", at)
        assert curve.shape == (240,), name
        assert np.isfinite(curve).all(), name


def test_decay_falls_to_a_tenth_in_its_time() -> None:
    curve = np.zeros(100)
    curve[10] = 0.8
    tail = decay(curve, 24.0)
    assert not tail[:10].any()
    assert tail[10] == pytest.approx(0.8)
    assert tail[34] == pytest.approx(0.08)
    assert np.all(np.diff(tail[10:]) <= 0)


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1)), st.floats(0.1, 100))
def test_decay_stays_between_its_curve_and_the_past_maximum(curve: np.ndarray, frames: float) -> None:
    tail = decay(curve, frames)
    assert np.all(tail >= curve - 1e-9)
    assert tail.max() <= curve.max() + 1e-9


def test_swell_rises_before_its_peak() -> None:
    at = scope(100)
    hit = np.zeros(100)
    hit[60] = 1.0
    curve = evaluate("swell(kick, 0.5)", Scope({"kick": hit}, at.bars, FPS))
    assert curve[60] == pytest.approx(1)
    assert curve[55] > curve[50] > 0
    assert not curve[61:].any()


def test_smooth_keeps_the_mean_and_has_no_delay() -> None:
    curve = np.zeros(201)
    curve[100] = 1.0
    flat = smooth(curve, 24)
    assert flat.argmax() == 100
    assert flat.sum() == pytest.approx(1)
    assert flat == pytest.approx(flat[::-1])


def test_lfo_has_one_period_in_its_bars() -> None:
    at = scope(240)
    curve = evaluate("lfo(2)", at)
    assert curve == pytest.approx(0.5 - 0.5 * np.cos(np.pi * at.bars))


def test_wander_is_smooth_and_does_not_depend_on_where_it_starts() -> None:
    turns = np.linspace(3, 9, 600)
    curve = wander(turns, 5)
    assert np.abs(np.diff(curve)).max() < 0.03
    assert 0 <= curve.min() < curve.max() <= 1
    assert curve[300:] == pytest.approx(wander(turns[300:], 5))
    assert not np.allclose(curve, wander(turns, 6))


@pytest.mark.parametrize(
    "text",
    [
        "pow(kick * 1e6, 60)",
        "mix(1 / 1e-300 * 1e300, 0 - 1e300 * 1e300, 0.5)",
        "decay(1e300 * 1e300, 1)",
        "1 / pow(0, 0.01)",
    ],
)
def test_intermediate_overflow_is_clipped_to_the_limits(text: str) -> None:
    assert np.isfinite(evaluate(text, Scope({"kick": np.linspace(0, 1, 24)}, np.arange(24.0), FPS))).all()


def test_hold_jumps_with_each_hit_and_holds_between() -> None:
    hits = np.zeros(100)
    hits[[10, 30, 31, 70]] = [0.2, 1.0, 0.5, 0.7]
    curve = hold(hits, 3)
    # hits on two consecutive frames count as one
    parts = [curve[:10], curve[10:30], curve[30:70], curve[70:]]
    assert all(len(set(part)) == 1 for part in parts)
    assert len(set(curve)) == 4
    assert 0 <= curve.min() < curve.max() < 1
    assert not np.allclose(curve, hold(hits, 4))
    assert len(set(evaluate("hold(gate(saw(1), 0.5), 1)", scope(240)))) > 2
