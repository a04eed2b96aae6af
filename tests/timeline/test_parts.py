"""Phases and prompts that follow the song's sections, and drops, which every preset reacts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from reactive import analyze, build_timeline, get_preset, open_track
from reactive.audio.analysis import Analysis
from reactive.audio.parts import name_sections, part_names
from reactive.audio.structure import Moment
from reactive.preset.library import shipped_names
from reactive.preset.schema import check_preset
from reactive.timeline.timeline import Timeline
from tests.audio.songs import RATE, band, steady
from tests.audio.test_parts import LENGTH, heard
from tests.toy import write_song

FPS = Fraction(24)


def timeline_of(analysis: Analysis, phases: Sequence[dict[str, object]]) -> Timeline:
    """Return the timeline of some phases."""
    preset = check_preset({"version": 2, "title": "x", "phase": list(phases)}, where="x")
    return build_timeline(analysis, preset, samples=analysis.samples, fps=FPS, seed=1)


def shown(timeline: Timeline, section: int) -> set[str]:
    """Return the unblended prompts within a section."""
    here = slice(int((section * LENGTH + 3) * 24), int(((section + 1) * LENGTH - 1) * 24))
    return {timeline.prompts[index] for index in timeline.columns["prompt_to"][here]}


@pytest.fixture
def pop() -> Analysis:
    """A song with alternating verse and chorus."""
    analysis = heard("ABCBCDCE", [0.1, 0.4, 0.9, 0.45, 0.95, 0.5, 1.0, 0.2])
    curve = np.ones(round(analysis.duration * analysis.envelope_rate), np.float32)
    names = ("rms", "low", "mid", "high", "centroid", "flux", "loudness")
    onsets = dict.fromkeys(("all", "low", "mid", "high"), analysis.onsets["all"])
    return replace(analysis, envelopes=dict.fromkeys(names, curve), onsets=onsets)


def test_prompts_follow_verse_and_chorus(pop: Analysis) -> None:
    prompts = [{"text": "sea", "parts": ["verse"]}, {"text": "fire", "parts": "Chorus"}, "sky"]
    made = timeline_of(pop, [{"name": "all", "prompts": prompts}])
    for number, name in enumerate(part_names(pop)):
        assert shown(made, number) == {"verse": {"sea"}, "chorus": {"fire"}}.get(name, {"sky"}), (number, name)


def test_phases_follow_sections_and_the_others_share_the_rest(pop: Analysis) -> None:
    phases = [
        {"name": "calm", "prompts": ["sea"]},
        {"name": "loud", "prompts": ["fire"], "parts": ["chorus"]},
        {"name": "end", "prompts": ["ash"], "parts": ["outro"]},
    ]
    made = timeline_of(pop, phases)
    wanted = {"chorus": "loud", "outro": "end"}
    for number, name in enumerate(part_names(pop)):
        here = made.columns["phase"][int((number + 0.5) * LENGTH * 24)]
        assert made.phases[here] == wanted.get(name, "calm"), (number, name)


def test_a_pin_may_name_a_part(pop: Analysis) -> None:
    names = part_names(pop)
    wanted = [number for number, name in enumerate(names) if name == "chorus"]
    assert len(wanted) == 3
    pins = [("chorus 2", wanted[1]), ("last chorus", wanted[2]), ("part chorus", wanted[0])]
    for at, number in pins:
        preset = check_preset(
            {
                "version": 2,
                "title": "x",
                "phase": [{"name": "a", "prompts": ["sea"]}],
                "pin": [{"at": at, "prompt": "fire", "hold": "section"}],
            },
            where="x",
        )
        made = build_timeline(pop, preset, samples=pop.samples, fps=FPS, seed=1)
        assert [shown(made, one) == {"fire"} for one in range(len(names))] == [
            one == number for one in range(len(names))
        ]
    named, unknown = name_sections(pop, ("3=guitar solo",))
    assert not unknown
    solo = check_preset(
        {
            "version": 2,
            "title": "x",
            "phase": [{"name": "a", "prompts": ["sea"]}],
            "pin": [{"at": "part guitar solo", "prompt": "fire", "hold": "section"}],
        },
        where="x",
    )
    made = build_timeline(named, solo, samples=pop.samples, fps=FPS, seed=1)
    assert shown(made, 2) == {"fire"}


def test_sections_that_a_song_lacks_change_nothing(pop: Analysis) -> None:
    plain = [{"name": "a", "prompts": ["sea", "sky"]}, {"name": "b", "prompts": ["fire"]}]
    told = [
        {"name": "a", "prompts": [{"text": "sea", "parts": ["solo"]}, "sky"]},
        {"name": "b", "prompts": ["fire"], "parts": ["solo"]},
    ]
    before, after = timeline_of(pop, plain), timeline_of(pop, told)
    for name in before.columns:
        np.testing.assert_array_equal(before.columns[name], after.columns[name], err_msg=name)


# tempo, bars before the drop, loudness before it
SONGS = [(90, 8, 0.25), (100, 12, 0.2), (110, 8, 0.3), (120, 16, 0.25), (128, 12, 0.3), (140, 16, 0.2)]


@pytest.fixture(scope="module", params=SONGS, ids=lambda song: f"{song[0]} bpm")
def dropped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, Analysis]:
    """A song with a drop, and the time of the drop."""
    tempo, bars, level = request.param
    beat = 60 / tempo
    drop = 0.5 + bars * 4 * beat
    seconds = drop + bars * 4 * beat
    song = band(steady(tempo, seconds), seconds=seconds)
    quiet = band(steady(tempo, seconds), seconds=seconds, drums=False)
    first = round(drop * RATE) - round(0.01 * RATE)
    song[:first] = level * quiet[:first]
    path = write_song(tmp_path_factory.mktemp("drop") / "song.wav", song, RATE)
    return drop, analyze(open_track(path))


def test_every_preset_reacts_to_a_drop(dropped: tuple[float, Analysis]) -> None:
    drop, analysis = dropped
    for name in shipped_names():
        made = build_timeline(analysis, get_preset(name), samples=analysis.samples, fps=FPS, seed=1)
        near = [frame for frame in made.cuts if abs(frame / 24 - drop) < 0.09]
        assert near, f"{name}: no cut at {drop:.2f} s, but at {[round(frame / 24, 2) for frame in made.cuts]}"
        cut = near[0]
        assert made.columns["prompt_to"][cut] != made.columns["prompt_to"][cut - 1], name
        assert made.columns["weight"][cut] in (0, 1), name


@pytest.mark.parametrize("name", shipped_names())
def test_every_preset_reacts_to_the_end_of_a_build_up(name: str, beat_analysis: Analysis) -> None:
    # it ends on a beat in the middle of a section
    beats = beat_analysis.beats
    end = float(beats[np.argmin(np.abs(beats - 9.5))])
    assert min(abs(end - section.start) for section in beat_analysis.sections) > 0.4
    building = replace(beat_analysis, moments=(Moment("build", end - 4, end, 1.0),))
    made = build_timeline(building, get_preset(name), samples=building.samples, fps=FPS, seed=1)
    near = [frame for frame in made.cuts if abs(frame / 24 - end) < 0.06]
    assert near, f"{name}: no cut at {end:.2f} s, but at {[round(frame / 24, 2) for frame in made.cuts]}"
    assert made.columns["prompt_to"][near[0]] != made.columns["prompt_to"][near[0] - 1]
