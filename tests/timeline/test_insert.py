"""Pins, lyrics and macros in the timeline, and the text report of a preset."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from reactive import build_timeline, get_preset, grid_of, load_timeline, save_timeline
from reactive.errors import PresetError
from reactive.preset.library import names
from reactive.preset.lyrics import Line
from reactive.preset.schema import check_preset
from reactive.timeline.excerpt import telling_start
from reactive.timeline.report import preset_report, sentences
from reactive.timeline.timeline import Timeline

FPS = Fraction(24)


def made(
    analysis: Any, *, lyrics: tuple[Line, ...] = (), macros: dict[str, float] | None = None, **more: Any
) -> Timeline:
    phase = {"name": "one", "prompts": [f"sea {i}" for i in range(30)], "switch": {"every": "1 bar", "how": "cut"}}
    data = {"version": 2, "title": "x", "phase": [phase | more.pop("phase", {})], **more}
    preset = check_preset(data, where="x")
    return build_timeline(analysis, preset, samples=16 * 44_100, fps=FPS, seed=0, lyrics=lyrics, macros=macros)


def prompts(timeline: Timeline) -> list[str]:
    return [timeline.prompts[i] for i in timeline.columns["prompt_to"]]


def held(timeline: Timeline, text: str) -> tuple[int, int]:
    at = [i for i, prompt in enumerate(prompts(timeline)) if prompt == text]
    assert at == list(range(at[0], at[-1] + 1))
    return at[0], at[-1] + 1


def test_a_pin_keeps_its_position(beat_analysis) -> None:
    plain = made(beat_analysis)
    pinned = made(beat_analysis, pin=[{"at": "start", "prompt": "a red door", "hold": "2 bars"}])
    first, stop = held(pinned, "a red door")
    assert first == 0
    assert stop == pytest.approx(4 * 24, abs=2)
    assert prompts(pinned)[stop + 2 :] == prompts(plain)[stop + 2 :]
    second = beat_analysis.sections[1]
    whole = made(beat_analysis, pin=[{"at": "section 2", "prompt": "a red door", "hold": "section"}])
    assert held(whole, "a red door") == pytest.approx((second.start * 24, second.end * 24), abs=2)
    assert held(whole, "a red door")[0] in whole.cuts
    assert np.diff(whole.cuts).min() >= 0.35 * 24


def test_a_pin_without_its_section_changes_nothing(beat_analysis) -> None:
    plain = made(beat_analysis)
    pinned = made(beat_analysis, pin=[{"at": "drop 99", "prompt": "a red door"}])
    assert prompts(plain) == prompts(pinned)


def test_a_pin_in_feedback_keeps_restarts(beat_analysis) -> None:
    fed = {"mode": "feedback"}
    plain = made(beat_analysis, phase=fed)
    pinned = made(beat_analysis, phase=fed, pin=[{"at": "section 2", "prompt": "a red door", "hold": "section"}])
    assert "a red door" in prompts(pinned)
    shot = pinned.columns["shot"]
    assert max(np.bincount(shot)) <= 8 * 2 * 24 + 1
    assert plain.columns["source"].tolist() == pinned.columns["source"].tolist()


def test_lines_become_prompts_at_their_times(beat_analysis) -> None:
    lines = (
        Line(3.0, 5.0, "a ship comes in"),
        Line(7.1, float("inf"), "the moon {is} full"),
        Line(40.0, 41.0, "never"),
    )
    timeline = made(beat_analysis, lyrics=lines)
    assert held(timeline, "a ship comes in")[0] == 72
    assert held(timeline, "a ship comes in")[1] >= 5 * 24 - 1
    assert held(timeline, "the moon {is} full")[0] == round(7.1 * 24)
    # at most four bars of two seconds
    assert held(timeline, "the moon {is} full")[1] <= (7.1 + 8 + 1.1) * 24
    assert "never" not in prompts(timeline)
    weight = timeline.columns["weight"][72:84]
    assert np.all((weight > 0) & (weight < 1))


def test_slerps_are_marked_and_last_a_bar(beat_analysis) -> None:
    timeline = made(beat_analysis, phase={"switch": {"every": "2 bars", "how": "slerp"}})
    slerp, weight = timeline.columns["slerp"], timeline.columns["weight"]
    assert set(np.unique(slerp)) == {0, 1}
    assert np.array_equal(slerp == 1, weight > 0)
    runs = np.diff(np.flatnonzero(np.diff(slerp, prepend=0, append=0)))[::2]
    assert runs == pytest.approx(48, abs=2)
    fade = made(beat_analysis, phase={"switch": {"every": "2 bars", "how": "fade"}})
    assert not fade.columns["slerp"].any()
    runs = np.diff(np.flatnonzero(np.diff(fade.columns["weight"] > 0, prepend=False, append=False)))[::2]
    assert runs == pytest.approx(12, abs=2)


def test_a_ladder_follows_the_song(beat_analysis) -> None:
    ladder = {"order": "ladder", "climb": "song.progress", "prompts": [f"rung {i:02}" for i in range(20)]}
    seen = list(dict.fromkeys(prompts(made(beat_analysis, phase=ladder))))
    assert seen == sorted(seen)
    assert len(seen) >= 5


def test_macros_change_the_expressions_that_use_them(beat_analysis) -> None:
    more = {"macro": [{"name": "close", "default": 0.2}], "lens": {"zoom": "1 + macro.close"}}
    assert made(beat_analysis, **more).columns["lens_zoom"] == pytest.approx(1.2)
    assert made(beat_analysis, macros={"close": 0.9}, **more).columns["lens_zoom"] == pytest.approx(1.9)
    with pytest.raises(PresetError, match="clsoe"):
        made(beat_analysis, macros={"clsoe": 0.9}, **more)


def test_negatives_and_slerps_are_stored_in_the_file(beat_analysis, tmp_path) -> None:
    timeline = made(beat_analysis, negative="text", phase={"switch": {"how": "slerp"}})
    assert set(timeline.negatives) == {"text"}
    save_timeline(timeline, tmp_path / "t.json")
    again = load_timeline(tmp_path / "t.json")
    assert again.negatives == timeline.negatives
    assert np.array_equal(again.columns["slerp"], timeline.columns["slerp"])
    # a file of an older version lacks this column
    text = (tmp_path / "t.json").read_text()
    older = "\n".join(line for line in text.splitlines() if '"slerp"' not in line)
    (tmp_path / "old.json").write_text(older)
    assert not load_timeline(tmp_path / "old.json").columns["slerp"].any()


def test_every_bundled_preset_works_with_a_song(beat_analysis) -> None:
    assert len(names()) >= 11
    for name in names():
        preset = get_preset(name)
        timeline = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=0)
        assert all(np.isfinite(column).all() for column in timeline.columns.values()), name
        assert set(timeline.columns["phase"]) == set(range(len(preset.phase))), name
        assert timeline.columns["lens_zoom"].std() > 0, name


def test_the_report_counts_what_the_timeline_holds(beat_analysis) -> None:
    preset = get_preset("loop-destroy")
    timeline = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=3)
    report = preset_report(timeline, preset, beat_analysis)
    assert report.cuts == len(timeline.cuts)
    assert report.switches == report.cuts + report.fades
    assert report.seconds == 16
    assert report.prompts_possible == sum(len(phase.prompts) for phase in get_preset("loop-destroy").phase)
    assert sum(facts["seconds"] for facts in report.phases.values()) == pytest.approx(16, abs=0.01)
    assert report.busiest_kicks >= 1
    assert report.unreached == []
    text = "\n".join(sentences(report))
    for word in (
        "120 beats a minute",
        "switches",
        "Busiest is the second from 0:",
        str(report.prompts_possible),
        "destroy",
        "feedback",
    ):
        assert word in text


def test_the_report_names_unused_entries(beat_analysis) -> None:
    data = {
        "version": 2,
        "title": "x",
        "walk": "0.1 + drop",
        "phase": [
            {"name": "always", "prompts": ["a"], "bars": [64, 4000], "fits": "9"},
            {"name": "never", "prompts": ["b"], "bars": [1, 4], "fits": "-9"},
            {"name": "nor this", "prompts": ["c"], "bars": [64, 4000], "fits": "-9"},
        ],
        "pin": [{"at": "drop 9", "prompt": "x"}],
    }
    preset = check_preset(data, where="x")
    timeline = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=0)
    absent = [n for i, n in enumerate(("always", "never", "nor this")) if not (timeline.columns["phase"] == i).any()]
    report = preset_report(timeline, preset, beat_analysis)
    assert report.unreached == absent
    assert report.unseen_pins == ["drop 9"]
    assert "This song has no drop 9" in "\n".join(sentences(report))


def test_the_representative_moment_lies_in_the_song(beat_analysis) -> None:
    start = telling_start(beat_analysis, 5.0)
    assert 0 <= start <= 11
    assert telling_start(beat_analysis, 100.0) == 0
    loud = max(beat_analysis.sections, key=lambda section: section.energy)
    assert start <= loud.start <= start + 5
    assert grid_of(beat_analysis).heard
