"""Pictures that steer the style, at toy width, against diffusers' own pipelines with the same adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.core import FrameRequest
from reactive.diffusion.models.adapter import StyleBank, find_adapter
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.families import FAMILIES, family_named
from reactive.diffusion.models.load import hash_weights, load_model
from reactive.errors import ModelError
from tests.diffusion.style_toys import picture, save_adapter
from tests.diffusion.test_transformer_families import ExactCore
from tests.diffusion.toys import save_toy

PROMPTS = ["a red sea", "fire at night", "snow", "a b c", "moon"]
TOLERANCE = 1e-4
PICTURES = [picture(1), picture(2)]
# families whose pictures are compared here
EQUAL = ("sd", "sdxl")
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))


def saved(folder: Path, family: str, *, plus: bool = False, zero: bool = False) -> tuple[Path, Path]:
    """A model and its adapter; `zero`: its noise ends pure, so that its middle levels are exactly those of the pipeline."""
    scheduler = {"kind": "DDIMScheduler", "clip_sample": False, "timestep_spacing": "trailing"}
    if zero:
        scheduler |= {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    model = save_toy(folder / "model", family=family, scheduler=scheduler)
    return model, save_adapter(folder / "adapter", model, plus=plus)


def drawn(count: int) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(7))


def ours(
    model: Any,
    weights: list[tuple[float, ...]],
    noise: torch.Tensor,
    *,
    prompts: list[str] = PROMPTS,
    source: torch.Tensor | None = None,
    strength: float = 1.0,
    pictures: list[Any] = PICTURES,
) -> torch.Tensor:
    count = len(weights)
    bank = PromptBank(model, prompts[:count])
    core = ExactCore(model, bank, batch=count, width=64, height=64, styles=StyleBank(model, pictures))
    return core.exact(
        [
            FrameRequest(i, i, 0.0, strength, (noise[i],), None if source is None else source[i], style=weights[i])
            for i in range(count)
        ]
    ).clamp(-1, 1)


def theirs(
    model: Path, adapter: Path, family: str, weights: tuple[float, ...], prompts: list[str], **given: Any
) -> torch.Tensor:
    """The pictures of the pipeline with the adapter once for each picture, each with its weight."""
    import diffusers
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    kind = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL"}[family]
    kind += "Img2ImgPipeline" if "image" in given else "Pipeline"
    encoder = CLIPVisionModelWithProjection.from_pretrained(adapter.parent / "image_encoder", local_files_only=True)
    size = encoder.config.image_size
    pipeline = getattr(diffusers, kind).from_pretrained(
        model,
        local_files_only=True,
        image_encoder=encoder,
        feature_extractor=CLIPImageProcessor(size=size, crop_size=size),
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(
        str(adapter.parent), subfolder="", weight_name=[adapter.name] * len(weights), local_files_only=True
    )
    pipeline.set_ip_adapter_scale(list(weights))
    with torch.no_grad():
        shown = pipeline(
            prompt=prompts,
            ip_adapter_image=PICTURES[: len(weights)],
            output_type="pt",
            **({} if "image" in given else {"height": 64, "width": 64}),
            **given,
        ).images
    return shown * 2 - 1


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("family", EQUAL)
def test_pictures_steer_as_in_the_familys_own_pipeline(tmp_path: Path, family: str, guidance: float) -> None:
    folder, adapter = saved(tmp_path, family)
    model = load_model(folder, steps=4, guidance=guidance, dtype="float32", adapter=str(adapter))
    given = {"num_inference_steps": 4, "guidance_scale": guidance}
    noise = drawn(5)
    for count in (1, 5):
        mine = ours(model, [(0.6, 0.3)] * count, noise)
        same = theirs(folder, adapter, family, (0.6, 0.3), PROMPTS[:count], latents=noise[:count].clone(), **given)
        assert (mine - same).abs().max() < TOLERANCE
    # one batch with another weight for each item and picture
    weights = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.7), (0.25, 0.5), (-0.4, 1.2)]
    mixed = ours(model, weights, noise)
    for item, weight in enumerate(weights):
        alone = theirs(
            folder, adapter, family, weight, [PROMPTS[item]], latents=noise[item : item + 1].clone(), **given
        )
        assert (mixed[item] - alone[0]).abs().max() < TOLERANCE
    # the pictures must matter, and a weight of 0 is the model without them
    plain = load_model(folder, steps=4, guidance=guidance, dtype="float32")
    free = ExactCore(plain, PromptBank(plain, PROMPTS), batch=5, width=64, height=64)
    without = free.exact([FrameRequest(i, i, 0.0, 1.0, (noise[i],)) for i in range(5)]).clamp(-1, 1)
    assert (mixed[0] - without[0]).abs().max() < TOLERANCE
    assert all((mixed[item] - without[item]).abs().max() > 100 * TOLERANCE for item in range(1, 5))


@pytest.mark.parametrize("family", EQUAL)
def test_pictures_steer_pictures_as_in_the_image_to_image_pipeline(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    folder, adapter = saved(tmp_path, family, zero=True)
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", adapter=str(adapter))
    noise, source = drawn(5), torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mine = ours(model, [(0.5, 0.4)] * 5, noise, source=source * 2 - 1, strength=0.5)
    kind = {"sd": "StableDiffusionImg2ImgPipeline", "sdxl": "StableDiffusionXLImg2ImgPipeline"}[family]
    module = sys.modules[getattr(diffusers, kind).__module__]
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise.clone())
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    same = theirs(
        folder,
        adapter,
        family,
        (0.5, 0.4),
        PROMPTS,
        image=source,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0,
    )
    assert (mine - same).abs().max() < TOLERANCE
    assert (mine - ours(model, [()] * 5, noise, source=source * 2 - 1, strength=0.5)).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("family", EQUAL)
def test_an_adapter_with_more_detail_is_equal_too(tmp_path: Path, family: str) -> None:
    folder, adapter = saved(tmp_path, family, plus=True)
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", adapter=str(adapter))
    noise = drawn(5)
    mine = ours(model, [(0.6, 0.3)] * 5, noise)
    same = theirs(
        folder,
        adapter,
        family,
        (0.6, 0.3),
        PROMPTS,
        latents=noise.clone(),
        num_inference_steps=2,
        guidance_scale=3.0,
    )
    assert (mine - same).abs().max() < TOLERANCE
    assert (mine - ours(model, [(0.0, 0.0)] * 5, noise)).abs().max() > 100 * TOLERANCE


def test_the_weight_moves_the_picture_smoothly_and_neighbours_do_not_matter(tmp_path: Path) -> None:
    folder, adapter = saved(tmp_path, "sd")
    model = load_model(folder, steps=2, guidance=1.0, dtype="float32", adapter=str(adapter))
    noise = drawn(1).expand(5, -1, -1, -1)
    shown = ours(model, [(share, 0.0) for share in (0.0, 0.01, 0.25, 0.5, 1.0)], noise, prompts=["snow"] * 5)
    moved = [(each - shown[0]).abs().mean().item() for each in shown]
    assert 0 < moved[1] < moved[2] / 5
    assert moved[2] < moved[3] < moved[4]
    other = ours(model, [(1.0, 1.0), (0.0, 0.2), (0.25, 0.0), (0.1, 0.1), (0.4, 0.0)], noise, prompts=["snow"] * 5)
    assert torch.equal(shown[2], other[2])


def test_a_picture_is_encoded_once_and_the_next_run_loads_no_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import CLIPVisionModelWithProjection

    folder, adapter = saved(tmp_path, "sd")
    model = load_model(folder, steps=2, dtype="float32", adapter=str(adapter))
    noise = drawn(1)
    first = ours(model, [(0.5, 0.5)], noise)

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the encoder was loaded again")

    monkeypatch.setattr(CLIPVisionModelWithProjection, "from_pretrained", refused)
    assert torch.equal(ours(model, [(0.5, 0.5)], noise), first)
    with pytest.raises(AssertionError, match="loaded again"):
        StyleBank(model, [picture(3)])


def test_half_formats_run_and_overflow_is_computed_again(tmp_path: Path) -> None:
    from reactive.diffusion.backend.overflow import in_float32

    folder, adapter = saved(tmp_path, "sd")
    exact = ours(load_model(folder, steps=2, dtype="float32", adapter=str(adapter)), [(0.5, 0.2)] * 2, drawn(2))
    model = load_model(folder, steps=2, dtype="bfloat16", adapter=str(adapter))
    assert (ours(model, [(0.5, 0.2)] * 2, drawn(2)) - exact).abs().mean() < 0.05
    with in_float32(model) as again:
        assert (ours(again, [(0.5, 0.2)] * 2, drawn(2)) - exact).abs().mean() < 0.05


def test_an_adapter_belongs_to_the_models_hash(tmp_path: Path) -> None:
    folder, adapter = saved(tmp_path, "sd")
    with_it = load_model(folder, adapter=str(adapter))
    assert with_it.sha256 == hash_weights(str(folder), adapter=str(adapter)) != hash_weights(str(folder))
    other = save_adapter(tmp_path / "other", folder, seed=6)
    assert load_model(folder, adapter=str(other)).sha256 != with_it.sha256
    moved = tmp_path / "moved"
    (tmp_path / "adapter").rename(moved)
    assert load_model(folder, adapter=str(moved)).sha256 == with_it.sha256


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, adapter = saved(tmp_path, "sd")
    xl, other = saved(tmp_path / "xl", "sdxl")
    with pytest.raises(ModelError, match="layers and tokens 48 wide, not of"):
        load_model(folder, adapter=str(other))
    with pytest.raises(ModelError, match="ip-adapter is for models whose texts are 768 wide; those of this one are 16"):
        load_model(folder, adapter="auto")
    with pytest.raises(ModelError, match="ip-adapter-plus-xl is for models whose texts are 2048 wide"):
        load_model(xl, adapter="ip-adapter-plus-xl")
    with pytest.raises(ModelError, match="models pull ip-adapter-plus"):
        find_adapter("ip-adapter-plus", family_named("sd"), 768)
    with pytest.raises(ModelError, match="is for models of the kind sdxl, not sd"):
        load_model(folder, adapter="ip-adapter-xl")
    with pytest.raises(ModelError, match="no such adapter"):
        load_model(folder, adapter="lightning")
    with pytest.raises(ModelError, match="no such adapter"):
        load_model(folder, adapter="nothing.safetensors")
    with pytest.raises(ModelError, match="without an adapter"):
        StyleBank(load_model(folder), PICTURES)
    weights = load_file(adapter)
    save_file(
        weights | {"ip_adapter.0.to_q_lora.down.weight": torch.zeros(2, 2)}, tmp_path / "adapter" / "face.safetensors"
    )
    with pytest.raises(ModelError, match="of faces"):
        load_model(folder, adapter=str(tmp_path / "adapter" / "face.safetensors"))
    save_file({"a": torch.zeros(1)}, tmp_path / "adapter" / "none.safetensors")
    with pytest.raises(ModelError, match="is no IP-Adapter"):
        load_model(folder, adapter=str(tmp_path / "adapter" / "none.safetensors"))
    (tmp_path / "adapter" / "pickled.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="pickled"):
        load_model(folder, adapter=str(tmp_path / "adapter" / "pickled.bin"))
    (tmp_path / "alone").mkdir()
    save_file(weights, tmp_path / "alone" / "a.safetensors")
    with pytest.raises(ModelError, match="encoder of pictures is missing"):
        load_model(folder, adapter=str(tmp_path / "alone"))


def test_an_encoder_of_another_width_is_refused(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder, adapter = saved(tmp_path, "sd")
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=12,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(adapter.parent / "image_encoder")
    with pytest.raises(ModelError, match="another than the adapter"):
        StyleBank(load_model(folder, adapter=str(adapter)), PICTURES)


def test_families_without_adapters_say_so() -> None:
    without = [family for family in FAMILIES if family.name not in EQUAL]
    assert len(without) >= 6
    for family in without:
        with pytest.raises(ModelError, match=f"of the kind {family.name} can't take"):
            find_adapter("auto", family)
    with pytest.raises(ModelError, match="models pull ip-adapter"):
        find_adapter("auto", family_named("sd"))


def test_the_memory_table_has_what_an_adapter_adds(tmp_path: Path) -> None:
    from reactive.memory_table import needs_table

    assert needs_table("sd15")["style_gib"] == {"network": 0.04, "encoding": 1.18}
    assert needs_table("sdxl")["style_gib"]["network"] == 0.63
    assert needs_table("sd21")["style_gib"] is needs_table("flux-dev")["style_gib"] is None
    folder, adapter = saved(tmp_path, "sd")
    plain, with_it = load_model(folder), load_model(folder, adapter=str(adapter))
    added = sum(part.numel() for part in with_it.network.parameters()) - sum(
        part.numel() for part in plain.network.parameters()
    )
    assert plain.family.adapter_numbers is not None
    assert added == plain.family.adapter_numbers(plain.network) > 0


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_recorded_graphs_replay_other_weights_with_the_same_bits(tmp_path: Path, guidance: float) -> None:
    from dataclasses import replace

    from reactive.diffusion.backend.graphs import Graphs
    from tests.diffusion.test_graphs import Recorder

    folder, adapter = saved(tmp_path, "sdxl")
    plain = load_model(folder, steps=2, guidance=guidance, dtype="float32", adapter=str(adapter))
    recorder = Recorder()
    recorded = replace(plain, graphs=Graphs(recorder))
    noise = drawn(3)
    for weights in ([(0.5, 0.2)] * 3, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.5)]):
        assert torch.equal(ours(recorded, weights, noise), ours(plain, weights, noise))
    # the network and the decoder
    assert recorder.made == 2
