"""Messages for photographs given to a preset without a place for them, and for missing photographs."""

from __future__ import annotations

from typing import Any

from reactive.preset.library import get_preset, shipped_names
from reactive.preset.photographs import fed_phases, source_notes, taking_photographs
from reactive.preset.schema import Preset, check_preset


def preset(*phases: dict[str, Any], **more: Any) -> Preset:
    made = [{"name": f"p{i}", "prompts": ["a sea"], **phase} for i, phase in enumerate(phases)]
    return check_preset({"version": 2, "title": "Made", "phase": made, **more}, where="x")


def test_every_bundled_preset_uses_photographs() -> None:
    assert set(taking_photographs()) >= set(shipped_names())
    assert all(len(fed_phases(made)) == len(made.phase) for made in map(get_preset, shipped_names()))


def test_the_message_of_a_preset_without_photographs() -> None:
    for painted in (preset({}), preset({}, ground={"show": ["library:tower"], "own": False})):
        assert source_notes(painted, photos=0, videos=0) == []
        (said,) = source_notes(painted, photos=1, videos=0)
        assert "double-exposure" in said
        assert "photographs" in said
        (said,) = source_notes(painted, photos=0, videos=1)
        assert "videos" in said


def test_the_message_without_photographs() -> None:
    some = preset({"mode": "photo"}, {}, {"mode": "video"})
    assert source_notes(some, photos=2, videos=0) == []
    assert source_notes(some, photos=0, videos=1) == []
    (said,) = source_notes(some, photos=0, videos=0)
    assert "--photo" in said
    assert all(name in said for name in ("p0", "p2"))
    # the bundled library replaces them
    assert source_notes(preset({"mode": "photo"}, ground={"show": ["match"]}), photos=0, videos=0) == []
