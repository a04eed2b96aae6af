"""Encoded files read back and compared: rate, length, colours and sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive import Settings, make_clip
from reactive.errors import OutputError
from reactive.media.sound import blocks, open_track
from reactive.video.codec import container_format, video_codec
from reactive.video.mux import aac_rate, encode_sound, join
from reactive.video.nvenc import check_encoder, nvenc_problem
from reactive.video.segment import SegmentEncoder, crop_to
from tests.media.test_sound import CLAP, clap_song, encode, first_loud
from tests.toy import RATE, write_song

COLOURS = [(235, 30, 30), (30, 200, 40), (40, 60, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0), (250, 200, 40)]


def write_clip(
    folder: Path,
    song: Path,
    *,
    fps: Fraction,
    frames: list[int],
    kind: str = "h264",
    name: str = "clip.mp4",
    crf: int = 18,
) -> Path:
    """Write a clip of segments with the given numbers of frames; frame k has colour k."""
    track = open_track(song)
    codec = video_codec(kind, crf=crf)
    pieces, shown = [], 0
    for number, count in enumerate(frames):
        path = folder / f"{number}.mkv"
        with SegmentEncoder(path, size=(128, 72), fps=fps, codec=codec) as encoder:
            for _ in range(count):
                encoder.write(np.full((72, 128, 3), COLOURS[shown % len(COLOURS)], np.uint8))
                shown += 1
        pieces.append((path, count))
    out = folder / name
    join(pieces, track, out, fps=fps, container=container_format(out, kind), codec=codec, sound=(0, track.samples))
    return out


def decoded(path: Path) -> tuple[list[Fraction], np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = [(frame.pts * stream.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    return [time for time, _ in shown], np.stack([picture for _, picture in shown])


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_song(tmp_path / "song.wav", clap_song())


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(7500, 133)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv"])
def test_time_stamps_are_exact_and_continuous_over_segments(
    tmp_path: Path, song: Path, fps: Fraction, name: str
) -> None:
    frames = -(-3 * fps.numerator // fps.denominator)
    path = write_clip(tmp_path, song, fps=fps, frames=[20, 1, 7, frames - 28], name=name)
    times, _ = decoded(path)
    assert len(times) == frames
    assert times[0] == 0
    # Matroska keeps milliseconds, the others exact fractions
    allowed = Fraction(1, 1000) if name.endswith("mkv") else Fraction(1, 20_000)
    assert all(abs(time - k / fps) <= allowed for k, time in enumerate(times))
    with av.open(str(path)) as container:
        sound = sum(frame.samples for frame in container.decode(container.streams.audio[0])) / RATE
        assert container.streams.audio[0].layout.name == "stereo"
        # the decoder may return the last, padded frame of 1024 samples
        assert abs(sound - 3.0) <= max(float(1 / fps), 1024 / RATE)
        assert container.duration / 1_000_000 == pytest.approx(3.0, abs=1.01 * max(float(1 / fps), 1024 / RATE))


def test_colours_are_bt709_converted_and_tagged(tmp_path: Path, song: Path) -> None:
    path = write_clip(tmp_path, song, fps=Fraction(24), frames=[36, 36], crf=1)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1
        assert context.pix_fmt == "yuv420p"
        frame = next(container.decode(stream))
        planes = [frame.to_ndarray()[:72].mean(), frame.to_ndarray()[72:90].mean(), frame.to_ndarray()[90:].mean()]
    red, green, blue = (value / 255 for value in COLOURS[0])
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    assert planes == pytest.approx(expected, abs=1.5)
    _, pictures = decoded(path)
    for k, colour in enumerate(COLOURS):
        assert np.abs(pictures[k].reshape(-1, 3).mean(axis=0) - colour).max() < 4, k


def test_lossless_is_lossless(tmp_path: Path, song: Path) -> None:
    path = write_clip(tmp_path, song, fps=Fraction(24), frames=[40, 32], kind="ffv1", name="clip.mkv")
    _, pictures = decoded(path)
    assert all((pictures[k] == COLOURS[k % len(COLOURS)]).all() for k in range(72))


def test_prores_needs_mov(tmp_path: Path, song: Path) -> None:
    path = write_clip(tmp_path, song, fps=Fraction(25), frames=[75], kind="prores", name="clip.mov")
    _, pictures = decoded(path)
    assert len(pictures) == 75
    assert np.abs(pictures[2].reshape(-1, 3).mean(axis=0) - COLOURS[2]).max() < 6
    with pytest.raises(OutputError, match="prores"):
        container_format(Path("clip.mp4"), "prores")


@pytest.mark.parametrize("name", ["clap.wav", "clap.mp3", "clap.m4a", "clap.ogg"])
def test_a_clap_keeps_its_time_in_the_finished_clip(tmp_path: Path, name: str) -> None:
    codec = {"mp3": "libmp3lame", "m4a": "aac"}.get(name.split(".")[1])
    given = encode(tmp_path / name, clap_song(), codec) if codec else write_song(tmp_path / name, clap_song())
    track = open_track(given)
    truth = first_loud(np.concatenate(list(blocks(track))), track.sample_rate)
    clip = open_track(write_clip(tmp_path, given, fps=Fraction(24), frames=[72]))
    found = first_loud(np.concatenate(list(blocks(clip))), clip.sample_rate)
    assert abs(found - truth) < 0.001
    assert abs(found - CLAP) < 0.0015


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_sound_of_any_sample_rate_is_in_sync(tmp_path: Path, rate: int) -> None:
    given = write_song(tmp_path / "song.wav", clap_song(rate), rate)
    clip = open_track(write_clip(tmp_path, given, fps=Fraction(24), frames=[72]))
    found = first_loud(np.concatenate(list(blocks(clip))), clip.sample_rate)
    assert abs(found - CLAP) < 0.0015


def test_joined_segments_have_the_same_packets_whenever_made(tmp_path: Path, song: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(write_clip(tmp_path / name, song, fps=Fraction(24), frames=[30, 42]))
    packets = []
    for path in paths:
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(container.streams.video[0])])
    assert packets[0] == packets[1]


@pytest.mark.parametrize("size", [(432, 768), (426, 240), (720, 1280)])
def test_the_same_pictures_give_the_same_bytes_whatever_was_in_memory(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    small = rng.integers(0, 256, (8, 16, 16, 3), np.uint8)
    pictures = [np.kron(picture, np.ones((14, 14, 1), np.uint8)) for picture in small]
    found = set()
    for number in range(3):
        # freed memory is the initial content of an encoder's buffers
        litter = [bytes([value]) * 300_000 for value in rng.integers(0, 256, 40)]
        del litter
        path = tmp_path / f"{number}.mkv"
        with SegmentEncoder(path, size=size, fps=Fraction(24), codec=video_codec("h264")) as encoder:
            for frame in range(24):
                encoder.write(np.roll(pictures[frame // 3], 5 * frame, axis=1))
        with av.open(str(path)) as container:
            found.add(b"".join(bytes(packet) for packet in container.demux(container.streams.video[0])))
    assert len(found) == 1


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    encoder = SegmentEncoder(tmp_path / "no" / "a.mkv", size=(64, 64), fps=Fraction(24), codec=video_codec("h264"))
    encoder.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(OutputError, match="can't be written"):
        encoder.close()


def test_cropping_never_stretches() -> None:
    picture = np.zeros((224, 384, 3), np.uint8)
    assert crop_to(picture, (768, 432)).shape == (216, 384, 3)
    assert crop_to(picture, (400, 400)).shape == (224, 224, 3)
    assert crop_to(picture, (1080, 1920)).shape == (224, 126, 3)


def test_an_encoder_that_does_not_open_is_reported_before_rendering(tmp_path: Path, song: Path) -> None:
    if not nvenc_problem():
        pytest.skip("this card has an encoder")
    check_encoder("h264")
    with pytest.raises(OutputError, match=r"--codec nvenc.*does not open.*h264"):
        make_clip(song, tmp_path / "clip.mp4", Settings.of(codec="nvenc"))
    assert not any(entry.name.startswith("clip") for entry in tmp_path.iterdir())


@pytest.mark.skipif(bool(nvenc_problem()), reason="no NVIDIA encoder opens here")
def test_segments_of_a_card_are_joined_unchanged(tmp_path: Path, song: Path) -> None:
    track, codec = open_track(song), video_codec("nvenc")
    pieces = []
    for number in range(2):
        path = tmp_path / f"{number}.mkv"
        with SegmentEncoder(path, size=(256, 256), fps=Fraction(24), codec=codec) as encoder:
            for shade in range(12):
                encoder.write(np.full((256, 256, 3), 10 * shade + 120 * number, np.uint8))
        pieces.append((path, 12))
    out = tmp_path / "clip.mp4"
    join(pieces, track, out, fps=Fraction(24), container="mp4", codec=codec, sound=(0, track.samples))
    times, pictures = decoded(out)
    assert times == [Fraction(frame, 24) for frame in range(24)]
    assert np.abs(pictures.mean((1, 2, 3)) - 10 * np.arange(24)).max() < 4


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [
        (8000, 8000),
        (37_800, 44_100),
        (44_100, 44_100),
        (48_000, 48_000),
        (88_200, 44_100),
        (96_000, 48_000),
        (176_400, 44_100),
    ],
)
def test_aac_gets_a_supported_sample_rate(rate: int, wanted: int) -> None:
    assert aac_rate(rate) == wanted


def test_a_song_of_96_khz_is_resampled_in_place(tmp_path: Path) -> None:
    given = write_song(tmp_path / "song96.wav", clap_song(96_000), 96_000)
    clip = open_track(write_clip(tmp_path, given, fps=Fraction(24), frames=[72]))
    assert clip.sample_rate == 48_000
    found = first_loud(np.concatenate(list(blocks(clip))), clip.sample_rate)
    assert abs(found - CLAP) < 0.001


def test_sound_that_was_encoded_before_is_copied(tmp_path: Path, song: Path) -> None:
    track, codec = open_track(song), video_codec("h264")
    part = (1000, track.samples - 500)
    with SegmentEncoder(tmp_path / "piece.mkv", size=(64, 48), fps=Fraction(24), codec=codec) as encoder:
        for value in range(24):
            encoder.write(np.full((48, 64, 3), 10 * value, np.uint8))
    encode_sound(track, tmp_path / "sound.m4a", part)
    heard = []
    for encoded in (None, tmp_path / "sound.m4a"):
        out = tmp_path / f"clip{len(heard)}.mp4"
        pieces = [(tmp_path / "piece.mkv", 24)]
        join(pieces, track, out, fps=Fraction(24), container="mp4", codec=codec, sound=part, encoded=encoded)
        with av.open(str(out)) as clip:
            assert [stream.type for stream in clip.streams] == ["video", "audio"]
            assert clip.streams.audio[0].start_time == 0
            heard.append(np.concatenate([frame.to_ndarray() for frame in clip.decode(clip.streams.audio[0])], axis=1))
    assert heard[0].shape[1] >= part[1] - part[0]
    assert np.array_equal(*heard)
