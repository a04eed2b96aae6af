"""bfloat16 is selected on processors that support it, as reported by torch, and pictures stay nearly the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reactive.diffusion.backend import device
from reactive.diffusion.backend.device import choose_dtype, multiplies_bfloat16
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.sampling.noise import NoisePath


def pretend(monkeypatch: pytest.MonkeyPatch, told: dict[str, object], *, supported: bool = True) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("told", "supported", "multiplies"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True, True),
        ({"avx512_f": True, "cpu_name": "something with AMX in its name"}, True, False),
        ({"amx_bf16": True}, False, False),
        ({}, True, False),
    ],
)
def test_the_choice_follows_torch(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, object], supported: bool, multiplies: bool
) -> None:
    pretend(monkeypatch, told, supported=supported)
    assert multiplies_bfloat16() is multiplies
    assert choose_dtype("cpu") == (torch.bfloat16 if multiplies else torch.float32)
    assert choose_dtype("cuda") == torch.float16
    assert choose_dtype("cpu", "float32") == torch.float32


def test_all_of_the_model_is_loaded_in_bfloat16(monkeypatch: pytest.MonkeyPatch, toy_model: Path) -> None:
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda: True)
    model = load_model(str(toy_model), steps=1)
    assert model.dtype == model.vae_dtype == torch.bfloat16
    for part in (model.network, model.vae):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.bfloat16}


@pytest.mark.slow
def test_embers_pictures_are_close_to_float32() -> None:
    path = NoisePath(4, 16, 24, 16)
    pictures = []
    for numbers in ("float32", "bfloat16"):
        model = load_model("ember", dtype=numbers)
        core = Core(model, PromptBank(model, ("a city at night", "waves of the sea")), batch=4, width=192, height=128)
        pictures.append(core.imagine([FrameRequest(0, 1, 0.3 * i, 1.0, (path.at(i, 0.2),)) for i in range(4)]).float())
    error = (pictures[0] - pictures[1]).square().flatten(1).mean(1)
    assert bool((10 * torch.log10(255**2 / error) >= 40).all())
