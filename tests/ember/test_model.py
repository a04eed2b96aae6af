"""The bundled model: an ordinary diffusers folder, small, and controlled by prompts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import EMBER, load_model
from reactive.diffusion.sampling.noise import NoisePath
from training.ember.data import is_held_out

PROMPTS = [
    "fire at night",
    "snow on a mountain under a blue sky",
    "a green forest in the fog",
    "a crimson nebula with stars",
]


@pytest.fixture(scope="module")
def core() -> Core:
    torch.set_num_threads(2)
    model = load_model("ember")
    width, height = model.native_size
    return Core(model, PromptBank(model, PROMPTS), batch=4, width=width, height=height)


def request(core: Core, prompt: int, *, seed: int = 1, walk: float = 0.0) -> FrameRequest:
    path = NoisePath(core.model.channels, core.height // 8, core.width // 8, 16)
    return FrameRequest(prompt, prompt, 0.0, 1.0, tuple(path.at(seed, walk) for _ in range(core.noises_per_picture)))


def test_the_folder_is_small_and_holds_no_pickle() -> None:
    files = [file for file in EMBER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 25 * 1024 * 1024
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".txt", ".md", ".tsv", ".jpg", ""}
    assert (EMBER / "LICENSE").is_file()
    rows = (EMBER / "ATTRIBUTION.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) > 250
    assert rows[0].split("\t")[-2:] == ["author", "licence"]
    assert all(all(row.split("\t")) for row in rows)


def test_no_held_out_picture_was_used_for_training() -> None:
    for row in (EMBER / "ATTRIBUTION.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        assert not is_held_out(row.split("\t")[0])


def test_it_is_16_to_9_and_few_step(core: Core) -> None:
    assert core.model.native_size == (384, 224)
    assert core.model.consistency
    assert core.model.steps <= 2
    assert core.model.guidance == 1.0


def test_different_prompts_give_visibly_different_pictures(core: Core) -> None:
    pictures = core.imagine([request(core, number) for number in range(4)]).float()
    for a in range(4):
        for b in range(a):
            assert (pictures[a] - pictures[b]).abs().mean() > 12, (PROMPTS[a], PROMPTS[b])
    fire, snow, _, nebula = pictures
    assert fire[0].mean() > fire[2].mean() + 30
    assert snow.mean() > nebula.mean() + 30


def test_neighbouring_noises_give_neighbouring_pictures(core: Core) -> None:
    near = core.imagine([request(core, 1, walk=0.3 / 24 * step) for step in range(4)]).float()
    far = core.imagine([request(core, 1, walk=float(step)) for step in range(4)]).float()
    near_change = near.diff(dim=0).abs().mean((1, 2, 3))
    assert float(near_change.max()) < 0.35 * float(far.diff(dim=0).abs().mean())
    assert float(near_change.max()) < 3 * float(near_change.min())


def test_diffusers_loads_and_runs_it_without_options() -> None:
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(EMBER)
    # one dtype for all parts, or they could not work together
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.float32}
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "guidance_scale": 1.0, "generator": torch.Generator().manual_seed(0)}
    image = pipeline("fire at night", height=224, width=384, **options).images[0]
    assert image.size == (384, 224)
    again = StableDiffusionImg2ImgPipeline.from_pretrained(EMBER)
    again.set_progress_bar_config(disable=True)
    other = again("snow", image=image, strength=0.5, **options).images[0]
    assert other.size == image.size
    assert np.abs(np.asarray(other, float) - np.asarray(image, float)).mean() > 2
    index = json.loads((EMBER / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
