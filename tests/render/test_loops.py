"""Loops of complete bars, read back: length, silence, and a seamless joint."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive.audio.grid import grid_of
from reactive.audio.hear import hear
from reactive.errors import OutputError
from reactive.media.sound import open_track
from reactive.media.tags import XMP, read_tags
from reactive.render.export import ExportOptions, export_clip
from reactive.render.loops import parse_bars
from reactive.timeline.clock import nearest_frames
from reactive.video.codec import video_codec
from reactive.video.mark import xmp_packet
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from tests.toy import beat_song, write_song

FPS, SIZE, SECONDS = Fraction(24), (96, 54), 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of clear bars, under a bright bar that moves from left to right and never repeats."""
    folder = tmp_path_factory.mktemp("loop")
    track = open_track(write_song(folder / "song.wav", beat_song(SECONDS)))
    codec, frames = video_codec("h264"), int(SECONDS * FPS)
    with SegmentEncoder(folder / "piece.mkv", size=SIZE, fps=FPS, codec=codec) as encoder:
        for k in range(frames):
            picture = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
            picture[:, k * SIZE[0] // frames :, :] = 200
            encoder.write(picture)
    join(
        [(folder / "piece.mkv", frames)],
        track,
        folder / "clip.mp4",
        fps=FPS,
        container="mp4",
        codec=codec,
        sound=(0, track.samples),
        metadata={XMP: xmp_packet()},
    )
    return folder / "clip.mp4"


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert not container.streams.audio
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


@pytest.mark.parametrize("bars", ["2-3", "1-2", "1"])
def test_bars_loop_without_a_jump(clip: Path, tmp_path: Path, bars: str) -> None:
    out = tmp_path / "loop.mp4"
    made = export_clip(clip, ExportOptions(loop=bars, output=out))["loop"]
    assert isinstance(made, dict)
    found = pictures(out)
    first, last = (int(part) for part in str(made["bars"]).split("-"))
    edges = nearest_frames(grid_of(hear(clip).analysis).bars, FPS)
    edges = edges[edges >= 0]
    assert len(found) == edges[last] - edges[first - 1] == made["frames"]
    inside = np.abs(np.diff(found, axis=0)).mean(axis=(1, 2, 3)).max()
    joint = np.abs(found[0] - found[-1]).mean()
    assert joint < max(inside, 8) * 1.5
    assert read_tags(out)[XMP] == xmp_packet()
    assert not list(tmp_path.glob(".*"))


def test_bars_outside_the_song_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="whole bars"):
        export_clip(clip, ExportOptions(loop="90-95", output=tmp_path / "loop.mp4"))
    with pytest.raises(OutputError, match=r"\.mp4"):
        export_clip(clip, ExportOptions(loop="1", output=tmp_path / "loop.gif"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "0", "5-2", "a", "3-", "-4", "0-4"])
def test_invalid_ranges_of_bars_are_refused(text: str) -> None:
    with pytest.raises(OutputError, match="names no bars"):
        parse_bars(text)
