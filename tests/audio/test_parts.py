"""Names of sections, from repetition, loudness, drops and lyrics, and corrections by a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive.audio.analysis import Analysis
from reactive.audio.bar_list import song_bars
from reactive.audio.corrections import (
    Corrections,
    apply_corrections,
    load_corrections,
    merge_corrections,
    save_corrections,
)
from reactive.audio.onset import Onsets
from reactive.audio.parts import part_names, song_parts
from reactive.audio.structure import Moment, Section
from reactive.errors import GridError
from reactive.preset.lyrics import Line

BAR = 2.0
# eight bars a section
LENGTH = 8 * BAR


def heard(letters: str, energies: list[float], drops: tuple[int, ...] = ()) -> Analysis:
    """Return the analysis of a song of sections of eight bars, with strong drops at the starts of some."""
    duration = len(letters) * LENGTH
    beats = np.arange(0, duration, BAR / 4)
    sections = tuple(
        Section(i * LENGTH, (i + 1) * LENGTH, letter, energy)
        for i, (letter, energy) in enumerate(zip(letters, energies, strict=True))
    )
    return Analysis(
        "0" * 64,
        duration,
        22_050,
        1,
        120.0,
        beats,
        beats[::4],
        {"all": Onsets(beats, np.ones(len(beats)))},
        sections,
        {},
        np.ones(1),
        silent=False,
        beats_per_bar=np.full(len(beats[::4]), 4),
        metre="4/4",
        moments=tuple(Moment("drop", i * LENGTH, i * LENGTH + BAR, 1.0) for i in drops),
    )


@pytest.mark.parametrize(
    ("letters", "energies", "drops", "names"),
    [
        # a pop song
        (
            "ABCBCDCE",
            [0.1, 0.4, 0.9, 0.45, 0.95, 0.5, 1.0, 0.2],
            (),
            "intro verse chorus verse chorus bridge chorus outro",
        ),
        # a rock song that begins with its verse
        ("BCBCDCC", [0.4, 0.9, 0.5, 0.9, 0.3, 1.0, 1.0], (), "verse chorus verse chorus bridge chorus chorus"),
        # a techno track: two drops, each after a break
        ("ABCBCD", [0.2, 0.3, 1.0, 0.3, 1.0, 0.1], (2, 4), "intro verse drop verse drop outro"),
    ],
)
def test_parts_are_named(letters: str, energies: list[float], drops: tuple[int, ...], names: str) -> None:
    assert part_names(heard(letters, energies, drops)) == tuple(names.split())


def test_lyrics_identify_a_chorus_quieter_than_the_verse() -> None:
    analysis = heard("BCBCB", [0.9, 0.5, 0.9, 0.5, 0.95])
    assert part_names(analysis)[0] == "chorus"
    words = [("one door", 0), ("we go home", 1), ("two roads", 2), ("We go home!", 3), ("three seas", 4)]
    lines = [Line(at * LENGTH + 1, at * LENGTH + 4, text) for text, at in words]
    assert part_names(analysis, lines)[:4] == ("verse", "chorus", "verse", "chorus")


def test_a_song_of_one_section_has_a_name() -> None:
    assert part_names(heard("A", [1.0])) == ("verse",)


def test_parts_have_the_numbers_of_their_bars() -> None:
    parts = song_parts(heard("ABC", [0.1, 1.0, 0.5]))
    assert [(part.first_bar, part.last_bar) for part in parts] == [(1, 8), (9, 16), (17, 24)]


def test_a_marker_names_a_section() -> None:
    analysis = heard("AB", [0.2, 1.0])
    sections = tuple(
        replace(s, label=label) for s, label in zip(analysis.sections, ("Verse 1", "Refrain"), strict=True)
    )
    assert part_names(replace(analysis, sections=sections)) == ("verse", "chorus")


def test_a_persons_names_take_precedence(tmp_path: Path) -> None:
    analysis = heard("ABAB", [0.2, 1.0, 0.3, 0.9])
    told = Corrections(sections=("b=Hook", "3=bridge"))
    named = apply_corrections(analysis, told)
    assert part_names(named)[1:] == ("hook", "bridge", "hook")
    # names alone leave the detected grid unchanged
    assert not named.corrected
    np.testing.assert_array_equal(named.beats, analysis.beats)
    song = tmp_path / "song.wav"
    save_corrections(song, "0" * 64, told)
    kept, note = load_corrections(song, "0" * 64)
    assert (kept, note) == (told, "")
    later = merge_corrections(kept, Corrections(sections=("3=solo",)))
    assert part_names(apply_corrections(analysis, later))[1:] == ("hook", "solo", "hook")


@pytest.mark.parametrize("text", ["chorus", "C=", "=chorus"])
def test_a_name_without_a_section_is_refused(text: str) -> None:
    with pytest.raises(GridError, match="names no section"):
        Corrections(sections=(text,))


@pytest.mark.parametrize("offset", [-900.0, -60.0, 60.0, 400.0, 900.0])
def test_a_drop_keeps_its_name_on_a_shifted_grid(offset: float) -> None:
    analysis = heard("ABAB", [0.3, 0.9, 0.3, 0.9], drops=(1, 3))
    names = part_names(analysis)
    assert names.count("drop") == 2
    shifted = apply_corrections(analysis, Corrections(offset_ms=offset))
    assert part_names(shifted) == names
    # the drop itself stays where it sounds, and bars are counted as they are listed
    assert [moment.start for moment in shifted.moments] == [LENGTH, 3 * LENGTH]
    starts = {bar.number: bar.start for bar in song_bars(shifted)}
    parts = song_parts(shifted)
    assert [starts[part.first_bar] for part in parts[1:]] == pytest.approx([part.start for part in parts[1:]])
