"""The timeline: the values of each frame of a song."""

from __future__ import annotations

import copy
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import analyze, build_timeline, get_preset, grid_of, load_timeline, open_track, save_timeline
from reactive.errors import TimelineError
from reactive.preset.schema import check_preset
from reactive.timeline.clock import frame_times
from reactive.timeline.schedule import blend_weights
from reactive.timeline.signals import frame_signals, hits, interval_means
from reactive.timeline.timeline import CURVES, FEEDBACK, INTEGERS, NO_SOURCE
from reactive.timeline.walk import harmonics_for, walk_of
from tests.toy import beat_song, write_song

FPS = Fraction(24)


def test_every_column_has_a_value_for_each_frame(beat_timeline) -> None:
    assert beat_timeline.frames == 16 * 24
    assert set(beat_timeline.columns) == {*INTEGERS, *CURVES}
    for column in beat_timeline.columns.values():
        assert column.shape == (beat_timeline.frames,)
        assert np.isfinite(column).all()


def test_the_same_seed_gives_the_same_timeline_and_another_does_not(beat_analysis, beat_timeline) -> None:
    preset = get_preset("loop-destroy")
    again = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=3)
    other = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=4)
    assert all(np.array_equal(again.columns[name], beat_timeline.columns[name]) for name in again.columns)
    assert not np.array_equal(other.columns["prompt_to"], beat_timeline.columns["prompt_to"])


def test_phases_repeat_in_their_order(beat_timeline) -> None:
    phase = beat_timeline.columns["phase"]
    order = phase[np.flatnonzero(np.diff(phase, prepend=-1) != 0)]
    assert order[0] == 0
    assert np.all(np.diff(order) % 4 == 1)
    assert set(order) == {0, 1, 2, 3}


def test_hits_fall_on_beats_and_never_too_fast(beat_analysis, beat_timeline) -> None:
    beats = np.round(grid_of(beat_analysis).beats * 24).astype(int)
    cuts = np.array(beat_timeline.cuts)
    assert len(cuts) > 3
    assert all(np.abs(beats - cut).min() <= 1 for cut in cuts)
    assert np.diff(cuts).min() >= 0.35 * 24


def test_a_hard_cut_takes_a_new_seed_and_a_blend_keeps_it(beat_timeline) -> None:
    seed, shot = beat_timeline.columns["seed"], beat_timeline.columns["shot"]
    weight = beat_timeline.columns["weight"]
    assert np.all(np.diff(shot)[np.flatnonzero(np.diff(seed) != 0)] == 1)
    blending = (weight[1:] > 0) & (weight[:-1] > 0)
    assert blending.any()
    assert np.all(np.diff(seed)[blending] == 0)


def test_feedback_shots_are_at_most_eight_bars_long(beat_timeline) -> None:
    source, shot = beat_timeline.columns["source"], beat_timeline.columns["shot"]
    assert (source == FEEDBACK).any()
    for number in np.unique(shot[source == FEEDBACK]):
        assert (shot == number).sum() <= 8 * 2 * 24 + 1


def test_photographs_appear_where_the_preset_uses_them(beat_analysis) -> None:
    preset = get_preset("loop-destroy")
    with_photo = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=0, photos=("a.jpg",))
    without = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=0)
    restart = with_photo.columns["phase"] == 3
    assert np.all(with_photo.columns["source"][restart] == 0)
    assert np.all(without.columns["source"][restart] == NO_SOURCE)
    assert np.all(without.columns["strength"][without.columns["source"] == NO_SOURCE] == 1)


