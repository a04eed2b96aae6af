"""LoRA files, single files, pickles, defaults, the catalogue and the commands for them."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from reactive.cli import main
from reactive.diffusion.lora_keys import name_of
from reactive.diffusion.models.catalogue import ENTRIES, CatalogueEntry, read_defaults
from reactive.diffusion.models.check import check_model
from reactive.diffusion.models.load import find_model, load_model
from reactive.diffusion.models.lora import _diffusers_name, find_lora, fuse, parse_lora, read_layers
from reactive.diffusion.models.single_file import _INPUT, _SIGNS, CONFIGS, _tokenizers, read_header
from reactive.errors import ModelError
from tests.diffusion.toys import save_toy


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("sd") / "model")


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("xl") / "model", family="sdxl")


def parts_of(folder: Path) -> dict[str, Any]:
    model = load_model(str(folder), steps=1, dtype="float32")
    parts = {"network": model.network, "text_encoder": model.text_encoder, "text_encoder_2": model.text_encoder_2}
    return {name: part for name, part in parts.items() if part is not None}


def matrices(shape: torch.Size, rank: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    up = torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator)
    return up, torch.randn(rank, *shape[1:], generator=generator)


def product(up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    return torch.einsum("or,r...->o...", up.flatten(1), down)


LAYERS = {
    "network": (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0",
        "up_blocks.0.resnets.1.conv1",
    ),
    "text_encoder": ("encoder.layers.1.self_attn.q_proj",),
}
KOHYA = {"network": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}


def write_lora(
    path: Path, parts: dict[str, Any], naming: str, layers: dict[str, tuple[str, ...]], alpha: float = 1.0
) -> dict:
    """Write a LoRA with a naming scheme; return the expected change of each layer's weight."""
    tensors, changes, seed = {}, {}, 0
    for part, names in layers.items():
        for layer in names:
            seed += 1
            module = (
                dict(parts[part].named_modules()).get(layer) or dict(parts[part].named_modules())["text_model." + layer]
            )
            up, down = matrices(module.weight.shape, 2, seed)
            inner = f"text_model.{layer}" if part != "network" else layer
            changes[part, layer] = (module, product(up, down) * (alpha / 2 if naming == "kohya" else 1.0))
            if naming == "kohya":
                key = KOHYA[part] + inner.replace(".", "_")
                tensors |= {
                    f"{key}.lora_up.weight": up,
                    f"{key}.lora_down.weight": down,
                    f"{key}.alpha": torch.tensor(alpha),
                }
            elif naming == "peft":
                named = "unet" if part == "network" else part
                tensors |= {f"{named}.{inner}.lora_B.weight": up, f"{named}.{inner}.lora_A.weight": down}
            else:
                named = "unet" if part == "network" else part
                tensors |= {f"{named}.{inner}.lora.up.weight": up, f"{named}.{inner}.lora.down.weight": down}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return changes


@pytest.mark.parametrize("naming", ["peft", "diffusers", "kohya"])
def test_a_lora_is_fused_into_the_weights(tmp_path: Path, sd: Path, naming: str) -> None:
    parts = parts_of(sd)
    changes = write_lora(tmp_path / "film.safetensors", parts, naming, LAYERS)
    before = {key: module.weight.clone() for key, (module, _) in changes.items()}
    assert fuse(find_lora(str(tmp_path / "film.safetensors"), 0.8), parts) == 4
    for key, (module, change) in changes.items():
        assert torch.allclose(module.weight, before[key] + 0.8 * change, atol=1e-5), key
    assert fuse(find_lora(str(tmp_path / "film.safetensors"), -0.8), parts) == 4
    for key, (module, _) in changes.items():
        assert torch.allclose(module.weight, before[key], atol=1e-5), key


