"""A song's captions, and the pass that draws them over the segments of a clip."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactive import build_timeline
from reactive.errors import MediaError, PresetError
from reactive.media.video import rgb_pairs
from reactive.preset.lyrics import Line
from reactive.preset.schema import Overlay, check_preset
from reactive.render.assemble import title_notes
from reactive.render.inputs import RenderInputs
from reactive.render.overlay import load_font, make_marks, overlay_pieces
from reactive.render.settings import Settings
from reactive.timeline.captions import Caption, captions_of
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder

FPS = Fraction(24)
SIZE = (160, 90)


def preset(**overlay):
    data = {"version": 2, "title": "x", "overlay": overlay, "phase": [{"name": "one", "prompts": ["sea"]}]}
    return check_preset(data, where="my.toml")


def captions(analysis, title: str = "", lyrics: tuple[Line, ...] = (), **overlay) -> list[Caption]:
    made = preset(**overlay)
    timeline = build_timeline(analysis, made, samples=16 * 44_100, fps=FPS, seed=0)
    return captions_of(made.overlay, timeline, analysis, title=title, lyrics=lyrics)


def test_titles_stand_at_their_places(beat_analysis) -> None:
    assert captions(beat_analysis) == []
    assert captions(beat_analysis, title="First Light")[0].text == "First Light"
    titles = [
        {"text": "{title}, live"},
        {"text": "the end", "at": "last section", "hold": "section"},
        {"text": "no", "at": "drop 9"},
    ]
    made = preset(title=titles)
    timeline = build_timeline(beat_analysis, made, samples=16 * 44_100, fps=FPS, seed=0)
    found = captions_of(made.overlay, timeline, beat_analysis, title="Light")
    assert [caption.text for caption in found] == ["Light, live", "the end"]
    assert found[0].end == pytest.approx(8, abs=0.1)
    assert found[1].start == pytest.approx(beat_analysis.sections[-1].start)
    assert found[1].end == pytest.approx(16)


def test_lines_show_only_on_request_and_for_a_limited_time(beat_analysis) -> None:
    lines = (Line(1.0, 2.5, "one"), Line(3.0, float("inf"), "two"), Line(99.0, 100.0, "never"))
    assert captions(beat_analysis, lyrics=lines) == []
    made = preset(lyrics=True)
    timeline = build_timeline(beat_analysis, made, samples=16 * 44_100, fps=FPS, seed=0)
    found = captions_of(made.overlay, timeline, beat_analysis, lyrics=lines)
    assert [(caption.text, caption.start, caption.end) for caption in found] == [("one", 1.0, 2.5), ("two", 3.0, 11.0)]


@pytest.mark.parametrize(
    ("overlay", "word"),
    [
        ({"font": "../x.ttf"}, "plain file name"),
        ({"colour": "red"}, "overlay.colour"),
        ({"title": [{"text": "x", "at": "dorp"}]}, "Did you mean drop"),
        ({"titel": []}, "Did you mean title"),
        ({"logo_place": "middle"}, "overlay.logo_place"),
    ],
)
def test_errors_are_named(overlay: dict, word: str) -> None:
    with pytest.raises(PresetError, match=word):
        preset(**overlay)


def test_only_segments_with_captions_change(tmp_path: Path) -> None:
    codec = video_codec("ffv1", speed="veryfast", crf=18)
    pieces = []
    for number in range(3):
        path = tmp_path / f"{number}.mkv"
        with SegmentEncoder(path, size=SIZE, fps=FPS, codec=codec) as encoder:
            for _ in range(24):
                encoder.write(np.full((90, 160, 3), 60, np.uint8))
        pieces.append((path, 24))
    marks = make_marks(
        Overlay(), [Caption(5.25, 5.75, "HELLO", "centre", 0.3)], font=None, logo=None, fps=FPS, frames=9999, size=SIZE
    )
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in pieces]
    # the first segment starts with frame 96: the text covers frames 126 to 138, in the second segment
    made = overlay_pieces(pieces, marks, first=96, fps=FPS, size=SIZE, codec=codec)
    assert [path for path, _ in made] == [pieces[0][0], tmp_path / "1.over.mkv", pieces[2][0]]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in pieces] == before
    bright = [int(picture.max()) for picture, _ in rgb_pairs(made[1][0], size=(16, 9))]
    assert len(bright) == 24
    assert all(value < 70 for value in bright[:6] + bright[18:])
    assert max(bright[6:18]) > 150
    assert bright[6] < max(bright)


def test_a_logo_is_shown_in_every_frame(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 20), (0, 255, 0, 255)).save(tmp_path / "logo.png")
    overlay = Overlay(logo_strength=1.0, logo_size=0.2)
    (mark,) = make_marks(overlay, [], font=None, logo=tmp_path / "logo.png", fps=FPS, frames=50, size=SIZE)
    assert [mark.share(frame) for frame in (0, 25, 49, 50)] == [1, 1, 1, 0]
    (tmp_path / "fake.png").write_text("not a picture")
    with pytest.raises(MediaError, match=r"fake\.png"):
        make_marks(overlay, [], font=None, logo=tmp_path / "fake.png", fps=FPS, frames=50, size=SIZE)


def test_a_file_that_is_not_a_font_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.ttf").write_text("not a font")
    with pytest.raises(MediaError, match="not a font"):
        load_font(tmp_path / "bad.ttf", 20)
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    assert load_font(font, 30).getlength("abc") > load_font(font, 15).getlength("abc") > 0


def test_a_title_outside_the_clip_is_reported(beat_analysis, beat_timeline) -> None:
    titled = Settings.of(title="First Light")

    def said(settings: Settings, first: int, last: int) -> list[str]:
        return title_notes(settings, RenderInputs(None, None, None, ()), beat_timeline, beat_analysis, (first, last))

    assert said(titled, 0, 24) == []
    assert said(Settings(), 300, 320) == []
    (note,) = said(titled, 300, 320)
    assert "--title" in note
    assert "12.5 to 13.3 s" in note
    (note,) = title_notes(titled, RenderInputs(None, None, None, ()), beat_timeline, None, (0, 24))
    assert "--title" in note
