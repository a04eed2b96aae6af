"""Clips with grounds: rendered in the clip's size, listed in the recipe, rendered again when a picture changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from reactive import Settings, make_clip
from reactive.render.recipe import read_recipe
from reactive.render.sizes import composed_size
from tests.toy import beat_song, write_song

PRESET = """version = 2
title = "Grounds"
walk = "0.3"
[ground]
show = ["one.png", "two.png"]
every = "1 bar"
detail = "1"
colour = "1"
light = "0"
[[phase]]
name = "one"
prompts = ["a grey sea"]
"""


def picture(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((256, 192), Image.Resampling.BICUBIC)


@pytest.fixture
def settings(tmp_path: Path, toy_model: Path) -> Settings:
    folder = tmp_path / "preset"
    folder.mkdir()
    (folder / "preset.toml").write_text(PRESET)
    picture(1).save(folder / "one.png")
    picture(2).save(folder / "two.png")
    write_song(tmp_path / "song.wav", beat_song(4))
    return Settings.of(
        preset=str(folder),
        model=str(toy_model),
        steps=1,
        device="cpu",
        threads=2,
        batch=4,
        codec="ffv1",
        segment=24,
        imagine_size=(64, 48),
        size=(128, 96),
    )


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(container.streams.video[0])])


def test_a_clip_shows_its_grounds_and_lists_them(tmp_path: Path, settings: Settings) -> None:
    clip = make_clip(tmp_path / "song.wav", tmp_path / "clip.mkv", settings)
    shown = frames(clip.output).astype(float)
    assert shown.shape[1:] == (96, 128, 3)
    wanted = [np.asarray(picture(seed).resize((128, 96), Image.Resampling.LANCZOS), float) for seed in (1, 2)]
    # the first bar shows the first picture, the second bar the second, within the accuracy of video colours
    assert np.abs(shown[20] - wanted[0]).mean() < 4
    assert np.abs(shown[70] - wanted[1]).mean() < 4
    recipe = read_recipe(clip.output)
    assert [ground.name for ground in recipe.grounds] == ["one.png", "two.png"]


def test_only_frames_of_a_changed_picture_are_rendered_again(tmp_path: Path, settings: Settings) -> None:
    kept = settings.changed(job=tmp_path / "job")
    make_clip(tmp_path / "song.wav", tmp_path / "clip.mkv", kept)
    picture(3).save(Path(settings.preset) / "two.png")
    again = make_clip(tmp_path / "song.wav", tmp_path / "clip.mkv", kept.changed(overwrite=True))
    # the first bar is unchanged
    assert 0 < again.reused < again.frames
    assert np.abs(frames(again.output)[70] - np.asarray(picture(3).resize((128, 96)), float)).mean() < 6
    shutil.rmtree(tmp_path / "job")


def test_several_aspect_ratios_are_cropped_from_one_large_enough_picture() -> None:
    assert composed_size((384, 224), [(768, 432)]) == (768, 432)
    width, height = composed_size((384, 224), [(768, 432), (432, 768)])
    assert height == 768
    assert abs(width / height - 384 / 224) < 0.01