@pytest.mark.parametrize(
    ("ending", "axis"),
    [
        ("lora_magnitude_vector", 0),
        ("lora_magnitude_vector.weight", 0),
        ("lora_magnitude_vector.default.weight", 0),
        ("dora_scale", 0),
        ("dora_scale", 1),
    ],
)
def test_a_dora_brings_rows_or_columns_to_its_lengths(tmp_path: Path, sd: Path, ending: str, axis: int) -> None:
    parts = parts_of(sd)
    lengths_seen = {}
    tensors, expected = {}, {}
    for seed, layer in enumerate(LAYERS["network"]):
        weight = dict(parts["network"].named_modules())[layer].weight
        up, down = matrices(weight.shape, 2, seed)
        others = [dim for dim in range(weight.dim()) if dim != axis]
        lengths = torch.rand(weight.shape[axis], generator=torch.Generator().manual_seed(seed)) + 0.5
        shape = [-1 if dim == axis else 1 for dim in range(weight.dim())]
        told = lengths if ending.startswith("lora_magnitude") else lengths.reshape(shape)
        tensors |= {
            f"unet.{layer}.lora_B.weight": up,
            f"unet.{layer}.lora_A.weight": down,
            f"unet.{layer}.{ending}": told,
        }
        changed = weight + product(up, down)
        whole = changed / torch.linalg.vector_norm(changed, dim=others, keepdim=True) * lengths.reshape(shape)
        expected[layer] = (weight + 0.5 * (whole - weight)).clone()
        lengths_seen[layer] = (torch.linalg.vector_norm(whole, dim=others), lengths)
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "dora.safetensors")
    assert fuse(find_lora(str(tmp_path / "dora.safetensors"), 0.5), parts) == 3
    for layer, wanted in expected.items():
        assert torch.allclose(dict(parts["network"].named_modules())[layer].weight, wanted, atol=1e-5), layer
        assert torch.allclose(*lengths_seen[layer], atol=1e-5)


def test_names_of_the_original_release_are_understood() -> None:
    pairs = {
        "input_blocks_0_0": "conv_in",
        "input_blocks_1_0_in_layers_2": "down_blocks_0_resnets_0_conv1",
        "input_blocks_3_0_op": "down_blocks_0_downsamplers_0_conv",
        "input_blocks_4_1_transformer_blocks_0_attn1_to_q": "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
        "input_blocks_8_1_proj_in": "down_blocks_2_attentions_1_proj_in",
        "middle_block_0_emb_layers_1": "mid_block_resnets_0_time_emb_proj",
        "middle_block_1_transformer_blocks_9_ff_net_2": "mid_block_attentions_0_transformer_blocks_9_ff_net_2",
        "middle_block_2_out_layers_3": "mid_block_resnets_1_conv2",
        "output_blocks_2_1_proj_out": "up_blocks_0_attentions_2_proj_out",
        "output_blocks_2_2_conv": "up_blocks_0_upsamplers_0_conv",
        "output_blocks_3_0_skip_connection": "up_blocks_1_resnets_0_conv_shortcut",
        "time_embed_2": "time_embedding_linear_2",
        "label_emb_0_0": "add_embedding_linear_1",
        "mid_block_attentions_0_proj_in": "mid_block_attentions_0_proj_in",
    }
    for original, ours in pairs.items():
        assert _diffusers_name(original, 2) == ours


def test_names_of_all_programs_map_to_the_same_layer() -> None:
    layer = "down_blocks.2.attentions.0.transformer_blocks.0.attn1.to_q"
    for key, kind in (
        (f"unet.{layer}.lora_A.weight", "down"),
        (f"unet.{layer}.lora_B.default.weight", "up"),
        (f"base_model.model.{layer}.lora_A.weight", "down"),
        (f"unet.base_model.model.{layer}.lora_A.film_1.weight", "down"),
        (f"{layer.replace('attn1.', 'attn1.processor.')}_lora.up.weight", "up"),
        (f"unet.{layer}.lora.down.weight", "down"),
        (f"{layer}.lora_linear_layer.up.weight", "up"),
        (f"diffusion_model.{layer}.lora_up.weight", "up"),
        (f"unet.{layer}.alpha", "alpha"),
        (f"{layer}.lora.alpha", "alpha"),
    ):
        assert name_of(key) == ("network", layer, kind), key
    text = "text_model.encoder.layers.0.self_attn.q_proj"
    for key in (
        f"text_encoder.{text}.lora_linear_layer.down.weight",
        f"base_model.model.{text}.lora_A.weight",
        f"text_encoder.{text.replace('q_proj', 'to_q')}_lora.down.weight",
    ):
        assert name_of(key) == ("text_encoder", text, "down"), key
    assert name_of("transformer.blocks.0.to_q.lora_A.weight") == ("network", "blocks.0.to_q", "down")
    for key in ("unet.x.weight", "unet.x.lora_A.bias", ""):
        assert name_of(key) is None, key