def test_the_walk_never_goes_back_and_closes_each_loop() -> None:
    rng = np.random.default_rng(0)
    speed = 0.3 + 0.5 * rng.random(2400)
    loops = [(0, 1100), (1100, 2300)]
    harmonics = harmonics_for(speed, loops, FPS)
    walk, bent = walk_of(speed, loops, harmonics, FPS)
    assert np.all(np.diff(walk) > 0)
    assert bent.min() > 0
    for stop in (1100, 2300):
        turns = walk[stop] / (2 * harmonics)
        assert turns == pytest.approx(round(turns), abs=1e-9)
    untouched = slice(0, 1100 * 3 // 4)
    assert np.array_equal(bent[untouched], speed[untouched])


def test_the_level_of_the_master_does_not_change_the_timeline(tmp_path: Path) -> None:
    song = beat_song(12)
    made = []
    for name, gain in (("a.wav", 0.25), ("b.wav", 0.9)):
        track = open_track(write_song(tmp_path / name, song * gain, subtype="FLOAT"))
        made.append(build_timeline(analyze(track), get_preset("loop-destroy"), samples=track.samples, fps=FPS, seed=0))
    for name in CURVES:
        assert np.abs(made[0].columns[name] - made[1].columns[name]).max() < 0.02, name


def test_signals_stay_within_their_range(beat_analysis) -> None:
    signals = frame_signals(beat_analysis, grid_of(beat_analysis), frames=384, fps=FPS)
    for name, curve in signals.items():
        assert curve.shape == (384,), name
        assert curve.min() >= 0, name
        assert curve.max() <= 1, name
    assert (signals["kick"] > 0).sum() > 20


def test_an_event_acts_on_the_nearest_frame() -> None:
    curve = hits(np.array([0.0, 0.52, 0.99, 50.0]), np.array([0.2, 0.4, 0.9, 1.0]), 24, FPS)
    assert curve[0] == 0.2
    assert curve[12] == 0.4
    assert not np.any(curve[13:])


def test_interval_means_keep_the_integral() -> None:
    rng = np.random.default_rng(0)
    curve = rng.random(900)
    rate = 86.1328125
    seconds = frame_times(240, FPS)
    means = interval_means(curve, rate, seconds, 1 / 24)
    assert means[5:200].mean() == pytest.approx(curve[int(4.5 / 24 * rate) : int(199.5 / 24 * rate)].mean(), rel=0.01)


def test_blends_rise_evenly_through_the_middle() -> None:
    weights = blend_weights(47)
    assert np.all(np.diff(weights) > 0)
    assert 0 < weights[0] < 0.1
    assert weights == pytest.approx(1 - weights[::-1])
    assert np.diff(weights)[23] < np.diff(weights)[0]


def test_prompts_hold_two_beats_unless_strobe(beat_analysis) -> None:
    data = {
        "version": 1,
        "title": "fast",
        "phase": [
            {"name": "one", "prompts": [f"sea {i}" for i in range(50)], "switch": {"every": "1/2 beat", "how": "hit"}}
        ],
    }
    calm = build_timeline(beat_analysis, check_preset(data, where="x"), samples=16 * 44_100, fps=FPS, seed=0)
    strobe = copy.deepcopy(data)
    strobe["phase"][0]["switch"]["strobe"] = True
    fast = build_timeline(beat_analysis, check_preset(strobe, where="x"), samples=16 * 44_100, fps=FPS, seed=0)
    assert np.diff(calm.cuts).min() >= 2 * 12 - 2
    assert np.diff(fast.cuts).min() >= 0.35 * 24
    assert len(fast.cuts) > len(calm.cuts)


def test_a_timeline_is_restored_from_its_file(tmp_path: Path, beat_timeline) -> None:
    path = tmp_path / "timeline.json"
    save_timeline(beat_timeline, path)
    again = load_timeline(path)
    assert again.prompts == beat_timeline.prompts
    assert again.cuts == beat_timeline.cuts
    assert again.fps == beat_timeline.fps
    for name in INTEGERS:
        assert np.array_equal(again.columns[name], beat_timeline.columns[name])
    for name in CURVES:
        assert again.columns[name] == pytest.approx(beat_timeline.columns[name], abs=1e-7)
    save_timeline(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 3', '"version": 9'),
        ('"frames": 384', '"frames": 385'),
        ('"frames": 384', '"frames": 99999999999'),
        ('"harmonics": ', '"harmonics": -'),
        ('"prompts": [', '"promts": ['),
        ('"weight": [', '"weight": [5, '),
        ('"strength": [', '"strength": [NaN, '),
        ('"fps": "24"', '"fps": "0"'),
        ("{", ""),
    ],
)
def test_an_invalid_timeline_is_refused_in_one_line(tmp_path: Path, beat_timeline, old: str, new: str) -> None:
    path = tmp_path / "timeline.json"
    save_timeline(beat_timeline, path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TimelineError) as caught:
        load_timeline(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("cuts", [-1, 1_000_000_000], "cuts"),
        ("cuts", [384], "cuts"),
        ("cuts", [1.5], "cuts"),
        ("cuts", [True], "cuts"),
        ("cuts", "12", "cuts"),
        ("prompts", ["x" * 1_000_000], "letters"),
        ("prompts", {"0": "x"}, "list of texts"),
        ("prompts", [], "prompts"),
        ("phases", [1], "phases"),
        ("frames", "384", "frames"),
        ("frames", 384.0, "frames"),
        ("seed", -1, "seed"),
        ("seed", 10**400, "a huge number"),
        ("feedback_rate", "1/0", "feedback_rate"),
        ("feedback_rate", "1e9999999", "feedback_rate"),
        ("fps", "1/0", "fps"),
        ("feedback_fresh", None, "feedback_fresh"),
        ("title", 5, "title"),
        ("sample_rate", 10**30, "sample_rate"),
        ("colour", 1, "unknown keys"),
        ("columns", [], "columns"),
        ("columns.phase", [[0, 0.5]], "whole numbers"),
        ("columns.phase", [[0, 99]], "phase"),
        ("columns.phase", [[0, 0], [0, 1]], "phase"),
        ("columns.seed", [[0, 10**30]], "huge"),
        ("columns.loop", [[0, -1]], "loop"),
        ("columns.glow", [0], "unknown columns"),
        ("columns.weight", "x", "weight"),
        ("columns.weight", [True] * 384, "weight"),
        ("columns.weight", [1e300] * 384, "weight"),
        ("columns.hit", [2] * 384, "hit"),
        ("columns.speed", [-1] * 384, "speed"),
    ],
)
def test_a_nonsensical_timeline_is_refused_in_plain_words(
    tmp_path: Path, beat_timeline, key: str, value: object, word: str
) -> None:
    import json

    path = tmp_path / "timeline.json"
    save_timeline(beat_timeline, path)
    data = json.loads(path.read_text())
    *tables, name = key.split(".")
    table = data
    for part in tables:
        table = table[part]
    table[name] = value
    path.write_text(
        json.dumps(data)
        if value != 10**400
        else json.dumps(data | {name: 0}).replace('"seed": 0', f'"seed": {10**400}', 1)
    )
    with pytest.raises(TimelineError) as caught:
        load_timeline(path)
    assert word in str(caught.value)
    # no messages of Python itself
    for own in ("Fraction", "C long", "dict", "int()", "NoneType", "str", "numpy"):
        assert own not in caught.value.what
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_timeline_with_a_byte_order_mark_is_read(tmp_path: Path, beat_timeline, encoding: str) -> None:
    path = tmp_path / "timeline.json"
    save_timeline(beat_timeline, path)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    assert load_timeline(path).prompts == beat_timeline.prompts
