"""Quantised weights: pictures stay near those of the plain weights, and what can't be quantised is refused in one line."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from reactive.cli import main
from reactive.diffusion.backend.overflow import in_float32
from reactive.diffusion.backend.shapes import needs_of
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import hash_weights, load_model
from reactive.diffusion.models.quantised import (
    KINDS,
    Quant,
    QuantisedLinear,
    block_layers,
    bytes_when_quantised,
    parse_quant,
    quantise,
)
from reactive.errors import ModelError
from tests.diffusion import test_style as style
from tests.diffusion.family_toys import TOYS, save_family
from tests.diffusion.toys import save_toy

# mean distance of a quantised toy's picture from the plain one, in standard deviations of the plain one; measured at most
# int8 0.0041, fp8 0.026, nf4 0.115
BOUNDS = {"int8": 0.01, "fp8": 0.05, "nf4": 0.2}
FAMILIES = ("sd", "sdxl", *TOYS)
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    known: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name == "krea2":
            pytest.importorskip("accelerate")
        if name not in known:
            known[name] = tmp_path_factory.mktemp(name) / "model"
            if name in TOYS:
                save_family(known[name], name)
            else:
                save_toy(known[name], family=name)
        return known[name]

    return get


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))


def usable(kind: str) -> str:
    if kind == "nf4":
        pytest.importorskip("bitsandbytes")
    return kind


def pictures(model: Any) -> torch.Tensor:
    size = 4 * model.step
    shape = (2, model.channels, size // model.vae_scale_factor, size // model.vae_scale_factor)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    core = Core(model, PromptBank(model, ["a red sea", "snow"]), batch=2, width=size, height=size)
    requests = [FrameRequest(i, i, 0.0, 1.0, (noise[i],)) for i in range(2)]
    with torch.inference_mode():
        return model.decode(core._latents(model, requests)).float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_of_every_family_stay_near_those_of_its_plain_weights(saved: Any, name: str, kind: str) -> None:
    folder = str(saved(name))
    steps = 1 if name == "sana-sprint" else 2
    plain, stored = (load_model(folder, steps=steps, dtype="float32", quant=quant) for quant in (None, usable(kind)))
    first, second = pictures(plain), pictures(stored)
    away = float((first - second).abs().mean() / first.std())
    assert 0 < away < BOUNDS[kind]
    layers = [layer for layer in stored.network.modules() if isinstance(layer, QuantisedLinear)]
    assert len(layers) == len(list(block_layers(plain.network))) > 3
    assert stored.sha256 == hash_weights(folder, quant=kind) != plain.sha256
    # the sizes by which batches are chosen are the real ones, apart from buffers of other layers
    assert needs_of(stored).network_bytes < needs_of(plain).network_bytes
    told = bytes_when_quantised(plain.network, kind, 4)
    held = sum(weight.numel() * weight.element_size() for weight in stored.network.parameters())
    assert told == held + sum(code.numel() * code.element_size() for layer in layers for code in layer.buffers())


@pytest.mark.parametrize("kind", KINDS)
def test_text_encoders_of_language_models_are_quantised_too_and_cached_apart(saved: Any, kind: str) -> None:
    folder = str(saved("flux"))
    plain, stored = (load_model(folder, dtype="float32", quant=quant) for quant in (None, usable(kind)))
    assert plain.texts is not None
    assert stored.texts is not None
    with stored.texts.opened(torch.device("cpu"), torch.float32) as parts:
        assert any(isinstance(layer, QuantisedLinear) for layer in parts["text_encoder_2"].modules())
    one, other = (PromptBank(model, ["a red sea"]).embeddings.tokens for model in (plain, stored))
    away = float((one - other).abs().mean() / one.std())
    assert 0 < away < BOUNDS[kind]
    assert stored.texts.weights < plain.texts.weights
    # small encoders stay as they are
    small = load_model(str(saved("sd")), dtype="float32", quant=kind)
    assert not any(isinstance(layer, QuantisedLinear) for layer in small.text_encoder.modules())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number_format", [torch.float32, torch.float16, torch.bfloat16])
def test_a_layers_weights_are_within_half_a_step_of_its_format(kind: str, number_format: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(96, 40).to(number_format)
    with torch.no_grad():
        layer.weight[3] = 0
        layer.weight[4] *= 100
    stored = QuantisedLinear(layer, usable(kind), torch.device("cpu"))
    # codes stay what they are, whatever format a model is moved to
    moved = QuantisedLinear(layer, kind, torch.device("cpu")).to(torch.float32)
    assert moved.codes.dtype == stored.codes.dtype
    assert moved.weight.dtype == torch.float32
    assert stored.weight.dtype == number_format
    off = (stored.weight.float() - layer.weight.float()).abs()
    most = layer.weight.float().abs().amax(1, keepdim=True)
    rounding = 2 * torch.finfo(number_format).eps
    if kind == "nf4":
        # the widest gap between two of nf4's levels is 0.3038, between -1 and -0.6962; a block of row 4 reaches into row 5
        assert off[6:].max() < (0.152 + rounding) * layer.weight[6:].float().abs().max()
    elif kind == "int8":
        assert (off <= most * (0.5 / 127 + rounding)).all()
    else:
        # three bits of mantissa
        assert (off <= layer.weight.float().abs() * (1 / 16 + rounding) + most * 2**-10).all()
    assert (stored.weight[3] == 0).all()
    given = torch.randn(2, 96, dtype=number_format)
    assert torch.allclose(stored(given), torch.nn.functional.linear(given, stored.weight, layer.bias))


def test_a_lora_is_fused_before_the_weights_are_quantised(saved: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = str(saved("flux"))
    layer = "transformer_blocks.0.attn.to_q"
    weight = dict(load_model(folder, dtype="float32").network.named_modules())[layer].weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    file = tmp_path / "film.safetensors"
    save_file({f"transformer.{layer}.lora_A.weight": down, f"transformer.{layer}.lora_B.weight": up}, file)
    fused = load_model(folder, dtype="float32", loras=(str(file),), quant="int8")
    found = dict(fused.network.named_modules())[layer].weight
    assert torch.allclose(found, weight + up @ down, atol=float((weight + up @ down).abs().max()) / 200)


def test_an_adapter_of_pictures_works_with_quantised_weights(tmp_path: Path) -> None:
    folder, adapter = style.saved(tmp_path, "sd")
    plain, stored = (
        style.ours(
            load_model(str(folder), steps=2, dtype="float32", adapter=str(adapter), quant=quant),
            [(0.5, 0.2)] * 2,
            style.drawn(2),
        )
        for quant in (None, "int8")
    )
    assert 0 < float((plain - stored).abs().mean() / plain.std()) < BOUNDS["int8"]


def test_pictures_that_overflow_are_computed_again_with_the_same_codes(saved: Any) -> None:
    model = load_model(str(saved("flux")), dtype="bfloat16", quant="int8", steps=1)
    with in_float32(model) as exact:
        ours, theirs = (
            next(layer for layer in one.network.modules() if isinstance(layer, QuantisedLinear))
            for one in (model, exact)
        )
        assert theirs.weight.dtype == torch.float32
        assert ours.weight.dtype == torch.bfloat16
        assert theirs.codes.data_ptr() == ours.codes.data_ptr()
        shown = pictures(exact)
        assert torch.isfinite(shown).all()
        assert (shown - pictures(model)).abs().mean() < 0.1


def test_an_unknown_kind_a_missing_file_and_a_missing_package_are_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_quant(None) == Quant()
    with pytest.raises(ModelError, match=r"--quant int3: is not known\. Use one of int8, fp8, nf4, or a \.gguf file\."):
        parse_quant("int3")
    with pytest.raises(ModelError, match="there is no such file"):
        parse_quant(str(tmp_path / "none.gguf"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"needs the package bitsandbytes\. Run `.*pip install.*quant.*`, or use int8"):
        parse_quant("nf4")


def test_a_device_without_a_format_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise TypeError("Trying to convert Float8_e4m3fn to the MPS backend")

    monkeypatch.setattr("reactive.diffusion.models.quantised._quantise", refuse)
    blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4)])
    with pytest.raises(ModelError, match=r"--quant fp8: can't be computed on cpu .*\. Use int8\."):
        quantise(blocks, Quant("fp8"), torch.device("cpu"))


def save_gguf(file: Path, network: Any, *, original: bool) -> None:
    """Save a Z-Image's weights as Q8_0 where rows allow that, by diffusers' names or those of the original release."""
    import gguf

    weights = {name: weight.detach().float() for name, weight in network.named_parameters()}
    if original:
        for name in [name for name in weights if name.endswith("attention.to_q.weight")]:
            head = name.removesuffix("to_q.weight")
            weights[f"{head}qkv.weight"] = torch.cat([weights.pop(f"{head}to_{part}.weight") for part in "qkv"])
            weights[f"{head}out.weight"] = weights.pop(f"{head}to_out.0.weight")
            for part in "qk":
                weights[f"{head}{part}_norm.weight"] = weights.pop(f"{head}norm_{part}.weight")
        heads = {"all_x_embedder.2-1.": "x_embedder.", "all_final_layer.2-1.": "final_layer."}
        weights = {
            next((new + name.removeprefix(old) for old, new in heads.items() if name.startswith(old)), name): weight
            for name, weight in weights.items()
        }
    writer = gguf.GGUFWriter(str(file), "z-image")
    for name, weight in weights.items():
        if weight.dim() == 2 and weight.shape[1] % 32 == 0 and ".attention." in name:
            packed = gguf.quants.quantize(weight.numpy(), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("original", [False, True])
def test_the_network_of_a_gguf_file_takes_the_place_of_the_folders(saved: Any, tmp_path: Path, original: bool) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    folder, file = str(saved("z-image")), tmp_path / "network-Q8_0.gguf"
    plain = load_model(folder, steps=2, dtype="float32")
    save_gguf(file, plain.network, original=original)
    stored = load_model(folder, steps=2, dtype="float32", quant=str(file))
    first, second = pictures(plain), pictures(stored)
    assert 0 < float((first - second).abs().mean() / first.std()) < BOUNDS["int8"]
    assert type(stored.network.layers[0].attention.to_q).__name__ == "GGUFLinear"
    assert stored.sha256 == hash_weights(folder, quant=str(file)) != plain.sha256
    half = load_model(folder, steps=2, dtype="bfloat16", quant=str(file))
    with in_float32(half) as exact:
        assert torch.isfinite(pictures(exact)).all()


def test_a_gguf_file_that_does_not_fit_is_refused_in_one_line(saved: Any, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    from safetensors.torch import save_file

    file = tmp_path / "network.gguf"
    file.write_bytes(b"GGUF and nothing more")
    with pytest.raises(ModelError, match=r"--quant .*network\.gguf: can't be loaded"):
        load_model(str(saved("z-image")), quant=str(file))
    save_gguf(file, load_model(str(saved("z-image")), dtype="float32").network, original=False)
    with pytest.raises(ModelError, match=r"--quant .*network\.gguf: "):
        load_model(str(saved("sd3")), quant=str(file))
    lora = tmp_path / "film.safetensors"
    save_file({"transformer.layers.0.attention.to_q.lora_A.weight": torch.zeros(1, 32)}, lora)
    with pytest.raises(ModelError, match="its layers can't be changed by a LoRA"):
        load_model(str(saved("z-image")), quant=str(file), loras=(str(lora),))
    with pytest.raises(ModelError, match=r"holds a network without .*--model FOLDER --quant .*network\.gguf"):
        load_model(str(file))


def test_doctor_tells_the_memory_of_each_kind() -> None:
    if not find_spec("bitsandbytes"):
        pytest.skip("nf4 is not here")
    runner = CliRunner()
    needs = json.loads(runner.invoke(main, ["doctor", "--model", "flux-dev", "--json"]).stdout)
    sizes = {row["quant"]: row["network"] for row in needs["quantised"]}
    cards = {row["quant"]: row["card"] for row in needs["quantised"]}
    assert sizes["int8"] == sizes["fp8"] == pytest.approx(sizes[""] / 2, rel=0.02)
    assert sizes["nf4"] == pytest.approx(sizes[""] * (4 + 16 / 64) / 16, rel=0.03)
    assert cards == {"": 40, "int8": 16, "fp8": 16, "nf4": 12}
    chosen = json.loads(runner.invoke(main, ["doctor", "--model", "flux-dev", "--quant", "nf4", "--json"]).stdout)
    assert chosen["weights_gib"]["network"] == sizes["nf4"]
    assert [row["fits"] for row in chosen["cards"]] == [False, False, True, True]
    lines = runner.invoke(main, ["doctor", "--model", "sd15"]).stdout.splitlines()
    assert [line.split()[0] for line in lines[-4:]] == ["none", "int8", "fp8", "nf4"]