def test_alpha_is_read_from_metadata_and_from_the_folder(tmp_path: Path, sd: Path) -> None:
    layer = LAYERS["network"][0]
    up, down = torch.randn(16, 4), torch.randn(4, 16)
    tensors = {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}

    def alpha(path: Path) -> float | None:
        found = read_layers(path, "x")["network", layer]
        return float(found["alpha"]) if "alpha" in found else None

    def told(**config: Any) -> float | None:
        save_file(tensors, tmp_path / "m.safetensors", metadata={"lora_adapter_metadata": json.dumps(config)})
        return alpha(tmp_path / "m.safetensors")

    assert told() is None
    assert told(**{"unet.lora_alpha": 8, "unet.r": 4}) == 8
    assert told(**{"unet.lora_alpha": 8, "unet.use_rslora": True}) == 16
    assert told(**{"unet.lora_alpha": 8, "unet.alpha_pattern": {layer.split(".", 2)[-1]: 2}}) == 2
    assert told(**{"text_encoder.lora_alpha": 8}) is None
    with pytest.raises(ModelError, match="is a DoRA without its magnitudes"):
        told(**{"unet.lora_alpha": 8, "unet.use_dora": True})
    with pytest.raises(ModelError, match="alpha"):
        told(**{"unet.lora_alpha": "much"})
    folder = tmp_path / "peft"
    folder.mkdir()
    bare = {key.replace("unet.", "base_model.model."): value for key, value in tensors.items()}
    save_file(bare, folder / "adapter_model.safetensors")
    plain = find_lora(str(folder)).sha256
    (folder / "adapter_config.json").write_text("\ufeff" + json.dumps({"lora_alpha": 2, "r": 4}), encoding="utf-8")
    assert alpha(folder / "adapter_model.safetensors") == 2
    # values that affect the strength affect the clip
    assert find_lora(str(folder)).sha256 != plain
    assert check_model(str(folder))["kind"] == "lora"
    assert find_lora(str(folder)).notes == ()
    # a folder's name identifies its weights, whose file name is always the same
    few = folder.rename(tmp_path / "Hyper-SD15-1step-lora")
    assert "is taken for" in find_lora(str(few)).notes[0]
    assert find_lora(str(few)).defaults["steps"] == 1


def test_several_loras_change_the_model_and_its_hash(tmp_path: Path, xl: Path) -> None:
    parts = parts_of(xl)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    write_lora(first, parts, "kohya", {"network": (layer,), "text_encoder_2": ("encoder.layers.0.mlp.fc1",)})
    second_names = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q": parts["network"]}
    shape = dict(parts["network"].named_modules())[layer].weight.shape
    up, down = matrices(shape, 3, 9)
    (name,) = second_names
    save_file({f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}, second)
    (tmp_path / "b.json").write_text('{"steps": 3, "guidance": 1.5, "sampler": "lcm"}')
    plain = load_model(str(xl))
    both = load_model(str(xl), loras=(f"{first}:0.5", str(second)))
    weights = [dict(m.network.named_modules())[layer].weight for m in (plain, both)]
    assert not torch.equal(*weights)
    assert len({plain.sha256, both.sha256, load_model(str(xl), loras=(f"{first}:0.6", str(second))).sha256}) == 3
    # the defaults of the second one are used
    assert (both.steps, both.guidance, both.consistency) == (3, 1.5, True)


