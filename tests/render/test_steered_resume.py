"""Renders with pictures that steer: killed and resumed, and with one of the pictures exchanged."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from reactive import Settings, make_clip
from reactive.cli import main
from tests.diffusion.control_toys import save_control, shapes
from tests.diffusion.style_toys import picture, save_adapter
from tests.render.killed import signalled
from tests.render.test_run import pictures

# the second phase feeds back, and has steering of its own
PRESET = """version = 2
title = "steered"
{top}
[[phase]]
name = "one"
bars = [1, 1]
mode = "photo"
prompts = ["a sea", "a tree"]
[[phase]]
name = "two"
bars = [1, 1]
mode = "feedback"
prompts = ["a fire", "a hill"]
{phase}
"""
STEERED = {
    "style": PRESET.format(
        top='[[style_picture]]\nfile = "first.png"\nweight = "0.4 + 0.4 * beat"',
        phase='[[phase.style_picture]]\nfile = "second.png"\nweight = 1.2',
    ),
    "control": PRESET.format(
        top='[[control]]\nkind = "depth"\nfile = "first.png"\nweight = "0.4 + 0.4 * beat"',
        phase='[[phase.control]]\nkind = "depth"\nfile = "second.png"\nweight = 1.2',
    ),
}


@pytest.fixture
def place(tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photograph, an adapter and a control network for the toy model, and a preset of each kind."""
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    save_adapter(tmp_path / "adapter", toy_model)
    save_control(tmp_path / "depth", toy_model, strength=2.0)
    Image.fromarray(shapes(1, 80, 80)).save(tmp_path / "band.png")
    for kind, text in STEERED.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "preset.toml").write_text(text)
        for number, name in enumerate(("first.png", "second.png"), 1):
            Image.fromarray(picture(number) if kind == "style" else shapes(number)).save(tmp_path / kind / name)
    return tmp_path


def steering(place: Path, kind: str) -> dict[str, Any]:
    return {"adapter": str(place / "adapter")} if kind == "style" else {"control_models": (f"depth={place / 'depth'}",)}


def settings(place: Path, model: Path, kind: str, **more: Any) -> Settings:
    chosen = {"preset": str(place / kind), "photos": (place / "band.png",), "codec": "ffv1", "dtype": "float32"}
    chosen |= {"steps": 1, "fps": 12, "duration": 3.0, "segment": 4, "batch": 4, "threads": 1}
    return Settings.of(model=str(model), **{**chosen, **steering(place, kind), **more})


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("kind", STEERED)
def test_a_steered_render_killed_in_its_middle_goes_on_to_the_same_bytes(
    beat_wav: Path, toy_model: Path, place: Path, kind: str
) -> None:
    given = {
        "style": ["--style", f"{place / 'style' / 'first.png'}:0.3+0.5*beat", "--adapter", str(place / "adapter")],
        "control": [
            "--control",
            f"depth:{place / 'control' / 'first.png'}:0.3+0.5*beat",
            "--control-model",
            f"depth={place / 'depth'}",
        ],
    }[kind]
    command = ["run", str(beat_wav), "--preset", "drift", "--model", str(toy_model), *given]
    command += ["--steps", "1", "--fps", "12", "--duration", "2", "--device", "cpu"]
    command += ["--dtype", "float32", "--threads", "1", "--batch", "4", "--segment", "6"]
    (place / "whole").mkdir()
    done = CliRunner().invoke(main, [*command, "-o", str(place / "whole" / "clip.mp4")])
    assert done.exit_code == 0, done.output
    out, job = place / "clip.mp4", place / "job"
    code, said = signalled("imagine", 4, signal.SIGKILL, *command, "-o", str(out), "--job", str(job))
    assert code == -signal.SIGKILL, said
    assert not out.exists()
    kept = {file: file.stat().st_mtime_ns for file in (job / "segments").iterdir()}
    resumed = CliRunner().invoke(main, ["resume", str(job)])
    assert resumed.exit_code == 0, resumed.output
    assert out.read_bytes() == (place / "whole" / "clip.mp4").read_bytes()
    # what was finished before is not made again
    finished = [file for file in kept if file.exists() and file.stat().st_mtime_ns == kept[file]]
    assert finished
    assert len(finished) < len(list((job / "segments").iterdir()))


@pytest.mark.parametrize("kind", STEERED)
def test_another_picture_makes_only_those_pieces_again_that_it_steers(
    tmp_path: Path, beat_wav: Path, toy_model: Path, place: Path, kind: str
) -> None:
    chosen = settings(place, toy_model, kind, job=tmp_path / "job", overwrite=True)
    made = make_clip(beat_wav, tmp_path / "clip.mkv", chosen)
    before = pictures(made.output)
    assert made.reused == 0
    for name, changed, other in (("second.png", 8, "two"), ("first.png", 9, "one")):
        Image.fromarray(picture(changed) if kind == "style" else shapes(changed)).save(place / kind / name)
        again = make_clip(beat_wav, tmp_path / "clip.mkv", chosen)
        now = pictures(again.output)
        differs = (now != before).any(axis=(1, 2, 3))
        # the phases' pieces lie apart: the first frames are of one, the last of two
        assert differs[-1] == (other == "two")
        assert differs[0] == (other == "one")
        first, last = np.flatnonzero(differs)[[0, -1]]
        assert 0 < again.reused < made.frames
        # nothing that did not change was made again, but for the rest of its piece and of its join
        assert made.frames - again.reused <= last - first + 1 + 2 * 4
        before = now
