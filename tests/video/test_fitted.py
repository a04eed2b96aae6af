"""Clips reduced below a file size: read back, with the same frames, sound and tags."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive.errors import OutputError
from reactive.media.sound import open_track
from reactive.media.tags import RECIPE, XMP, read_tags
from reactive.video.codec import video_codec
from reactive.video.fitted import fit_size, parse_bytes
from reactive.video.mark import xmp_packet
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from tests.toy import beat_song, write_song

FPS, SIZE, FRAMES = Fraction(24000, 1001), (160, 90), 72


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of noise, which needs many bits."""
    folder = tmp_path_factory.mktemp("fitted")
    track = open_track(write_song(folder / "song.wav", beat_song(3)))
    codec, random = video_codec("h264"), np.random.default_rng(3)
    with SegmentEncoder(folder / "piece.mkv", size=SIZE, fps=FPS, codec=codec) as encoder:
        for _ in range(FRAMES):
            encoder.write(random.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
    join(
        [(folder / "piece.mkv", FRAMES)],
        track,
        folder / "clip.mp4",
        fps=FPS,
        container="mp4",
        codec=codec,
        sound=(0, track.samples),
        metadata={"title": "A song", XMP: xmp_packet(), RECIPE: "{}"},
    )
    return folder / "clip.mp4"


def seen(path: Path) -> tuple[list[Fraction], list[Fraction], str]:
    with av.open(str(path)) as container:
        shown = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        heard = [p.pts * p.time_base for p in container.demux(audio=0) if p.size]
        return shown, heard, container.metadata.get("title", "")


def test_it_stays_below_the_size_and_keeps_everything_else(clip: Path, tmp_path: Path) -> None:
    limit = clip.stat().st_size // 2
    made = fit_size(clip, tmp_path / "small.mp4", limit)
    assert limit * 0.75 < (tmp_path / "small.mp4").stat().st_size == made.after <= limit
    assert made.passes >= 2
    assert seen(tmp_path / "small.mp4") == seen(clip)
    assert read_tags(tmp_path / "small.mp4") == read_tags(clip)
    assert [path.name for path in tmp_path.iterdir()] == ["small.mp4"]


def test_a_small_enough_clip_is_copied(clip: Path, tmp_path: Path) -> None:
    made = fit_size(clip, tmp_path / "same.mp4", clip.stat().st_size)
    assert made.passes == 0
    assert (tmp_path / "same.mp4").read_bytes() == clip.read_bytes()


def test_a_too_small_size_is_refused_without_files(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too little"):
        fit_size(clip, tmp_path / "small.mp4", 20_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "size"), [("100MB", 100_000_000), ("8 MiB", 8 * 1024**2), ("1.5gb", 1_500_000_000)])
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "100", "MB", "-5MB", "1e9MB", "0MB", "5 TB"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(OutputError, match="is no size"):
        parse_bytes(text)