def test_loras_that_do_not_match_leave_the_model_unchanged(tmp_path: Path, sd: Path) -> None:
    parts = parts_of(sd)
    layer = LAYERS["network"][0]
    weight = dict(parts["network"].named_modules())[layer].weight
    before = weight.clone()
    good = {f"unet.{layer}.lora_A.weight": torch.ones(1, 16), f"unet.{layer}.lora_B.weight": torch.ones(16, 1)}

    def refused(tensors: dict[str, torch.Tensor], word: str) -> None:
        save_file(tensors, tmp_path / "x.safetensors")
        with pytest.raises(ModelError, match=word):
            fuse(find_lora(str(tmp_path / "x.safetensors")), parts)
        assert torch.equal(weight, before)

    refused(good | {"unet.elsewhere.to_q.lora_A.weight": torch.ones(1, 4)}, "has not")
    other = f"unet.{LAYERS['network'][1]}"
    refused(good | {f"{other}.lora_A.weight": torch.ones(1, 9), f"{other}.lora_B.weight": torch.ones(16, 1)}, "width")
    refused({"lora_unet_mid.hada_w1_a": torch.ones(2, 2)}, "LoHa")
    refused({"lora_unet_mid.lokr_w1": torch.ones(2, 2)}, "is a LoKr file")
    refused(good | {f"unet.{layer}.dora_scale": torch.ones(3, 1)}, "width")
    refused({"unet.conv.dora_scale": torch.ones(2, 2)}, "has not")
    refused({"weight": torch.ones(2, 2)}, "no LoRA")
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="can't be read"):
        fuse(find_lora(str(tmp_path / "x.safetensors")), parts)
    with pytest.raises(ModelError, match="no such file"):
        find_lora("nothing.safetensors")
    with pytest.raises(ModelError, match="models pull lightning"):
        find_lora("lightning")


def numbered(parts: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return a LoRA of 2022 for all attentions and gates, and the expected change of each layer's weight."""
    unet = dict(parts["network"].named_modules())
    # order of blocks: down, up, middle; in each the gate comes between the attentions
    blocks = [
        name
        for side in ("down_blocks", "up_blocks", "mid_block")
        for name in unet
        if name.startswith(side) and name.endswith("transformer_blocks.0")
    ]
    attention = ("to_q", "to_k", "to_v", "to_out.0")
    inside = [*(f"attn1.{name}" for name in attention), "ff.net.0.proj", *(f"attn2.{name}" for name in attention)]
    text = dict(parts["text_encoder"].named_modules())
    heads = [name for name in text if name.endswith("self_attn")]
    order = {
        "unet": [unet[f"{block}.{name}"] for block in blocks for name in inside],
        "text_encoder": [
            text[f"{head}.{name}"] for head in heads for name in ("k_proj", "v_proj", "q_proj", "out_proj")
        ],
    }
    tensors, changes = {}, {}
    for part, layers in order.items():
        assert len(layers) >= 4
        for number, layer in enumerate(layers):
            up, down = matrices(layer.weight.shape, 2, number)
            tensors |= {f"{part}:{number}:up": up, f"{part}:{number}:down": down}
            changes[part, number] = (layer, product(up, down))
    return tensors, changes


@pytest.mark.parametrize("told", [True, False])
def test_a_lora_of_2022_that_numbers_its_layers(tmp_path: Path, sd: Path, told: bool) -> None:
    parts = parts_of(sd)
    tensors, changes = numbered(parts)
    file = tmp_path / "old.safetensors"
    classes = {"unet": json.dumps(["GEGLU", "CrossAttention"]), "text_encoder": json.dumps(["CLIPAttention"])}
    save_file(tensors, file, metadata=classes | {"unet:0:rank": "2"} if told else None)
    before = {key: layer.weight.clone() for key, (layer, _) in changes.items()}
    assert fuse(find_lora(str(file), 0.5), parts) == len(changes)
    for key, (layer, change) in changes.items():
        assert torch.allclose(layer.weight, before[key] + 0.5 * change, atol=1e-5), key
    # for another model the numbering would not match
    for lost in ("unet:0:up", "text_encoder:1:down"):
        save_file({key: value for key, value in tensors.items() if key != lost}, file)
        with pytest.raises(ModelError, match="numbers its layers"):
            fuse(find_lora(str(file)), parts)


def test_configurations_with_a_byte_order_mark_are_read(tmp_path: Path, sd: Path) -> None:
    folder = tmp_path / "marked"
    shutil.copytree(sd, folder)
    plain = load_model(str(sd), steps=1)
    marked = 0
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-16" if marked == 1 else "utf-8-sig")
        marked += 1
    for file in folder.rglob("merges.txt"):
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert marked > 5
    model = load_model(str(folder), steps=1)
    for one, other in (
        (plain.network, model.network),
        (plain.vae, model.vae),
        (plain.text_encoder, model.text_encoder),
    ):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert model.tokenizer("abc").input_ids == plain.tokenizer("abc").input_ids


def test_the_strength_stands_after_a_colon() -> None:
    assert parse_lora("film.safetensors:0.8") == ("film.safetensors", 0.8)
    assert parse_lora("film.safetensors:-1") == ("film.safetensors", -1.0)
    assert parse_lora("C:\\loras\\film.safetensors") == ("C:\\loras\\film.safetensors", 1.0)
    assert parse_lora("lightning") == ("lightning", 1.0)
    with pytest.raises(ModelError, match="no strength"):
        parse_lora("film.safetensors:40")


# --- single files -----------------------------------------------------------------------------------------------------

_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)


