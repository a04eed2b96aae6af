"""Videos as sources: the right picture at every time, for any kind of file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.media.video import FilmReader, open_film
from reactive.sources.video import VideoSource
from tests.toy import save_video


def counted(count: int, width: int = 128, height: int = 72) -> list[np.ndarray]:
    """Return pictures whose grey level encodes their number."""
    return [np.full((height, width, 3), 10 + 3 * number, np.uint8) for number in range(count)]


def number_of(picture: np.ndarray) -> int:
    return round((float(picture.mean()) - 10) / 3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "fps"),
    [
        ("a.mp4", "libx264", "yuv420p", "30000/1001"),
        ("a.mkv", "libx264", "yuv420p", "25"),
        ("a.avi", "mjpeg", "yuvj420p", "15"),
        ("a.mov", "prores_ks", "yuv422p10le", "60"),
        ("a.ts", "libx264", "yuv420p", "24"),
        ("a.webm", "libvpx-vp9", "yuv420p", "12"),
    ],
)
def test_any_picture_at_any_time(tmp_path: Path, name: str, codec: str, pixel_format: str, fps: str) -> None:
    path = save_video(tmp_path / name, counted(60), fps=fps, codec=codec, pixel_format=pixel_format)
    source = VideoSource(path, width=64, height=36)
    rate = Fraction(fps)
    assert len(source.film.times) == 60
    assert float(source.film.duration) == pytest.approx(float(60 / rate), rel=0.01)
    forward = [source.at(k / rate).copy() for k in range(60)]
    assert [number_of(picture) for picture in forward] == list(range(60))
    # random access gives exactly the same pictures
    again = VideoSource(path, width=64, height=36)
    for k in np.random.default_rng(0).permutation(60).tolist():
        assert np.array_equal(again.at(k / rate), forward[k]), k
    # after the end of the video it repeats
    assert number_of(source.at(source.film.duration + 7 / rate)) == 7
    # between two pictures the nearer one is shown
    assert number_of(source.at(Fraction(104, 10) / rate)) == 10
    assert number_of(source.at(Fraction(106, 10) / rate)) == 11


def test_many_lanes_read_one_video_with_few_open_files(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.mp4", counted(72))
    source = VideoSource(path, width=64, height=36)
    for step in range(6):
        for lane in range(0, 72, 6):
            assert number_of(source.at(Fraction(lane + step, 24))) == lane + step
    assert len(source.reader._cursors) <= 6
    assert len(source.reader._cache) <= 16


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_the_rotation_flag_is_applied(tmp_path: Path, turn: int) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:20, :30] = (250, 40, 40)
    path = save_video(tmp_path / "a.mp4", [picture] * 4, turn=turn)
    film = open_film(path)
    expected = np.rot90(picture, -turn // 90)
    assert (film.height, film.width) == expected.shape[:2]
    shown = FilmReader(film, width=film.width, height=film.height).picture(2)
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_the_crop_contains_the_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for k in range(12):
        picture = np.full((72, 256, 3), 90, np.uint8)
        picture[20:60, 190:240] = rng.integers(0, 255, (40, 50, 1))
        picture[20:60, 190 + k : 194 + k, 0] = 255
        pictures.append(picture)
    source = VideoSource(save_video(tmp_path / "a.mp4", pictures), width=72, height=72)
    left = source.reader.window[0]
    assert left <= 190
    assert left + 72 >= 240
    assert source.at(Fraction(0)).shape == (72, 72, 3)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(tmp_path: Path, transfer: int, name: str) -> None:
    path = save_video(tmp_path / "hdr.mp4", counted(3), transfer=transfer)
    with pytest.raises(MediaError, match=f"HDR video .{name}.*SDR") as caught:
        open_film(path)
    assert "hdr.mp4" in str(caught.value)


def test_a_file_that_is_not_a_video_is_named(tmp_path: Path) -> None:
    for name, data in (("a.mp4", b"nothing of the kind"), ("list.mp4", b"ffconcat version 1.0\nfile other.mp4\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match=f"{name}: is not a video file.*H.264"):
            open_film(tmp_path / name)
    with pytest.raises(MediaError, match="no such file"):
        open_film(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="address"):
        open_film("https://example.org/a.mp4")


def test_a_song_is_not_a_video(beat_wav: Path) -> None:
    with pytest.raises(MediaError, match="no moving pictures"):
        open_film(beat_wav)


def test_a_truncated_video_ends_early(tmp_path: Path) -> None:
    whole = save_video(tmp_path / "a.mkv", counted(60))
    part = tmp_path / "part.mkv"
    data = whole.read_bytes()
    part.write_bytes(data[: len(data) * 2 // 3])
    source = VideoSource(part, width=64, height=36)
    count = len(source.film.times)
    assert 20 < count < 60
    assert number_of(source.at(Fraction(0))) == 0
    assert number_of(source.reader.picture(count - 1)) in (count - 2, count - 1)
    assert number_of(source.at(source.film.duration)) == 0


def test_a_damaged_video_still_gives_pictures(tmp_path: Path) -> None:
    data = bytearray(save_video(tmp_path / "a.ts", counted(60)).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    (tmp_path / "b.ts").write_bytes(data)
    source = VideoSource(tmp_path / "b.ts", width=64, height=36)
    forward = [source.at(Fraction(k, 24)).copy() for k in range(60)]
    again = VideoSource(tmp_path / "b.ts", width=64, height=36)
    for k in np.random.default_rng(1).permutation(60).tolist():
        assert np.array_equal(again.at(Fraction(k, 24)), forward[k]), k
