"""Transparency by depth: the matte of a clip lies where its photographs lie, frame by frame."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reactive import Settings, make_clip
from reactive.cli import main
from tests.toy import beat_song, write_song

# the photograph is its own depth map, and it is shown as it is: so each frame's alpha is its own grey
PRESET = """
version = 2
title = "Ground"
[ground]
show = ["one.png", "two.png"]
every = "1 bar"
over = "0.0625 beats"
detail = "1"
colour = "1"
light = "0"
zoom = "1.05 + 0.6 * phase.progress"
x = "0.1 * phase.progress"
parallax = "0.2"
[[phase]]
name = "one"
prompts = ["a grey sea"]
[phase.lens]
zoom = "1.02"
"""


def shape(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 255, (4, 5), np.uint8)
    return Image.fromarray(small).resize((256, 192), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset's folder, with a photograph whose depth is known and one without."""
    found = tmp_path_factory.mktemp("preset")
    (found / "preset.toml").write_text(PRESET)
    shape(1).convert("RGB").save(found / "one.png")
    shape(1).save(found / "one.depth.png")
    shape(2).convert("RGB").save(found / "two.png")
    return found


def made(folder: Path, toy_model: Path, **changes: object) -> Path:
    song = write_song(folder / "song.wav", beat_song(6))
    settings = Settings.of(
        **{
            "preset": str(folder),
            "model": str(toy_model),
            "steps": 1,
            "device": "cpu",
            "threads": 1,
            "batch": 4,
            "imagine_size": (64, 48),
            "size": (128, 96),
            "crf": 4,
            "start": 1.0,
            "duration": 3.0,
            "overwrite": True,
        }
        | changes
    )
    return make_clip(song, folder / "clip.mp4", settings).output


@pytest.fixture(scope="module")
def clip(folder: Path, toy_model: Path) -> Path:
    return made(folder, toy_model)


def rgba(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.stack([frame.to_ndarray(format="rgba") for frame in container.decode(stream)])


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def export(clip: Path, out: Path, *more: str):
    return CliRunner().invoke(main, ["export", str(clip), "--alpha-by", "depth", "-o", str(out), *more])


def test_the_matte_lies_where_the_photograph_lies(clip: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "near.mov"
    done = export(clip, out, "--song", str(folder / "song.wav"), "--photos", str(folder), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["output"] == {"path": str(out), "frames": 72, "alpha": "depth"}
    pictures = rgba(out).astype(int)
    assert pictures.shape == (72, 96, 128, 4)
    deep = [frame for frame, picture in enumerate(pictures) if picture[..., 3].min() < 250]
    # two seconds a bar, the first of which has begun before the clip does
    assert 20 <= len(deep) <= 52
    # a change begins and ends with these frames
    inner = [frame for frame in deep if {frame - 1, frame + 1} <= {*deep}]
    alpha, grey = pictures[..., 3], pictures[..., :3].mean(axis=3)
    for frame in inner:
        # what is near is enlarged by a pixel, and nothing else differs
        assert alike(alpha[frame], grey[frame]) > 0.985
        assert np.percentile(alpha[frame] - grey[frame], 1) > -3
    # it moves: a matte that stood still would lie beside the picture
    assert alike(alpha[inner[0]], grey[inner[-1]]) < 0.97
    # the colours are those of the clip, whatever is transparent
    with av.open(str(clip)) as container:
        plain = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(container.streams.video[0])])
    assert np.abs(pictures[..., :3] - plain).mean() < 2


def test_what_is_missing_is_named_in_one_line(
    clip: Path, folder: Path, tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    song = str(folder / "song.wav")
    other = write_song(tmp_path / "other.wav", beat_song(5))
    alone = tmp_path / "alone"
    alone.mkdir()
    moved = alone / "clip.mp4"
    moved.write_bytes(clip.read_bytes())
    away = write_song(alone / "song.wav", beat_song(6))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("preset.toml", "one.png", "two.png"):
        (bare / name).write_bytes((folder / name).read_bytes())
    flat = tmp_path / "flat.mp4"
    flat.write_bytes(made(bare, toy_model).read_bytes())
    unsigned = tmp_path / "unsigned.mp4"
    unsigned.write_bytes(made(bare, toy_model, recipe=False).read_bytes())
    for arguments, word in (
        ((clip,), "--song"),
        ((clip, "--song", str(other)), "another song"),
        ((moved, "--song", str(away)), "one.png"),
        ((flat, "--song", str(bare / "song.wav"), "--photos", str(bare)), "reactive depth"),
        ((unsigned, "--song", song), "recipe"),
    ):
        out = tmp_path / "none.mov"
        done = export(arguments[0], out, *arguments[1:])
        assert done.exit_code == 1, done.output
        assert word in done.output
        assert len(done.output.strip().splitlines()) == 1
        assert not out.exists()
