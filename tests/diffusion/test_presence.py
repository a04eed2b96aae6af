"""Which files `models pull` takes from a hub, incomplete folders, and autoencoders by file and hub id."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reactive.diffusion.models.download import pull
from reactive.diffusion.models.load import load_model
from reactive.diffusion.models.locate import cached
from reactive.diffusion.models.presence import missing_files, wanted_files
from reactive.errors import ModelError
from tests.diffusion.toys import save_toy

TURBO = [
    "README.md",
    "model_index.json",
    "sd_turbo.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
]


def test_float16_is_fetched_if_the_hub_has_it() -> None:
    weights = [name for name in wanted_files(TURBO) if name.endswith(".safetensors")]
    assert weights == [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    full = [name for name in wanted_files(TURBO, full=True) if name.endswith(".safetensors")]
    assert full == [name.replace(".fp16", "") for name in weights]
    assert {"model_index.json", "tokenizer/merges.txt"} <= set(wanted_files(TURBO))
    some = [name for name in TURBO if name != "vae/diffusion_pytorch_model.fp16.safetensors"]
    assert "vae/diffusion_pytorch_model.safetensors" in wanted_files(some)
    pieces = [f"unet/diffusion_pytorch_model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = "unet/diffusion_pytorch_model.safetensors.index.fp16.json"
    assert set(pieces) <= set(wanted_files([*some, *pieces, index]))
    vae = [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "README.md",
        "example.png",
        "diffusion_pytorch_model.bin",
    ]
    assert wanted_files(vae) == vae[:2]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub with one toy model in both precisions, and the download folder."""
    folder = save_toy(tmp_path / "hub")
    for file in [*folder.glob("*/*.safetensors")]:
        half = {key: value.half() if value.is_floating_point() else value for key, value in load_file(file).items()}
        save_file(half, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
    local = tmp_path / "local"

    def snapshot(name: str, allow_patterns: list[str] | None = None, local_files_only: bool = False) -> str:
        for wanted in allow_patterns or ():
            (local / wanted).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / wanted, local / wanted)
        return str(local)

    import huggingface_hub

    listing = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda name: listing)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return local


def test_a_pulled_model_is_half_the_size_and_loads(hub: Path) -> None:
    assert pull("someone/toy") == hub
    assert all(".fp16" in file.name for file in hub.glob("*/*.safetensors"))
    model = load_model("someone/toy", steps=1)
    assert model.network.conv_in.weight.dtype == torch.float32
    assert cached("someone/toy", "someone/toy", "") == hub


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: shutil.rmtree(folder / "unet"), "the folder unet is missing"),
        (lambda folder: next((folder / "vae").glob("*.safetensors")).unlink(), "vae has no weights"),
        (lambda folder: (folder / "unet/config.json").unlink(), "unet/config.json is missing"),
        (lambda folder: (folder / "model_index.json").unlink(), "model_index.json is missing"),
        (lambda folder: cut(next((folder / "unet").glob("*.safetensors"))), "is cut off"),
        (lambda folder: shards(folder / "unet"), "model-2.safetensors is missing"),
    ],
)
def test_an_incomplete_folder_does_not_count_as_present(hub: Path, spoil: Any, told: str) -> None:
    pull("someone/toy")
    assert missing_files(hub) == ""
    spoil(hub)
    assert told in missing_files(hub)
    with pytest.raises(ModelError, match="only in part") as refused:
        load_model("someone/toy")
    assert "models pull someone/toy" in refused.value.remedy


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_index_with_a_byte_order_mark_is_read(hub: Path, encoding: str) -> None:
    pull("someone/toy")
    index = hub / "model_index.json"
    index.write_text(index.read_text(encoding="utf-8"), encoding=encoding)
    assert missing_files(hub) == ""
    shutil.rmtree(hub / "unet")
    assert missing_files(hub) == "the folder unet is missing"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def shards(folder: Path) -> None:
    file = next(folder.glob("*.safetensors"))
    index = {"weight_map": {"a": file.name, "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_an_autoencoder_is_replaced_by_file_and_by_hub_id(tmp_path: Path, hub: Path) -> None:
    from tests.diffusion.test_models_files import original_vae_name

    pull("someone/toy", full=True)
    other = load_model(str(save_toy(tmp_path / "other", seed=5)), steps=1)
    names = {"plain": lambda key: key, "original": lambda key: original_vae_name(key, 4)}
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = other.vae.decode(latents, return_dict=False)[0]
    for kind, name in names.items():
        tensors = {}
        for key, value in other.vae.state_dict().items():
            square = kind == "original" and "attentions" in key and value.ndim == 2
            tensors[name(key)] = (value[:, :, None, None] if square else value).clone().contiguous()
        file = tmp_path / f"{kind}.safetensors"
        save_file(tensors, file)
        model = load_model("someone/toy", vae=str(file), config=tmp_path / "other", steps=1)
        assert torch.allclose(model.vae.decode(latents, return_dict=False)[0], expected, atol=1e-5), kind
        assert model.sha256 != load_model("someone/toy", steps=1).sha256
    by_id = load_model(str(tmp_path / "other"), vae="someone/toy", steps=1)
    own = load_model("someone/toy", steps=1)
    assert torch.equal(by_id.vae.decoder.conv_in.weight, own.vae.decoder.conv_in.weight)
    save_file({"weight": torch.ones(2)}, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="no autoencoder"):
        load_model("someone/toy", vae=str(tmp_path / "none.safetensors"))