def original_unet_name(key: str, layers: int) -> str:
    """Return the original release's name for a U-Net tensor of diffusers."""
    stem = {
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
    }
    for ours, theirs in stem.items():
        if key.startswith(ours + "."):
            return key.replace(ours, theirs, 1)
    match = re.fullmatch(
        r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key
    )
    assert match, key
    side, level, kind, index, rest = match.groups()
    number = int(index)
    if kind == "resnets":
        for ours, theirs in _RESNET:
            rest = re.sub(rf"^{ours}\.", f"{theirs}.", rest)
    if side == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}.{rest}"
    base = int(level) * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{base + layers + 1}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        # it follows the attention, if this level has one
        return f"output_blocks.{base + layers}.{2 if int(level) == 0 else 1}.{rest}"
    block = f"input_blocks.{base + number + 1}" if side == "down_blocks" else f"output_blocks.{base + number}"
    return f"{block}.{1 if kind == 'attentions' else 0}.{rest}"


def original_vae_name(key: str, levels: int) -> str:
    """Return the original release's name for an autoencoder tensor of diffusers."""
    key = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)", r"encoder.down.\1.block.\2", key)
    key = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0", r"encoder.down.\1.downsample", key)
    key = re.sub(
        r"decoder\.up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"decoder.up.{levels - 1 - int(m[1])}.block.{m[2]}", key
    )
    key = re.sub(
        r"decoder\.up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"decoder.up.{levels - 1 - int(m[1])}.upsample", key
    )
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = (
        key.replace("mid_block.attentions.0", "mid.attn_1")
        .replace("conv_norm_out", "norm_out")
        .replace("conv_shortcut", "nin_shortcut")
    )
    for ours, theirs in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        key = key.replace(f"attn_1.{ours}", f"attn_1.{theirs}")
    return key


