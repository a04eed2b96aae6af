"""Control networks at toy width, against diffusers' own pipelines with the same networks and control pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reactive.diffusion.core import FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.control import ControlBank, ControlInput, find_control
from reactive.diffusion.models.families import FAMILIES, family_named
from reactive.diffusion.models.load import hash_weights, load_model
from reactive.errors import ModelError
from tests.diffusion.control_toys import save_control, shapes
from tests.diffusion.test_transformer_families import ExactCore
from tests.diffusion.toys import save_toy

PROMPTS = ["a red sea", "fire at night", "snow", "a b c", "moon"]
TOLERANCE = 1e-4
PICTURES = [shapes(seed) for seed in range(5)]
# families whose pictures are compared here
EQUAL = ("sd", "sdxl")
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


def saved(folder: Path, family: str, *, zero: bool = False) -> Path:
    """A model; `zero`: its noise ends pure, so that its middle levels are exactly those of the pipeline."""
    scheduler = {"kind": "DDIMScheduler", "clip_sample": False, "timestep_spacing": "trailing"}
    if zero:
        scheduler |= {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    return save_toy(folder / "model", family=family, scheduler=scheduler)


def drawn(count: int) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(7))


def ours(
    model: Any,
    weights: list[tuple[float, ...]],
    noise: torch.Tensor,
    *,
    kinds: tuple[str, ...] = ("canny",),
    prompts: list[str] = PROMPTS,
    source: torch.Tensor | None = None,
    strength: float = 1.0,
    pictures: list[Any] = PICTURES,
    core: type[ExactCore] = ExactCore,
) -> torch.Tensor:
    """The pictures of items whose controls have these weights; each item has its own control picture."""
    count = len(weights)
    made = core(
        model,
        PromptBank(model, prompts[:count]),
        batch=count,
        width=64,
        height=64,
        controls=ControlBank(model, kinds) if kinds else None,
    )
    return made.exact(
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


def theirs(model: Path, networks: list[Path], family: str, weights: tuple[float, ...], **given: Any) -> torch.Tensor:
    import diffusers
    from PIL import Image

    kind = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL"}[family]
    union = "num_control_type" in (networks[0] / "config.json").read_text()
    kind += "ControlNetUnion" if union else "ControlNet"
    kind += "Img2ImgPipeline" if "image" in given else "Pipeline"
    classes = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
    loaded = [classes.from_pretrained(folder, local_files_only=True) for folder in networks]
    one = len(loaded) == 1
    pipeline = getattr(diffusers, kind).from_pretrained(
        model, local_files_only=True, controlnet=loaded[0] if one else loaded
    )
    pipeline.set_progress_bar_config(disable=True)
    count = len(given["prompt"])
    shown = [Image.fromarray(picture) for picture in PICTURES[:count]]
    controls: Any = shown if one else shown * len(loaded)
    named = "control_image" if union or "image" in given else "image"
    with torch.no_grad():
        made = pipeline(
            **{named: controls if not union else [shown]},
            controlnet_conditioning_scale=weights[0] if one else list(weights),
            output_type="pt",
            **({} if "image" in given else {"height": 64, "width": 64}),
            **given,
        ).images
    return made * 2 - 1


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("family", EQUAL)
def test_controls_steer_as_in_the_familys_own_pipeline(tmp_path: Path, family: str, guidance: float) -> None:
    folder = saved(tmp_path, family)
    control = save_control(tmp_path / "canny", folder)
    model = load_model(folder, steps=4, guidance=guidance, dtype="float32", controls=[f"canny={control}"])
    given = {"num_inference_steps": 4, "guidance_scale": guidance}
    noise = drawn(5)
    for count in (1, 5):
        mine = ours(model, [(0.7,)] * count, noise)
        same = theirs(folder, [control], family, (0.7,), prompt=PROMPTS[:count], latents=noise[:count].clone(), **given)
        assert (mine - same).abs().max() < TOLERANCE
    # one batch with another weight for each item; a weight of 0 is the model without control
    weights = [0.0, 0.25, 0.5, 1.0, 1.5]
    mixed = ours(model, [(weight,) for weight in weights], noise)
    plain = load_model(folder, steps=4, guidance=guidance, dtype="float32")
    without = ours(plain, [()] * 5, noise, kinds=())
    assert torch.equal(mixed[0], without[0])
    assert torch.equal(ours(model, [(0.0,)] * 5, noise), without)
    assert all((mixed[item] - without[item]).abs().max() > 100 * TOLERANCE for item in range(1, 5))
    for item, weight in enumerate(weights):
        alone = ours(model, [(weight,)] * 5, noise)
        assert torch.equal(alone[item], mixed[item])


@pytest.mark.parametrize("family", EQUAL)
def test_controls_steer_pictures_as_in_the_image_to_image_pipeline(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    folder = saved(tmp_path, family, zero=True)
    control = save_control(tmp_path / "canny", folder)
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", controls=[f"canny={control}"])
    noise, source = drawn(5), torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mine = ours(model, [(0.8,)] * 5, noise, source=source * 2 - 1, strength=0.5)
    kind = {"sd": "StableDiffusionControlNet", "sdxl": "StableDiffusionXLControlNet"}[family] + "Img2ImgPipeline"
    module = sys.modules[getattr(diffusers, kind).__module__]
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise.clone())
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    same = theirs(
        folder,
        [control],
        family,
        (0.8,),
        prompt=PROMPTS,
        image=source,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0,
    )
    assert (mine - same).abs().max() < TOLERANCE
    assert (mine - ours(model, [(0.0,)] * 5, noise, source=source * 2 - 1, strength=0.5)).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("family", EQUAL)
def test_several_controls_add_up_as_in_the_familys_own_pipeline(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path, family)
    canny = save_control(tmp_path / "canny", folder)
    depth = save_control(tmp_path / "depth", folder, seed=6, controlnet_conditioning_channel_order="bgr")
    told = [f"canny={canny}", f"depth={depth}"]
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", controls=told)
    noise = drawn(5)
    kinds = ("canny", "depth")
    mine = ours(model, [(0.6, 0.4)] * 5, noise, kinds=kinds)
    given = {"prompt": PROMPTS[:1], "num_inference_steps": 2, "guidance_scale": 3.0}
    # their pipeline for XL takes several control pictures for one prompt only
    same = theirs(folder, [canny, depth], family, (0.6, 0.4), latents=noise[:1].clone(), **given)
    assert (mine[:1] - same).abs().max() < TOLERANCE
    # the order is that of the clip, and one may count twice
    swapped = ours(model, [(0.4, 0.6)] * 5, noise, kinds=("depth", "canny"))
    assert (mine - swapped).abs().max() < TOLERANCE
    twice = ours(model, [(0.3, 0.4, 0.3)] * 5, noise, kinds=("canny", "depth", "canny"))
    assert (mine - twice).abs().max() < TOLERANCE


def test_a_network_for_several_kinds_is_loaded_once_and_equal(tmp_path: Path) -> None:
    folder = saved(tmp_path, "sdxl")
    union = save_control(tmp_path / "union", folder, union=True)
    told = [f"canny={union}", f"depth={union}"]
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", controls=told)
    assert model.controls["canny"] is model.controls["depth"]
    noise = drawn(1)
    given = {"prompt": PROMPTS[:1], "num_inference_steps": 2, "guidance_scale": 3.0}
    shown = []
    for kind, number in (("depth", 1), ("canny", 3)):
        mine = ours(model, [(0.7,)], noise, kinds=(kind,))
        same = theirs(folder, [union], "sdxl", (0.7,), latents=noise.clone(), control_mode=[number], **given)
        assert (mine - same).abs().max() < TOLERANCE
        shown.append(mine)
    assert (shown[0] - shown[1]).abs().max() > TOLERANCE
    with pytest.raises(ModelError, match="knows no pictures of the kind qr, but pose, depth"):
        load_model(folder, controls=[f"qr={union}"])


@pytest.mark.parametrize("family", EQUAL)
def test_neighbours_do_not_matter_and_tokens_that_do_not_count_neither(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path, family)
    control = save_control(tmp_path / "canny", folder)
    model = load_model(folder, steps=2, guidance=3.0, dtype="float32", controls=[f"canny={control}"])
    noise = drawn(5)
    first = ours(model, [(0.5,), (1.0,), (0.0,), (0.2,), (0.9,)], noise)
    other = ours(model, [(0.5,), (0.1,), (0.4,), (0.0,), (0.0,)], noise)
    assert torch.equal(first[0], other[0])
    # a longer prompt beside it pads a short one with tokens that do not count
    long = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
    short = ours(model, [(0.8,)] * 2, noise, prompts=["snow", "moon"])
    padded = ours(model, [(0.8,)] * 2, noise, prompts=["snow", long])
    assert (short[0] - padded[0]).abs().max() < TOLERANCE
    assert (short[1] - padded[1]).abs().max() > 100 * TOLERANCE


def test_half_formats_run_and_overflow_is_computed_again(tmp_path: Path) -> None:
    from reactive.diffusion.backend.overflow import in_float32

    folder = saved(tmp_path, "sd")
    control = save_control(tmp_path / "canny", folder)
    told = [f"canny={control}"]
    exact = ours(load_model(folder, steps=2, dtype="float32", controls=told), [(0.5,)] * 2, drawn(2))
    model = load_model(folder, steps=2, dtype="bfloat16", controls=told)
    assert next(iter(model.controls.values())).dtype == torch.bfloat16
    assert (ours(model, [(0.5,)] * 2, drawn(2)) - exact).abs().mean() < 0.05
    with in_float32(model) as again:
        assert (ours(again, [(0.5,)] * 2, drawn(2)) - exact).abs().mean() < 0.05


def test_controls_and_pictures_of_a_style_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactive.diffusion.models.adapter import StyleBank
    from tests.diffusion.style_toys import picture, save_adapter

    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    folder = saved(tmp_path, "sd")
    control, adapter = save_control(tmp_path / "canny", folder), save_adapter(tmp_path / "adapter", folder)
    model = load_model(folder, steps=2, dtype="float32", adapter=str(adapter), controls=[f"canny={control}"])
    shown = []
    for weight, share in ((0.0, 0.0), (0.0, 0.8), (0.8, 0.0), (0.8, 0.8)):
        styles, controls = StyleBank(model, [picture(1)]), ControlBank(model, ["canny"])
        core = ExactCore(model, PromptBank(model, ["snow"]), batch=1, width=64, height=64)
        core.styles, core.controls = styles, controls
        steered = (ControlInput(weight, PICTURES[0]),)
        shown.append(core.exact([FrameRequest(0, 0, 0.0, 1.0, (drawn(1)[0],), style=(share,), controls=steered)]))
    differs = [(a - b).abs().max().item() for number, a in enumerate(shown) for b in shown[number + 1 :]]
    assert min(differs) > 100 * TOLERANCE


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_recorded_graphs_replay_other_weights_and_pictures_with_the_same_bits(tmp_path: Path, guidance: float) -> None:
    from dataclasses import replace

    from reactive.diffusion.backend.graphs import Graphs
    from tests.diffusion.test_graphs import Recorder

    folder = saved(tmp_path, "sdxl")
    told = [f"{kind}={save_control(tmp_path / kind, folder, seed=seed)}" for seed, kind in ((5, "canny"), (6, "depth"))]
    plain = load_model(folder, steps=2, guidance=guidance, dtype="float32", controls=told)
    recorder = Recorder()
    recorded = replace(plain, graphs=Graphs(recorder))
    noise = drawn(3)
    for weights, pictures in (([(0.5, 0.2)] * 3, PICTURES), ([(0.1, 0.0), (1.0, 0.0), (0.0, 1.5)], PICTURES[::-1])):
        given: dict[str, Any] = {"kinds": ("canny", "depth"), "pictures": pictures}
        assert torch.equal(ours(recorded, weights, noise, **given), ours(plain, weights, noise, **given))
    # the network and the decoder
    assert recorder.made == 2
    # without weights the network alone is recorded, and another kind is another recording
    for kinds, weight in ((("canny",), 0.0), (("canny",), 1.0), (("depth",), 1.0)):
        mine = ours(recorded, [(weight,)] * 3, noise, kinds=kinds)
        assert torch.equal(mine, ours(plain, [(weight,)] * 3, noise, kinds=kinds))
    assert recorder.made == 5


def test_networks_belong_to_the_models_hash(tmp_path: Path) -> None:
    folder = saved(tmp_path, "sd")
    control = save_control(tmp_path / "canny", folder)
    told = [f"canny={control}"]
    with_it = load_model(folder, controls=told)
    assert with_it.sha256 == hash_weights(str(folder), controls=told) != hash_weights(str(folder))
    other = save_control(tmp_path / "other", folder, seed=6)
    assert load_model(folder, controls=[f"canny={other}"]).sha256 != with_it.sha256
    assert load_model(folder, controls=[f"depth={control}"]).sha256 != with_it.sha256
    moved = tmp_path / "moved"
    control.rename(moved)
    assert load_model(folder, controls=[f"canny={moved}"]).sha256 == with_it.sha256


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    folder, xl = saved(tmp_path, "sd"), saved(tmp_path / "xl", "sdxl")
    control = save_control(tmp_path / "canny", folder)
    with pytest.raises(ModelError, match="whose cross_attention_dim is 16, not 48"):
        load_model(xl, controls=[f"canny={control}"])
    with pytest.raises(ModelError, match="no usual network of this kind for sd"):
        load_model(folder, controls=["canny"])
    with pytest.raises(ModelError, match="models pull control-canny"):
        find_control("canny", family_named("sd"), {"cross_attention_dim": 768})
    with pytest.raises(ModelError, match="models pull control-union-xl"):
        find_control("scribble", family_named("sdxl"), {"cross_attention_dim": 2048})
    with pytest.raises(ModelError, match="no usual network of this kind"):
        find_control("qr", family_named("sd"), {"cross_attention_dim": 768})
    with pytest.raises(ModelError, match="is for models of the kind sdxl, not sd"):
        load_model(folder, controls=["canny=control-canny-xl"])
    for name in ("lightning", "nothing"):
        with pytest.raises(ModelError, match="no such control network"):
            load_model(folder, controls=[f"canny={name}"])
    with pytest.raises(ModelError, match="models pull some/thing"):
        load_model(folder, controls=["canny=some/thing"])
    with pytest.raises(ModelError, match="is of class UNet2DConditionModel"):
        load_model(folder, controls=[f"canny={folder / 'unet'}"])
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(folder, controls=[f"canny={tmp_path}"])
    (tmp_path / "pickled.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="pickled"):
        load_model(folder, controls=[f"canny={tmp_path / 'pickled.bin'}"])
    for file in control.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelError, match="holds no safetensors"):
        load_model(folder, controls=[f"canny={control}"])
    with pytest.raises(ModelError, match="without a control network of the kind canny"):
        ControlBank(load_model(folder), ["canny"])


def test_families_without_control_networks_say_so() -> None:
    without = [family for family in FAMILIES if family.control is None]
    of_blocks = {"flux", "sd3", "qwen-image"}
    assert {family.name for family in FAMILIES} - {family.name for family in without} == {*EQUAL, *of_blocks}
    for family in without:
        with pytest.raises(ModelError, match=f"of the kind {family.name} can't keep .* here: {family.no_control}"):
            find_control("canny", family)


def test_a_picture_that_is_missing_does_not_count(tmp_path: Path) -> None:
    folder = saved(tmp_path, "sd")
    model = load_model(folder, steps=1, dtype="float32", controls=[f"canny={save_control(tmp_path / 'c', folder)}"])
    pictures: list[np.ndarray | None] = [None, PICTURES[1]]
    shown = ours(model, [(1.0,)] * 2, drawn(2), pictures=pictures)
    free = ours(model, [(0.0,)] * 2, drawn(2))
    assert torch.equal(shown[0], free[0])
    assert not torch.equal(shown[1], free[1])


def test_the_memory_of_a_control_network_is_counted(tmp_path: Path) -> None:
    from reactive.diffusion.backend.shapes import needs_of
    from reactive.memory_table import needs_table

    assert (needs_table("sd15")["control_gib"], needs_table("sdxl")["control_gib"]) == (0.67, 2.33)
    # files of 8.61 GB in float32 are published for 3.5 large, of 3.54 GB for Qwen-Image
    sizes = [needs_table(name)["control_gib"] for name in ("flux-dev", "sd35-turbo", "qwen-image", "z-image-turbo")]
    assert sizes == [3.99, 4.01, 3.29, None]
    folder = saved(tmp_path, "sd")
    told = [f"{kind}={save_control(tmp_path / 'canny', folder)}" for kind in ("canny", "edges")]
    plain, with_it = load_model(folder), load_model(folder, controls=told)
    assert plain.family.control is not None
    weights = sum(part.numel() * part.element_size() for part in with_it.controls["canny"].parameters())
    # it is loaded once for both
    assert needs_of(with_it).network_bytes - needs_of(plain).network_bytes == weights
    # what it adds to the network's blocks is kept while that computes
    network = plain.network
    blocks: list[int] = []
    for part in (network.conv_in, *network.down_blocks):
        part.register_forward_hook(
            lambda _, __, made: blocks.extend(
                [made.numel()] if torch.is_tensor(made) else [one.numel() for one in made[1]]
            )
        )
    network.mid_block.register_forward_hook(lambda _, __, made: blocks.append(made.numel()))
    ours(plain, [()], drawn(1), kinds=())
    evaluations = plain.steps * (1 if plain.guidance <= 1 else 2)
    assert sum(blocks) == evaluations * plain.family.control.kept(network.config, 64)
    more = needs_of(with_it).evaluation(64, 64, 1) - needs_of(plain).evaluation(64, 64, 1)
    assert more > plain.family.control.kept(network.config, 64)
