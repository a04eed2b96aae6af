"""Transformer families at toy width through the core, against diffusers' own pipelines."""

from __future__ import annotations

import inspect
import json
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.errors import ModelError
from reactive.render.store.batch_shape import prompt_notes
from tests.diffusion.family_toys import TOYS, save_family
from tests.diffusion.toys import save_toy

# the image-to-image pipeline, and the number of steps that gives strength 0.5
WITH_PICTURE: dict[str, tuple[str, int, dict[str, Any]]] = {
    "z-image": ("ZImageImg2ImgPipeline", 4, {}),
    "sana-sprint": ("SanaSprintImg2ImgPipeline", 2, {"intermediate_timesteps": None}),
    "sd3": ("StableDiffusion3Img2ImgPipeline", 4, {"sigmas": [1.0, 0.9, 0.5, 0.0014970059880239523]}),
    "flux": ("FluxImg2ImgPipeline", 4, {}),
    "qwen-image": ("QwenImageImg2ImgPipeline", 4, {}),
}
# diffusers has no image-to-image pipeline of these
WITHOUT_PIPELINE = ("flux2-klein", "krea2")
# whose latents have a small autoencoder
WITH_SMALL = ("z-image", "sd3", "flux")
PROMPTS = ["a red sea", "fire at night by the old bridge", "snow", "a b c", "moon"]
NEGATIVE = "ugly dog"
TOLERANCE = 1e-4
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
    known: dict[str, tuple[Path, Any]] = {}

    def get(name: str) -> tuple[Path, Any]:
        if name == "krea2":
            pytest.importorskip("accelerate")
        if name not in known:
            folder = tmp_path_factory.mktemp(name) / "model"
            known[name] = folder, save_family(folder, name)
        return known[name]

    return get


class ExactCore(Core):
    """A core that returns its decoded pictures before they are converted to bytes."""

    @torch.inference_mode()
    def exact(self, requests: list[FrameRequest]) -> torch.Tensor:
        return self.model.decode(self._latents(self.model, requests)).float()


def side_of(model: Any) -> int:
    return int(4 * model.step)


