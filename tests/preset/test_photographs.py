"""Who gives photographs to a preset that takes none is told which do; who gives none to one that wants some, too."""

from __future__ import annotations

from reactive.preset.library import get_preset, shipped_names
from reactive.preset.photographs import fed_phases, source_notes, taking_photographs


def test_presets_that_take_photographs_are_those_with_such_phases() -> None:
    found = taking_photographs()
    assert "double-exposure" in found
    assert "warehouse" not in found
    assert set(found) >= {name for name in shipped_names() if fed_phases(get_preset(name))}


def test_what_is_said() -> None:
    none, some = get_preset("warehouse"), get_preset("double-exposure")
    assert source_notes(none, photos=0, videos=0) == []
    assert source_notes(some, photos=2, videos=0) == []
    assert source_notes(some, photos=0, videos=1) == []
    (said,) = source_notes(none, photos=1, videos=0)
    assert "double-exposure" in said
    assert "photographs" in said
    (said,) = source_notes(none, photos=0, videos=1)
    assert "videos" in said
    (said,) = source_notes(some, photos=0, videos=0)
    assert "--photo" in said
    assert all(name in said for name in fed_phases(some))
