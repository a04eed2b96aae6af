"""Every family at toy width through the core, against diffusers' own pipelines with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from tests.diffusion.toys import autoencoder, save_toy

PROMPTS = ["a red sea", "fire at night", "snow"]
MORE_PROMPTS = [*PROMPTS, "a b c", "old bridge"]
NEGATIVE = "ugly dog"
TOLERANCE = 1e-4
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing", "steps_offset": 1}
CASES: dict[str, dict[str, Any]] = {
    "1.5": {"scheduler": {"kind": "DDIMScheduler", "clip_sample": False, **LEADING}, "steps": 4, "guidance": 5.0},
    "2.1": {
        "family": "sd2",
        "steps": 3,
        "guidance": 4.0,
        "scheduler": {"kind": "DDIMScheduler", "clip_sample": False, "prediction_type": "v_prediction", **LEADING},
    },
    "turbo": {
        "family": "sd2",
        "scheduler": {"kind": "EulerDiscreteScheduler", **TRAILING},
        "steps": 1,
        "guidance": 1.0,
    },
    "dpm": {
        "steps": 5,
        "guidance": 3.0,
        "scheduler": {"kind": "DPMSolverMultistepScheduler", "final_sigmas_type": "zero", **LEADING},
    },
    "lcm": {
        "scheduler": {"kind": "LCMScheduler", "clip_sample": False, "steps_offset": 1},
        "told": 16,
        "steps": 1,
        "guidance": 8.5,
    },
    "xl": {"family": "sdxl", "scheduler": {"kind": "EulerDiscreteScheduler", **LEADING}, "steps": 4, "guidance": 5.0},
    "xl-turbo": {
        "family": "sdxl",
        "scheduler": {"kind": "EulerAncestralDiscreteScheduler", **TRAILING},
        "steps": 1,
        "guidance": 1.0,
    },
}
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


def noises(count: int, steps: int = 1, size: int = 8) -> torch.Tensor:
    return torch.randn(steps, count, 4, size, size, generator=torch.Generator().manual_seed(7))


def imagine(model, prompts: list[str], drawn: torch.Tensor, *, negative: str = "", size: int = 64) -> torch.Tensor:
    core = Core(
        model,
        PromptBank(model, prompts, negatives=[negative] * len(prompts)),
        batch=len(prompts),
        width=size,
        height=size,
    )
    assert core.noises_per_picture <= len(drawn)
    return core.imagine([FrameRequest(i, i, 0.0, 1.0, tuple(drawn[:, i])) for i in range(len(prompts))])


class ExactCore(Core):
    """A core that returns its decoded pictures before they are converted to bytes."""

    @torch.inference_mode()
    def exact(self, requests: list[FrameRequest]) -> torch.Tensor:
        return self.model.decode(self._latents(self.model, requests)).float().clamp(-1, 1)


def exact(model, prompts: list[str], drawn: torch.Tensor, *, negative: str = "") -> torch.Tensor:
    bank = PromptBank(model, prompts, negatives=[negative] * len(prompts))
    core = ExactCore(model, bank, batch=len(prompts), width=64, height=64)
    return core.exact([FrameRequest(i, i, 0.0, 1.0, tuple(drawn[:, i])) for i in range(len(prompts))])


def pipeline_pictures(
    folder: Path,
    case: dict[str, Any],
    drawn: torch.Tensor,
    negative: str | None,
    vae: Path | None = None,
    prompts: list[str] = PROMPTS,
) -> torch.Tensor:
    """The pipeline's pictures in [-1, 1]."""
    from diffusers import AutoencoderTiny, StableDiffusionPipeline, StableDiffusionXLPipeline

    kind = StableDiffusionXLPipeline if case.get("family") == "sdxl" else StableDiffusionPipeline
    pipeline = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    if vae is not None:
        pipeline.vae = AutoencoderTiny.from_pretrained(vae, local_files_only=True)
    shown = pipeline(
        prompt=prompts,
        negative_prompt=None if negative is None else [negative] * len(prompts),
        latents=drawn.clone(),
        height=64,
        width=64,
        num_inference_steps=case["steps"],
        guidance_scale=case["guidance"],
        output_type="pt",
    ).images
    return shown * 2 - 1


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_family_gives_the_pictures_of_its_own_pipeline(tmp_path: Path, name: str, count: int) -> None:
    case = CASES[name]
    folder = save_toy(
        tmp_path / "model", family=case.get("family", "sd"), scheduler=case["scheduler"], told=case.get("told")
    )
    model = load_model(str(folder), steps=case["steps"], guidance=case["guidance"], dtype="float32")
    assert model.native_size == (64, 64)
    assert model.steps == case["steps"]
    drawn, prompts = noises(count), MORE_PROMPTS[:count]
    ours = exact(model, prompts, drawn)
    theirs = pipeline_pictures(folder, case, drawn[0], None, prompts=prompts)
    assert ours.shape == (count, 3, 64, 64)
    assert (ours - theirs).abs().max() < TOLERANCE
    # pictures must have some contrast, and react to the prompt
    assert ours.std() > 5 / 127
    assert (ours - exact(model, ["moon"] * count, drawn)).abs().max() > 10 * TOLERANCE
    if case["guidance"] > 1 and name != "lcm":
        led = exact(model, prompts, drawn, negative=NEGATIVE)
        assert (led - pipeline_pictures(folder, case, drawn[0], NEGATIVE, prompts=prompts)).abs().max() < TOLERANCE
        assert (led - ours).abs().max() > 10 * TOLERANCE