def drawn(model: Any, count: int, size: int) -> torch.Tensor:
    shape = (count, model.channels, size // model.vae_scale_factor, size // model.vae_scale_factor)
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def ours(
    model: Any,
    prompts: list[str],
    noise: torch.Tensor,
    *,
    negative: str = "",
    source: Any = None,
    strength: float = 1.0,
    more: tuple[torch.Tensor, ...] = (),
) -> torch.Tensor:
    size = noise.shape[-1] * model.vae_scale_factor
    bank = PromptBank(model, prompts, negatives=[negative] * len(prompts))
    core = ExactCore(model, bank, batch=len(prompts), width=size, height=size)
    requests = [
        FrameRequest(
            i, i, 0.0, strength, (noise[i], *(extra[i] for extra in more)), None if source is None else source[i]
        )
        for i in range(len(prompts))
    ]
    return core.exact(requests)


def as_latents(name: str, noise: torch.Tensor) -> torch.Tensor:
    """Noise in the pipeline's shape: FLUX.1 takes it as a sequence of tokens."""
    return noise.flatten(2).transpose(1, 2) if name in ("flux", "schnell", "krea2", "qwen-image") else noise


def theirs(pipeline: Any, name: str, prompts: list[str], steps: int, guidance: float, **more: Any) -> torch.Tensor:
    given = dict(more)
    if "max_sequence_length" in inspect.signature(pipeline.__call__).parameters and name == "schnell":
        given["max_sequence_length"] = 256
    if name == "sana-sprint":
        given |= {"use_resolution_binning": False}
        given |= {} if steps == 2 else {"intermediate_timesteps": None}
    if name == "flux2-klein":
        # pipelines use no guidance with distilled models
        pipeline.register_to_config(is_distilled=guidance == 1)
    if name == "qwen-image":
        given |= {"true_cfg_scale": guidance, "negative_prompt": [""] * len(prompts)}
    # this pipeline's guidance counts from 0
    guidance -= 1 if name in ("z-image", "krea2") else 0
    with torch.no_grad():
        shown = pipeline(
            prompt=list(prompts),
            num_inference_steps=steps,
            output_type="pt",
            **({} if name == "qwen-image" else {"guidance_scale": guidance}),
            **given,
        ).images
    return shown * 2 - 1


@torch.no_grad()
def encoded(pipeline: Any, name: str, pictures: torch.Tensor) -> torch.Tensor:
    """Latents of pictures as a pipeline has them that takes none: by the formula of its decoding, backwards."""
    if name == "flux2-klein":
        latents: torch.Tensor = pipeline._encode_vae_image(pictures, None)
        return latents
    vae, told = pipeline.vae, pipeline.vae.config
    if name == "krea2":
        mean, deviation = (torch.tensor(part).view(1, -1, 1, 1) for part in (told.latents_mean, told.latents_std))
        plain = (vae.encode(pictures[:, :, None]).latent_dist.mode()[:, :, 0] - mean) / deviation
        return torch.nn.functional.pixel_unshuffle(plain, 2)
    plain = vae.encode(pictures).latent_dist.mode() - (told.get("shift_factor") or 0)
    return plain * float(told.scaling_factor)


def guidances(name: str) -> tuple[float, ...]:
    return {"flux": (3.5,), "schnell": (1.0,), "sana-sprint": (4.5,)}.get(name, (1.0, 3.0))


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("count", [1, 5])
def test_a_family_gives_the_pictures_of_its_own_pipeline(saved: Any, name: str, count: int) -> None:
    folder, pipeline = saved(name)
    steps = 1 if name == "sana-sprint" else 3
    for guidance in guidances(name):
        model = load_model(str(folder), steps=steps, guidance=guidance, dtype="float32")
        size = side_of(model)
        noise = drawn(model, count, size)
        mine = ours(model, PROMPTS[:count], noise)
        given = theirs(
            pipeline, name, PROMPTS[:count], steps, guidance, latents=as_latents(name, noise), height=size, width=size
        )
        assert mine.shape == (count, 3, size, size)
        assert (mine.clamp(-1, 1) - given).abs().max() < TOLERANCE
        # pictures must have contrast, differ from one another and react to the prompt
        assert mine.std() > 0.02
        same = ours(model, ["moon"] * count, noise)
        assert (same[0] - mine[0]).abs().max() > 10 * TOLERANCE


def test_a_klein_of_cached_keys_and_values_gives_the_pictures_of_its_pipeline_for_texts(
    saved: Any, tmp_path: Path
) -> None:
    import diffusers

    # its pipeline changes the network
    parts = deepcopy(saved("flux2-klein")[1].components)
    other = diffusers.Flux2KleinKVPipeline(**parts)
    other.save_pretrained(tmp_path / "kv")
    other.set_progress_bar_config(disable=True)
    model = load_model(str(tmp_path / "kv"), steps=3, dtype="float32")
    assert (model.family.name, model.guidance) == ("flux2-klein", 1.0)
    size = side_of(model)
    noise = drawn(model, 2, size)
    mine = ours(model, PROMPTS[:2], noise)
    with torch.no_grad():
        given = other(
            prompt=PROMPTS[:2], num_inference_steps=3, latents=noise, height=size, width=size, output_type="pt"
        ).images
    assert (mine.clamp(-1, 1) - (given * 2 - 1)).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_a_source_is_used_as_in_the_image_to_image_pipeline(
    saved: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    folder, pipeline = saved(name)
    kind, steps, told = WITH_PICTURE[name]
    model = load_model(str(folder), steps=steps // 2, guidance=guidances(name)[-1], dtype="float32")
    # the pipeline stretches the levels of twice as many steps
    model = replace(model, scheduler={**model.scheduler, "shift_terminal": None})
    size = side_of(model)
    noise = drawn(model, 5, size)
    source = torch.rand(5, 3, size, size, generator=torch.Generator().manual_seed(1))
    mine = ours(model, PROMPTS, noise, source=source * 2 - 1, strength=0.5)
    parts = pipeline.components
    if parts["scheduler"].config.get("shift_terminal"):
        parts["scheduler"] = type(parts["scheduler"]).from_config(parts["scheduler"].config, shift_terminal=None)
    other = getattr(diffusers, kind)(**parts)
    other.set_progress_bar_config(disable=True)
    # the pipeline's random values are passed in: the noise, and the mean of the encoder's distribution
    plain = torch.nn.functional.pixel_shuffle(noise, 2) if name in ("flux", "qwen-image") else noise
    plain = plain.unsqueeze(1) if name == "qwen-image" else plain
    monkeypatch.setattr(sys.modules[type(other).__module__], "randn_tensor", lambda *_, **__: plain.clone())
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    given = theirs(
        other, name, PROMPTS, steps, model.guidance, image=source, strength=0.5, height=size, width=size, **told
    )
    assert (mine.clamp(-1, 1) - given).abs().max() < TOLERANCE
    # source and noise must both have an effect
    assert (mine - ours(model, PROMPTS, noise)).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("name", WITHOUT_PIPELINE)
def test_a_source_without_an_image_to_image_pipeline_is_denoised_as_by_the_pipeline_for_texts(
    saved: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    folder, pipeline = saved(name)
    model = load_model(str(folder), steps=2, guidance=3.0, dtype="float32")
    size = side_of(model)
    noise = drawn(model, 5, size)
    source = torch.rand(5, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    levels: list[float] = []
    predict = type(model).predict_x0

    def noted(self: Any, z: torch.Tensor, tau: torch.Tensor, *given: Any) -> torch.Tensor:
        levels.append(float(self.schedule.alpha_sigma(tau)[1][0]))
        return predict(self, z, tau, *given)

    monkeypatch.setattr(type(model), "predict_x0", noted)
    mine = ours(model, PROMPTS, noise, source=source, strength=0.5)
    assert len(levels) == 2
    assert 1 > levels[0] > levels[1] > 0
    begun = levels[0] * noise + (1 - levels[0]) * encoded(pipeline, name, source)
    # the levels are given as they are
    parts = pipeline.components | {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)}
    if "is_distilled" in inspect.signature(type(pipeline)).parameters:
        parts["is_distilled"] = False
    other = type(pipeline)(**parts)
    other.set_progress_bar_config(disable=True)
    given = theirs(
        other, name, PROMPTS, 2, 3.0, latents=as_latents(name, begun), sigmas=levels, height=size, width=size
    )
    assert (mine.clamp(-1, 1) - given).abs().max() < TOLERANCE
    assert (mine - ours(model, PROMPTS, noise)).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("name", WITH_SMALL)
def test_a_small_autoencoder_gives_the_pictures_of_the_pipeline_with_it(saved: Any, name: str, tmp_path: Path) -> None:
    import diffusers

    folder, pipeline = saved(name)
    own = load_model(str(folder), steps=2, guidance=guidances(name)[0], dtype="float32")
    channels = own.family.vae_channels(own.network.config)
    widths = (4,) * len(own.vae.config.block_out_channels)
    torch.manual_seed(3)
    small = diffusers.AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(1,) * len(widths),
        num_decoder_blocks=(1,) * len(widths),
        latent_channels=channels,
    ).eval()
    small.save_pretrained(tmp_path / "small")
    model = load_model(str(folder), steps=2, guidance=guidances(name)[0], dtype="float32", vae=str(tmp_path / "small"))
    size = side_of(model)
    noise = drawn(model, 2, size)
    mine = ours(model, PROMPTS[:2], noise)
    other = type(pipeline)(**{**pipeline.components, "vae": small})
    other.set_progress_bar_config(disable=True)
    given = theirs(
        other, name, PROMPTS[:2], 2, model.guidance, latents=as_latents(name, noise), height=size, width=size
    )
    assert (mine.clamp(-1, 1) - given).abs().max() < TOLERANCE
    assert (mine - ours(own, PROMPTS[:2], noise)).abs().max() > 10 * TOLERANCE


def test_each_latent_space_has_its_small_autoencoder_or_a_line_that_says_there_is_none() -> None:
    from reactive.diffusion.models.autoencoders import find_autoencoder
    from reactive.diffusion.models.catalogue import small_autoencoder
    from reactive.diffusion.models.families import FAMILIES, family_named

    found = {family.name: small_autoencoder(family.name) for family in FAMILIES}
    assert {name: entry.name for name, entry in found.items() if entry} == {
        "sd": "taesd",
        "sdxl": "taesdxl",
        "sd3": "taesd3",
        "flux": "taef1",
        "z-image": "taef1",
    }
    for name in ("flux2-klein", "sana-sprint", "krea2", "qwen-image"):
        with pytest.raises(ModelError, match=f"no small autoencoder for models of the kind {name}"):
            find_autoencoder("tiny", family_named(name))
    with pytest.raises(ModelError, match="is for models of the kind flux, not sd3"):
        find_autoencoder("taef1", family_named("sd3"))


@pytest.mark.parametrize("name", ["flux2-klein", "z-image", "sana-sprint", "sd3", "flux", "qwen-image"])
def test_the_picture_changes_smoothly_with_strength_and_items_are_independent(saved: Any, name: str) -> None:
    model = load_model(str(saved(name)[0]), steps=1, dtype="float32")
    size = side_of(model)
    noise = drawn(model, 1, size)[0]
    source = torch.linspace(-0.8, 0.8, size).expand(3, size, size).contiguous()
    core = ExactCore(model, PromptBank(model, PROMPTS[:2]), batch=5, width=size, height=size)
    strengths = (0.0, 0.5, 0.5001, 0.501, 1.0)
    pictures = core.exact([FrameRequest(0, 0, 0.0, strength, (noise,), source) for strength in strengths])
    ways = [float((one - other).abs().mean()) for one, other in zip(pictures, pictures[1:], strict=False)]
    # random weights react strongly to the time: with a hundredth of it the picture hardly changes
    assert ways[1] < ways[2] / 2 < ways[0] / 4
    # strength 0 is the source through the autoencoder, strength 1 a picture without a source
    kept = model.decode(model.encode(source[None])).float()[0]
    assert (pictures[0] - kept).abs().max() < 1e-3
    mixed = [FrameRequest(1, 1, 0.0, 1.0, (noise,)), FrameRequest(0, 0, 0.0, 1.0, (noise,))]
    alone = core.exact([*mixed, *(FrameRequest(0, 1, 0.3, 0.7, (noise,), source),) * 3])
    assert (alone[1] - pictures[4]).abs().max() < TOLERANCE
    assert (alone[0] - alone[1]).abs().max() > TOLERANCE


def test_a_large_encoder_is_loaded_once_and_its_embeddings_are_cached(
    saved: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path))
    model = load_model(str(saved("z-image")[0]), dtype="float32")
    assert model.texts is not None
    assert model.text_encoder is None
    opened: list[int] = []
    load = model.texts.load
    model = replace(model, texts=replace(model.texts, load=lambda dtype: (opened.append(1), load(dtype))[1]))
    first = PromptBank(model, PROMPTS)
    # for the prompts and the empty negative one
    assert len(opened) == 1
    again = PromptBank(model, PROMPTS)
    assert len(opened) == 1
    assert torch.equal(first.embeddings.tokens, again.embeddings.tokens)
    assert first.embeddings.mask is not None
    assert again.embeddings.mask is not None
    assert torch.equal(first.embeddings.mask, again.embeddings.mask)
    PromptBank(model, [*PROMPTS, "one more"])
    assert len(opened) == 2
    # another encoder gives other embeddings
    other = replace(model, texts=replace(model.texts, sha256="other"))
    PromptBank(other, PROMPTS[:1])
    assert len(opened) == 3
    for file in (tmp_path / "texts").iterdir():
        file.write_bytes(b"damaged")
    assert torch.equal(PromptBank(model, PROMPTS).embeddings.tokens, first.embeddings.tokens)


@pytest.mark.parametrize(("name", "most"), [("flux", 512), ("schnell", 256), ("sd3", 256), ("z-image", 512)])
def test_a_prompt_that_is_cut_is_said_once(saved: Any, name: str, most: int) -> None:
    model = load_model(str(saved(name)[0]), dtype="float32")
    model = replace(model, name="the toy")
    letters = [chr(ord("a") + place % 26) for place in range(most)]
    # the tokenizers of the toys read single letters; T5's adds the end
    fits = "".join(letters[: most - 2]) if name == "z-image" else " ".join(letters[: most // 2 - 2])
    assert prompt_notes(model, ["moon", fits]) == ()
    long = " ".join([*letters, *letters])
    (note,) = prompt_notes(model, ["moon", long, f"({long}:1.2)", fits])
    assert note.startswith(
        f'A prompt is longer than the {most} tokens that the toy reads; the end is not heard: "a b c'
    )
    (note,) = prompt_notes(model, [long, f"{long} z"])
    assert note.startswith("2 prompts are longer")
    # what is said to be cut changes nothing
    one, other = (PromptBank(model, [text]).embeddings.tokens for text in (long, f"{long} z"))
    assert torch.equal(one, other)


def test_prompts_of_any_length_are_read_by_clip_alone(tmp_path: Path) -> None:
    model = load_model(str(save_toy(tmp_path / "model")), dtype="float32")
    assert prompt_notes(model, ["a b c " * 400]) == ()


def test_a_lora_of_a_transformer_is_fused_whatever_its_names_are(saved: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = saved("flux")[0]
    plain = load_model(str(folder), dtype="float32")
    layer = "transformer_blocks.0.attn.to_q"
    weight = dict(plain.network.named_modules())[layer].weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    flat = layer.replace(".", "_")
    lengths = torch.rand(len(weight)) + 0.5
    ab, kohya = ("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight")

    def fused(file: Path) -> torch.Tensor:
        changed = load_model(str(folder), dtype="float32", loras=(f"{file}:0.5",))
        assert changed.sha256 != plain.sha256
        found: torch.Tensor = dict(changed.network.named_modules())[layer].weight
        return found

    for head, ends in {
        f"transformer.{layer}": ab,
        layer: ab,
        f"base_model.model.{layer}": ab,
        f"transformer.base_model.model.{layer}": ("lora_A.film.weight", "lora_B.film.weight"),
        f"diffusion_model.{layer}": ab,
        f"lora_transformer_{flat}": kohya,
        f"lora_unet_{flat}": kohya,
    }.items():
        file = tmp_path / "film.safetensors"
        matrices = {f"{head}.{ends[0]}": down, f"{head}.{ends[1]}": up}
        save_file(matrices, file)
        assert torch.allclose(fused(file), weight + 0.5 * up @ down, atol=1e-5), head
        save_file(matrices | {f"{head}.alpha": torch.tensor(1.0)}, file)
        assert torch.allclose(fused(file), weight + 0.25 * up @ down, atol=1e-5), head
        save_file(matrices | {f"{head}.dora_scale": lengths[:, None]}, file)
        whole = weight + up @ down
        whole = whole / whole.norm(dim=1, keepdim=True) * lengths[:, None]
        assert torch.allclose(fused(file), weight + 0.5 * (whole - weight), atol=1e-5), head
    matrices = {f"transformer.{layer}.{end}": matrix for end, matrix in zip(ab, (down, up), strict=True)}
    save_file(matrices, file, metadata={"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 4})})
    assert torch.allclose(fused(file), weight + up @ down, atol=1e-5)
    # kohya's scripts train the first text encoder too, which is loaded later
    of_texts = {f"lora_te1_text_model_encoder_layers_0_mlp_fc1.{end}": down.clone() for end in kohya}
    save_file({f"lora_unet_{flat}.{end}": m for end, m in zip(kohya, (down, up), strict=True)} | of_texts, file)
    assert torch.allclose(fused(file), weight + 0.5 * up @ down, atol=1e-5)
    notes = load_model(str(folder), dtype="float32", loras=(str(file),)).sampling.notes
    assert notes == ("what film.safetensors changes of text encoders is left out; its part for the network is used",)
    save_file(of_texts, file)
    with pytest.raises(ModelError, match="changes text encoders only"):
        fused(file)
    # a folder of PEFT with its configuration
    peft = tmp_path / "peft"
    peft.mkdir()
    save_file(
        {f"base_model.model.{layer}.{end}": m for end, m in zip(ab, (down, up), strict=True)},
        peft / "adapter_model.safetensors",
    )
    (peft / "adapter_config.json").write_text(json.dumps({"lora_alpha": 1, "r": 2}))
    assert torch.allclose(fused(peft), weight + 0.25 * up @ down, atol=1e-5)
    save_file({f"lora_unet_{flat}.lokr_w1": torch.ones(2, 2)}, file)
    with pytest.raises(ModelError, match="is a LoKr file"):
        fused(file)


@pytest.mark.parametrize("name", TOYS)
def test_a_lora_changes_the_weights_of_every_family(saved: Any, name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = saved(name)[0]
    plain = dict(load_model(str(folder), dtype="float32").network.named_modules())
    layer = next(key for key, part in plain.items() if key.endswith("to_q") and isinstance(part, torch.nn.Linear))
    weight = plain[layer].weight
    drawn = torch.Generator().manual_seed(2)
    down = torch.randn(2, weight.shape[1], generator=drawn)
    up = torch.randn(weight.shape[0], 2, generator=drawn)
    file = tmp_path / "film.safetensors"
    save_file({f"transformer.{layer}.lora_A.weight": down, f"transformer.{layer}.lora_B.weight": up}, file)
    changed = dict(load_model(str(folder), dtype="float32", loras=(f"{file}:0.5",)).network.named_modules())
    assert torch.allclose(changed[layer].weight, weight + 0.5 * up @ down, atol=1e-5)


def test_the_catalogue_names_the_smallest_card_of_doctors_table() -> None:
    from reactive.diffusion.backend.shapes import BatchShape, budget
    from reactive.diffusion.models.catalogue import ENTRIES, recommended
    from reactive.memory_table import needs_named, needs_table

    models = [entry for entry in ENTRIES if entry.kind == "model"]
    assert len(models) > 10
    for entry in models:
        needs, _ = needs_named(entry.name)
        total = needs.total(entry.native, entry.native, BatchShape(1, 1))
        assert entry.card == next(card for card in (6, 8, 12, 16, 24, 40, 80) if total <= budget(card)), entry.name
        cards = {row["quant"]: row["card"] for row in needs_table(entry.name)["quantised"]}
        smaller = {kind: cards[kind] for kind in ("int8", "nf4") if cards[kind] < entry.card}
        assert entry.quantised == (smaller if entry.card > 6 else {}), entry.name
        assert entry.sell in ("yes", "limited", "no")
    for memory in (8, 12, 16, 24):
        best = recommended(memory)
        assert best is not None
        assert (best.entry.quantised[best.quant] if best.quant else best.entry.card) <= memory
        assert best.entry.sell == "yes"
    told = {memory: best.options for memory in (6, 8, 12, 16, 24) if (best := recommended(memory))}
    assert told == {
        6: "--model lcm",
        8: "--model flux2-klein --quant int8",
        12: "--model z-image-turbo --quant int8",
        16: "--model z-image-turbo",
        24: "--model z-image-turbo",
    }
    assert recommended(4) is None
