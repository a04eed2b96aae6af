"""A song is identified by its decoded sound: tags, covers, names and lossless formats do not matter, a different sample does."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from reactive import open_track
from reactive.media.identity import carry_over
from tests.toy import beat_song

RATE = 44_100


def tagged(data: bytes, size: int) -> bytes:
    """Return an MP3 file's bytes after an ID3v2 tag of `size` zero bytes."""
    count = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + count + bytes(size) + data


def encoded(path: Path, song: np.ndarray, codec: str, **metadata: str) -> Path:
    """Write stereo samples with PyAV; the encoder settings are fixed, so packets are always the same."""
    with av.open(str(path), "w") as container:
        rate = 48_000 if codec == "libopus" else RATE
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        container.metadata.update(metadata)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(song.T), format="fltp", layout="stereo")
        frame.rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="stereo", rate=rate, frame_size=960 if rate != RATE else 1024
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return beat_song(2)


def test_a_wav_with_additional_chunks_is_the_same_song(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    with soundfile.SoundFile(tmp_path / "b.wav", "w", RATE, 2) as file:
        file.title, file.artist = "A song", "A band"
        file.write(samples)
    one, other = open_track(tmp_path / "a.wav"), open_track(tmp_path / "b.wav")
    assert one.sha256 == other.sha256
    assert one.file_sha256 != other.file_sha256
    assert one.is_called(other.sha256)
    assert one.is_called("", one.file_sha256)
    assert not one.is_called("", other.file_sha256)


def test_lossless_formats_of_the_same_samples_are_the_same_song(tmp_path: Path, samples: np.ndarray) -> None:
    for name in ("a.wav", "b.flac", "c.aiff"):
        soundfile.write(tmp_path / name, np.round(samples * 32767).astype(np.int16), RATE, subtype="PCM_16")
    assert len({open_track(tmp_path / name).sha256 for name in ("a.wav", "b.flac", "c.aiff")}) == 1


def test_another_sample_rate_or_channel_is_another_song(tmp_path: Path, samples: np.ndarray) -> None:
    louder = samples.copy()
    louder[1000, 0] += 0.01
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    soundfile.write(tmp_path / "b.wav", louder, RATE)
    soundfile.write(tmp_path / "c.wav", samples, 48_000)
    soundfile.write(tmp_path / "d.wav", samples[:, 0], RATE)
    soundfile.write(tmp_path / "e.wav", samples[:-1], RATE)
    assert len({open_track(file).sha256 for file in tmp_path.iterdir()}) == 5


@pytest.mark.parametrize(("codec", "suffix"), [("libmp3lame", "mp3"), ("aac", "m4a"), ("libopus", "opus")])
def test_a_retagged_file_is_the_same_song(tmp_path: Path, samples: np.ndarray, codec: str, suffix: str) -> None:
    first = open_track(encoded(tmp_path / f"a.{suffix}", samples, codec))
    second = open_track(encoded(tmp_path / f"b.{suffix}", samples, codec, title="Of another name", artist="x" * 3000))
    assert first.file_sha256 != second.file_sha256
    assert first.sha256 == second.sha256


def test_an_id3_tag_of_any_size_changes_nothing(tmp_path: Path, samples: np.ndarray) -> None:
    whole = encoded(tmp_path / "a.mp3", samples, "libmp3lame").read_bytes()
    (tmp_path / "b.mp3").write_bytes(tagged(whole, 10))
    (tmp_path / "c.mp3").write_bytes(tagged(whole, 70_000))
    (tmp_path / "d.mp3").write_bytes(whole + b"TAG" + bytes(125))
    assert len({open_track(file).sha256 for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("t.json", '{\n  "version": 1,\n  "song_sha256": "OLD",\n  "more": [1]\n}\n', json.loads),
        ("t.shots.toml", '# words\nversion = 1\nsong_sha256 = "OLD"\n\n[shot."a"]\nseed = 7\n', tomllib.loads),
    ],
)
def test_files_of_older_versions_are_converted_once(
    tmp_path: Path, samples: np.ndarray, name: str, text: str, read
) -> None:
    soundfile.write(tmp_path / "song.wav", samples, RATE)
    track = open_track(tmp_path / "song.wav")
    file = tmp_path / name
    file.write_text(text.replace("OLD", track.file_sha256))
    before = read(file.read_text())
    note = carry_over(file, track)
    assert name in note
    after = read(file.read_text())
    assert (after.pop("song_sha256"), after.pop("file_sha256")) == (track.sha256, before.pop("song_sha256"))
    assert after == before
    assert file.read_text().startswith(text[:8])
    assert carry_over(file, track) == ""
    other = tmp_path / f"other-{name}"
    other.write_text(text.replace("OLD", "b" * 64))
    assert carry_over(other, track) == ""
    assert "b" * 64 in other.read_text()
