"""TF32 as reported by `doctor`."""

from __future__ import annotations

import pytest

from reactive.doctor import tf32


@pytest.mark.parametrize(
    ("hip", "major", "word"),
    # the "capability" of an AMD card counts AMD's own generations: 9.4 is an MI300
    [
        (None, 8, "on for"),
        (None, 9, "on for"),
        (None, 7, "none: it needs"),
        ("6.4", 9, "none: it is a format of NVIDIA's"),
    ],
)
def test_tf32_depends_on_vendor_and_generation(hip: str | None, major: int, word: str) -> None:
    assert tf32(hip, major).startswith(word)
