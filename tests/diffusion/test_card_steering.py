"""Control pictures, pictures of a style and LoRAs by the music on a GPU: devices are not mixed, and pictures match the CPU's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.adapter import StyleBank
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.control import ControlBank, ControlInput
from reactive.diffusion.models.load import load_model
from tests.diffusion.control_toys import OF_BLOCKS, save_block_control, save_control, textured
from tests.diffusion.family_toys import save_family
from tests.diffusion.style_toys import picture, save_adapter
from tests.diffusion.test_varying_lora import TOGETHER, save_lora
from tests.diffusion.toys import save_toy

UNETS = ("sd", "sdxl")
PROMPTS = ("a red sea", "a blue hill", "a fire")
# shares of control, style and LoRA: of a batch's items, and of one without any
SHARES = ((0.8, 0.5, 0.7), (0.0, 0.9, 0.0), (0.4, 0.0, -0.5))
NONE = ((0.0, 0.0, 0.0),) * 3
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def imagined(folder: Path, name: str, device: str, dtype: str = "float32") -> torch.Tensor:
    """Return two batches that are steered, so that graphs are also replayed, then one that is not, uint8 [9, 3, side, side]."""
    family = OF_BLOCKS[name][0] if name in OF_BLOCKS else name
    model = load_model(
        str(folder / "model"),
        device=device,
        dtype=dtype,
        steps=2,
        guidance=3.0,
        adapter=str(folder / "adapter") if family in UNETS else None,
        controls=[f"canny={folder / 'control'}"],
        loras=[f"{folder / 'film.safetensors'}:drop"],
        prompts=PROMPTS,
    )
    side = 64 if family in UNETS else 4 * model.step
    styles = StyleBank(model, [picture(1)]) if family in UNETS else None
    core = Core(
        model,
        PromptBank(model, PROMPTS, negatives=("grey", "", "dull")),
        batch=3,
        width=side,
        height=side,
        slices=2,
        styles=styles,
        controls=ControlBank(model, ("canny",)),
    )
    shape = (model.channels, side // model.vae_scale_factor, side // model.vae_scale_factor)
    generator = torch.Generator().manual_seed(1)
    noises = [tuple(torch.randn(shape, generator=generator) for _ in range(core.noises_per_picture)) for _ in range(3)]
    photo = torch.linspace(-1, 1, side).expand(3, side, side)

    def wanted(shares: tuple[tuple[float, float, float], ...]) -> list[FrameRequest]:
        return [
            FrameRequest(
                number,
                (number + 1) % 3,
                0.3,
                1.0 if number else 0.6,
                noises[number],
                None if number else photo,
                style=(style,) if styles else (),
                controls=(ControlInput(control, textured(number, side)),),
                loras=(lora,),
            )
            for number, (control, style, lora) in enumerate(shares)
        ]

    pictures = [core.imagine(wanted(shares)) for shares in (SHARES, SHARES, NONE)]
    assert all(part.device.type == device for part in pictures)
    return torch.cat(pictures).cpu()


def save_all(folder: Path, name: str) -> None:
    """Save a model with what steers it."""
    family: Any = OF_BLOCKS[name][0] if name in OF_BLOCKS else name
    model = folder / "model"
    if family in UNETS:
        save_toy(model, family=family)
        save_control(folder / "control", model)
        save_adapter(folder / "adapter", model)
    else:
        save_family(model, family, layers=2)
        save_block_control(folder / "control", model, name)
    network = load_model(str(model), dtype="float32").network
    head = "unet" if family in UNETS else "transformer"
    save_lora(folder / "film.safetensors", network, head=head, without=TOGETHER.get(family, ()))


@pytest.mark.parametrize("name", [*UNETS, "instantx", "several kinds", "xlabs", "sd3", "stability", "qwen"])
def test_everything_that_steers_runs_on_a_card(
    cuda: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    save_all(tmp_path, name)
    on_card = imagined(tmp_path, name, cuda)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "other"))
    plain = imagined(tmp_path, name, "cpu")
    assert torch.equal(on_card[:3], on_card[3:6])
    assert float((on_card.float() - plain.float()).abs().mean()) < 3
    # each item is steered, or is steered by what counts for it
    steered = (on_card[:3].float() - on_card[6:].float()).abs().mean((1, 2, 3))
    counts = [any(share) if name in UNETS else bool(share[0] or share[2]) for share in SHARES]
    assert [bool(each > 1) for each in steered] == counts


@pytest.mark.parametrize("name", ["sd", "instantx", "stability"])
def test_half_formats_and_a_recalculation_in_float32_are_steered_too(
    cuda: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.diffusion.backend.overflow import in_float32

    torch.set_num_threads(1)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    save_all(tmp_path, name)
    exact = imagined(tmp_path, name, cuda)
    assert float((imagined(tmp_path, name, cuda, "bfloat16").float() - exact.float()).abs().mean()) < 12
    half = load_model(
        str(tmp_path / "model"), device=cuda, dtype="bfloat16", controls=[f"canny={tmp_path / 'control'}"]
    )
    (network,) = half.controls.values()
    with in_float32(half) as again:
        assert again.dtype == torch.float32
        assert {weight.dtype for weight in again.controls["canny"].parameters()} == {torch.float32}
    assert {weight.dtype for weight in network.parameters()} == {torch.bfloat16}
