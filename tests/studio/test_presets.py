"""What the page says of presets: how strongly they show photographs of one's own."""

from __future__ import annotations

import pytest

from reactive.preset.library import open_preset
from reactive.preset.schema import parse_preset
from reactive.studio.presets import photographs_shown, presets_for_page

HEAD = """
version = 2
title = "A"
description = "b"
author = "c"
licence = "CC0-1.0"
[[macro]]
name = "show"
default = 0.2
description = "how much of a photograph is seen"
"""
PHASE = '[[phase]]\nname = "p"\nbars = [1, 4]\nprompts = ["the sea"]\n'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('[ground]\nshow = ["match"]\ndetail = "0.7 + 0.3 * decay(kick, 0.3)"\n' + PHASE, "strong"),
        ('[ground]\nshow = ["match"]\ndetail = "max(0.1, 0.8 * loudness)"\n' + PHASE, "half hidden"),
        ('[ground]\nshow = ["match"]\ndetail = "macro.show / 2"\n' + PHASE, "faint"),
        ('[ground]\nshow = ["match"]\nown = false\n' + PHASE, ""),
        (PHASE, ""),
        # a photograph that is imagined anew by nine tenths
        (PHASE + 'mode = "photo"\nstrength = "0.9"\n', "faint"),
        (PHASE + 'mode = "photo"\nstrength = "0.1"\n', "strong"),
    ],
)
def test_how_strongly_photographs_show_is_read_from_the_preset(text: str, shown: str) -> None:
    assert photographs_shown(parse_preset(HEAD + text, where="a preset")) == shown


def test_every_shipped_preset_that_takes_photographs_says_how_strongly() -> None:
    for facts in presets_for_page():
        if facts["ships"]:
            assert bool(facts["photographs"]) == facts["own"], facts["name"]
    assert photographs_shown(open_preset("forge").preset)
