"""Sizes and plans."""

from __future__ import annotations

import numpy as np
import pytest

from reactive.errors import OutputError
from reactive.render.plan import make_plan
from reactive.render.sizes import imagine_size, output_size, parse_size
from reactive.timeline.timeline import FEEDBACK


def test_sizes_are_parsed_or_refused() -> None:
    assert parse_size("1280x720", "--size") == (1280, 720)
    for text in ("1280", "0x0", "axb", "99999x2", "-16x16", "1281x720"):
        with pytest.raises(OutputError, match="--size"):
            parse_size(text, "--size")


@pytest.mark.parametrize(
    ("native", "shape", "imagined", "clip"),
    [
        ((384, 224), (16, 9), (384, 224), (768, 432)),
        ((384, 224), (1080, 1920), (224, 384), (432, 768)),
        ((512, 512), (16, 9), (704, 384), (672, 378)),
        ((512, 512), (1080, 1080), (512, 512), (1024, 1024)),
        ((1024, 1024), (1920, 1080), (1344, 768), (1344, 756)),
    ],
)
def test_the_model_works_near_its_native_size(native, shape, imagined, clip) -> None:
    assert imagine_size(native, shape) == imagined
    assert output_size(imagined) == clip


def test_larger_pictures_make_larger_clips() -> None:
    assert output_size((384, 224), upscale=2) == (768, 432)
    assert output_size((384, 224), upscale=4) == (1536, 864)
    assert output_size((1344, 768), upscale=4) == (5376, 3024)
    with pytest.raises(OutputError, match="--upscale"):
        output_size((2560, 1440), upscale=4)


@pytest.mark.parametrize(("first", "last"), [(0, 384), (37, 300), (380, 384)])
def test_a_plan_covers_each_frame_once(beat_timeline, first: int, last: int) -> None:
    plan = make_plan(beat_timeline, first=first, last=last)
    covered = [frame for segment in plan.segments for frame in range(segment.start, segment.stop)]
    assert covered == list(range(first, last))
    shot = beat_timeline.columns["shot"]
    for segment in plan.segments:
        assert segment.stop - segment.start <= 96
        assert len(set(shot[segment.start : segment.stop])) == 1
    source = beat_timeline.columns["source"]
    assert np.all(source[plan.independent] != FEEDBACK)
    fed_back = {frame for a, b in plan.shots for frame in range(a, b)}
    assert fed_back >= {f for f in range(first, last) if source[f] == FEEDBACK}
