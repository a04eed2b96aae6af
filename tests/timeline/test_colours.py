"""Colours on the timeline: by phase, by prompt, for the complete clip, in files and live."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive import build_timeline
from reactive.errors import PresetError, TimelineError
from reactive.preset.palette import parse_palette
from reactive.preset.schema import Colour, Preset, parse_preset
from reactive.timeline.colours import Colours, recoloured
from reactive.timeline.controls import apply_controls
from reactive.timeline.file import load_timeline, save_timeline
from reactive.timeline.perform import Change, Stage
from reactive.timeline.timeline import COLOURS, NO_PALETTE, Timeline, in_use

TEXT = """
version = 2
title = "Tinted"
[colour]
palette = ["dark red", "#FFF"]
strength = "2 * loudness"
[[phase]]
name = "calm"
bars = [1, 2]
prompts = ["grey sea", { text = "a fire", palette = "orange" }]
[phase.switch]
every = "1 bar"
how = "fade"
[[phase]]
name = "wild"
bars = [1, 2]
prompts = ["storm"]
[phase.colour]
saturation = "0.25"
"""


@pytest.fixture(scope="module")
def preset() -> Preset:
    return parse_preset(TEXT, where="test")


def made(analysis, preset: Preset) -> Timeline:
    return build_timeline(analysis, preset, samples=16 * 44_100, fps=Fraction(24), seed=1)


def plain(preset: Preset) -> Preset:
    """Return the preset without any colours."""
    phases = [
        phase.model_copy(
            update={"colour": None, "prompts": [entry.model_copy(update={"palette": ()}) for entry in phase.prompts]}
        )
        for phase in preset.phase
    ]
    return preset.model_copy(update={"title": "Plain", "colour": Colour(), "phase": phases})


def test_palettes_come_with_phases_and_prompts(beat_analysis, preset: Preset) -> None:
    timeline = made(beat_analysis, preset)
    columns = timeline.columns
    alone = columns["prompt_from"] == columns["prompt_to"]
    assert set(timeline.palettes) == {("#8b0000", "#ffffff"), ("#ffa500",)}
    for frame in np.flatnonzero(alone).tolist():
        number = int(columns["palette_to"][frame])
        assert number == columns["palette_from"][frame]
        shown = timeline.palettes[number] if number != NO_PALETTE else ()
        wanted = {"grey sea": ("#8b0000", "#ffffff"), "a fire": ("#ffa500",), "storm": ()}
        assert shown == wanted[timeline.prompts[int(columns["prompt_to"][frame])]]
    assert {*columns["palette_to"].tolist()} == {NO_PALETTE, 0, 1}
    assert columns["colour_strength"].max() <= 1
    wild = (columns["phase"] == 1) & alone
    assert (columns["colour_saturation"][wild] == 0.25).all()


def test_a_preset_without_colours_has_neutral_columns(beat_analysis, preset: Preset) -> None:
    timeline = made(beat_analysis, plain(preset))
    assert timeline.palettes == ()
    assert not {"palette_from", "palette_to", *COLOURS} & set(in_use(timeline.columns))


def test_a_file_stores_them(beat_analysis, preset: Preset, tmp_path: Path) -> None:
    timeline = made(beat_analysis, preset)
    save_timeline(timeline, tmp_path / "t.json")
    read = load_timeline(tmp_path / "t.json")
    assert read.palettes == timeline.palettes
    for name in ("palette_from", "palette_to", *COLOURS):
        assert np.allclose(read.columns[name], timeline.columns[name], atol=1e-6)
    broken = (tmp_path / "t.json").read_text().replace("#ffa500", "orange")
    (tmp_path / "t.json").write_text(broken)
    with pytest.raises(TimelineError, match="orange"):
        load_timeline(tmp_path / "t.json")


def test_colours_of_the_complete_clip(beat_analysis, preset: Preset, beat_timeline: Timeline) -> None:
    assert recoloured(beat_timeline, Colours()) is beat_timeline
    palette = parse_palette("#200010, dark red ,white", where="--palette")
    assert palette == ("#200010", "#8b0000", "#ffffff")
    timeline = recoloured(
        made(beat_analysis, preset), Colours(palette, 0.5, saturation=2, temperature=-3, brightness=0.25)
    )
    assert timeline.palettes == (palette,)
    assert (timeline.columns["palette_to"] == 0).all()
    assert (timeline.columns["colour_strength"] == 0.5).all()
    assert set(timeline.columns["colour_saturation"].round(6)) >= {2.0, 0.5}
    assert (timeline.columns["colour_temperature"] == -1).all()
    with pytest.raises(PresetError, match="blurple"):
        parse_palette("#200010,blurple", where="--palette")


def test_sliders_change_the_presets_colours(beat_analysis, preset: Preset) -> None:
    knobs = apply_controls(preset, {"saturation": 2.0, "temperature": 0.5, "palette": 0.0})
    assert knobs.colour.strength == "(2 * loudness) * 0"
    assert knobs.phase[1].colour is not None
    assert knobs.phase[1].colour.saturation == "(0.25) * 2"
    columns = made(beat_analysis, knobs).columns
    assert (columns["colour_strength"] == 0).sum() > 0
    assert (columns["colour_temperature"] == 0.5).all()


def test_live_changes_keep_the_past_and_map_palettes(beat_analysis, preset: Preset) -> None:
    other = preset.model_copy(
        update={"title": "Other", "colour": preset.colour.model_copy(update={"palette": ["#00ff00"]})}
    )
    stage = Stage(beat_analysis, 16 * 44_100, Fraction(24), 3, {"main": preset, "other": other, "plain": plain(preset)})
    start = stage.start("main").timeline

    def seen(timeline: Timeline, frame: int) -> tuple[str, ...]:
        number = int(timeline.columns["palette_to"][frame])
        return timeline.palettes[number] if number != NO_PALETTE else ()

    changes = [Change(4.0, "preset", "other", 0.5), Change(8.0, "preset", "plain", 0.0), Change(9.0, "hold", value=1.0)]
    timeline = stage.fold("main", changes).timeline
    assert [seen(timeline, frame) for frame in range(90)] == [seen(start, frame) for frame in range(90)]
    later = {seen(timeline, frame) for frame in range(120, 190)}
    assert later <= {("#00ff00",), ("#ffa500",), ()}
    assert {seen(timeline, frame) for frame in range(200, timeline.frames)} == {()}