def open_clip(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return a text encoder's tensors with OpenCLIP's names and merged matrices."""
    out: dict[str, torch.Tensor] = {}
    names = {"token_embedding.weight": "token_embedding.weight", "position_embedding.weight": "positional_embedding"}
    for key, value in state.items():
        key = key.removeprefix("text_model.")
        if key.startswith("embeddings."):
            out[names[key.removeprefix("embeddings.")]] = value
        elif key.startswith("final_layer_norm"):
            out[key.replace("final_layer_norm", "ln_final")] = value
        elif key == "text_projection.weight":
            out["text_projection"] = value.T
        elif ".self_attn.q_proj" in key:
            ending = key.rsplit(".", 1)[1]
            joined = torch.cat(
                [state[next(k for k in state if k.endswith(key.replace("q_proj", f"{n}_proj")))] for n in "qkv"]
            )
            out[
                key.replace("encoder.layers", "transformer.resblocks").replace(
                    f"self_attn.q_proj.{ending}", f"attn.in_proj_{ending}"
                )
            ] = joined
        elif "k_proj" not in key and "v_proj" not in key:
            key = key.replace("encoder.layers", "transformer.resblocks").replace("self_attn.out_proj", "attn.out_proj")
            key = key.replace("layer_norm1", "ln_1").replace("layer_norm2", "ln_2").replace("mlp.fc1", "mlp.c_fc")
            out[key.replace("mlp.fc2", "mlp.c_proj")] = value
    return {prefix + key: value for key, value in out.items()}


def write_single(folder: Path, path: Path, kind: str, **extra: torch.Tensor) -> Path:
    """Write a toy folder's weights as a single file with the original release's names."""
    model = load_model(str(folder), steps=1)
    tensors = {
        "model.diffusion_model." + original_unet_name(key, 2): value
        for key, value in model.network.state_dict().items()
    }
    for key, value in model.vae.state_dict().items():
        new = original_vae_name(key, 4)
        # the original's attention is made of 1x1 convolutions
        square = value[:, :, None, None] if "attn_1" in new and value.ndim == 2 else value
        tensors["first_stage_model." + new] = square
    text = model.text_encoder.state_dict()
    if kind == "sd2":
        tensors |= open_clip(text, "cond_stage_model.model.")
    else:
        prefix = (
            "conditioner.embedders.0.transformer.text_model."
            if kind == "sdxl"
            else "cond_stage_model.transformer.text_model."
        )
        tensors |= {prefix + key.removeprefix("text_model."): value for key, value in text.items()}
    if kind == "sdxl":
        tensors |= open_clip(model.text_encoder_2.state_dict(), "conditioner.embedders.1.model.")
    save_file({key: value.clone().contiguous() for key, value in (tensors | extra).items()}, path)
    return path


@pytest.mark.parametrize(("kind", "family"), [("sd1", "sd"), ("sd1 of 2022", "sd"), ("sdxl", "sdxl")])
def test_a_single_file_equals_its_folder(tmp_path: Path, sd: Path, xl: Path, kind: str, family: str) -> None:
    folder = xl if family == "sdxl" else sd
    kind, _, year = kind.partition(" of ")
    file = write_single(folder, tmp_path / "one.safetensors", kind)
    if year:
        # names of the text encoder's layers in the first releases
        old = {key.replace("transformer.text_model.", "transformer."): value for key, value in load_file(file).items()}
        save_file(old, file)
    header = read_header(file, "one")
    assert (header.config, header.family.name) == (kind, family)
    assert find_model(str(file)) == file
    (tmp_path / "one.json").write_text('{"steps": 2, "guidance": 3.0}')
    one, whole = load_model(str(file), config=folder), load_model(str(folder))
    assert (one.steps, one.guidance) == (2, 3.0)
    for part in ("network", "vae", "text_encoder", "text_encoder_2"):
        ours, theirs = getattr(one, part), getattr(whole, part)
        if theirs is None:
            assert ours is None
            continue
        expected = theirs.state_dict()
        found = ours.state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items()), part
    told = check_model(str(file))
    assert told["kind"] == "single file"
    assert told["steps"] == 2


def test_a_files_prediction_type_is_used(tmp_path: Path, xl: Path) -> None:
    file = write_single(xl, tmp_path / "v.safetensors", "sdxl", v_pred=torch.ones(1), ztsnr=torch.ones(1))
    model = load_model(str(file), config=xl)
    assert model.prediction == "v_prediction"
    assert float(model.schedule.alpha_sigma(torch.tensor([1000.0]))[0]) < 1e-6
    assert check_model(str(file))["prediction"] == "v_prediction"


def _heads(kind: str) -> dict[str, torch.Tensor]:
    """Return the keys that identify a single-file checkpoint of a family, with tiny tensors."""
    sign = next(sign for sign, config, _ in _SIGNS if config == kind)
    shapes = {_INPUT: (8, 4, 3, 3), sign: (8,), "first_stage_model.decoder.conv_in.bias": (8,)}
    return {key: torch.zeros(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "kind", "native"),
    [
        ("sd_turbo", "sd2", "512x512"),
        ("sd_xl_turbo_1.0_fp16", "sdxl", "512x512"),
        ("sd_xl_base_1.0", "sdxl", "1024x1024"),
        ("v2-1_512-ema-pruned", "sd2", "512x512"),
        ("v2-1_768-ema-pruned", "sd2", "768x768"),
        ("dreamy", "sd1", "512x512"),
    ],
)
def test_a_single_file_is_used_at_its_native_size(tmp_path: Path, name: str, kind: str, native: str) -> None:
    from reactive.memory_table import needs_table

    path = tmp_path / f"{name}.safetensors"
    save_file(_heads(kind), path)
    assert check_model(str(path))["native"] == native
    assert needs_table(str(path))["size"] == native


def test_a_single_file_may_state_its_size(tmp_path: Path) -> None:
    save_file(_heads("sdxl"), tmp_path / "a.safetensors", metadata={"modelspec.resolution": "768x640"})
    assert check_model(str(tmp_path / "a.safetensors"))["native"] == "768x640"


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind == "model"], ids=lambda entry: entry.name)
def test_requirements_are_stated_at_the_native_size(entry: CatalogueEntry) -> None:
    from reactive.memory_table import needs_named

    assert needs_named(entry.name)[1] == (entry.native, entry.native)


def test_bundled_configurations_have_the_sizes_of_the_releases() -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    expected = {"sd1": 859_520_964, "sd2": 865_910_724, "sdxl": 2_567_463_684}
    for kind, parameters in expected.items():
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(json.loads((CONFIGS / kind / "unet" / "config.json").read_text()))
            vae = AutoencoderKL.from_config(json.loads((CONFIGS / kind / "vae" / "config.json").read_text()))
        assert sum(p.numel() for p in unet.parameters()) == parameters
        assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    with torch.device("meta"):
        second = CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(CONFIGS / "sdxl" / "text_encoder_2"))
    assert sum(p.numel() for p in second.parameters()) == 694_659_840


def test_the_bundled_tokenizer_is_that_of_clip() -> None:
    first, second = _tokenizers("sdxl").values()
    text = "A photo of an astronaut riding a horse"
    # as published with the first release
    words = [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]
    assert first(text, padding="max_length", max_length=12)["input_ids"] == [*words, 49407, 49407]
    assert second(text, padding="max_length", max_length=12)["input_ids"] == [*words, 0, 0]


def test_files_that_are_not_checkpoints_are_refused(tmp_path: Path) -> None:
    def refused(word: str, tensors: dict[str, torch.Tensor] | None, name: str = "x.safetensors") -> None:
        path = tmp_path / name
        if tensors is None:
            path.write_bytes(b"nonsense")
        else:
            save_file(tensors, path)
        with pytest.raises(ModelError, match=word) as caught:
            load_model(str(path))
        assert "\n" not in str(caught.value)

    refused("can't be read", None)
    refused("neither", None, "x.txt")
    refused("no whole", {"weight": torch.ones(1)})
    refused("[Uu]se --lora", {"lora_unet_x.lora_up.weight": torch.ones(1, 1)})
    whole = {
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": torch.ones(1, 1),
        "first_stage_model.x": torch.ones(1),
        "model.diffusion_model.input_blocks.0.0.weight": torch.ones(8, 9, 3, 3),
    }
    refused("inpainting", whole)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize("name", ["old.ckpt", "old.bin", "old.pt", "disguised.safetensors"])
def test_pickles_are_refused_with_the_command_that_converts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name
    file.write_bytes(pickle.dumps(Trap()))
    for attempt in (find_model, load_model, check_model, find_lora):
        with pytest.raises(ModelError, match="run code") as caught:
            attempt(str(file))
        assert "weights_only=True" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_the_conversion_command_works(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    file = tmp_path / "it's old.ckpt"
    torch.save({"state_dict": {"a": torch.arange(3.0), "step": 7}}, file)
    with pytest.raises(ModelError) as caught:
        find_model(str(file))
    command = shlex.split(re.search("`(.+)`", caught.value.remedy)[1])
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert load_file(tmp_path / "it's old.safetensors")["a"].tolist() == [0.0, 1.0, 2.0]


def test_a_folder_with_pickles_only_is_refused_and_other_pickles_are_mentioned(tmp_path: Path, sd: Path) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    told = check_model(str(folder))
    assert "unet/diffusion_pytorch_model.bin" in " ".join(told["notes"]).replace("\\", "/")
    assert told["family"] == "sd"
    assert told["native"] == "64x64"
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    for attempt in (check_model, load_model):
        with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.bin, a pickle"):
            attempt(str(folder))


def test_a_damaged_folder_is_named(tmp_path: Path, sd: Path) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        check_model(str(folder))
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(ModelError, match="tokenizer is missing"):
        check_model(str(folder))
    index = json.loads((folder / "model_index.json").read_text())
    for pipeline in ("AuraFlowPipeline", "StableDiffusionInpaintPipeline", "LuminaPipeline"):
        (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": pipeline}))
        with pytest.raises(ModelError, match=pipeline):
            check_model(str(folder))


@pytest.mark.parametrize(
    "text",
    [
        '{"steps": 0}',
        '{"steps": 1.5}',
        '{"guidance": "much"}',
        "[1]",
        "{",
        '{"steps": true}',
        '{"native": 384}',
        '{"native": [384, 223]}',
        '{"native": [true, 224]}',
    ],
)
def test_invalid_defaults_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "reactive.json").write_text(text)
    with pytest.raises(ModelError, match=r"reactive\.json"):
        read_defaults(tmp_path / "reactive.json", "toy")


def test_a_folder_may_state_its_size(tmp_path: Path, sd: Path) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    (folder / "reactive.json").write_text('{"native": [128, 64]}')
    assert load_model(str(folder)).native_size == (128, 64)
    assert check_model(str(folder))["native"] == "128x64"


def test_half_size_variants_load(tmp_path: Path, sd: Path) -> None:
    folder = shutil.copytree(sd, tmp_path / "model")
    for part in ("unet", "vae", "text_encoder"):
        for file in list((folder / part).glob("*.safetensors")):
            file.rename(file.with_suffix(".fp16.safetensors"))
    assert load_model(str(folder)).network.config.sample_size == 8


def test_the_catalogue_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names) >= 10
    listed = CliRunner().invoke(main, ["models", "list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in [*names, "ember"])
    rows = json.loads(CliRunner().invoke(main, ["models", "list", "--json"]).stdout)
    assert next(row for row in rows if row["name"] == "ember")["here"]
    with pytest.raises(ModelError, match=r"[Uu]se --lora"):
        find_model("lightning")


def test_check_describes_a_model(sd: Path) -> None:
    done = CliRunner().invoke(main, ["models", "check", str(sd)])
    assert done.exit_code == 0
    assert "epsilon" in done.output
    told = json.loads(CliRunner().invoke(main, ["models", "check", "ember", "--json"]).stdout)
    assert (told["native"], told["steps"], told["prediction"]) == ("384x224", 1, "v_prediction")
    missing = CliRunner().invoke(main, ["models", "check", "nothing"])
    assert missing.exit_code == 1
    assert len(missing.output.strip().splitlines()) == 1


def test_pull_fetches_only_safe_files_and_reports_errors(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}
    safe = ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"]
    unsafe = ["unet/diffusion_pytorch_model.bin", "sd_turbo.safetensors", "unet/code.py", "vae/model.ckpt"]

    def snapshot(hub: str, **options: Any) -> str:
        asked.update(hub=hub, **options)
        return str(sd)

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda hub: [*safe, *unsafe])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    done = CliRunner().invoke(main, ["models", "pull", "sd-turbo", "--json"])
    assert json.loads(done.stdout)["path"] == str(sd)
    assert asked["hub"] == "stabilityai/sd-turbo"
    assert asked["allow_patterns"] == sorted(safe)

    def broken(hub: str, **options: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    failed = CliRunner().invoke(main, ["models", "pull", "sd-turbo"])
    assert failed.exit_code == 1
    assert "goes on where it stopped" in failed.output
    assert "models list" in CliRunner().invoke(main, ["models", "pull", "nothing"]).output
