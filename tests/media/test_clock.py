"""Sound and pictures share one clock: a flash and a click at the same time stay together, however the file starts or breaks off."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.media.sound import blocks, open_track
from reactive.media.video import FilmReader, luma_frames, open_film, rgb_frames
from reactive.score.sync import score_clip
from tests.media.made import CODECS, EVENT, FPS, save_film
from tests.toy import save_video

CLOSE = 0.005
# formats with reliable presentation times only in the container
TIMED = [".mp4", ".mov", ".mkv", ".ts", ".webm", ".flv", ".asf"]


def click_times(path: Path) -> list[float]:
    track = open_track(path)
    heard = np.abs(np.concatenate(list(blocks(track)))).max(axis=1)
    loud = np.flatnonzero(heard > 0.4 * heard.max()) / track.sample_rate
    return [float(time) for time, before in zip(loud, [-1.0, *loud[:-1]], strict=True) if time - before > 0.1]


def flash_times(path: Path) -> list[float]:
    film = open_film(path)
    reader = FilmReader(film, width=32, height=24)
    light = [float(reader.picture(number).mean()) for number in range(len(film.times))]
    return [
        float(int(film.times[n]) * film.time_base - film.start)
        for n in range(len(light))
        if light[n] > 127 and (n == 0 or light[n - 1] <= 127)
    ]


@pytest.mark.parametrize(
    ("suffix", "pictures", "sound"), [(".mp4", b"avc1", b""), (".mkv", b"V_MPEG4/ISO/AVC", b"A_AAC")]
)
def test_a_stream_with_an_unknown_codec_is_ignored(tmp_path: Path, suffix: str, pictures: bytes, sound: bytes) -> None:
    path = save_film(tmp_path / f"film{suffix}")
    data = path.read_bytes()
    path.write_bytes(data.replace(pictures, b"X" * len(pictures)))
    assert len(click_times(path)) == 1
    for refusing in (open_film, lambda file: next(rgb_frames(file))):
        with pytest.raises(MediaError, match="pictures"):
            refusing(path)
    if not sound:
        # MP4 names the codec of its sound in two places
        return
    path.write_bytes(data.replace(sound, b"X" * len(sound)))
    assert len(flash_times(path)) == 1
    with pytest.raises(MediaError, match="no sound that can be decoded"):
        open_track(path)


@pytest.mark.parametrize("suffix", list(CODECS))
@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_flash_and_a_click_stay_together(tmp_path: Path, suffix: str, b_frames: int) -> None:
    path = save_film(tmp_path / f"film{suffix}", b_frames=b_frames)
    (click,), (flash,) = click_times(path), flash_times(path)
    assert abs(click - flash) < CLOSE
    assert flash == pytest.approx(EVENT, abs=0.1)


@pytest.mark.parametrize("suffix", list(CODECS))
def test_score_and_clip_show_pictures_on_their_frames(tmp_path: Path, suffix: str) -> None:
    path = save_film(tmp_path / f"film{suffix}")
    (click,) = click_times(path)
    # `score` needs a constant frame rate, and a clip at the film's own rate takes the nearest picture for each frame
    seen = [number / FPS for number, (luma, _) in enumerate(luma_frames(path)) if luma.mean() > 127]
    assert len(seen) == 1
    assert abs(seen[0] - click) < CLOSE
    film = open_film(path)
    reader = FilmReader(film, width=32, height=24)
    frames = range(int(film.duration * FPS))
    white = [n / FPS for n in frames if reader.picture(film.nearest(Fraction(n, FPS))).mean() > 127]
    assert len(white) == 1
    assert abs(white[0] - click) < CLOSE


@pytest.mark.parametrize("suffix", TIMED)
@pytest.mark.parametrize(("sound_from", "pictures_from"), [(0.64, 0.0), (0.0, 0.8)])
def test_streams_that_start_late_keep_their_start(
    tmp_path: Path, suffix: str, sound_from: float, pictures_from: float
) -> None:
    path = save_film(tmp_path / f"film{suffix}", sound_from=sound_from, pictures_from=pictures_from)
    (click,), (flash,) = click_times(path), flash_times(path)
    assert abs(click - flash) < CLOSE
    assert flash == pytest.approx(EVENT, abs=0.06)
    film = open_film(path)
    assert film.nearest(Fraction(0)) == 0
    # `score`'s frames, one by one
    seen = [number for number, (luma, _) in enumerate(luma_frames(path)) if luma.mean() > 127]
    assert [abs(number / FPS - click) < 0.5 / FPS for number in seen] == [True]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("begin", [0.7, 1.1])
@pytest.mark.parametrize("sound_later", [0.0, 0.35])
def test_a_film_cut_without_encoding_stays_in_sync(
    tmp_path: Path, suffix: str, begin: float, sound_later: float
) -> None:
    # in MP4 and MOV the edit starts within a picture, which is not shown
    given = save_film(tmp_path / "given.mp4", seconds=3.0, event=2.0)
    path = tmp_path / f"cut{suffix}"
    with av.open(str(given)) as source, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        source.seek(round(begin * 1e6), backward=True)
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            is_sound = packet.stream.type == "audio"
            if is_sound and packet.pts * packet.time_base < begin:
                continue
            moved = round((sound_later * is_sound - begin) / packet.time_base)
            packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            packet.stream = streams[packet.stream_index]
            target.mux(packet)
    (click,), (flash,) = click_times(path), flash_times(path)
    assert click - flash == pytest.approx(sound_later, abs=CLOSE)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_a_gap_in_the_sound_becomes_silence_of_its_length(tmp_path: Path, suffix: str) -> None:
    path = save_film(tmp_path / f"film{suffix}", hole=(0.3, 0.7))
    (click,), (flash,) = click_times(path), flash_times(path)
    assert abs(click - flash) < CLOSE
    assert open_track(path).duration == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("parts", [2, 3])
def test_joined_recordings_are_continuous(tmp_path: Path, suffix: str, parts: int) -> None:
    one = save_film(tmp_path / f"one{suffix}", event=0.4, seconds=1.0)
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(one.read_bytes() * parts)
    clicks, flashes = click_times(path), flash_times(path)
    assert len(clicks) == len(flashes) == parts
    assert all(
        abs((click - flash) - (clicks[0] - flashes[0])) < CLOSE for click, flash in zip(clicks, flashes, strict=True)
    )
    assert clicks[-1] - clicks[0] == pytest.approx(parts - 1, abs=0.15 * parts)
    film = open_film(path)
    assert "begin again" in film.notes[0]
    assert any("begin again" in note for note in open_track(path).notes)
    # random access to any picture
    reader = FilmReader(film, width=32, height=24)
    forward = [reader.picture(number).copy() for number in range(len(film.times))]
    again = FilmReader(film, width=32, height=24)
    for number in np.random.default_rng(0).permutation(len(forward))[:12].tolist():
        assert np.array_equal(again.picture(number), forward[number]), number


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 3), ("mpeg4", 2), ("mpeg4", 0), ("mjpeg", 0)])
def test_no_picture_of_an_avi_is_lost(tmp_path: Path, codec: str, b_frames: int) -> None:
    pictures = [np.full((48, 64, 3), 10 + 4 * number, np.uint8) for number in range(50)]
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = save_video(tmp_path / "a.avi", pictures, fps=FPS, codec=codec, pixel_format=pixel_format, b_frames=b_frames)
    film = open_film(path)
    reader = FilmReader(film, width=64, height=48)
    shown = [float(reader.picture(number).mean()) for number in range(len(film.times))]
    assert len(shown) == 50
    assert np.all(np.diff(shown) > 2)
    again = FilmReader(film, width=64, height=48)
    for number in np.random.default_rng(0).permutation(50)[:12].tolist():
        assert float(again.picture(number).mean()) == shown[number]


BARE = [
    ("h264", "libx264"),
    ("hevc", "libx265"),
    ("mpeg2video", "mpeg2video"),
    ("mpeg1video", "mpeg1video"),
    ("m4v", "mpeg4"),
]


@pytest.mark.parametrize(("form", "codec"), BARE)
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("fps", [25, 30])
def test_pictures_without_a_container_are_all_shown(
    tmp_path: Path, form: str, codec: str, b_frames: int, fps: int
) -> None:
    path = tmp_path / "film"
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg without {codec}")
    with av.open(str(path), "w", format=form) as target:
        options = {"x265-params": f"log-level=none:bframes={b_frames}"} if codec == "libx265" else {}
        stream = target.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 + 5 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)]
    film = open_film(path)
    assert len(film.times) == len(whole) == 40
    assert float(film.duration) == pytest.approx(40 / fps, abs=0.001)
    reader = FilmReader(film, width=64, height=48)
    shown = [float(reader.picture(number).mean()) for number in range(40)]
    # flat pictures that rise: by how much, the encoder decides
    assert np.all((np.diff(shown) > 0) == (np.diff(whole) > 0))
    again = FilmReader(film, width=64, height=48)
    for number in np.random.default_rng(0).permutation(40)[:12].tolist():
        assert float(again.picture(number).mean()) == shown[number]
    lumas = [float(luma.mean()) for luma, rate in luma_frames(path) if rate == fps]
    assert lumas == pytest.approx(whole, abs=2)


@pytest.mark.parametrize("seconds", [1, 4])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_no_picture_is_lost_where_several_share_a_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, b_frames: int, seconds: int
) -> None:
    monkeypatch.setitem(CODECS, ".mpg", (codec, "mp2"))
    path = save_film(tmp_path / "film.mpg", seconds=seconds, event=0.4, b_frames=b_frames)
    film = open_film(path)
    assert len(film.times) == seconds * FPS
    # even steps, whatever FFmpeg says of single pictures
    assert np.unique(np.diff(film.times)).tolist() == [90_000 / FPS]
    (click,), (flash,) = click_times(path), flash_times(path)
    assert abs(click - flash) < CLOSE


def test_score_uses_one_clock_for_sound_and_pictures(tmp_path: Path) -> None:
    given = save_film(tmp_path / "film.mkv", seconds=3.0, sound_from=0.6)
    assert abs(score_clip(given).lag_ms) < 30


def test_wrong_time_stamps_do_not_become_hours_of_silence(tmp_path: Path) -> None:
    path = save_film(tmp_path / "film.mkv")
    data = bytearray(path.read_bytes())
    # the time stamp of the last cluster (element E7 of 1F43B675) becomes years
    at = data.rindex(b"\x1f\x43\xb6\x75")
    place = data.index(b"\xe7", at)
    data[place + 2] = 0x7F
    path.write_bytes(data)
    assert open_track(path).duration < 700


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".asf"])
def test_concatenated_films_are_continuous_in_sound_and_pictures(tmp_path: Path, suffix: str) -> None:
    data = b"".join(
        save_film(tmp_path / f"part{suffix}", seconds=seconds, event=event).read_bytes()
        for seconds, event in ((1.6, 0.4), (2.0, 1.0), (1.2, 0.8))
    )
    path = tmp_path / f"row{suffix}"
    path.write_bytes(data)
    clicks, flashes = click_times(path), flash_times(path)
    assert flashes == pytest.approx([0.4, 2.6, 4.4], abs=0.15)
    assert clicks == pytest.approx(flashes, abs=CLOSE)
    film = open_film(path)
    assert len(film.times) == 120
    # `score`'s frames, one by one
    seen = [number / FPS for number, (luma, _) in enumerate(luma_frames(path)) if luma.mean() > 127]
    assert seen == pytest.approx(flashes, abs=0.5 / FPS + CLOSE)
    assert open_track(path).duration == pytest.approx(float(film.duration), abs=CLOSE)


def test_a_damaged_film_among_concatenated_ones_is_named(tmp_path: Path) -> None:
    data = save_film(tmp_path / "film.mp4").read_bytes()
    spoilt = data.replace(b"avc1", b"xxxx")
    (tmp_path / "three.mp4").write_bytes(data + spoilt + data)
    assert open_film(tmp_path / "three.mp4").notes == (
        "three.mp4: Part 2 of 3 of the file holds no pictures and is left out.",
    )
    assert not open_film(tmp_path / "film.mp4").notes
