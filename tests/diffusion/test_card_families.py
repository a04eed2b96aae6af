"""Transformer families on a GPU: devices are not mixed, and the pictures match those of the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from tests.diffusion.family_toys import TOYS, save_family

PROMPTS = ("a red sea", "a blue hill", "a fire")
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def imagined(folder: Path, device: str) -> torch.Tensor:
    """Return pictures without a source, of a blend, and from a photograph."""
    model = load_model(str(folder), device=device, dtype="float32", steps=2)
    side = 4 * model.step
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=side, height=side)
    shape = (model.channels, side // model.vae_scale_factor, side // model.vae_scale_factor)
    generator = torch.Generator().manual_seed(1)
    noises = [tuple(torch.randn(shape, generator=generator) for _ in range(core.noises_per_picture)) for _ in range(3)]
    photo = torch.linspace(-1, 1, side).expand(3, side, side)
    wanted = [
        FrameRequest(0, 0, 0.0, 1.0, noises[0]),
        FrameRequest(1, 2, 0.6, 1.0, noises[1], slerp=True),
        FrameRequest(0, 1, 0.3, 0.55, noises[2], photo),
    ]
    # twice, so that recorded graphs are also replayed
    pictures = [core.imagine(wanted) for _ in range(2)]
    assert all(part.device.type == device for part in pictures)
    return torch.cat(pictures).cpu()


@pytest.mark.parametrize("name", TOYS)
def test_every_family_runs_on_a_card(cuda: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    if name == "krea2":
        pytest.importorskip("accelerate")
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    save_family(tmp_path / "model", name)
    on_card = imagined(tmp_path / "model", cuda)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "other"))
    plain = imagined(tmp_path / "model", "cpu")
    assert on_card.shape == plain.shape
    assert float((on_card.float() - plain.float()).abs().mean()) < 3
    assert float((plain[0].float() - plain[1].float()).abs().mean()) > 3
