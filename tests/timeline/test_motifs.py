"""A repeated section repeats its prompts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive import build_timeline
from reactive.audio.analysis import Analysis
from reactive.preset.schema import check_preset
from reactive.timeline.schedule import Motifs
from reactive.timeline.signals import returns_of
from reactive.timeline.timeline import Timeline
from tests.audio.test_parts import LENGTH, heard

FPS = Fraction(24)
LETTERS = "ABACB"


@pytest.fixture
def song() -> Analysis:
    """A song whose first two sections are repeated."""
    analysis = heard(LETTERS, [0.5] * 5)
    curve = np.ones(round(analysis.duration * analysis.envelope_rate), np.float32)
    names = ("rms", "low", "mid", "high", "centroid", "flux", "loudness")
    onsets = dict.fromkeys(("all", "low", "mid", "high"), analysis.onsets["all"])
    return replace(analysis, envelopes=dict.fromkeys(names, curve), onsets=onsets)


def timeline_of(analysis: Analysis, *, motifs: bool, count: int = 30, order: str = "shuffle") -> Timeline:
    prompts = [f"prompt {number}" for number in range(count)]
    phase = {"name": "all", "prompts": prompts, "order": order, "switch": {"every": "2 bars", "how": "cut"}}
    preset = check_preset({"version": 2, "title": "x", "motifs": motifs, "phase": [phase]}, where="x")
    return build_timeline(analysis, preset, samples=analysis.samples, fps=FPS, seed=1)


def in_section(timeline: Timeline, number: int) -> list[int]:
    """Return a section's prompts in order, from one second after its start."""
    here = timeline.columns["prompt_to"][int((number * LENGTH + 1) * 24) : int(((number + 1) * LENGTH - 1) * 24)]
    changes = [0, *(np.flatnonzero(np.diff(here)) + 1).tolist()]
    return here[changes].tolist()


def test_a_repeated_section_repeats_its_prompts(song: Analysis) -> None:
    made = timeline_of(song, motifs=True)
    first, second, again, other, back = (in_section(made, number) for number in range(5))
    assert len(first) > 2
    shortest = min(len(first), len(again))
    assert first[:shortest] == again[:shortest]
    shortest = min(len(second), len(back))
    assert second[:shortest] == back[:shortest]
    assert not set(first) & set(second)
    assert not set(other) & set(first + second)


def test_without_motifs_prompts_are_new(song: Analysis) -> None:
    made = timeline_of(song, motifs=False)
    assert not set(in_section(made, 0)) & set(in_section(made, 2))


def test_a_ladder_keeps_its_height(song: Analysis) -> None:
    plain, kept = (timeline_of(song, motifs=motifs, order="ladder") for motifs in (False, True))
    np.testing.assert_array_equal(plain.columns["prompt_to"], kept.columns["prompt_to"])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=60), st.text("AB", min_size=6, max_size=6))
def test_no_prompt_is_recalled_after_itself(visits: list[tuple[int, int]], labels: str) -> None:
    motifs = Motifs([float(number) for number in range(6)], labels)
    last, new = None, 0
    for phase, section in sorted(visits, key=lambda visit: visit[1]):
        prompt = motifs.recall(phase, section + 0.5, last)
        assert prompt is None or prompt != last
        if prompt is None:
            prompt, new = new, new + 1
            motifs.keep(phase, section + 0.5, prompt)
        last = prompt


def test_the_number_of_earlier_repetitions() -> None:
    np.testing.assert_allclose(returns_of("ABAACA"), [0, 0, 1 / 2, 1 / 2, 0, 2 / 3])
    assert returns_of("").shape == (0,)
