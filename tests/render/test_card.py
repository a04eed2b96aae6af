"""Complete `run` and `shots` on a GPU with the library's code, compared with the CPU."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from reactive import Settings, make_clip
from reactive.diffusion.core import Core
from reactive.render.contact import contact_pictures
from reactive.timeline.shots import shots_of
from reactive.timeline.timeline import FEEDBACK
from tests.toy import beat_song, save_video, write_song

pytestmark = pytest.mark.slow
PRESET = """
version = 2
title = "All modes"
walk = "0.3 + decay(kick, 0.2)"
feedback.rate = 12
[lens]
zoom = "1.05 + 0.1 * decay(kick, 0.15)"
tilt = "6 * decay(kick, 0.3)"
rotate = "2"
[[phase]]
name = "walk"
bars = [1, 1]
prompts = ["a sea", "a tree"]
[[phase]]
name = "fed"
bars = [1, 1]
mode = "feedback"
strength = "0.5"
prompts = ["fire", "smoke"]
[phase.camera]
zoom = "1.2"
[[phase]]
name = "photo"
bars = [1, 1]
mode = "photo"
strength = "0.5"
prompts = ["a hill"]
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("given")
    y, x = np.mgrid[0:90, 0:160]
    Image.fromarray(np.stack([x, y * 2, (x + y) % 256], axis=2).astype(np.uint8)).save(folder / "band.png")
    (folder / "preset.toml").write_text(PRESET)
    film = [np.full((90, 160, 3), 10 * number, np.uint8) for number in range(24)]
    return {
        "song": write_song(folder / "song.wav", beat_song(6)),
        "preset": folder / "preset.toml",
        "photo": folder / "band.png",
        "video": save_video(folder / "film.mp4", film),
    }


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_run_gives_the_same_clip_on_a_card_as_on_the_cpu(
    cuda: str, tmp_path: Path, toy_model: Path, given: dict[str, Path]
) -> None:
    made = []
    for device in (cuda, "cpu"):
        settings = Settings.of(
            preset=str(given["preset"]),
            photos=(given["photo"],),
            model=str(toy_model),
            steps=1,
            device=device,
            threads=1,
            batch=4,
            seed=3,
            codec="ffv1",
            dtype="float32",
            imagine_size=(64, 64),
            size=(64, 64),
            segment=24,
        )
        clip = make_clip(given["song"], tmp_path / f"{device}.mkv", settings)
        assert clip.device == device
        made.append(frames(clip.output))
    assert made[0].shape == made[1].shape
    assert np.abs(made[0] - made[1]).mean() < 3
    assert np.abs(np.diff(made[0], axis=0)).mean() > 0.5


def test_a_contact_sheet_is_imagined_on_a_card_in_batches_that_fit(
    cuda: str, toy_model: Path, beat_timeline, beat_analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, sources = shots_of(beat_timeline, beat_analysis), beat_timeline.columns["source"]
    fed_back = [shot for shot in every if sources[shot.start] == FEEDBACK]
    found = (fed_back[:1] + [shot for shot in every if shot not in fed_back[:1]])[:5]
    usual = contact_pictures(beat_timeline, found, model=str(toy_model), steps=1, device=cuda, threads=1)
    original, tried = Core.imagine, []

    def greedy(self, requests):
        tried.append(self.batch)
        if self.batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(self, requests)

    monkeypatch.setattr(Core, "imagine", greedy)
    smaller = contact_pictures(beat_timeline, found, model=str(toy_model), steps=1, device=cuda, threads=1)
    assert tried[0] == 5
    assert tried[-1] == 2
    assert usual.keys() == smaller.keys() == {shot.number for shot in found}
    assert all(np.abs(usual[number].astype(int) - smaller[number]).mean() < 3 for number in usual)
    assert fed_back
