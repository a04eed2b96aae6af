"""The knobs that every preset has: speed, intensity, colour and photographs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from reactive import build_timeline, get_preset
from reactive.audio.analysis import Analysis
from reactive.cli import main
from reactive.preset.library import shipped_names
from reactive.preset.macros import KNOBS, macro_values, speed_factor, speed_knob
from reactive.preset.schema import check_preset
from reactive.timeline.knobs import with_knobs
from reactive.timeline.timeline import Timeline

FPS = Fraction(24)


def made(analysis: Analysis, name: str, **macros: float) -> Timeline:
    return build_timeline(
        analysis, get_preset(name), samples=16 * 44_100, fps=FPS, seed=1, photos=("band.jpg",), macros=macros
    )


def switches(timeline: Timeline) -> int:
    return int(np.count_nonzero(np.diff(timeline.columns["prompt_to"])))


@pytest.mark.parametrize("name", shipped_names())
def test_every_preset_that_ships_has_the_knobs(name: str, beat_analysis: Analysis) -> None:
    preset = get_preset(name)
    assert set(KNOBS) <= {macro.name for macro in preset.macros}
    assert not set(KNOBS) & {macro.name for macro in preset.macro}
    assert with_knobs(preset, macro_values(preset)) is preset
    plain = made(beat_analysis, name)
    slow, fast = (made(beat_analysis, name, speed=value) for value in (0.25, 0.75))
    # a loop's walk is bent so that it closes, by three quarters at most
    assert slow.columns["speed"].sum() < plain.columns["speed"].sum() < fast.columns["speed"].sum()
    assert switches(slow) <= switches(plain) <= switches(fast)
    still, wild = (made(beat_analysis, name, intensity=value) for value in (0.0, 1.0))
    for column, rest in (("lens_zoom", 1), ("lens_x", 0), ("lens_y", 0), ("lens_rotate", 0)):
        assert (still.columns[column] == rest).all(), column
    assert wild.columns["lens_zoom"].std() > plain.columns["lens_zoom"].std() or name == "mirror-house"
    grey = made(beat_analysis, name, colour=0)
    assert (grey.columns["colour_saturation"] == 0).all()
    hidden, shown = (made(beat_analysis, name, photographs=value) for value in (0.0, 1.0))
    assert (hidden.columns["detail"] == 0).all()
    assert (hidden.columns["strength"][hidden.columns["source"] >= 0] == 1).all()
    assert (shown.columns["detail"] >= np.minimum(plain.columns["detail"], 1) - 1e-9).all()
    fed = plain.columns["source"] >= 0
    assert (shown.columns["strength"][fed] <= plain.columns["strength"][fed] + 1e-9).all()


def test_half_the_speed_is_half_the_walk(beat_analysis: Analysis) -> None:
    data = {"version": 2, "title": "x", "loop": False, "phase": [{"name": "a", "prompts": ["sea", "sky", "fire"]}]}
    preset = check_preset(data, where="x")
    plain, slow = (
        build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=1, macros=macros)
        for macros in ({}, {"speed": speed_knob(0.5)})
    )
    np.testing.assert_allclose(slow.columns["walk"], plain.columns["walk"] / 2, rtol=1e-9)
    assert [speed_factor(speed_knob(factor)) for factor in (0.25, 0.5, 1, 2, 4)] == pytest.approx([0.25, 0.5, 1, 2, 4])


def test_a_preset_may_set_them_or_have_its_own(beat_analysis: Analysis) -> None:
    phase = {"name": "a", "prompts": ["sea"], "walk": "0.2"}
    slow = check_preset(
        {"version": 2, "title": "x", "loop": False, "knobs": {"speed": 0.25}, "phase": [phase]}, where="x"
    )
    timeline = build_timeline(beat_analysis, slow, samples=16 * 44_100, fps=FPS, seed=1)
    assert timeline.columns["speed"][5] == pytest.approx(0.1)
    macro = {"name": "speed", "default": 0.9}
    own = check_preset(
        {"version": 2, "title": "x", "loop": False, "macro": [macro], "phase": [phase | {"walk": "macro.speed"}]},
        where="x",
    )
    timeline = build_timeline(beat_analysis, own, samples=16 * 44_100, fps=FPS, seed=1)
    assert timeline.columns["speed"][5] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("arguments", "walk"), [(["--speed", "0.5"], 0.5), (["--calm"], 0.5), (["--calm", "--speed", "2"], 2), ([], 1)]
)
def test_short_cuts_turn_knobs(
    arguments: list[str], walk: float, beat_wav: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.timeline.file import load_timeline

    monkeypatch.chdir(str(tmp_path))
    out = CliRunner().invoke(main, ["timeline", str(beat_wav), "-p", "drift", "-o", "t.json", *arguments])
    assert out.exit_code == 0, out.output
    plain = CliRunner().invoke(main, ["timeline", str(beat_wav), "-p", "drift", "-o", "plain.json"])
    assert plain.exit_code == 0
    one, other = load_timeline("t.json"), load_timeline("plain.json")
    assert one.columns["walk"][-1] / other.columns["walk"][-1] == pytest.approx(walk, rel=1e-2)
    if "--calm" in arguments:
        assert one.columns["lens_zoom"].std() < other.columns["lens_zoom"].std()


def test_a_knob_that_is_named_wins_over_its_short_cut(beat_wav: str, tmp_path: object) -> None:
    done = CliRunner().invoke(main, ["timeline", str(beat_wav), "--speed", "9"])
    assert done.exit_code == 2
    assert "--speed" in done.output
    both = CliRunner().invoke(main, ["timeline", str(beat_wav), "-p", "drift", "--calm", "--macro", "speed=0.5"])
    assert both.exit_code == 0, both.output
