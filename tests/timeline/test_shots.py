"""Named shots, and edits of single shots."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import build_timeline, get_preset
from reactive.errors import PresetError, TimelineError
from reactive.preset.schema import check_preset
from reactive.preset.shots import ShotEdit, Shots, changed_edit, load_shots, save_shots, shot_photos, shots_path
from reactive.timeline.shot_edits import apply_shots, change_shots
from reactive.timeline.shots import chosen_shots, find_shot, shot_at, shots_of
from reactive.timeline.timeline import CURVES, INTEGERS, NO_SOURCE

FPS = Fraction(24)


def test_shots_are_numbered_within_sections(beat_timeline, beat_analysis) -> None:
    shots = shots_of(beat_timeline, beat_analysis)
    assert shots[0].name == "section 1 / shot 1"
    assert len({shot.name for shot in shots}) == len(shots)
    assert [shot.start for shot in shots][1:] == [shot.stop for shot in shots][:-1]
    assert [shot.start for shot in shots if shot.hard][1:] == list(beat_timeline.cuts)
    assert all(len(shot.prompts) == 1 for shot in shots)
    whole = shots_of(beat_timeline, beat_analysis, only_cuts=True)
    assert [shot.start for shot in whole][1:] == list(beat_timeline.cuts)
    assert any(shot.name.startswith("drop 1 / ") for shot in shots)
    assert any(shot.fed_back for shot in shots)


def test_shots_are_found_by_name_or_number(beat_timeline, beat_analysis) -> None:
    shots = shots_of(beat_timeline, beat_analysis)
    assert find_shot("2", shots) == shots[1]
    assert find_shot(" section 1  / shot 1", shots) == shots[0]
    with pytest.raises(TimelineError, match="section 1 / shot 1"):
        find_shot("secton 1 / shot 1", shots)


def test_shots_are_selected_by_time_and_by_words_of_their_prompts(beat_timeline, beat_analysis) -> None:
    shots = shots_of(beat_timeline, beat_analysis)
    for shot in shots:
        assert shot_at(shot.start / 24, shots, FPS) == shot
        assert shot_at((shot.stop - 1) / 24, shots, FPS) == shot
    with pytest.raises(TimelineError, match=r"lasts 16\.0 s"):
        shot_at(16.1, shots, FPS)
    words = shots[1].prompts[0].upper()
    assert chosen_shots([words, "2", shots[1].name], shots) == [s for s in shots if shots[1].prompts[0] in s.prompts]
    with pytest.raises(TimelineError, match="no shot"):
        chosen_shots(["a green submarine"], shots)


def test_an_edit_changes_only_its_shot(beat_timeline, beat_analysis) -> None:
    shot = next(one for one in shots_of(beat_timeline, beat_analysis)[2:] if one.hard)
    shot_edits = change_shots(
        beat_timeline, beat_analysis, Shots(), [shot.name], values={"prompt": "a red door", "seed": 5}
    )
    edited = apply_shots(beat_timeline, beat_analysis, shot_edits)
    made = edited.timeline
    assert edited.unknown == []
    here = slice(shot.start, shot.stop)
    assert {made.prompts[i] for i in made.columns["prompt_to"][here]} == {"a red door"}
    assert {made.prompts[i] for i in made.columns["prompt_from"][here]} == {"a red door"}
    assert set(made.columns["seed"][here]) == {5}
    elsewhere = np.delete(np.arange(made.frames), np.arange(shot.start, shot.stop))
    for name in (*INTEGERS, *CURVES):
        assert np.array_equal(made.columns[name][elsewhere], beat_timeline.columns[name][elsewhere]), name
    assert edited.shots[shot.number].prompts == ("a red door",)


def test_rerolling_gives_another_seed_each_time(beat_timeline, beat_analysis) -> None:
    shot_edits, seeds = Shots(), set()
    for _ in range(3):
        shot_edits = change_shots(beat_timeline, beat_analysis, shot_edits, ["1"], roll=True)
        seeds.add(shot_edits.shot["section 1 / shot 1"].seed)
    assert len(seeds) == 3
    again = change_shots(beat_timeline, beat_analysis, Shots(), ["1"], roll=True)
    assert again.shot["section 1 / shot 1"].seed in seeds


def test_a_locked_shot_survives_another_seed(beat_timeline, beat_analysis) -> None:
    shot_edits = change_shots(beat_timeline, beat_analysis, Shots(), ["2"], lock=True)
    name = shots_of(beat_timeline, beat_analysis)[1].name
    preset = get_preset("loop-destroy")
    other = build_timeline(beat_analysis, preset, samples=16 * 44_100, fps=FPS, seed=99)
    kept = apply_shots(other, beat_analysis, shot_edits).shots[1]
    was = shots_of(beat_timeline, beat_analysis)[1]
    assert shots_of(other, beat_analysis)[1].prompts != was.prompts
    assert (kept.name, kept.prompts, kept.seed) == (name, was.prompts, was.seed)
    for change in ({"roll": True}, {"values": {"seed": 1}}):
        with pytest.raises(TimelineError, match="--unlock"):
            change_shots(beat_timeline, beat_analysis, shot_edits, ["2"], **change)
    freed = change_shots(beat_timeline, beat_analysis, shot_edits, ["2"], lock=False, roll=True)
    assert not freed.shot[name].locked
    assert change_shots(beat_timeline, beat_analysis, shot_edits, ["2"], reset=True).shot == {}


def test_own_photographs_come_before_videos(beat_analysis) -> None:
    data = {
        "version": 2,
        "title": "x",
        "phase": [
            {"name": "a", "prompts": ["sea"], "mode": "photo", "switch": {"how": "cut"}},
        ],
    }
    plain = build_timeline(
        beat_analysis,
        check_preset(data, where="x"),
        samples=16 * 44_100,
        fps=FPS,
        seed=0,
        photos=("a.jpg",),
        videos=("v.mp4",),
    )
    shots = shots_of(plain, beat_analysis)
    shot_edits = Shots(
        shot={shots[1].name: ShotEdit(photo="door.jpg", strength=0.3), "nowhere / shot 1": ShotEdit(seed=1)}
    )
    edited = apply_shots(plain, beat_analysis, shot_edits)
    made = edited.timeline
    assert edited.unknown == ["nowhere / shot 1"]
    assert made.photos == ("a.jpg", "door.jpg")
    assert set(made.columns["source"][shots[1].start : shots[1].stop]) == {1}
    assert made.columns["strength"][shots[1].start] == 0.3
    before, after = plain.columns["source"][: shots[1].start], made.columns["source"][: shots[1].start]
    assert np.array_equal(np.where(before >= 1, before + 1, before), after)
    assert (after != NO_SOURCE).any()


def test_edits_for_another_song_are_refused(beat_timeline, beat_analysis) -> None:
    with pytest.raises(TimelineError, match="another song"):
        apply_shots(beat_timeline, beat_analysis, Shots(song_sha256="0" * 64))


def test_a_shots_file_stores_the_edits(tmp_path: Path) -> None:
    shots = Shots(
        song_sha256="ab",
        shot={
            'drop 1 / shot 2 "é" \\': ShotEdit(
                prompt=['a \\ "door" schön 🜂'], split=[2.0, 4.5], merge=2, photo="d.jpg", seed=7, rolls=2, locked=True
            ),
            "section 1 / shot 1": ShotEdit(strength=0.25),
        },
    )
    path = shots_path(tmp_path / "song.wav")
    save_shots(shots, path)
    assert path.name == "song.shots.toml"
    assert load_shots(path) == shots
    assert shot_photos(shots) == ("d.jpg",)
    assert [entry.name for entry in tmp_path.iterdir()] == ["song.shots.toml"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("version = 3", "version"),
        ('[shot.a]\nprompt = ["one", "two"]', "--split"),
        ("[shot.a]\nsplit = [0]", "split"),
        ("[shot.a]\nsede = 1", "Did you mean seed"),
        ("[shot.a]\nseed = -1", "seed"),
        ("[shot.a]\nstrength = nan", "strength"),
        ('[shot.a]\nphoto = "../x.jpg"', "plain file name"),
        ('[shot.a]\nprompt = "\\u001b[31m"', "control characters"),
        ("[shot", "not valid TOML"),
        ("shots = 1", "Did you mean shot"),
    ],
)
def test_an_invalid_shots_file_is_refused_in_one_line(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "a.shots.toml"
    path.write_text(text)
    with pytest.raises(PresetError) as caught:
        load_shots(path)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_unknown_edits_are_refused() -> None:
    assert changed_edit(ShotEdit(), prompt="x").prompt == ["x"]
    with pytest.raises(PresetError, match="control"):
        changed_edit(ShotEdit(), prompt=["\x1b"])
