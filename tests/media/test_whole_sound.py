"""Complete sound: lengths missing in headers, concatenated streams, changing formats, surround, NaN."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reactive.errors import MediaError
from reactive.live.song import write_wav
from reactive.media.channels import STEREO, fold_matrix, placed, to_stereo, usual_layout
from reactive.media.joined import joined_links
from reactive.media.sound import Track, blocks, open_track, stereo_blocks
from tests.media.made import RATE, save_sound, tone


def heard(track: Track) -> np.ndarray:
    samples = np.concatenate(list(blocks(track)))
    assert samples.shape == (track.samples, track.channels)
    return samples


def strongest(samples: np.ndarray, rate: int) -> float:
    """Return the strongest frequency in Hz, with a resolution of 1 / length."""
    mono = samples.mean(axis=1)
    return float(np.argmax(np.abs(np.fft.rfft(mono * np.hanning(len(mono))))) * rate / len(mono))


def rms(samples: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in np.sqrt((samples.astype(np.float64) ** 2).mean(axis=0))]


@pytest.mark.parametrize("value", [0, 36, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF])
@pytest.mark.parametrize("both", [True, False])
def test_a_wav_of_unknown_length_is_read_completely(tmp_path: Path, value: int, both: bool) -> None:
    path = tmp_path / "a.wav"
    song = tone(440, 2, channels=(1, 0.5))
    soundfile.write(path, song, RATE)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", value)
    if both:
        data[4:8] = struct.pack("<I", min(value + 36, 0xFFFFFFFF))
    path.write_bytes(data)
    track = open_track(path)
    assert track.samples == len(song)
    assert np.abs(heard(track) - song).max() < 1e-4


@pytest.mark.parametrize("value", [0, 0xFFFFFFFFFFFFFFFF])
def test_an_rf64_of_unknown_length_is_read_completely(tmp_path: Path, value: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 1), RATE, format="RF64")
    data = bytearray(path.read_bytes())
    at = data.index(b"ds64") + 8
    data[at : at + 24] = struct.pack("<QQQ", value, value, value)
    path.write_bytes(data)
    assert open_track(path).samples == RATE


def promised_au(data: bytearray) -> None:
    data[8:12] = bytes(4)


def promised_short_au(data: bytearray) -> None:
    data[8:12] = struct.pack(">I", 100)


def promised_aiff(data: bytearray) -> None:
    at = data.index(b"SSND")
    data[at + 4 : at + 8] = struct.pack(">I", 8)
    frames = data.index(b"COMM") + 10
    data[frames : frames + 4] = bytes(4)


def promised_caf(data: bytearray) -> None:
    at = data.index(b"data")
    data[at + 4 : at + 12] = struct.pack(">q", 4)


@pytest.mark.parametrize(
    ("form", "spoil"),
    [("AU", promised_au), ("AU", promised_short_au), ("AIFF", promised_aiff), ("CAF", promised_caf)],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_an_unfinished_recording_is_read_completely(
    tmp_path: Path, form: str, spoil: Callable[[bytearray], None], subtype: str
) -> None:
    song = tone(440, 2, channels=(1.0, 0.5), level=0.5)
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(path, song, RATE, format=form, subtype=subtype)
    data = bytearray(path.read_bytes())
    spoil(data)
    path.write_bytes(data)
    track = open_track(path)
    assert track.duration == pytest.approx(2, abs=0.001)
    assert np.abs(heard(track)[: 2 * RATE] - song[: track.samples]).max() < 1e-3


def test_chunks_after_the_samples_are_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 0.01), RATE)
    chunk = b"LIST" + struct.pack("<I", 4000) + bytes(4000)
    path.write_bytes(path.read_bytes() + chunk)
    assert open_track(path).samples == RATE // 100


def test_a_header_with_a_too_large_length_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 6), RATE)
    path.write_bytes(path.read_bytes()[: 44 + RATE // 5 * 2])
    track = open_track(path)
    assert track.duration == pytest.approx(0.2)
    assert track.notes == ("The file promises 6.0 s of sound and holds 0.2 s.",)


@pytest.mark.parametrize(("total", "cut"), [(0, 1.0), (10**7, 1.0), (None, 0.6), (0, 0.6)])
def test_a_flac_of_unknown_length_or_cut_short(tmp_path: Path, total: int | None, cut: float) -> None:
    path = tmp_path / "a.flac"
    song = tone(440, 2, rate=22_050) + np.random.default_rng(0).normal(0, 0.05, (44_100, 1)).astype(np.float32)
    soundfile.write(path, song, 22_050)
    data = bytearray(path.read_bytes())
    if total is not None:
        # STREAMINFO ends with 36 bits of samples and an MD5
        data[21] = data[21] & 0xF0 | total >> 32
        data[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    path.write_bytes(data[: round(len(data) * cut)])
    track = open_track(path)
    assert track.duration == pytest.approx(2 * cut, abs=0.4 if cut < 1 else 0.0)
    assert np.abs(heard(track) - song[: track.samples]).max() < 1e-4
    assert any("promises" in note for note in track.notes) == (total == 10**7 or (total is None and cut < 1))


@pytest.mark.parametrize(("suffix", "codec"), [("ogg", "VORBIS"), ("opus", "OPUS"), ("oga", "FLAC")])
def test_a_chained_ogg_is_read_to_its_end(tmp_path: Path, suffix: str, codec: str) -> None:
    parts = []
    for hertz in (440, 880, 660):
        if codec == "FLAC":
            save_sound(tmp_path / "part.ogg", tone(hertz, 1), "flac", layout="mono")
        else:
            soundfile.write(tmp_path / "part.ogg", tone(hertz, 1), RATE, format="OGG", subtype=codec)
        parts.append((tmp_path / "part.ogg").read_bytes())
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"".join(parts))
    track = open_track(path)
    samples = heard(track)
    assert track.duration == pytest.approx(3, abs=0.01)
    for number, hertz in enumerate((440, 880, 660)):
        assert strongest(samples[number * RATE : (number + 1) * RATE], RATE) == pytest.approx(hertz, abs=5)


def test_a_damaged_link_of_a_chained_ogg_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "part.ogg", tone(440, 1), RATE, format="OGG", subtype="VORBIS")
    part = (tmp_path / "part.ogg").read_bytes()
    spoilt = bytearray(part)
    at = spoilt.index(b"vorbis")
    spoilt[at : at + 6] = b"sorbet"
    (tmp_path / "a.ogg").write_bytes(part + spoilt + part)
    track = open_track(tmp_path / "a.ogg")
    assert track.duration == pytest.approx(2, abs=0.01)
    assert "Part 2 of 3" in track.notes[0]


def test_an_ogg_without_start_pages_is_refused_or_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", tone(440, 1), RATE, format="OGG", subtype="VORBIS")
    data = bytearray((tmp_path / "a.ogg").read_bytes())
    data[5] &= ~0x02
    (tmp_path / "a.ogg").write_bytes(data)
    assert joined_links(tmp_path / "a.ogg") == []
    with contextlib.suppress(MediaError):
        open_track(tmp_path / "a.ogg")


@pytest.mark.parametrize(
    ("name", "codec", "first", "second", "form"),
    [
        ("a.mp3", "libmp3lame", (44_100, "mono"), (44_100, "stereo"), (44_100, 2)),
        ("a.mp3", "libmp3lame", (44_100, "mono"), (48_000, "mono"), (48_000, 1)),
        ("a.mp3", "libmp3lame", (48_000, "stereo"), (44_100, "mono"), (48_000, 2)),
        ("a.aac", "aac", (44_100, "mono"), (48_000, "stereo"), (48_000, 2)),
        ("a.ac3", "ac3", (48_000, "stereo"), (48_000, "5.1"), (48_000, 6)),
    ],
)
def test_a_format_that_changes_midway(
    tmp_path: Path, name: str, codec: str, first: tuple[int, str], second: tuple[int, str], form: tuple[int, int]
) -> None:
    counts = {"mono": 1, "stereo": 2, "5.1": 6}
    joined = b""
    # the second half is longer, so its rate is used
    for (rate, layout), hertz, seconds in ((first, 440, 2.0), (second, 880, 2.2)):
        seconds = 4.2 - seconds if first[0] == form[0] != second[0] else seconds
        song = tone(hertz, seconds, rate=rate, channels=(1.0,) * counts[layout], level=0.3)
        path = save_sound(tmp_path / f"part{Path(name).suffix}", song, codec, rate=rate, layout=layout)
        joined += path.read_bytes()
    (tmp_path / name).write_bytes(joined)
    track = open_track(tmp_path / name)
    samples = heard(track)
    assert (track.sample_rate, track.channels) == form
    assert track.duration == pytest.approx(4.2, abs=0.15)
    assert strongest(samples[: track.sample_rate], track.sample_rate) == pytest.approx(440, abs=3)
    assert strongest(samples[-track.sample_rate :], track.sample_rate) == pytest.approx(880, abs=3)
    assert "changes on the way" in track.notes[0]
    # folding or spreading must not make a half louder
    stereo = np.concatenate(list(stereo_blocks(track)))
    mono = rms(stereo[RATE // 2 : RATE])
    assert mono[0] == pytest.approx(mono[1], abs=0.01)


LAYOUTS = [
    ("5.1", {"FL": (1, 0), "FR": (0, 1), "FC": (0.707, 0.707), "LFE": (0, 0), "BL": (0.707, 0), "BR": (0, 0.707)}),
    ("4.0", {"FL": (1, 0), "FR": (0, 1), "FC": (0.707, 0.707), "BC": (0.5, 0.5)}),
    ("2.1", {"FL": (1, 0), "FR": (0, 1), "LFE": (0, 0)}),
    ("quad", {"FL": (1, 0), "FR": (0, 1), "BL": (0.707, 0), "BR": (0, 0.707)}),
    ("6.1", {"FC": (0.707, 0.707), "BC": (0.5, 0.5), "SL": (0.707, 0), "SR": (0, 0.707)}),
    ("7.1", {"FC": (0.707, 0.707), "BL": (0.707, 0), "SR": (0, 0.707)}),
]


JOINED = [
    ("flac", "flac"),
    ("wav", "pcm_s16le"),
    ("aiff", "pcm_s16be"),
    ("m4a", "aac"),
    ("mov", "pcm_s16le"),
    ("mkv", "aac"),
    ("webm", "libopus"),
    ("ts", "ac3"),
    ("mp3", "libmp3lame"),
    ("oga", "flac"),
    ("flv", "aac"),
    ("wv", "wavpack"),
    ("tta", "tta"),
    ("caf", "pcm_s16le"),
    ("au", "pcm_s16be"),
    ("w64", "pcm_s16le"),
    ("avi", "pcm_s16le"),
]


@pytest.mark.parametrize(("suffix", "codec"), JOINED)
@pytest.mark.parametrize("lengths", [(1.0, 1.5, 1.0), (1.0, 1.0)])
def test_files_that_were_joined_byte_by_byte_are_read_to_the_end(
    tmp_path: Path, suffix: str, codec: str, lengths: tuple[float, ...]
) -> None:
    joined = b""
    for number, seconds in enumerate(lengths):
        song = tone(440 * (number + 1), seconds, channels=(1.0, 1.0), level=0.3)
        joined += save_sound(tmp_path / f"part.{suffix}", song, codec).read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(joined)
    track = open_track(tmp_path / f"a.{suffix}")
    assert track.duration == pytest.approx(sum(lengths), abs=0.12)
    samples = heard(track)
    begin = 0.0
    for number, seconds in enumerate(lengths):
        middle = samples[round((begin + 0.3) * RATE) : round((begin + seconds - 0.2) * RATE)]
        assert strongest(middle, RATE) == pytest.approx(440 * (number + 1), abs=4)
        begin += seconds


def test_a_recording_that_continues_in_another_codec_is_read_to_the_end(tmp_path: Path) -> None:
    parts = [
        save_sound(tmp_path / f"{number}.ts", tone(hertz, 1.5, channels=(1.0, 1.0)), codec).read_bytes()
        for number, (hertz, codec) in enumerate([(440, "mp2"), (880, "aac"), (660, "ac3")])
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    track = open_track(tmp_path / "a.ts")
    samples = heard(track)
    assert track.duration == pytest.approx(4.5, abs=0.15)
    for begin, hertz in ((0.3, 440), (2.0, 880), (3.5, 660)):
        assert strongest(samples[round(begin * RATE) :][: RATE // 2], RATE) == pytest.approx(hertz, abs=4)
    assert not any("decoded" in note for note in track.notes)


def test_undecodable_sound_is_reported(tmp_path: Path) -> None:
    data = bytearray(save_sound(tmp_path / "a.mkv", tone(440, 3, channels=(1.0, 1.0)), "ac3").read_bytes())
    # no part of the last third starts like AC-3
    at = 2 * len(data) // 3
    while (at := data.find(b"\x0b\x77", at)) >= 0:
        data[at : at + 2] = b"xx"
    (tmp_path / "a.mkv").write_bytes(data)
    track = open_track(tmp_path / "a.mkv")
    assert track.duration == pytest.approx(2, abs=0.3)
    assert any(note.startswith("About 1.") and "can't be decoded" in note for note in track.notes)


def test_a_flac_longer_than_its_header_says_is_read_completely(tmp_path: Path) -> None:
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * RATE, 2)).astype(np.float32)
    path = save_sound(tmp_path / "a.flac", song, "flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = struct.pack(">I", RATE)
    path.write_bytes(data)
    assert open_track(path).samples == 3 * RATE


@pytest.mark.parametrize("suffix", ["m4a", "mov"])
def test_an_mp4_without_its_index_is_reported_as_truncated(tmp_path: Path, suffix: str) -> None:
    path = save_sound(tmp_path / f"a.{suffix}", tone(440, 2, channels=(1.0, 1.0)), "aac")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(MediaError, match="cut short: the index"):
        open_track(path)


@pytest.mark.parametrize("suffix", ["mov", "wav"])
@pytest.mark.parametrize(("layout", "shares"), LAYOUTS)
def test_surround_is_folded_by_the_containers_own_layout(
    tmp_path: Path, suffix: str, layout: str, shares: dict[str, tuple[float, float]]
) -> None:
    import av

    names = [channel.name for channel in av.AudioLayout(layout).channels]
    for name, (left, right) in shares.items():
        song = tone(440, 0.2, channels=[float(other == name) for other in names], level=0.5)
        track = open_track(save_sound(tmp_path / f"a.{suffix}", song, "pcm_s16le", layout=layout))
        assert track.layout == tuple(names)
        wanted = 0.5 * np.sqrt(0.5)
        assert rms(np.concatenate(list(stereo_blocks(track)))) == pytest.approx(
            [wanted * left, wanted * right], abs=0.002
        )


def test_ogg_has_its_own_channel_order(tmp_path: Path) -> None:
    # left, centre, right, back left, back right, low
    for column, (left, right) in enumerate([(1, 0), (0.707, 0.707), (0, 1), (0.707, 0), (0, 0.707), (0, 0)]):
        song = tone(440, 0.3, channels=[float(other == column) for other in range(6)])
        soundfile.write(tmp_path / "a.ogg", song, RATE, format="OGG", subtype="VORBIS")
        track = open_track(tmp_path / "a.ogg")
        wanted = 0.5 * np.sqrt(0.5)
        found = np.concatenate(list(stereo_blocks(track)))[2000:-2000]
        assert rms(found) == pytest.approx([wanted * left, wanted * right], abs=0.02)


def test_folding_never_clips_and_uses_one_gain_for_the_song(tmp_path: Path) -> None:
    song = np.concatenate([tone(440, 0.5, channels=(1,) * 6, level=0.1), tone(440, 0.5, channels=(1,) * 6, level=0.95)])
    track = open_track(save_sound(tmp_path / "a.wav", song, "pcm_s16le", layout="5.1"))
    folded = np.concatenate(list(stereo_blocks(track)))
    assert 0.97 < np.abs(folded).max() < 1
    quiet, loud = rms(folded[: RATE // 2])[0], rms(folded[RATE // 2 :])[0]
    assert loud / quiet == pytest.approx(9.5, rel=0.01)
    assert "dB quieter" in track.notes[0]
    # the preview plays the same samples
    write_wav(track, tmp_path / "heard.wav")
    played, _ = soundfile.read(tmp_path / "heard.wav", dtype="float32")
    assert np.abs(played - folded).max() < 1e-4


def test_layouts_are_combined_without_loss() -> None:
    block = np.random.default_rng(0).uniform(-0.2, 0.2, (10, 2)).astype(np.float32)
    wide = placed(block, STEREO, usual_layout(6))
    assert np.allclose(to_stereo(wide, usual_layout(6)), block)
    assert np.allclose(to_stereo(placed(block[:, :1], ("FC",), usual_layout(6)), usual_layout(6)), block[:, :1])
    assert fold_matrix(("FC", "LFE"))[0].tolist() == [1, 1]


def test_nan_samples_are_counted_and_located(tmp_path: Path) -> None:
    song = tone(440, 1)
    song[RATE // 4] = np.nan
    song[RATE // 2 : RATE // 2 + 10] = np.inf
    soundfile.write(tmp_path / "a.wav", song, RATE, subtype="FLOAT")
    track = open_track(tmp_path / "a.wav")
    assert track.notes[0].startswith("11 samples between 0.250 s and 0.500 s are not finite")
    assert np.isfinite(heard(track)).all()


def test_an_ordinary_song_has_no_notes(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, tone(440, 1, channels=(1, 0.5)), RATE)
        assert open_track(tmp_path / name).notes == ()
    assert open_track(save_sound(tmp_path / "a.mp3", tone(440, 1, channels=(1, 1)), "libmp3lame")).notes == ()


def id3_tag(count: int, *, footer: bool = False) -> bytes:
    size = bytes((count >> shift) & 0x7F for shift in (21, 14, 7, 0))
    head = b"\x04\x00" + (b"\x10" if footer else b"\x00") + size
    return b"ID3" + head + bytes(count) + (b"3DI" + head if footer else b"")


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16le"),
        ("au", "pcm_s16be"),
        ("w64", "pcm_s16le"),
        ("ogg", "libopus"),
        ("flac", "flac"),
        ("m4a", "aac"),
        ("mp3", "libmp3lame"),
    ],
)
@pytest.mark.parametrize("tags", [id3_tag(300), id3_tag(5000, footer=True), id3_tag(10) + id3_tag(200)])
def test_sound_behind_a_tag_that_does_not_belong_there(tmp_path: Path, suffix: str, codec: str, tags: bytes) -> None:
    path = save_sound(tmp_path / f"a.{suffix}", tone(440, 1, channels=(1.0, 1.0)), codec)
    plain = open_track(path)
    (tmp_path / f"tagged.{suffix}").write_bytes(tags + path.read_bytes())
    track = open_track(tmp_path / f"tagged.{suffix}")
    assert track.samples == plain.samples
    assert np.array_equal(heard(track), heard(plain))
    assert not track.notes


def test_an_unfinished_wav_behind_a_tag_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 1), RATE)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    path.write_bytes(id3_tag(100) + data)
    assert open_track(path).samples == RATE
