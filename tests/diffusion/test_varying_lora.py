"""LoRAs whose strength changes from frame to frame give the pictures of the LoRA fused at each strength."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reactive.diffusion.core import FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import hash_weights, load_model
from reactive.diffusion.models.varying_lora import BesideLayer, VaryingLora
from reactive.errors import ModelError
from tests.diffusion.family_toys import TOYS, save_family
from tests.diffusion.test_transformer_families import PROMPTS, ExactCore, drawn, side_of
from tests.diffusion.toys import save_toy

UNETS = ("sd", "sd2", "sdxl")
FAMILIES = (*UNETS, *TOYS)
# layers in which these networks compute the pictures of a batch together
TOGETHER = {"z-image": ("all_x_embedder", "cap_embedder")}
TOLERANCE = 1e-4
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    known: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name == "krea2":
            pytest.importorskip("accelerate")
        if name not in known:
            known[name] = tmp_path_factory.mktemp(name) / "model"
            save_toy(known[name], family=name) if name in UNETS else save_family(known[name], name)
        return known[name]

    return get


def save_lora(
    file: Path, module: Any, *, head: str = "transformer", seed: int = 0, without: tuple[str, ...] = ()
) -> Any:
    """Save a LoRA of all linear layers and convolutions; return its matrices."""
    drawn_from = torch.Generator().manual_seed(seed)
    matrices = {}
    for name, layer in module.named_modules():
        if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) or name.startswith(without or ("-",)):
            continue
        shape = layer.weight.shape
        down = torch.randn(2, *shape[1:], generator=drawn_from) / shape[1:].numel() ** 0.5
        up = torch.randn(shape[0], 2, *(1,) * (len(shape) - 2), generator=drawn_from) * 0.3
        matrices |= {f"{head}.{name}.lora_A.weight": down, f"{head}.{name}.lora_B.weight": up}
    save_file(matrices, file)
    return matrices


def pictures(model: Any, strengths: list[tuple[float, ...]], *, guidance: bool = True) -> torch.Tensor:
    """The pictures of five prompts, each with its own strengths."""
    size = side_of(model) if model.family.name not in ("sd", "sdxl") else 64
    noise = drawn(model, len(strengths), size)
    bank = PromptBank(model, PROMPTS[: len(strengths)], negatives=["dog" if guidance else ""] * len(strengths))
    core = ExactCore(model, bank, batch=len(strengths), width=size, height=size)
    return core.exact([FrameRequest(i, i, 0.0, 1.0, (noise[i],) * 4, loras=told) for i, told in enumerate(strengths)])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_of_mixed_strengths_is_that_of_the_fused_models(saved: Any, name: str, tmp_path: Path) -> None:
    folder = saved(name)
    told: dict[str, Any] = {"dtype": "float32", "steps": 2 if name != "sana-sprint" else 1}
    told |= {} if name in ("flux", "schnell", "sana-sprint") else {"guidance": 3.0}
    plain = load_model(str(folder), **told)
    file, other = tmp_path / "film.safetensors", tmp_path / "grain.safetensors"
    head = "unet" if name in UNETS else "transformer"
    save_lora(file, plain.network, head=head, without=TOGETHER.get(name, ()))
    save_lora(other, plain.network, head=head, seed=1, without=TOGETHER.get(name, ()))
    model = load_model(str(folder), loras=(f"{file}:0.2+0.8*drop", f"{other}:preset"), **told)
    assert model.loras == (VaryingLora("film.safetensors"), VaryingLora("grain.safetensors"))
    strengths = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, -0.7), (0.3, 0.6)]
    mine = pictures(model, strengths)
    for place, (first, second) in enumerate(strengths):
        fused = load_model(str(folder), loras=(f"{file}:{first}", f"{other}:{second}"), **told)
        given = pictures(fused, [()] * 5)
        assert (mine[place] - given[place]).abs().max() < TOLERANCE
        # each strength must have an effect
        assert place == 0 or (mine[place] - pictures(plain, [()] * 5)[place]).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_what_a_lora_changes_of_texts_is_in_proportion_to_its_strength(saved: Any, name: str, tmp_path: Path) -> None:
    folder = saved(name)
    told: dict[str, Any] = {"dtype": "float32", "steps": 2, "guidance": 3.0}
    plain = load_model(str(folder), **told)
    file = tmp_path / "film.safetensors"
    matrices = save_lora(file, plain.network, head="unet")
    matrices |= save_lora(file, plain.text_encoder, head="text_encoder", seed=3)
    if name == "sdxl":
        matrices |= save_lora(file, plain.text_encoder_2, head="text_encoder_2", seed=4)
    save_file(matrices, file)
    model = load_model(str(folder), loras=(f"{file}:drop",), **told)
    assert model.loras == (VaryingLora("film.safetensors", texts=True),)
    mine = pictures(model, [(0.0,), (1.0,), (0.5,)])
    fused = load_model(str(folder), loras=(str(file),), **told)
    assert (mine[0] - pictures(plain, [()] * 3)[0]).abs().max() < TOLERANCE
    assert (mine[1] - pictures(fused, [()] * 3)[1]).abs().max() < TOLERANCE
    # between them embeddings lie on a line
    bank = PromptBank(model, PROMPTS[:1])
    assert bank.changed.keys() == {0}
    first, last = (PromptBank(one, PROMPTS[:1]).embeddings.tokens for one in (plain, fused))
    place = np.zeros(1, np.int64)
    half = bank.mix(place, place, np.zeros(1), loras=torch.tensor([[0.5]]))
    assert torch.allclose(half.tokens, (first + last) / 2, atol=1e-5)
    grown = PromptBank.extended(bank, model, PROMPTS[:2])
    both = PromptBank(model, PROMPTS[:2])
    assert torch.allclose(grown.changed[0][0].tokens, both.changed[0][0].tokens, atol=1e-6)


def test_a_constant_strength_is_fused_and_a_strength_of_its_own_is_another_model(saved: Any, tmp_path: Path) -> None:
    folder = saved("sd")
    plain = load_model(str(folder), dtype="float32")
    file = tmp_path / "film.safetensors"
    save_lora(file, plain.network, head="unet")
    fused, beside = (load_model(str(folder), dtype="float32", loras=(f"{file}:{s}",)) for s in ("0.5", "(0.5)"))
    assert not fused.loras
    assert not any(isinstance(layer, BesideLayer) for layer in fused.network.modules())
    assert any(isinstance(layer, BesideLayer) for layer in beside.network.modules())
    assert len({plain.sha256, fused.sha256, beside.sha256}) == 3
    # the expression is the timeline's
    assert (
        hash_weights(str(folder), (f"{file}:(0.5)",)) == beside.sha256 == hash_weights(str(folder), (f"{file}:drop",))
    )


def test_weights_beside_quantised_layers_stay_as_they_are(saved: Any, tmp_path: Path) -> None:
    from reactive.diffusion.models.quantised import QuantisedLinear

    folder = saved("flux")
    plain = load_model(str(folder), dtype="float32", steps=1)
    file = tmp_path / "film.safetensors"
    save_lora(file, plain.network)
    model = load_model(str(folder), dtype="float32", steps=1, quant="int8", loras=(f"{file}:drop",))
    inside = [layer.layer for layer in model.network.modules() if isinstance(layer, BesideLayer)]
    assert any(isinstance(layer, QuantisedLinear) for layer in inside)
    none, full = pictures(model, [(0.0,), (1.0,)]), pictures(plain, [()] * 2)
    assert 0 < (none[0] - full[0]).abs().mean() < 0.02 * full[0].std()
    assert (none[1] - full[1]).abs().mean() > 0.02


def test_what_can_not_change_from_frame_to_frame_is_refused(saved: Any, tmp_path: Path) -> None:
    folder = saved("z-image")
    plain = load_model(str(folder), dtype="float32", steps=1)
    file = tmp_path / "film.safetensors"
    matrices = save_lora(file, plain.network)
    model = load_model(str(folder), dtype="float32", steps=1, loras=(f"{file}:drop",))
    with pytest.raises(ModelError, match="computes the pictures of a batch together"):
        pictures(model, [(0.0,), (1.0,)])
    layer = "layers.0.attention.to_q"
    head = f"transformer.{layer}"
    weight = dict(plain.network.named_modules())[layer].weight
    dora = {key: value for key, value in matrices.items() if key.startswith(head)}
    save_file({**dora, f"{head}.dora_scale": torch.ones(len(weight), 1)}, file)
    with pytest.raises(ModelError, match="is a DoRA, whose strength can't change"):
        load_model(str(folder), dtype="float32", loras=(f"{file}:drop",))
    save_file({key: value[..., :-1].contiguous() for key, value in dora.items()}, file)
    with pytest.raises(ModelError, match="has another width"):
        load_model(str(folder), dtype="float32", loras=(f"{file}:drop",))
