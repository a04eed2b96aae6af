"""Exports of a finished clip, read back."""

from __future__ import annotations

import json
import os
import stat
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageSequence

from reactive.cli import main
from reactive.media.loudness import song_loudness
from reactive.media.sound import open_track
from reactive.media.tags import RECIPE, XMP, read_tags
from reactive.video.codec import video_codec
from reactive.video.mark import xmp_packet
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder
from tests.toy import RATE, write_song

FPS = Fraction(24)
SIZE = (192, 108)
FRAMES, PERIOD = 168, 72
TAGS = {XMP: xmp_packet(), RECIPE: "{}"}


def scene(k: int) -> np.ndarray:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    angle = 2 * np.pi * k / PERIOD
    spot = np.exp(-((x - 96 - 60 * np.cos(angle)) ** 2 + (y - 54 - 30 * np.sin(angle)) ** 2) / 900)
    return np.stack([230 * spot, 200 * spot * (k > 100) + 20, 60 + 0 * spot], axis=2).astype(np.uint8)


def make(folder: Path, level: float, name: str = "clip") -> Path:
    t = np.arange(7 * RATE) / RATE
    sound = level * np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 660 * t)], axis=1)
    track = open_track(write_song(folder / f"{name}.wav", sound.astype(np.float32)))
    codec = video_codec("h264")
    with SegmentEncoder(folder / f"{name}.mkv", size=SIZE, fps=FPS, codec=codec) as encoder:
        for k in range(FRAMES):
            encoder.write(scene(k))
    out = folder / f"{name}.mp4"
    join(
        [(folder / f"{name}.mkv", FRAMES)],
        track,
        out,
        fps=FPS,
        container="mp4",
        codec=codec,
        sound=(0, track.samples),
        metadata={"title": "A song", "comment": "made with reactive", **TAGS},
    )
    return out


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip"), 0.5)


def export(*arguments: str) -> dict:
    done = CliRunner().invoke(main, ["export", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def packets(path: Path) -> list[tuple[int, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(round(p.pts * p.time_base * FPS), bytes(p)) for p in container.demux(stream) if p.size]


def test_stills_show_a_picture_of_the_clip(tmp_path: Path, clip: Path) -> None:
    made = export(str(clip), "--poster", str(tmp_path / "p.png"), "--thumbnail", str(tmp_path / "t.jpg"))
    frame = made["poster"]["frame"]
    # green increases over time, so later pictures are more colourful
    assert frame > 100
    with Image.open(tmp_path / "p.png") as poster:
        assert poster.size == SIZE
        assert np.abs(np.asarray(poster).astype(int) - scene(frame)).mean() < 4
    with Image.open(tmp_path / "t.jpg") as small:
        assert small.format == "JPEG"
        assert max(small.size) <= 320
    # every picture carries the marker of generative AI
    for name in ("p.png", "t.jpg"):
        assert b"trainedAlgorithmicMedia" in (tmp_path / name).read_bytes()


def test_a_loop_is_seamless(tmp_path: Path, clip: Path) -> None:
    made = export(str(clip), "--gif", str(tmp_path / "l.gif"), "--webp", str(tmp_path / "l.webp"))
    for name in ("gif", "webp"):
        with Image.open(tmp_path / f"l.{name}") as loop:
            assert loop.info["loop"] == 0
            shown, lengths = [], []
            for frame in ImageSequence.Iterator(loop):
                shown.append(np.asarray(frame.convert("RGB")).astype(int))
                lengths.append(frame.info["duration"])
        assert len(shown) == made[name]["frames"] == PERIOD // 2
        assert sum(lengths) == pytest.approx(3000, abs=10)
        steps = [np.abs(b - a).mean() for a, b in zip(shown, shown[1:], strict=False)]
        assert np.abs(shown[0] - shown[-1]).mean() <= 1.5 * max(steps)


@pytest.mark.parametrize("target", [-14.0, -23.0])
def test_sound_reaches_the_target_and_pictures_are_unchanged(tmp_path: Path, clip: Path, target: float) -> None:
    out = tmp_path / "neutral.mp4"
    made = export(str(clip), "--loudness", str(target), "-o", str(out))["output"]
    after = song_loudness(open_track(out))
    assert after.integrated == pytest.approx(target, abs=0.3)
    assert made["loudness"] == pytest.approx(after.integrated, abs=0.01)
    assert after.true_peak <= -1.0
    assert packets(out) == packets(clip)
    assert read_tags(out) == read_tags(clip) == TAGS
    with av.open(str(out)) as found, av.open(str(clip)) as given:
        assert found.metadata["title"] == "A song"
        assert found.metadata["comment"] == given.metadata["comment"]
        assert float(found.duration - given.duration) / av.time_base == pytest.approx(0, abs=0.03)


def test_peaks_limit_the_gain(tmp_path: Path) -> None:
    quiet = make(tmp_path, 0.9, "loud")
    made = export(str(quiet), "--loudness", "-5", "-o", str(tmp_path / "out.mp4"))["output"]
    assert made["true_peak"] <= -1.0
    assert made["loudness"] < -4.5


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "nothing is asked for"),
        (["--poster", "p.bmp"], "p.bmp"),
        (["--gif", "l.webp"], "l.webp"),
        (["--loudness", "-14"], "-o goes with --loop, --max-size, --alpha, --loudness"),
        (["--loudness", "-14", "-o", "x.mkv"], "named with .mp4"),
        (["--poster", "a.jpg", "--thumbnail", "a.jpg"], "twice"),
        (["--poster", "CLIP"], "made from"),
    ],
)
def test_errors_are_one_line_and_leave_no_files(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(clip) if argument == "CLIP" else argument for argument in arguments]
    done = CliRunner().invoke(main, ["export", str(clip), *given])
    assert done.exit_code == 1
    assert word in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept_unless_overwrite(tmp_path: Path, clip: Path) -> None:
    poster = tmp_path / "p.jpg"
    poster.write_bytes(b"precious")
    assert CliRunner().invoke(main, ["export", str(clip), "--poster", str(poster)]).exit_code == 1
    assert poster.read_bytes() == b"precious"
    export(str(clip), "--poster", str(poster), "--overwrite")
    assert poster.read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_what_is_exported_has_the_mode_of_the_umask(tmp_path: Path, clip: Path) -> None:
    before = os.umask(0o027)
    try:
        stills = ("--poster", "p.png", "--thumbnail", "t.jpg", "--gif", "l.gif", "--webp", "l.webp")
        export(str(clip), *(str(tmp_path / name) if "." in name else name for name in stills))
        for option, value, name in (
            ("--loudness", "-20", "loud.mp4"),
            ("--loop", "1", "loop.mp4"),
            ("--max-size", "1MB", "small.mp4"),
        ):
            export(str(clip), option, value, "-o", str(tmp_path / name))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 7
    assert set(modes.values()) == {0o640}, modes
