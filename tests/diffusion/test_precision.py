"""All calculations with a network's output are in float32: the only rounding is that of the network's number format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.configuration_utils import FrozenDict

from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.families import Conditioning
from reactive.diffusion.models.load import load_model
from reactive.diffusion.models.model import Model
from reactive.diffusion.sampling.sampling import read_sampling, sample

# SD-Turbo's noisiest level still holds 7 % of the picture, so rounding errors are magnified 15 times
TURBO = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}
HALVES = [torch.bfloat16, torch.float16]


class Perfect:
    """A network that knows the clean latents, and predicts them as exactly as its number format allows."""

    def __init__(self, truth: torch.Tensor, dtype: torch.dtype) -> None:
        self.truth, self.dtype = truth, dtype
        self.config = FrozenDict(time_cond_proj_dim=None)
        self.model: Model

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, **more: Any) -> tuple[torch.Tensor]:
        assert sample.dtype == self.dtype
        truth = self.truth.repeat(len(sample) // len(self.truth), 1, 1, 1)
        alpha, sigma = (part.view(-1, 1, 1, 1) for part in self.model.schedule.alpha_sigma(timestep + 1))
        noise = (self.exact.repeat(len(sample) // len(self.truth), 1, 1, 1) - alpha * truth) / sigma
        if self.model.prediction == "v_prediction":
            return ((alpha * noise - sigma * truth).to(self.dtype),)
        return (noise.to(self.dtype),)


def perfect(
    toy_model: Path, truth: torch.Tensor, dtype: torch.dtype, steps: int, **changes: Any
) -> tuple[Model, Perfect]:
    model = load_model(str(toy_model), steps=1)
    config = {"_class_name": "EulerDiscreteScheduler", **TURBO, **changes}
    network = Perfect(truth, dtype)
    made = replace(model, network=network, dtype=dtype, sampling=read_sampling(config, {}, name="turbo", steps=steps))
    network.model = made
    return made, network


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_in_one_step_of_sd_turbo_only_the_networks_output_is_rounded(
    toy_model: Path, truth: torch.Tensor, dtype: torch.dtype, guidance: float
) -> None:
    model, network = perfect(toy_model, truth, dtype, 1)
    model = replace(model, guidance=guidance)
    tau = torch.full((4,), 1000.0, dtype=torch.float64)
    alpha, sigma = (part.view(-1, 1, 1, 1) for part in model.schedule.alpha_sigma(tau))
    assert float(alpha[0]) == pytest.approx(0.068, abs=0.001)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    z = network.exact = alpha * truth + sigma * noise
    words = Conditioning(torch.zeros(4, 1, 1, dtype=dtype))
    found = model.predict_x0_guided(z, tau, words, words)
    assert found.dtype == torch.float32
    # the error of rounding the noise to the format
    least = rms((noise.to(dtype).float() - noise) * sigma / alpha)
    error = rms(found - truth)
    assert error < 1.05 * least
    # it would be 0.057 in bfloat16 if the rest used that format too
    assert error == pytest.approx({torch.bfloat16: 0.0231, torch.float16: 0.00275}[dtype], rel=0.05)


@pytest.mark.parametrize("dtype", HALVES)
def test_samplers_step_in_float32(toy_model: Path, truth: torch.Tensor, dtype: torch.dtype) -> None:
    model, network = perfect(toy_model, truth, dtype, 4, prediction_type="v_prediction")
    words = Conditioning(torch.zeros(4, 1, 1, dtype=dtype))

    def denoise(z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        assert z.dtype == torch.float32
        network.exact = z
        return model.predict_x0(z, tau, words)

    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    found = sample(model.sampling, denoise, torch.ones(4, dtype=torch.float64), None, [noise])
    exact, other = perfect(toy_model, truth, torch.float32, 4, prediction_type="v_prediction")

    def exactly(z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        other.exact = z
        return exact.predict_x0(z, tau, words)

    wanted = sample(exact.sampling, exactly, torch.ones(4, dtype=torch.float64), None, [noise])
    assert float((found - wanted).abs().mean()) < {torch.bfloat16: 0.004, torch.float16: 0.0006}[dtype]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_latents_and_prompts_are_float32_until_the_networks(toy_model: Path, dtype: str) -> None:
    model = load_model(str(toy_model), steps=1, dtype=dtype)
    with torch.inference_mode():
        assert model.encode(torch.zeros(1, 3, 64, 64)).dtype == torch.float32
        mixed = PromptBank(model, ("a sea", "a hill")).mix(
            *(torch.arange(2).numpy() * 0 + i for i in (0, 1)), torch.tensor([0.5, 0.501]).numpy()
        )
    # a difference of a thousandth in a blend must have an effect; with 8 bits it would be lost
    assert not torch.equal(mixed.tokens[0], mixed.tokens[1])
