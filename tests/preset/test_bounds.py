"""Expressions that are always clipped at a limit are named; those that reach it only sometimes are not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.cli import main
from reactive.preset.bounds import LIMITS, bounds, held_expressions
from reactive.preset.expression import parse
from reactive.preset.library import get_preset, shipped_names
from reactive.preset.schema import check_preset
from reactive.preset.vocabulary import SIGNALS
from reactive.timeline.evaluate import Scope, evaluate
from reactive.timeline.timeline import STEEPEST
from reactive.timeline.walk import MAX_SPEED


def preset(**changes: object):
    return check_preset(
        {"version": 2, "title": "x", "phase": [{"name": "calm", "prompts": ["a sea"]}], **changes}, where="x"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"walk": "-5"}, 'walk = "-5" is always held at 0'),
        ({"walk": "-5 - rms"}, "always held at 0"),
        ({"walk": "21 + kick"}, "always held at 20"),
        ({"lens": {"zoom": "1e308"}}, 'lens.zoom = "1e308" is always held at 8'),
        ({"lens": {"zoom": "0/0"}}, "divides by 0"),
        ({"camera": {"zoom": "0"}}, "camera.zoom"),
        ({"strength": "2 + decay(kick, 0.2)"}, "always held at 1"),
        ({"lens": {"x": "1e300 * 1e300"}}, "lens.x"),
        ({"phase": [{"name": "calm", "prompts": ["a"], "walk": "-1"}]}, "calm: walk"),
    ],
)
def test_always_clipped_expressions_are_named(changes: dict[str, object], said: str) -> None:
    assert said in "\n".join(held_expressions(preset(**changes)))


@pytest.mark.parametrize("text", ["0.4", "20", "0", "rms * 30", "2 - 3 * rms", "1 / rms", "max(-1, rms)", "abs(-3)"])
def test_sometimes_clipped_expressions_are_not_named(text: str) -> None:
    assert held_expressions(preset(walk=text)) == []


def test_bundled_presets_are_never_always_clipped() -> None:
    for name in shipped_names():
        assert held_expressions(get_preset(name)) == [], name


def test_limits_match_the_timelines() -> None:
    assert LIMITS["walk"][1] == MAX_SPEED
    assert LIMITS["lens.tilt"] == (-STEEPEST, STEEPEST)


def test_the_command_reports_it(tmp_path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('version = 2\ntitle = "x"\nwalk = "-5"\n[[phase]]\nname = "a"\nprompts = ["a sea"]\n')
    done = CliRunner().invoke(main, ["preset", "check", str(path)])
    assert done.exit_code == 0, done.output
    assert 'Note: walk = "-5" is always held at 0' in done.stdout


texts = st.recursive(
    st.sampled_from(["rms", "kick", "0", "0.5", "2", "3.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(
            st.sampled_from(["abs", "sqrt", "clamp", "ease", "gate", "pow", "decay", "swell", "smooth"]), inner
        ).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"mix({', '.join(p)})"),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_values_lie_within_the_bounds(text: str) -> None:
    random = np.random.default_rng(5)
    signals = {name: random.choice([0.0, 0.25, 1.0], 24) for name in SIGNALS}
    values = evaluate(text, Scope(signals, np.linspace(0, 4, 24), Fraction(24)))
    low, high = bounds(parse(text))
    slack = 1e-6 * max(abs(low), abs(high), 1.0) if np.isfinite([low, high]).all() else 0.0
    assert low - slack <= max(values.min(), -1e6) or values.min() <= -1e6
    assert values.max() <= high + slack or values.max() >= 1e6
