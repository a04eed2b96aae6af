"""Videos, joins and interpolated frames in finished clips, read back from the file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive import Settings, make_clip
from reactive.errors import MediaError
from tests.toy import beat_song, save_video, write_song

PRESET = """
version = 1
title = "V"
strength = "0.0"
loop = false
[[phase]]
name = "one"
mode = "video"
prompts = ["a sea", "a hill", "a fire"]
[phase.switch]
every = "1 bar"
how = "hit"
match = true
join = "dissolve"
join_over = "2 beats"
"""


def shown(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> tuple[Path, Settings]:
    folder = tmp_path_factory.mktemp("fed")
    (folder / "preset.toml").write_text(PRESET)
    song = write_song(folder / "song.wav", beat_song(5))
    y, x = np.mgrid[0:96, 0:128]
    pictures = [np.stack([(x * 2 + 9 * k) % 256, y * 2, 255 - y * 2], axis=2).astype(np.uint8) for k in range(20)]
    video = save_video(folder / "film.mp4", pictures, fps=12)
    return song, Settings.of(
        preset=str(folder / "preset.toml"),
        videos=(video,),
        model=str(toy_model),
        steps=1,
        device="cpu",
        threads=1,
        batch=4,
        codec="ffv1",
        fps=Fraction(12),
    )


def changed(settings: Settings, **changes) -> Settings:

    return settings.changed(**changes)


def test_a_video_of_the_songs_length_is_shown_at_song_time(tmp_path: Path, given) -> None:
    song, settings = given
    # 54 pictures are 4.5 s, half a second shorter than the song; every 20 they repeat
    y, x = np.mgrid[0:96, 0:128]
    pictures = [
        np.stack([(x * 2 + 9 * (k % 20)) % 256, y * 2, 255 - y * 2], axis=2).astype(np.uint8) for k in range(54)
    ]
    film = save_video(tmp_path / "film.mp4", pictures, fps=12)
    (tmp_path / "p.toml").write_text(PRESET.replace('join = "dissolve"', ""))
    clip = make_clip(
        song, tmp_path / "a.mkv", changed(settings, preset=str(tmp_path / "p.toml"), videos=(film,), duration=2.5)
    )
    found = shown(clip.output).astype(int)
    # at strength 0 only the video is visible, so the shots' edges have no effect
    apart = np.abs(found[0] - found[7]).mean()
    assert max(np.abs(found[0] - found[20]).mean(), np.abs(found[7] - found[27]).mean()) < 0.5 * apart
    assert clip.photos_shown == 1
    assert clip.pictures >= clip.frames == 30


def test_a_video_of_another_length_is_cut_to_the_song(tmp_path: Path, given) -> None:
    song, settings = given
    (tmp_path / "p.toml").write_text(PRESET.replace('join = "dissolve"', ""))
    ours = changed(settings, preset=str(tmp_path / "p.toml"), duration=4.0)
    found = shown(make_clip(song, tmp_path / "a.mkv", ours).output).astype(int)
    # a shot lasts a bar, 24 frames; the film has 20 pictures: past its end it runs backwards, so a shot shows pictures twice
    first = found[:24].reshape(24, -1)
    assert len(np.unique(first, axis=0)) <= 20
    assert np.array_equal(found, shown(make_clip(song, tmp_path / "b.mkv", changed(ours, batch=3)).output))
    # a film that is long enough gives each shot a stretch of its own
    y, x = np.mgrid[0:96, 0:128]
    pictures = [np.stack([(x * 2 + 5 * k) % 256, y * 2, 255 - y * 2], axis=2).astype(np.uint8) for k in range(50)]
    film = save_video(tmp_path / "longer.mp4", pictures, fps=12)
    found = shown(make_clip(song, tmp_path / "c.mkv", changed(ours, videos=(film,), seed=1)).output)
    assert not np.array_equal(found[0], found[24])


def test_an_excerpt_that_ends_within_a_join_matches_the_full_clip(tmp_path: Path, given) -> None:
    song, settings = given
    (tmp_path / "p.toml").write_text(PRESET.replace('"video"', '"walk"').replace("match = true", ""))
    ours = changed(settings, preset=str(tmp_path / "p.toml"))
    whole = shown(make_clip(song, tmp_path / "w.mkv", ours).output)
    # bars start every 24 frames, and a join takes the 12 before
    part = shown(make_clip(song, tmp_path / "p.mkv", changed(ours, start=0.5, duration=1.0)).output)
    assert np.array_equal(part, whole[6:18])
    assert not np.array_equal(whole[17], whole[23])


def test_fewer_pictures_than_frames(tmp_path: Path, given) -> None:
    song, settings = given
    (tmp_path / "p.toml").write_text(PRESET.replace('join = "dissolve"', ""))
    ours = changed(settings, preset=str(tmp_path / "p.toml"), duration=2.0)
    every = make_clip(song, tmp_path / "a.mkv", ours)
    fewer = make_clip(song, tmp_path / "b.mkv", changed(ours, imagine_rate=3.0))
    assert (every.frames, every.pictures) == (24, 24)
    assert fewer.frames == 24
    assert fewer.pictures < 16
    assert fewer.to_dict()["pictures"] == fewer.pictures
    assert shown(fewer.output).shape == shown(every.output).shape


def test_a_broken_video_is_named_before_the_analysis(tmp_path: Path, given) -> None:
    song, settings = given
    (tmp_path / "broken.mp4").write_bytes(b"\0" * 500)
    with pytest.raises(MediaError, match=r"broken\.mp4: is not a video"):
        make_clip(song, tmp_path / "a.mkv", changed(settings, videos=(tmp_path / "broken.mp4",)))
    with pytest.raises(MediaError, match=r"gone\.mp4: no such file"):
        make_clip(song, tmp_path / "a.mkv", changed(settings, videos=(tmp_path / "gone.mp4",)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["broken.mp4"]
