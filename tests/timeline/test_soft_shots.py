"""Soft shots: one prompt on one picture, between blends; edits of single ones, and files of version 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import build_timeline
from reactive.audio.analysis import Analysis
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.models.load import load_model
from reactive.errors import TimelineError
from reactive.preset.schema import check_preset
from reactive.preset.shots import ShotEdit, Shots
from reactive.render.plan import make_plan
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.shot_edits import apply_shots, change_shots
from reactive.timeline.shots import Shot, shots_of
from reactive.timeline.timeline import NO_SEED, Timeline

FPS = Fraction(24)
SECONDS = 16


def fading(analysis: Analysis, *, mode: str = "walk", how: str = "fade", ground: bool = False) -> Timeline:
    """Return a timeline of nine prompts in two phases that turn into each other, a bar each."""
    show = {"show": ["library:lava", "library:aurora", "library:mars"]} if ground else None
    phases = [
        {
            "name": name,
            "prompts": [f"{name} {i}" for i in range(9)],
            "mode": mode,
            "switch": {"every": "1 bar", "how": how, "drops": False},
            **({"ground": show} if show else {}),
        }
        for name in ("sea", "sky")
    ]
    preset = check_preset({"version": 2, "title": "x", "phase": phases, "loop": False}, where="x")
    return build_timeline(analysis, preset, samples=SECONDS * 44_100, fps=FPS, seed=0)


@pytest.fixture
def soft(beat_analysis: Analysis) -> Timeline:
    return fading(beat_analysis)


def outside(timeline: Timeline, shots: Sequence[Shot], number: int) -> np.ndarray:
    """Return the frames outside a shot, its blend in and its blend out."""
    stop = shots[number + 1].settle if number + 1 < len(shots) else timeline.frames
    return np.delete(np.arange(timeline.frames), np.arange(shots[number].start, stop))


def same(one: Timeline, other: Timeline, frames: np.ndarray, but: Sequence[str] = ()) -> None:
    """Assert that two timelines have the same columns, and prompts, at some frames."""
    for name, column in one.columns.items():
        if name in but:
            continue
        if name in ("prompt_from", "prompt_to"):
            texts = [np.array(line.prompts, object)[line.columns[name][frames]] for line in (one, other)]
            assert (texts[0] == texts[1]).all(), name
        else:
            assert np.array_equal(column[frames], other.columns[name][frames]), name


def test_a_blend_begins_a_shot(soft: Timeline, beat_analysis: Analysis) -> None:
    shots = shots_of(soft, beat_analysis)
    assert len(shots) >= 6
    assert len(shots_of(soft, beat_analysis, only_cuts=True)) < len(shots)
    assert sum(not shot.hard for shot in shots) >= 4
    for shot in shots:
        assert len(shot.prompts) == 1
        alone = slice(shot.settle, shot.stop)
        assert (soft.columns["prompt_from"][alone] == soft.columns["prompt_to"][alone]).all()


def test_a_ground_alone_begins_a_shot_too(beat_analysis: Analysis) -> None:
    phase = {
        "name": "a",
        "prompts": ["sea"],
        "switch": {"every": "1 bar", "how": "fade", "drops": False},
        "ground": {"show": ["library:lava", "library:aurora"], "every": "1 bar"},
    }
    preset = check_preset({"version": 2, "title": "x", "phase": [phase]}, where="x")
    made = build_timeline(beat_analysis, preset, samples=SECONDS * 44_100, fps=FPS, seed=0)
    shots = shots_of(made, beat_analysis)
    assert len(shots) >= 6
    assert {shot.prompts for shot in shots} == {("sea",)}
    assert all(len(shot.grounds) == 1 for shot in shots)
    assert all(a.grounds != b.grounds for a, b in zip(shots, shots[1:], strict=False))


@pytest.mark.parametrize("change", [{"roll": True}, {"values": {"prompt": ["a red door"]}}])
def test_a_change_of_a_soft_shot_stays_within_its_blends(
    soft: Timeline, beat_analysis: Analysis, change: dict[str, object]
) -> None:
    shots = shots_of(soft, beat_analysis)
    number = next(shot.number for shot in shots[1:-1] if not shot.hard)
    edits = change_shots(soft, beat_analysis, Shots(), [str(number + 1)], **change)
    edited = apply_shots(soft, beat_analysis, edits)
    same(soft, edited.timeline, outside(soft, shots, number))
    alone = slice(shots[number].settle, shots[number].stop)
    names = ("seed",) if "roll" in change else ("prompt_to", "prompt_from")
    for name in names:
        assert (edited.timeline.columns[name][alone] != soft.columns[name][alone]).all()
    assert [shot.name for shot in edited.shots] == [shot.name for shot in shots]
    assert edited.timeline.cuts == soft.cuts


def test_noise_turns_from_seed_to_seed(soft: Timeline, beat_analysis: Analysis) -> None:
    shots = shots_of(soft, beat_analysis)
    number = next(shot.number for shot in shots[1:-1] if not shot.hard and not shots[shot.number + 1].hard)
    made = apply_shots(soft, beat_analysis, Shots(shot={shots[number].name: ShotEdit(seed=5)})).timeline
    before, after = shots[number], shots[number + 1]
    columns = made.columns
    assert set(columns["seed_from"][before.start : before.settle]) == {soft.columns["seed"][0]}
    assert set(columns["seed_from"][after.start : after.settle]) == {5}
    assert set(columns["seed_from"][before.settle : after.start]) == {NO_SEED}
    for shot in (before, after):
        weights = columns["seed_weight"][shot.start : shot.settle]
        assert (np.diff(weights) > 0).all()
        assert 0 < weights[0] < weights[-1] < 1


@pytest.mark.parametrize("ground", [False, True])
def test_rendered_frames_outside_a_rerolled_soft_shot_keep_their_bits(
    beat_analysis: Analysis, toy_model: Path, ground: bool
) -> None:
    plain = fading(beat_analysis, ground=ground)
    shots = shots_of(plain, beat_analysis)
    number = next(shot.number for shot in shots[2:-1] if not shot.hard)
    edits = change_shots(plain, beat_analysis, Shots(), [shots[number].name], roll=True)
    made = apply_shots(plain, beat_analysis, edits).timeline
    model = load_model(str(toy_model), device="cpu", steps=1)
    begin, end = shots[number].start, shots[number + 1].settle
    frames = np.arange(max(begin - 8, 0), min(end + 8, plain.frames))
    pictures = []
    for timeline in (plain, made):
        found = {}
        for numbers, shown in Imaginer(model, timeline, pace=1.0).independent(frames):
            found |= dict(zip(numbers.tolist(), shown.numpy().copy(), strict=True))
        pictures.append(found)
    differ = [frame for frame in frames.tolist() if (pictures[0][frame] != pictures[1][frame]).any()]
    assert set(range(shots[number].settle, shots[number].stop)) <= set(differ)
    assert set(differ) <= set(range(begin, end))
    # no picture jumps: the change comes with the blend
    shown = [pictures[1][frame].astype(int) for frame in range(begin - 1, shots[number].settle + 1)]
    steps = [np.abs(b - a).mean() for a, b in zip(shown, shown[1:], strict=False)]
    assert max(steps) < 0.5 * np.abs(shown[-1] - shown[0]).mean()


def test_blends_are_pieces_of_their_own(soft: Timeline, beat_analysis: Analysis) -> None:
    plan = make_plan(soft, first=0, last=soft.frames)
    edges = {segment.start for segment in plan.segments} | {soft.frames}
    for shot in shots_of(soft, beat_analysis):
        assert {shot.start, shot.settle, shot.stop} <= edges


def test_a_split_alone_changes_nothing_and_its_parts_may_differ(soft: Timeline, beat_analysis: Analysis) -> None:
    shots = shots_of(soft, beat_analysis)
    shot = next(one for one in shots[1:-1] if not one.hard)
    middle = (shot.settle + shot.stop) / 48
    edits = change_shots(soft, beat_analysis, Shots(), times=[middle], split=True)
    divided = apply_shots(soft, beat_analysis, edits)
    same(soft, divided.timeline, np.arange(soft.frames))
    names = [one.name for one in divided.shots]
    assert names[shot.number : shot.number + 2] == [shot.name, shot.name + "b"]
    assert len(names) == len(shots) + 1
    part = divided.shots[shot.number + 1]
    edits = change_shots(soft, beat_analysis, edits, [shot.name + "b"], values={"prompt": ["a red door"]})
    made = apply_shots(soft, beat_analysis, edits)
    assert [one.prompts for one in made.shots[shot.number :][:3]] == [
        shot.prompts,
        ("a red door",),
        shots[shot.number + 1].prompts,
    ]
    frames = np.delete(np.arange(soft.frames), np.arange(part.start, shots[shot.number + 1].settle))
    same(soft, made.timeline, frames)
    # divided again, the part that has a prompt keeps it
    again = change_shots(soft, beat_analysis, edits, [shot.name], split=True)
    assert again.shot[shot.name + "c"].prompt == ["a red door"]
    joined = change_shots(soft, beat_analysis, again, [shot.name, shot.name + "b", shot.name + "c"], merge=True)
    assert joined.shot == {}


def test_merged_shots_show_the_first_ones_prompt(soft: Timeline, beat_analysis: Analysis) -> None:
    shots = shots_of(soft, beat_analysis)
    edits = change_shots(soft, beat_analysis, Shots(), ["2", "3"], merge=True)
    made = apply_shots(soft, beat_analysis, edits)
    assert len(made.shots) == len(shots) - 1
    assert (made.shots[1].start, made.shots[1].stop) == (shots[1].start, shots[2].stop)
    assert made.shots[1].prompts == shots[1].prompts
    assert made.shots[2].name == shots[3].name
    frames = np.delete(np.arange(soft.frames), np.arange(shots[2].start, shots[3].settle))
    same(soft, made.timeline, frames, but=["shot"])
    alone = change_shots(soft, beat_analysis, Shots(), ["2"], merge=True)
    assert alone == edits
    for wrong in (["1", "3"], [str(len(shots))]):
        with pytest.raises(TimelineError, match="follow each other"):
            change_shots(soft, beat_analysis, Shots(), wrong, merge=True)


def test_a_cut_within_merged_shots_is_gone(beat_analysis: Analysis) -> None:
    cutting = fading(beat_analysis, how="cut")
    shots = shots_of(cutting, beat_analysis)
    assert shots[2].hard
    edits = change_shots(cutting, beat_analysis, Shots(), ["2"], merge=True)
    made = apply_shots(cutting, beat_analysis, edits).timeline
    assert shots[2].start not in made.cuts
    assert set(made.cuts) == set(cutting.cuts) - {shots[2].start}
    assert len(set(made.columns["seed"][shots[1].start : shots[2].stop])) == 1
    assert np.count_nonzero(np.diff(made.columns["shot"])) == len(made.cuts)


def test_a_soft_shot_moves_with_its_blend(soft: Timeline, beat_analysis: Analysis) -> None:
    shots = shots_of(soft, beat_analysis)
    shot = next(one for one in shots[1:-1] if not one.hard and one.stop - one.settle > 20)
    for beats in (1, -1):
        made = apply_shots(soft, beat_analysis, Shots(shot={shot.name: ShotEdit(beats=beats)}))
        moved = made.shots[shot.number]
        assert moved.start == pytest.approx(shot.start + 12 * beats, abs=1)
        assert moved.settle - moved.start == shot.settle - shot.start
        found = shots_of(made.timeline, beat_analysis)
        assert [(one.start, one.settle, one.stop, one.prompts) for one in found] == [
            (one.start, one.settle, one.stop, one.prompts) for one in made.shots
        ]
        weights = made.timeline.columns["weight"][moved.start : moved.settle]
        assert (np.diff(weights) > 0).all()


def test_a_photograph_of_its_own_changes_where_it_is_not_seen(beat_analysis: Analysis) -> None:
    plain = fading(beat_analysis, ground=True)
    shots = shots_of(plain, beat_analysis)
    shot = next(one for one in shots[1:-1] if not one.hard and not shots[one.number + 1].hard)
    edits = Shots(shot={shot.name: ShotEdit(photo="door.jpg", strength=0.4)})
    made = apply_shots(plain, beat_analysis, edits).timeline
    columns = made.columns
    changes = np.flatnonzero(np.diff(columns["source"])) + 1
    assert len(changes) == 2
    assert (columns["strength"][changes] > 0.8).all()
    assert columns["strength"][(changes[0] + changes[1]) // 2] == 0.4
    assert set(columns["ground"][changes[0] : changes[1]]) == {0}
    same(plain, made, outside(plain, shots, shot.number), but=["ground"])


def test_files_of_version_1_mean_what_they_meant(beat_analysis: Analysis, soft: Timeline) -> None:
    whole = shots_of(soft, beat_analysis, only_cuts=True)
    target = max(whole, key=lambda shot: shot.stop - shot.start)
    old = Shots(
        version=1,
        shot={target.name: ShotEdit(prompt=["one", "two", "three"], seed=9), "nowhere / shot 1": ShotEdit(seed=1)},
    )
    edited = apply_shots(soft, beat_analysis, old)
    assert edited.unknown == ["nowhere / shot 1"]
    made, here = edited.timeline, slice(target.start, target.stop)
    assert set(made.columns["seed"][here]) == {9}
    assert set(made.columns["seed_from"]) == {NO_SEED}
    assert np.array_equal(made.columns["weight"], soft.columns["weight"])
    texts = [made.prompts[i] for i in made.columns["prompt_to"][here]]
    assert list(dict.fromkeys(texts)) == ["one", "two", "three"]
    changed = change_shots(soft, beat_analysis, old, [edited.shots[0].name], values={"prompt": ["four"]})
    assert changed.version == 2
    assert apply_shots(soft, beat_analysis, changed).shots[0].prompts == ("four",)


def test_the_turning_noise_is_kept_in_a_timelines_file(tmp_path: Path, soft: Timeline, beat_analysis: Analysis) -> None:
    number = next(shot.number for shot in shots_of(soft, beat_analysis)[1:-1] if not shot.hard)
    edits = change_shots(soft, beat_analysis, Shots(), [str(number + 1)], roll=True)
    made = apply_shots(soft, beat_analysis, edits).timeline
    save_timeline(made, tmp_path / "t.json")
    again = replace(load_timeline(tmp_path / "t.json"), folder=None)
    assert np.array_equal(again.columns["seed_from"], made.columns["seed_from"])
    np.testing.assert_allclose(again.columns["seed_weight"], made.columns["seed_weight"], atol=1e-6)
