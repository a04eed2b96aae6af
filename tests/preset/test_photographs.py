"""Who gives photographs to a preset that takes none is told which do; who gives none to one that wants some, too."""

from __future__ import annotations

from typing import Any

from reactive.preset.library import get_preset, shipped_names
from reactive.preset.photographs import fed_phases, source_notes, taking_photographs
from reactive.preset.schema import Preset, check_preset


def preset(*phases: dict[str, Any], **more: Any) -> Preset:
    made = [{"name": f"p{i}", "prompts": ["a sea"], **phase} for i, phase in enumerate(phases)]
    return check_preset({"version": 2, "title": "Made", "phase": made, **more}, where="x")


def test_every_preset_that_ships_takes_photographs() -> None:
    assert set(taking_photographs()) >= set(shipped_names())
    assert all(len(fed_phases(made)) == len(made.phase) for made in map(get_preset, shipped_names()))


def test_what_is_said_to_one_that_takes_none() -> None:
    for painted in (preset({}), preset({}, ground={"show": ["library:tower"], "own": False})):
        assert source_notes(painted, photos=0, videos=0) == []
        (said,) = source_notes(painted, photos=1, videos=0)
        assert "double-exposure" in said
        assert "photographs" in said
        (said,) = source_notes(painted, photos=0, videos=1)
        assert "videos" in said


def test_what_is_said_where_none_are_given() -> None:
    some = preset({"mode": "photo"}, {}, {"mode": "video"})
    assert source_notes(some, photos=2, videos=0) == []
    assert source_notes(some, photos=0, videos=1) == []
    (said,) = source_notes(some, photos=0, videos=0)
    assert "--photo" in said
    assert all(name in said for name in ("p0", "p2"))
    # a library stands in for them
    assert source_notes(preset({"mode": "photo"}, ground={"show": ["match"]}), photos=0, videos=0) == []