def test_a_guidance_distilled_model_gets_its_guidance(tmp_path: Path) -> None:
    folder = save_toy(tmp_path / "model", scheduler={"kind": "LCMScheduler"}, told=16)
    calm, keen = (load_model(str(folder), steps=2, guidance=guidance) for guidance in (1.0, 9.0))
    drawn = noises(2, 2)
    assert not torch.equal(imagine(calm, PROMPTS[:2], drawn), imagine(keen, PROMPTS[:2], drawn))


def test_a_family_model_walks_and_uses_sources(tmp_path: Path) -> None:
    model = load_model(str(save_toy(tmp_path / "model", family="sdxl")), steps=2, guidance=2.0)
    bank = PromptBank(model, PROMPTS)
    core = Core(model, bank, batch=4, width=96, height=64)
    drawn = torch.randn(4, 8, 12, generator=torch.Generator().manual_seed(1))
    source = torch.linspace(-1, 1, 96).expand(3, 64, 96)
    mixed = core.imagine([FrameRequest(0, 1, weight, 1.0, (drawn,)) for weight in (0.0, 0.01, 1.0)]).float()
    near, far = (mixed[1] - mixed[0]).abs().mean(), (mixed[2] - mixed[0]).abs().mean()
    assert 0 <= near < far / 4
    kept, changed, free = core.imagine([FrameRequest(0, 0, 0.0, s, (drawn,), source) for s in (0.0, 0.5, 1.0)]).float()
    assert not torch.equal(kept, changed)
    alone = core.imagine([FrameRequest(0, 0, 0.0, 1.0, (drawn,))]).float()[0]
    assert (free - alone).abs().max() <= 1


@pytest.mark.parametrize("name", ["1.5", "xl"])
def test_a_small_autoencoder_gives_the_pictures_of_the_pipeline_with_it(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    folder = save_toy(tmp_path / "model", family=case.get("family", "sd"), scheduler=case["scheduler"])
    autoencoder(tiny=True).save_pretrained(tmp_path / "tiny")
    chosen = {"steps": case["steps"], "guidance": case["guidance"], "dtype": "float32"}
    ours, own = (
        exact(load_model(str(folder), **chosen, vae=vae), PROMPTS, noises(3)) for vae in (str(tmp_path / "tiny"), None)
    )
    theirs = pipeline_pictures(folder, case, noises(3)[0], None, tmp_path / "tiny")
    assert (ours - theirs).abs().max() < TOLERANCE
    assert (ours - own).abs().max() > 0.1


def test_another_autoencoder_can_be_used_for_previews(tmp_path: Path) -> None:
    from reactive.errors import ModelError

    folder = save_toy(tmp_path / "model")
    autoencoder(tiny=True).save_pretrained(tmp_path / "tiny")
    plain = load_model(str(folder), steps=1)
    quick = load_model(str(folder), steps=1, vae=str(tmp_path / "tiny"))
    assert type(quick.vae).__name__ == "AutoencoderTiny"
    assert quick.sha256 != plain.sha256
    assert imagine(quick, PROMPTS, noises(3)).shape == (3, 3, 64, 64)
    autoencoder(tiny=True, channels=8).save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match="8 channels"):
        load_model(str(folder), vae=str(tmp_path / "wide"))
    with pytest.raises(ModelError, match="models pull taesd"):
        load_model(str(folder), vae="tiny")
    with pytest.raises(ModelError, match="not sd"):
        load_model(str(folder), vae="taesdxl")
    with pytest.raises(ModelError, match="no such autoencoder"):
        load_model(str(folder), vae="nothing")


def test_only_known_times_are_used(tmp_path: Path) -> None:
    folder = save_toy(tmp_path / "model", scheduler={"kind": "DDIMScheduler"})
    (folder / "reactive.json").write_text('{"timesteps": [999, 499], "guidance": 1.0, "other": 1}')
    model = load_model(str(folder))
    assert model.steps == 2
    asked: set[float] = set()
    forward = model.network.forward
    model.network.forward = lambda **given: (asked.update(given["timestep"].tolist()), forward(**given))[1]
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)
    source = torch.zeros(3, 64, 64)
    core.imagine([FrameRequest(0, 0, 0.0, s, (noises(1)[0, 0],), source) for s in (0.3, 0.5, 0.8, 1.0)])
    # items that have finished pass time 0, and their result is not used
    assert asked == {0.0, 499.0, 999.0}


def test_sixteen_bit_formats_run(tmp_path: Path) -> None:
    folder = save_toy(tmp_path / "model", family="sdxl")
    exact = imagine(load_model(str(folder), steps=2), PROMPTS, noises(3)).float()
    model = load_model(str(folder), steps=2, dtype="bfloat16")
    assert model.network.dtype == torch.bfloat16
    assert (imagine(model, PROMPTS, noises(3)).float() - exact).abs().mean() < 6
