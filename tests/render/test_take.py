"""Rendering a take: live changes are in the finished clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from reactive import Settings, make_clip, open_track
from reactive.render.take import Take, load_take, save_take
from reactive.timeline.perform import Change
from tests.render.test_run import pictures

PRESET = 'version = 2\ntitle = "T"\n[[phase]]\nname = "one"\nprompts = ["a sea", "a tree"]\n'


def test_a_take_is_rendered_with_its_blackout(tmp_path: Path, toy_model: Path, beat_wav: Path) -> None:
    changes = (Change(0.5, "control", "walk", 3.0), Change(1.0, "black", value=1.0))
    take = Take(open_track(beat_wav).sha256, Fraction(12), 4, (), "p", {"p": PRESET}, changes)
    save_take(take, tmp_path / "song.take.json")
    assert load_take(tmp_path / "song.take.json") == take
    clip = make_clip(
        beat_wav,
        tmp_path / "clip.mkv",
        Settings.of(model=str(toy_model), steps=1, codec="ffv1", duration=1.5, take=tmp_path / "song.take.json"),
    )
    shown = pictures(clip.output)
    assert len(shown) == 18
    assert shown[:12].max() > 60
    assert shown[12:].max() <= 2
