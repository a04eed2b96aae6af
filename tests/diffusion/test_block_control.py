"""Control networks of transformers at toy width, against diffusers' own pipelines with the same networks and control pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reactive.diffusion.core import FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.control import ControlBank, ControlInput
from reactive.diffusion.models.families import family_named
from reactive.diffusion.models.load import load_model
from reactive.errors import ModelError
from tests.diffusion.control_toys import OF_BLOCKS, save_block_control, textured
from tests.diffusion.family_toys import save_family
from tests.diffusion.test_transformer_families import ExactCore, as_latents, drawn, side_of

PROMPTS = ["a red sea", "fire at night", "snow", "a b c", "moon"]
TOLERANCE = 1e-4
PIPELINES = {
    "flux": "FluxControlNetPipeline",
    "schnell": "FluxControlNetPipeline",
    "sd3": "StableDiffusion3ControlNetPipeline",
    "qwen-image": "QwenImageControlNetPipeline",
}
# families whose pictures are compared here
EQUAL = ("flux", "sd3", "qwen-image")
# the numbers of FLUX.1's networks for several kinds
NUMBERS = {"canny": 0, "depth": 2}
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One thread, and pipelines that encode without noise, as reactive does."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    torch.set_num_threads(1)
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    known: dict[str, tuple[Path, Any]] = {}

    def get(name: str) -> tuple[Path, Any]:
        if name not in known:
            folder = tmp_path_factory.mktemp(name) / "model"
            known[name] = folder, save_family(folder, name, layers=3)
        return known[name]

    return get


def ours(
    model: Any,
    weights: list[tuple[float, ...]],
    noise: torch.Tensor,
    *,
    kinds: tuple[str, ...] = ("canny",),
    prompts: list[str] = PROMPTS,
    source: torch.Tensor | None = None,
    strength: float = 1.0,
    slices: int = 0,
) -> torch.Tensor:
    """The pictures of items whose controls have these weights; each item has its own control picture."""
    count, size = len(weights), noise.shape[-1] * model.vae_scale_factor
    core = ExactCore(
        model,
        PromptBank(model, prompts[:count], negatives=[""] * count),
        batch=count,
        width=size,
        height=size,
        slices=slices,
        controls=ControlBank(model, kinds) if kinds else None,
    )
    pictures = [textured(seed, size) for seed in range(count)]
    return core.exact(
        [
            FrameRequest(
                i,
                i,
                0.0,
                strength,
                (noise[i],),
                None if source is None else source[i],
                controls=tuple(ControlInput(weight, pictures[i]) for weight in weights[i]),
            )
            for i in range(count)
        ]
    ).clamp(-1, 1)


def theirs(
    pipeline: Any,
    name: str,
    networks: list[Path],
    weights: tuple[float, ...],
    noise: torch.Tensor,
    *,
    guidance: float,
    kind: str = "canny",
    steps: int = 3,
    class_name: str = "",
    **given: Any,
) -> torch.Tensor:
    import diffusers
    from PIL import Image

    _, network, told = OF_BLOCKS[name]
    family = OF_BLOCKS[name][0]
    loaded = [getattr(diffusers, network).from_pretrained(folder, local_files_only=True) for folder in networks]
    parts = {key: part for key, part in pipeline.components.items() if part is not None}
    made = getattr(diffusers, class_name or PIPELINES[family])(
        **parts, controlnet=loaded[0] if len(loaded) == 1 else loaded
    )
    made.set_progress_bar_config(disable=True)
    count, size = len(noise), given.pop("side")
    shown: Any = [Image.fromarray(textured(seed, size)) for seed in range(count)]
    if told.get("use_pos_embed") is False and kind == "canny":
        # as Stability's page on its network prepares it; a tensor is taken as it is
        pixels = torch.stack([torch.from_numpy(textured(seed, size)).permute(2, 0, 1) for seed in range(count)])
        shown = pixels.float() * 0.5 + 0.5
    if "num_mode" in told:
        given["control_mode"] = NUMBERS[kind]
    if family == "schnell":
        given["max_sequence_length"] = 256
    if family == "qwen-image":
        given |= {"true_cfg_scale": guidance, "negative_prompt": [""] * count}
    else:
        given["guidance_scale"] = guidance
    one = len(loaded) == 1
    with torch.no_grad():
        pictures = made(
            prompt=PROMPTS[:count],
            control_image=shown if one else [shown] * len(loaded),
            controlnet_conditioning_scale=weights[0] if one else list(weights),
            num_inference_steps=steps,
            output_type="pt",
            height=size,
            width=size,
            **({} if "image" in given else {"latents": as_latents(family, noise)}),
            **given,
        ).images
    return pictures * 2 - 1


def guidances(family: str) -> tuple[float, ...]:
    return {"flux": (3.5,), "schnell": (1.0,)}.get(family, (1.0, 3.0))


@pytest.mark.parametrize("name", OF_BLOCKS)
def test_controls_steer_as_in_the_familys_own_pipeline(saved: Any, tmp_path: Path, name: str) -> None:
    family = OF_BLOCKS[name][0]
    folder, pipeline = saved(family)
    control = save_block_control(tmp_path / "control", folder, name)
    kinds = ("canny", "depth") if name in ("several kinds", "stability") else ("canny",)
    told = [f"{kind}={control}" for kind in kinds]
    for guidance in guidances(family):
        model = load_model(folder, steps=3, guidance=guidance, dtype="float32", controls=told)
        plain = load_model(folder, steps=3, guidance=guidance, dtype="float32")
        side = 2 * side_of(model)
        noise = drawn(model, 5, side)
        without = ours(plain, [()] * 5, noise, kinds=())
        shown = []
        for kind in kinds:
            for count in (1, 5):
                mine = ours(model, [(0.7,)] * count, noise[:count], kinds=(kind,))
                same = theirs(pipeline, name, [control], (0.7,), noise[:count], guidance=guidance, kind=kind, side=side)
                assert (mine - same).abs().max() < TOLERANCE
            assert ((mine - without).abs().amax((1, 2, 3)) > 100 * TOLERANCE).all()
            shown.append(mine)
        assert len(shown) == 1 or (shown[0] - shown[1]).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("name", ["instantx", "xlabs", "sd3", "stability", "qwen"])
def test_each_item_has_its_own_weight(saved: Any, tmp_path: Path, name: str) -> None:
    folder, _ = saved(OF_BLOCKS[name][0])
    control = save_block_control(tmp_path / "control", folder, name)
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", controls=[f"canny={control}"])
    plain = load_model(folder, steps=2, guidance=3.0, dtype="float32")
    noise = drawn(model, 4, 2 * side_of(model))
    weights = [0.0, 0.4, 1.0, 1.5]
    mixed = ours(model, [(weight,) for weight in weights], noise)
    without = ours(plain, [()] * 4, noise, kinds=())
    assert torch.equal(mixed[0], without[0])
    assert torch.equal(ours(model, [(0.0,)] * 4, noise), without)
    for item, weight in enumerate(weights):
        assert torch.equal(ours(model, [(weight,)] * 4, noise)[item], mixed[item])
    # more of it is further away, and slices of the autoencoder change nothing
    further = [(mixed[item] - without[item]).abs().mean() for item in range(4)]
    assert 0 == further[0] < further[1] < further[3]
    assert (ours(model, [(weight,) for weight in weights], noise, slices=2) - mixed).abs().max() < TOLERANCE


@pytest.mark.parametrize(("first", "second"), [("instantx", "several kinds"), ("sd3", "sd3"), ("qwen", "qwen")])
def test_several_controls_add_up(saved: Any, tmp_path: Path, first: str, second: str) -> None:
    family = OF_BLOCKS[first][0]
    folder, pipeline = saved(family)
    one = save_block_control(tmp_path / "one", folder, first)
    # of as many additions each, as diffusers' pipelines for several add them
    other = save_block_control(tmp_path / "other", folder, first, seed=6)
    model = load_model(folder, steps=2, dtype="float32", guidance=3.0, controls=[f"canny={one}", f"depth={other}"])
    noise = drawn(model, 2, 2 * side_of(model))
    mine = ours(model, [(0.6, 0.4)] * 2, noise, kinds=("canny", "depth"))
    if family != "qwen-image":
        same = theirs(pipeline, first, [one, other], (0.6, 0.4), noise, guidance=3.0, steps=2, side=2 * side_of(model))
        assert (mine - same).abs().max() < TOLERANCE
    swapped = ours(model, [(0.4, 0.6)] * 2, noise, kinds=("depth", "canny"))
    assert (mine - swapped).abs().max() < TOLERANCE
    # networks of unlike depth steer together too
    unlike = save_block_control(tmp_path / "unlike", folder, second, num_layers=3)
    model = load_model(folder, steps=2, dtype="float32", guidance=3.0, controls=[f"canny={one}", f"depth={unlike}"])
    both = ours(model, [(0.6, 0.4)] * 2, noise, kinds=("canny", "depth"))
    for weights in ((0.6, 0.0), (0.0, 0.4)):
        assert (both - ours(model, [weights] * 2, noise, kinds=("canny", "depth"))).abs().max() > 100 * TOLERANCE


def test_a_source_is_steered_as_in_the_image_to_image_pipeline(
    saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    import diffusers

    folder, pipeline = saved("flux")
    control = save_block_control(tmp_path / "control", folder, "instantx")
    model = load_model(folder, steps=2, guidance=3.5, dtype="float32", controls=[f"canny={control}"])
    side = 2 * side_of(model)
    noise = drawn(model, 2, side)
    source = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    kind = "FluxControlNetImg2ImgPipeline"
    module = sys.modules[getattr(diffusers, kind).__module__]
    unpacked = torch.nn.functional.pixel_shuffle(noise, 2)
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: unpacked.clone())
    same = theirs(
        pipeline,
        "instantx",
        [control],
        (0.8,),
        noise,
        guidance=3.5,
        steps=4,
        side=side,
        class_name=kind,
        image=source,
        strength=0.5,
    )
    mine = ours(model, [(0.8,)] * 2, noise, source=source * 2 - 1, strength=0.5)
    assert (mine - same).abs().max() < TOLERANCE


def test_what_does_not_fit_is_refused_in_one_line(saved: Any, tmp_path: Path) -> None:
    flux, schnell, sd3, qwen = (saved(name)[0] for name in ("flux", "schnell", "sd3", "qwen-image"))
    dev = save_block_control(tmp_path / "dev", flux, "instantx")
    with pytest.raises(ModelError, match=r"was made for FLUX\.1-dev, whose network is told its guidance"):
        load_model(schnell, controls=[f"canny={dev}"])
    union = save_block_control(tmp_path / "union", flux, "several kinds")
    with pytest.raises(ModelError, match="knows no pictures of the kind qr, but canny, tile, depth, blur, pose"):
        load_model(flux, controls=[f"qr={union}"])
    with pytest.raises(
        ModelError, match="is of class FluxControlNetModel, which does not steer models of the kind sd3"
    ):
        load_model(sd3, controls=[f"canny={dev}"])
    wide = save_block_control(tmp_path / "wide", sd3, "stability", num_attention_heads=4)
    with pytest.raises(ModelError, match="whose num_attention_heads is 4, not 2"):
        load_model(sd3, controls=[f"canny={wide}"])
    for folder, name, more in ((sd3, "sd3", "extra_conditioning_channels"), (qwen, "qwen", "extra_condition_channels")):
        masked = save_block_control(tmp_path / f"masked {name}", folder, name, **{more: 1})
        with pytest.raises(ModelError, match="wants a mask beside the picture"):
            load_model(folder, controls=[f"canny={masked}"])


@pytest.mark.parametrize("name", ["instantx", "sd3", "qwen"])
def test_what_is_kept_is_at_least_what_published_networks_add(saved: Any, name: str) -> None:
    config = saved(OF_BLOCKS[name][0])[1].transformer.config
    family = OF_BLOCKS[name][0]
    control = family_named(family).control
    assert control is not None
    places = 64 / (4 if family == "sd3" else 1)
    width = config.num_attention_heads * config.attention_head_dim
    assert control.kept(config, 64) >= 5 * places * width


def test_usual_networks_are_found_by_what_the_network_has() -> None:
    from reactive.diffusion.models.control import find_control

    for family, kind, config, name in (
        ("flux", "depth", {"guidance_embeds": True}, "control-union-flux"),
        ("sd3", "canny", {"num_attention_heads": 38}, "control-canny-sd35"),
        ("qwen-image", "softedge", {}, "control-union-qwen"),
    ):
        with pytest.raises(ModelError, match=f"models pull {name}"):
            find_control(kind, family_named(family), config)
    for family, config in (("flux", {"guidance_embeds": False}), ("sd3", {"num_attention_heads": 24})):
        with pytest.raises(ModelError, match="no usual network of this kind"):
            find_control("canny", family_named(family), config)
    with pytest.raises(ModelError, match="is for another model of this kind: one with num_attention_heads = 38"):
        find_control("canny=control-canny-sd35", family_named("sd3"), {"num_attention_heads": 24})
