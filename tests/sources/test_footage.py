"""Films of a folder, and the motion in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from reactive.errors import MediaError
from reactive.sources.footage import LOOKED_AT_SECONDS, films_in, movement_of


def film(path: Path, seconds: float, moving: tuple[float, float], fps: int = 8) -> Path:
    """Write a film that flickers between two times and is still elsewhere."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(seconds * fps)):
            grey = 60 + 120 * (number % 2) * (moving[0] <= number / fps < moving[1])
            picture = np.full((48, 64, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_motion_is_found_where_pictures_change(tmp_path: Path) -> None:
    seconds, movement = movement_of(film(tmp_path / "a.mp4", 4, (1.5, 2.5)))
    assert seconds == pytest.approx(4, abs=0.2)
    assert movement.dtype == np.float32
    at = np.arange(len(movement)) / 8
    inside, outside = (at > 1.6) & (at < 2.4), (at < 1.4) | (at > 2.7)
    assert movement[inside].min() > 0.3
    assert movement[outside].max() < 0.02


def test_measurements_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", 2, (0.5, 1))
    first = movement_of(path)
    monkeypatch.setattr("reactive.sources.footage._look", lambda *given: pytest.fail("looked again"))
    again = movement_of(path)
    assert again[0] == first[0]
    assert np.array_equal(again[1], first[1], equal_nan=True)


def test_a_long_film_is_sampled(tmp_path: Path) -> None:
    _, movement = movement_of(film(tmp_path / "long.mp4", 400, (0, 0), fps=2))
    looked = np.isfinite(movement)
    assert 0.9 * LOOKED_AT_SECONDS * 8 < looked.sum() < 1.1 * LOOKED_AT_SECONDS * 8
    # spread over all of it
    assert all(part.any() for part in np.array_split(looked, 10))


def test_films_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MOV", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in films_in(tmp_path)] == ["a.MOV", "b.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="no film"):
        films_in(tmp_path / "empty")
    with pytest.raises(MediaError, match="folder"):
        films_in(tmp_path / "none")
