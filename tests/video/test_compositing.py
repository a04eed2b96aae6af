"""What compositing programs get: PNG and EXR sequences, ProRes 4444 and VP9 with alpha, and thumbnails with a title."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive.cli import main
from reactive.media.sound import open_track
from reactive.media.tags import XMP, read_tags
from reactive.video.codec import video_codec
from reactive.video.mark import xmp_packet
from reactive.video.matte import luminance_matte
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from reactive.video.sequence import linear_light
from reactive.video.thumbnail import titled
from tests.toy import RATE, write_song

SIZE, FRAMES, FPS = (96, 64), 6, Fraction(24)


def scene(k: int) -> np.ndarray:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    spot = np.clip(1 - np.hypot(x - 20 - 8 * k, y - 32) / 30, 0, 1)
    return np.stack([250 * spot, 120 * spot, 30 * spot + 0 * x], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless clip with sound."""
    folder = tmp_path_factory.mktemp("master")
    t = np.arange(round(RATE * FRAMES / 24)) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    track = open_track(write_song(folder / "s.wav", np.stack([tone, tone], axis=1)))
    codec = video_codec("ffv1")
    with SegmentEncoder(folder / "piece.mkv", size=SIZE, fps=FPS, codec=codec) as encoder:
        for k in range(FRAMES):
            encoder.write(scene(k))
    join(
        [(folder / "piece.mkv", FRAMES)],
        track,
        folder / "clip.mkv",
        fps=FPS,
        container="matroska",
        codec=codec,
        sound=(0, track.samples),
        metadata={XMP: xmp_packet()},
    )
    return folder / "clip.mkv"


def export(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["export", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_png_sequence_of_a_master_has_the_very_pictures(tmp_path: Path, master: Path) -> None:
    made = export(master, "--frames", tmp_path / "frames")
    files = sorted((tmp_path / "frames").iterdir())
    assert made["frames"]["count"] == len(files) == FRAMES
    assert files[0].name == "clip.000000.png"
    for k, file in enumerate(files):
        with Image.open(file) as picture:
            assert np.array_equal(np.asarray(picture), scene(k))


def test_an_exr_sequence_has_linear_light_in_half_floats(tmp_path: Path, master: Path) -> None:
    export(master, "--frames", tmp_path / "frames", "--frames-as", "exr")
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.suffix for file in files] == [".exr"] * FRAMES
    with av.open(str(files[3])) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "gbrpf16le"
        planes = [np.frombuffer(plane, np.float16).reshape(SIZE[1], -1)[:, : SIZE[0]] for plane in frame.planes]
    read = np.stack([planes[2], planes[0], planes[1]], axis=2).astype(np.float32)
    assert np.abs(read - linear_light(scene(3))).max() < 1e-3
    # half of full light in sRGB is a fifth of it in linear light
    assert linear_light(np.uint8([[[188, 0, 255]]]))[0, 0] == pytest.approx([0.5, 0, 1], abs=0.005)


def test_a_sequence_replaces_only_a_sequence(tmp_path: Path, master: Path) -> None:
    folder = tmp_path / "frames"
    export(master, "--frames", folder)
    again = CliRunner().invoke(main, ["export", str(master), "--frames", str(folder)])
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    export(master, "--frames", folder, "--frames-as", "exr", "--overwrite")
    assert {file.suffix for file in folder.iterdir()} == {".exr"}
    (folder / "diary.txt").write_text("dear")
    refused = CliRunner().invoke(main, ["export", str(master), "--frames", str(folder), "--overwrite"])
    assert refused.exit_code == 1
    assert "diary.txt" in refused.stderr
    assert (folder / "diary.txt").read_text() == "dear"
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]


def test_a_matte_over_black_is_the_picture() -> None:
    random = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    random[0] = 0
    matte = luminance_matte(random).astype(float)
    over_black = matte[..., :3] * matte[..., 3:] / 255
    assert np.abs(over_black - random).max() <= 1
    assert (matte[0, :, 3] == 0).all()


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # FFmpeg's own decoder of VP9 knows no alpha
        decoder = av.CodecContext.create("libvpx-vp9", "r") if path.suffix == ".webm" else stream.codec_context
        frames = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        return [frame.to_ndarray(format="rgba") for frame in frames]


@pytest.mark.parametrize(("suffix", "codec", "pixels"), [(".mov", "prores", "yuva444p"), (".webm", "vp9", "yuv420p")])
def test_a_clip_with_alpha_is_read_back(tmp_path: Path, master: Path, suffix: str, codec: str, pixels: str) -> None:
    out = tmp_path / f"out{suffix}"
    made = export(master, "--alpha", "-o", out)
    assert made["output"]["frames"] == FRAMES
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.startswith(codec)
        assert str(stream.codec_context.pix_fmt).startswith(pixels)
        assert stream.average_rate == FPS
        assert len(container.streams.audio) == 1
        if suffix == ".webm":
            assert {name.lower() for name in stream.metadata} >= {"alpha_mode"}
    frames = decoded(out)
    assert len(frames) == FRAMES
    for k, frame in enumerate(frames):
        shown = frame[..., :3].astype(float) * frame[..., 3:] / 255
        assert np.abs(shown - scene(k)).mean() < 4
    if suffix == ".mov":
        assert XMP in read_tags(out) or XMP not in read_tags(master)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--alpha", "-o", "x.mp4"], ".mov"),
        (["--alpha", "--loop", "1", "-o", "x.mov"], "--loop"),
        (["--title", "A"], "--thumbnail"),
        (["--alpha"], "-o goes with"),
    ],
)
def test_what_does_not_go_together_is_one_line(master: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["export", str(master), *arguments])
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("title", ["Sea", "A song with a rather long name about the morning", "W" * 60, "朝の光"])
def test_a_title_stands_within_the_picture(title: str) -> None:
    grey = np.full((180, 320, 3), 128, np.uint8)
    picture = titled(grey, title)
    assert picture.shape == grey.shape
    bright = picture.min(axis=2) > 200
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    assert len(rows) > 4
    assert rows.min() >= 60
    assert rows.max() < 178
    assert columns.min() > 0
    assert columns.max() < 319


def test_a_thumbnail_gets_the_title(tmp_path: Path, master: Path) -> None:
    export(master, "--thumbnail", tmp_path / "plain.png")
    export(master, "--thumbnail", tmp_path / "titled.png", "--title", "Sea")
    plain, marked = (np.asarray(Image.open(tmp_path / name), int) for name in ("plain.png", "titled.png"))
    assert (np.abs(plain - marked).max(axis=2) > 60).sum() > 20
