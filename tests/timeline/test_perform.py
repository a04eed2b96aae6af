"""Live changes: past frames never change, and the same changes give the same columns."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from reactive import get_preset
from reactive.errors import PresetError, TimelineError
from reactive.timeline.controls import CONTROLS, apply_controls
from reactive.timeline.perform import Change, Performance, Stage
from reactive.timeline.timeline import Timeline

RATE = 44_100
AT = 5.0
CHANGES = [
    Change(AT, "control", "walk", 2.5),
    Change(AT, "control", "strength", 0.2),
    Change(AT, "control", "camera", 0.3),
    Change(AT, "control", "rate", 4.0),
    Change(AT, "control", "seed", 3.0),
    Change(AT, "phase", value=2.0),
    Change(AT, "freeze", value=1.0),
    Change(AT, "hold", value=1.0),
    Change(AT, "black", value=1.0),
    Change(AT, "preset", "other", 2.0),
]


@pytest.fixture(scope="module")
def stage(beat_analysis) -> Stage:
    preset = get_preset("loop-destroy")
    other = preset.model_copy(update={"title": "Other", "phase": preset.phase[1:3]})
    return Stage(beat_analysis, 16 * RATE, Fraction(24), 3, {"main": preset, "other": other})


def shown(timeline: Timeline, first: int, last: int) -> dict[str, list[object]]:
    """Return what determines each frame's picture, with prompts as texts and camera sums as steps."""
    looks: dict[str, list[object]] = {}
    for name, column in timeline.columns.items():
        if name in ("phase", "prompt_from", "prompt_to"):
            names = timeline.phases if name == "phase" else timeline.prompts
            looks[name] = [names[number] for number in column[first:last]]
        elif name.startswith("camera_"):
            looks[name] = np.diff(column[first:last]).round(9).tolist()
        else:
            looks[name] = column[first:last].tolist()
    return looks


def same(one: Performance, two: Performance, first: int, last: int) -> bool:
    return (
        shown(one.timeline, first, last) == shown(two.timeline, first, last)
        and one.timeline.harmonics == two.timeline.harmonics
        and np.array_equal(one.black[first:last], two.black[first:last])
    )


def test_without_changes_it_is_the_presets_timeline(stage: Stage, beat_timeline) -> None:
    timeline = stage.start("main").timeline
    assert timeline.prompts == beat_timeline.prompts
    assert all(np.array_equal(timeline.columns[name], column) for name, column in beat_timeline.columns.items())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.kind} {change.name}".strip())
def test_a_change_applies_from_its_frame_on(stage: Stage, change: Change) -> None:
    before, after = stage.start("main"), stage.fold("main", [change])
    frame = 24 * 5
    assert same(before, after, 0, frame)
    if (change.kind, change.name) != ("control", "strength"):
        assert not same(before, after, frame, 384)
    walk = after.timeline.columns["walk"]
    assert (np.diff(walk) >= 0).all()
    assert np.allclose(np.diff(walk), after.timeline.columns["speed"][1:] / 24)


def test_strength_applies_to_feedback(stage: Stage) -> None:
    before, after = (
        stage.start("main").timeline,
        stage.fold("main", [Change(0.0, "control", "strength", -0.2)]).timeline,
    )
    fed = before.columns["source"] == -2
    assert fed.any()
    assert np.allclose(after.columns["strength"][fed], before.columns["strength"][fed] - 0.2)
    assert np.array_equal(after.columns["strength"][~fed], before.columns["strength"][~fed])


def test_later_changes_keep_earlier_ones(stage: Stage) -> None:
    changes = [
        Change(1.0 + index, change.kind, change.name, change.value, change.text) for index, change in enumerate(CHANGES)
    ]
    whole = stage.start("main")
    for index, change in enumerate(changes):
        more = stage.apply(whole, change)
        assert same(whole, more, 0, round(24 * (1.0 + index))), change
        whole = more
    assert same(whole, stage.fold("main", reversed(changes)), 0, 384)


def test_a_loop_is_closed_over_the_remaining_frames_only(stage: Stage) -> None:
    before = stage.start("main").timeline
    after = stage.fold("main", [Change(4.0, "control", "walk", 1.2)]).timeline
    period = 2 * before.harmonics
    last = np.flatnonzero(before.columns["loop"] == 0)[-1]
    for timeline in (before, after):
        landing = timeline.columns["walk"][last]
        assert abs(landing / period - round(landing / period)) < 0.02


def test_freeze_stops_the_motion_and_continues_from_there(stage: Stage) -> None:
    changes = [Change(2.0, "freeze", value=1.0), Change(4.0, "freeze", value=0.0)]
    timeline = stage.fold("main", changes).timeline
    walk = timeline.columns["walk"]
    assert len(set(walk[47:96].tolist())) == 1
    assert walk[120] > walk[96]
    assert len(np.unique(timeline.columns["lens_zoom"][48:96])) > 10


def test_hold_stops_everything(stage: Stage) -> None:
    timeline = stage.fold("main", [Change(2.0, "hold", value=1.0), Change(3.0, "control", "walk", 3.0)]).timeline
    for name, column in timeline.columns.items():
        if name not in ("hit", "speed"):
            assert len(np.unique(column[48:])) == 1, name


def test_an_edited_prompt_applies_from_then_on(stage: Stage) -> None:
    timeline = stage.start("main").timeline
    text = timeline.prompts[timeline.columns["prompt_to"][60]]
    edited = stage.fold("main", [Change(2.0, "prompt", text, text="a blue door")]).timeline
    assert edited.prompts[edited.columns["prompt_to"][60]] == "a blue door"
    assert "a blue door" not in {edited.prompts[number] for number in edited.columns["prompt_to"][:48]}
    again = [Change(2.0, "prompt", text, text="a blue door"), Change(2.2, "prompt", "a blue door", text="a red door")]
    twice = stage.fold("main", again).timeline
    assert twice.prompts[twice.columns["prompt_to"][60]] == "a red door"


def test_a_jump_starts_the_phase_here_and_continues_the_cycle(stage: Stage) -> None:
    timeline = stage.fold("main", [Change(4.5, "phase", value=3.0)]).timeline
    phases = [timeline.phases[number] for number in timeline.columns["phase"]]
    assert phases[108] == "restart"
    following = [phase for phase, before in zip(phases[108:], ["", *phases[108:]], strict=False) if phase != before]
    order = ["restart", "build", "bloom", "destroy"] * 3
    assert following == order[: len(following)]
    assert len(following) > 1


def test_a_crossfade_blends_between_prompts(stage: Stage) -> None:
    timeline = stage.fold("main", [Change(2.0, "preset", "other", 2.0)]).timeline
    weight = timeline.columns["weight"][48:96]
    assert (np.diff(weight) > 0).all()
    assert len(set(timeline.columns["prompt_to"][48:96].tolist())) == 1
    assert timeline.title == "Other"


def test_neutral_controls_change_nothing() -> None:
    preset = get_preset("loop-destroy")
    assert apply_controls(preset, {name: control.rest for name, control in CONTROLS.items()}) is preset


def test_invalid_changes_are_refused(stage: Stage) -> None:
    for change in (Change(1, "control", "volume", 1), Change(1, "control", "walk", float("nan"))):
        with pytest.raises(PresetError):
            stage.fold("main", [change])
    for change in (Change(1, "phase", value=9), Change(1, "preset", "third"), Change(1, "explode")):
        with pytest.raises(TimelineError):
            stage.fold("main", [change])
