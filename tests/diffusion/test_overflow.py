"""Pictures that overflow a half-precision format are imagined again in float32; others keep their bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reactive.diffusion.backend.overflow import in_float32
from reactive.diffusion.backend.overflow import is_finite as finite
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, load_model
from reactive.errors import ModelError

# larger latents overflow in the decoder made below
PROMPTS = ("a red sea", "a blue hill")


def core_of(model: Model) -> Core:
    return Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)


def requests(model: Model, loud: float) -> list[FrameRequest]:
    """Return three requests, the middle one with noise scaled up."""
    generator = torch.Generator().manual_seed(3)
    noises = torch.randn(3, model.channels, 8, 8, generator=generator)
    return [
        FrameRequest(0, 1, 0.5, 1.0, (noise * scale,)) for noise, scale in zip(noises, (1.0, loud, 1.0), strict=True)
    ]


def test_only_what_overflows_is_imagined_again_and_the_weights_come_back(toy_model: Path) -> None:
    half = load_model(str(toy_model), steps=1, dtype="float16")
    before = [parameter.clone() for parameter in half.network.parameters()]
    core = core_of(half)
    calm = core.imagine(requests(half, 1.0))
    assert core.retried == 0
    # float16 ends at 65,504
    mixed = core.imagine(requests(half, 1e5))
    assert core.retried == 1
    assert torch.equal(mixed[0], calm[0])
    assert torch.equal(mixed[2], calm[2])
    assert all(torch.equal(a, b) for a, b in zip(before, half.network.parameters(), strict=True))
    assert next(half.vae.parameters()).dtype == torch.float16
    whole = load_model(str(toy_model), steps=1)
    exact = core_of(replace(whole)).imagine(requests(whole, 1e5))
    # the copy has half-precision weights, so the picture is only nearly the same
    assert (mixed[1].float() - exact[1].float()).abs().mean() < 4
    assert torch.equal(core.imagine(requests(half, 1.0)), calm)


def test_the_exact_copy_of_a_compiled_network_is_uncompiled_and_separate(toy_model: Path) -> None:
    half = load_model(str(toy_model), steps=1, dtype="float16")
    compiled = replace(half, network=torch.compile(half.network, backend="eager"))
    half.vae.decoder = torch.compile(half.vae.decoder, backend="eager")
    with in_float32(compiled) as exact:
        assert type(exact.network) is type(half.network)
        for mine, theirs in ((half.network, exact.network), (half.vae, exact.vae)):
            weights = list(theirs.parameters())
            assert {weight.dtype for weight in weights} == {torch.float32}
            assert all(torch.equal(a.float(), b) for a, b in zip(mine.parameters(), weights, strict=True))
            assert not {weight.data_ptr() for weight in weights} & {weight.data_ptr() for weight in mine.parameters()}
        noise = torch.zeros(1, 4, 8, 8)
        assert exact.decode(noise).dtype == torch.float32


def test_nan_is_detected_at_any_position() -> None:
    pictures = torch.zeros(4, 3, 5, 7)
    pictures[1, 2, 4, 6], pictures[2, 0, 0, 0], pictures[3, 1, 2, 3] = torch.nan, torch.inf, -torch.inf
    for made in (pictures, pictures.contiguous(memory_format=torch.channels_last), pictures.half()):
        assert finite(made).tolist() == [True, False, False, False]


def test_a_model_that_gives_only_nan_is_reported(toy_model: Path) -> None:
    model = load_model(str(toy_model), steps=1)
    with torch.no_grad():
        next(model.network.parameters())[:] = float("nan")
    with pytest.raises(ModelError, match="even in float32"):
        core_of(model).imagine(requests(model, 1.0))
    half = load_model(str(toy_model), steps=1, dtype="float16")
    with torch.no_grad():
        next(half.vae.decoder.parameters())[:] = float("nan")
    with pytest.raises(ModelError, match="even in float32"):
        core_of(half).imagine(requests(half, 1.0))
