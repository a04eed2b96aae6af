"""Grounds: which picture lies under each frame, how it is shown, and how pictures change."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from reactive import build_timeline
from reactive.errors import PresetError
from reactive.preset.schema import check_preset
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.grounds import APART, CLOSEST, NONE, SHOWN, grounds_before
from reactive.timeline.perform import Change, Stage
from reactive.timeline.timeline import OPTIONAL, Timeline

FPS = Fraction(24)
SAMPLES = 16 * 44_100


def preset(*, ground: Any = None, switch: Any = None, prompts: Any = None, **phase: Any) -> Any:
    """Return a preset of one phase whose prompts change every bar."""
    switch = {"every": "1 bar", "how": "cut", "drops": False} | (switch or {})
    table = {"name": "one", "prompts": prompts or ["a", "b", "c"], "order": "sequence", "switch": switch} | phase
    data = {"version": 2, "title": "Grounds", "phase": [table]} | ({"ground": ground} if ground is not None else {})
    return check_preset(data, where="here")


def timeline(analysis: Any, made: Any, **options: Any) -> Timeline:
    return build_timeline(analysis, made, samples=SAMPLES, fps=FPS, seed=3, **options)


def runs(column: np.ndarray) -> list[int]:
    return column[np.flatnonzero(np.diff(column, prepend=-9))].tolist()


def test_a_preset_without_grounds_has_neutral_columns(beat_analysis: Any) -> None:
    made = timeline(beat_analysis, preset())
    for name in ("ground", *SHOWN):
        assert (made.columns[name] == OPTIONAL[name]).all()
    assert made.grounds == ()


def test_pictures_take_turns_with_each_prompt(beat_analysis: Any) -> None:
    made = timeline(beat_analysis, preset(ground={"show": ["sea.jpg", "library:tower"]}))
    assert made.grounds == ("sea.jpg", "library:tower")
    assert runs(made.columns["ground"])[:4] == [0, 1, 0, 1]
    # they change on hard cuts between prompts, with full detail
    changes = np.flatnonzero(np.diff(made.columns["ground"])) + 1
    assert set(changes.tolist()) <= set(made.cuts)
    assert (made.columns["detail"] == 1).all()


def test_a_prompt_may_name_its_ground_or_none(beat_analysis: Any) -> None:
    prompts = [{"text": "a", "ground": "a.jpg"}, {"text": "b", "ground": "none"}, "c"]
    made = timeline(beat_analysis, preset(ground={"show": "sea.jpg"}, prompts=prompts))
    shown = {
        made.prompts[prompt]: [*made.grounds, ""][ground]
        for prompt, ground in zip(made.columns["prompt_to"], made.columns["ground"], strict=True)
    }
    assert shown == {"a": "a.jpg", "b": "", "c": "sea.jpg"}
    assert (made.columns["detail"][made.columns["ground"] == NONE] == 0).all()


def test_the_users_pictures_come_first_and_can_be_excluded(beat_analysis: Any) -> None:
    given = {"photos": ("one.jpg", "two.jpg"), "videos": ("film.mp4",)}
    made = timeline(beat_analysis, preset(ground={"show": "sea.jpg"}), **given)
    assert runs(made.columns["ground"])[:4] == [0, 1, 2, 0]
    assert made.grounds == ()
    kept = timeline(beat_analysis, preset(ground={"show": "sea.jpg", "own": False}), **given)
    assert set(kept.columns["ground"].tolist()) == {3}
    assert kept.grounds == ("sea.jpg",)


def test_a_source_is_its_own_ground(beat_analysis: Any) -> None:
    made = timeline(beat_analysis, preset(ground={}, mode="photo"), photos=("one.jpg", "two.jpg"))
    assert (made.columns["source"] >= 0).all()
    assert np.array_equal(made.columns["ground"], made.columns["source"])


def test_match_is_called_once_a_prompt_and_reports_the_selection(beat_analysis: Any) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def choose(prompt: str, taken: Any) -> str | None:
        asked.append((prompt, tuple(taken)))
        return None if prompt == "b" else f"library:{prompt}"

    made = timeline(beat_analysis, preset(ground={"show": "match"}), choose=choose)
    assert [prompt for prompt, _ in asked] == ["a", "b", "c"]
    assert asked[2][1] == ("library:a",)
    assert all(len(taken) <= APART for _, taken in asked)
    assert made.grounds == ("library:a", "library:c")
    assert NONE in made.columns["ground"]
    # without a library the frame has no ground
    assert (timeline(beat_analysis, preset(ground={"show": "match"})).columns["ground"] == NONE).all()


def test_between_blended_prompts_a_ground_fades_out_and_in(beat_analysis: Any) -> None:
    made = timeline(
        beat_analysis, preset(ground={"show": ["a.jpg", "b.jpg"]}, switch={"how": "fade", "over": "2 beats"})
    )
    ground, detail = made.columns["ground"], made.columns["detail"]
    changes = np.flatnonzero(np.diff(ground)) + 1
    assert len(changes) >= 5
    for change in changes.tolist():
        assert detail[change - 1 : change + 1].max() < 0.02
        # two beats are 24 frames
        assert detail[change - 13] == detail[change + 13] == 1
        assert made.columns["weight"][change] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("join", ["dissolve", "morph", "through"])
def test_a_change_during_a_join_ends_on_its_cut(beat_analysis: Any, join: str) -> None:
    switch = {"join": join, "join_over": "2 beats"}
    made = timeline(beat_analysis, preset(ground={"show": ["a.jpg", "b.jpg"]}, switch=switch))
    ground, detail = made.columns["ground"], made.columns["detail"]
    changes = np.flatnonzero(np.diff(ground)) + 1
    assert len(changes) >= 5
    for change in changes.tolist():
        cut = min(cut for cut in made.cuts if cut >= change)
        assert 8 <= cut - change <= 16
        assert detail[change - 1 : change + 1].max() < 0.02
        assert detail[cut] == 1
        assert ground[cut] == ground[change]


def test_through_removes_the_source_where_it_changes(beat_analysis: Any) -> None:
    switch = {"join": "through", "join_over": "2 beats"}
    made = timeline(
        beat_analysis,
        preset(ground={}, mode="photo", switch=switch, strength="0.3", source={"every": "1 bar"}),
        photos=("one.jpg", "two.jpg"),
    )
    weight, strength = made.columns["morph"], made.columns["strength"]
    middle = np.abs(weight - 0.5) < 0.1
    assert middle.any()
    assert strength[middle].min() > 0.7
    assert strength[weight == 0].max() == pytest.approx(0.3)


def test_push_in_zooms_until_the_picture_changes(beat_analysis: Any) -> None:
    table = {"show": ["a.jpg", "b.jpg"], "push": "0.05", "drift": "0.02"}
    made = timeline(beat_analysis, preset(ground=table))
    zoom, x = made.columns["ground_zoom"], made.columns["ground_x"]
    edges = [0, *(np.flatnonzero(np.diff(made.columns["ground"])) + 1).tolist(), made.frames]
    for begin, stop in zip(edges, edges[1:], strict=False):
        assert (np.diff(zoom[begin:stop]) > 0).all()
        assert zoom[begin] == pytest.approx(1.0, abs=0.01)
        assert zoom[stop - 1] == pytest.approx(np.exp(0.05 * (stop - begin) / 24), rel=0.01)
        assert np.abs(x[begin:stop]).max() == pytest.approx(0.01 * (stop - begin) / 24, rel=0.1)
    # moving back starts enlarged
    away = timeline(beat_analysis, preset(ground=table | {"push": "-0.05"}))
    assert away.columns["ground_zoom"].min() == pytest.approx(1.0)
    assert away.columns["ground_zoom"][0] > 1.05
    # neither shows the picture's edge
    fast = timeline(beat_analysis, preset(ground=table | {"push": "1"}))
    assert fast.columns["ground_zoom"].max() <= CLOSEST * 1.001


def test_a_timeline_with_grounds_is_restored_from_its_file(beat_analysis: Any, tmp_path: Any) -> None:
    table = {"show": ["a.jpg", "library:b"], "detail": "0.5 + 0.5 * decay(kick, 0.2)", "push": "0.02"}
    made = timeline(beat_analysis, preset(ground=table))
    save_timeline(made, tmp_path / "made.json")
    back = load_timeline(tmp_path / "made.json")
    assert back.grounds == made.grounds
    for name in ("ground", *SHOWN):
        assert np.allclose(back.columns[name], made.columns[name], atol=1e-6)


def test_live_changes_keep_grounds_by_name(beat_analysis: Any) -> None:
    presets = {
        "sea": preset(ground={"show": ["a.jpg", "b.jpg"]}),
        "land": preset(ground={"show": ["c.jpg", "b.jpg"]}),
    }
    stage = Stage(beat_analysis, SAMPLES, FPS, 3, presets)
    whole = stage.fold("sea", [Change(8.0, "preset", name="land")])
    names = [*whole.timeline.grounds, ""]
    before = {names[number] for number in whole.timeline.columns["ground"][:190]}
    after = {names[number] for number in whole.timeline.columns["ground"][200:]}
    assert before == {"a.jpg", "b.jpg"}
    assert after == {"c.jpg", "b.jpg"}
    frozen = stage.fold("sea", [Change(4.5, "freeze", value=1.0)]).timeline
    assert len(set(frozen.columns["ground"][110:].tolist())) == 1


@pytest.mark.parametrize("name", ["../a.jpg", "a/b.jpg", "library:../x", "http://x", ".hidden"])
def test_a_ground_must_be_a_plain_name(name: str) -> None:
    with pytest.raises(PresetError, match="ground"):
        preset(ground={"show": [name]})


def test_the_ground_before_is_the_last_other_one_that_was_shown() -> None:
    columns = {"ground": np.array([NONE, 0, 0, 1, 1, NONE, 1, 0, 2])}
    assert grounds_before(columns).tolist() == [-1, -1, -1, 2, 2, -1, 2, 6, 7]


def test_a_double_exposure_is_kept_by_the_timelines_file(beat_analysis: Any, tmp_path: Any) -> None:
    ground = {"show": ["library:lava", "library:comet"], "double": "0.4"}
    plain, double = (timeline(beat_analysis, preset(ground=table)) for table in (ground | {"double": "0"}, ground))
    for made, version in ((plain, 3), (double, 8)):
        save_timeline(made, tmp_path / "made.json")
        assert f'"version": {version}' in (tmp_path / "made.json").read_text()
        assert np.allclose(
            load_timeline(tmp_path / "made.json").columns["ground_double"], made.columns["ground_double"]
        )
    assert double.columns["ground_double"].max() == pytest.approx(0.4)
