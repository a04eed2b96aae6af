"""Decoding of sound: every format, from the first sample to the last, in constant memory."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.media.sound import blocks, open_track
from tests.toy import RATE, clicks, write_song

CLAP = 1.25


def clap_song(rate: int = RATE) -> np.ndarray:
    song = np.zeros(3 * rate, np.float32)
    song[round(CLAP * rate) : round(CLAP * rate) + rate // 100] = 0.9 * np.hanning(rate // 50)[rate // 100 :]
    return song


def encode(path: Path, song: np.ndarray, codec: str, rate: int = RATE) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="stereo", rate=rate)
        frame = av.AudioFrame.from_ndarray(np.repeat(song, 2).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def first_loud(samples: np.ndarray, rate: int) -> float:
    mono = np.abs(samples.mean(axis=1))
    return float(np.argmax(mono > 0.4 * mono.max())) / rate


def everything(path: Path) -> tuple[np.ndarray, int]:
    track = open_track(path)
    samples = np.concatenate(list(blocks(track)))
    assert len(samples) == track.samples
    return samples, track.sample_rate


@pytest.mark.parametrize("name", ["clap.wav", "clap.flac", "clap.ogg", "clap.mp3", "clap.m4a", "clap.opus", "clap.mkv"])
def test_a_clap_is_found_at_its_time(tmp_path: Path, name: str) -> None:
    rate = 48_000 if name.endswith("opus") else RATE
    song = clap_song(rate)
    codec = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "mkv": "aac"}.get(name.split(".")[1])
    path = encode(tmp_path / name, song, codec, rate) if codec else write_song(tmp_path / name, song, rate)
    samples, found_rate = everything(path)
    assert abs(first_loud(samples, found_rate) - CLAP) < 0.001
    assert abs(len(samples) / found_rate - 3.0) < 0.06


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_any_number_of_channels(tmp_path: Path, rate: int, channels: int) -> None:
    song = np.repeat(clicks([0.5], seconds=1.0, rate=rate)[:, None], channels, axis=1)
    track = open_track(write_song(tmp_path / "song.wav", song, rate))
    assert (track.sample_rate, track.channels, track.samples) == (rate, channels, rate)


def test_a_range_has_the_same_samples_as_the_full_song(tmp_path: Path) -> None:
    track = open_track(write_song(tmp_path / "song.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 700_000)))
    whole = np.concatenate(list(blocks(track)))
    part = np.concatenate(list(blocks(track, start=123_457, stop=600_001)))
    assert np.array_equal(part, whole[123_457:600_001])


def test_nan_samples_become_silence(tmp_path: Path) -> None:
    song = np.full(RATE, 0.1, np.float32)
    song[100:200], song[300] = np.nan, np.inf
    track = open_track(write_song(tmp_path / "nan.wav", song, subtype="FLOAT"))
    samples = np.concatenate(list(blocks(track)))
    assert np.isfinite(samples).all()
    assert not samples[100:200].any()


def test_a_truncated_mp3_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.mp3", clicks(np.arange(0, 20, 0.5), seconds=20), "libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    track = open_track(path)
    assert 8 < track.duration < 12
    assert sum(len(block) for block in blocks(track)) == track.samples


@pytest.mark.parametrize("damage", ["cut", "holes"])
def test_a_damaged_mp3_is_read_without_messages(tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str) -> None:
    path = write_song(tmp_path / "song.mp3", clicks(np.arange(0, 20, 0.5), seconds=20), format="MP3")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2 - 37]
    else:
        content[len(content) // 2 : len(content) // 2 + 1500] = bytes(range(256)) * 5 + bytes(220)
    path.write_bytes(content)
    capfd.readouterr()
    track = open_track(path)
    # the sound after a gap is read too
    assert track.duration == pytest.approx(10 if damage == "cut" else 20, abs=1.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("text.wav", b"this is no sound at all, only words\n" * 20, "not a sound"),
        ("empty.wav", b"", "empty"),
        ("list.m4a", b"ffconcat version 1.0\nfile /etc/passwd\n", "not a sound"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n", "not a sound"),
    ],
)
def test_files_without_sound_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=word) as caught:
        open_track(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_paths_that_are_not_regular_files_are_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.wav")
    for name in [tmp_path, tmp_path / "missing.wav", tmp_path / "pipe.wav", "http://localhost/song.wav", "/dev/zero"]:
        with pytest.raises(MediaError):
            open_track(name)


def test_a_header_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no sound"):
        open_track(write_song(tmp_path / "none.wav", np.zeros(0, np.float32)))
