"""Where the preset uses photographs, videos and joins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import build_timeline, grid_of, load_timeline, save_timeline
from reactive.preset.schema import check_preset
from reactive.timeline.timeline import FEEDBACK, NO_SOURCE, OPTIONAL

FPS = Fraction(24)


def timeline_of(analysis, *phases: dict, photos: int = 0, videos: int = 0, seed: int = 0):
    data = {"version": 1, "title": "placed", "loop": False}
    data["phase"] = [
        {"name": f"p{i}", "prompts": ["a sea", "a hill"], "bars": [1, 64], **p} for i, p in enumerate(phases)
    ]
    return build_timeline(
        analysis,
        check_preset(data, where="x"),
        samples=16 * 44_100,
        fps=FPS,
        seed=seed,
        photos=tuple(f"{n}.jpg" for n in range(photos)),
        videos=tuple(f"{n}.mp4" for n in range(videos)),
    )


def runs(column: np.ndarray) -> list[int]:
    return column[np.flatnonzero(np.diff(column, prepend=-99) != 0)].tolist()


def test_photographs_change_on_bars(beat_analysis) -> None:
    timeline = timeline_of(beat_analysis, {"mode": "photo", "source": {"every": "1 bar"}}, photos=3)
    source = timeline.columns["source"]
    found = runs(source)
    assert len(found) >= 6
    assert found == [n % 3 for n in range(len(found))]
    changes = np.flatnonzero(np.diff(source)) + 1
    bars = np.round(grid_of(beat_analysis).bars * 24)
    assert all(np.abs(bars - change).min() <= 1 for change in changes)
    # the picture jumps there, so a shot starts there
    assert set(changes.tolist()) <= set(timeline.cuts)


def test_only_named_photographs_in_shuffled_order(beat_analysis) -> None:
    used = timeline_of(beat_analysis, {"mode": "photo", "source": {"every": "1 bar", "use": [2, 5]}}, photos=4)
    assert set(used.columns["source"]) == {1, 0}
    orders = {
        tuple(
            runs(
                timeline_of(
                    beat_analysis,
                    {"mode": "photo", "source": {"every": "1 bar", "order": "shuffle"}},
                    photos=6,
                    seed=seed,
                ).columns["source"]
            )[:6]
        )
        for seed in range(4)
    }
    assert len(orders) > 1
    assert all(sorted(order) == list(range(6)) for order in orders)


def test_videos_have_their_own_phases_or_are_mixed_with_photographs(beat_analysis) -> None:
    own = timeline_of(beat_analysis, {"mode": "video"}, photos=2, videos=2)
    # photographs not assigned to a phase are used too
    assert set(own.columns["source"]) <= {2, 3, 0, 1}
    assert own.columns["source"][0] == 2
    joined = timeline_of(beat_analysis, {"mode": "photo", "source": {"every": "1 bar"}}, photos=1, videos=2)
    assert runs(joined.columns["source"])[:4] == [0, 1, 2, 0]
    nothing = timeline_of(beat_analysis, {"mode": "video"})
    assert np.all(nothing.columns["source"] == NO_SOURCE)
    assert np.all(nothing.columns["strength"] == 1)


def test_feedback_is_guided_where_the_camera_follows_a_video(beat_analysis) -> None:
    guided = timeline_of(beat_analysis, {"mode": "feedback", "camera": {"flow": "2"}}, videos=1)
    assert np.all(guided.columns["source"] == FEEDBACK)
    assert np.all(guided.columns["guide"] == 0)
    assert np.all(guided.columns["camera_flow"] == 1)
    assert np.all(timeline_of(beat_analysis, {"mode": "feedback"}, videos=1).columns["guide"] == -1)


@pytest.mark.parametrize("kind", ["dissolve", "morph"])
def test_joins_end_on_their_cuts(beat_analysis, kind: str) -> None:
    switch = {"every": "1 bar", "how": "hit", "join": kind, "join_over": "1 beat"}
    timeline = timeline_of(beat_analysis, {"switch": switch})
    other = {"dissolve": "morph", "morph": "dissolve"}[kind]
    weight = timeline.columns[kind]
    assert np.all(timeline.columns[other] == 0)
    assert len(timeline.cuts) >= 5
    for cut in timeline.cuts:
        assert weight[cut] == 0
        before = weight[cut - 12 : cut]
        assert np.all(before > 0)
        assert np.all(np.diff(before) > 0)
        assert before[-1] < 1
    assert np.count_nonzero(weight) == 12 * len(timeline.cuts)


def test_the_file_stores_new_columns_only_if_used(tmp_path: Path, beat_analysis) -> None:
    rich = timeline_of(
        beat_analysis,
        {
            "mode": "feedback",
            "camera": {"flow": "0.5", "tilt": "3", "shake": "0.01"},
            "lens": {"turn": "4 * low", "tilt": 99},
        },
        videos=1,
    )
    save_timeline(rich, tmp_path / "rich.json")
    again = load_timeline(tmp_path / "rich.json")
    assert again.videos == rich.videos
    for name in OPTIONAL:
        assert again.columns[name] == pytest.approx(rich.columns[name], abs=1e-6), name
    assert rich.columns["lens_tilt"].max() == 45
    save_timeline(timeline_of(beat_analysis, {}), tmp_path / "plain.json")
    text = (tmp_path / "plain.json").read_text()
    assert '"version": 1' in text
    assert not any(f'"{name}"' in text for name in (*OPTIONAL, "videos"))
