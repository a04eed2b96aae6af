"""All parts of a render on a GPU: devices are not mixed, and the pictures match those of the CPU.

They run on a pretended card everywhere, and on a real one with `pytest -m gpu`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reactive.diffusion.backend import fold
from reactive.diffusion.calibration import measure_pace
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.frames import independent_frames
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, load_model
from reactive.diffusion.motion.interpolate import sparse_frames
from reactive.diffusion.scene import SceneInputs, scene_inputs
from reactive.errors import ModelError
from reactive.sources.video import VideoSource
from reactive.timeline.timeline import FEEDBACK, Timeline
from tests.diffusion.toys import save_toy
from tests.pretended import Card, OnCard
from tests.toy import flat_timeline, save_toy_model, save_video

PROMPTS = ("a red sea", "a blue hill", "a fire")
# on a real card TF32 and other kernels round differently
NEAR = 3.0


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    torch.set_num_threads(1)


def apart(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the mean difference in steps of 8 bits."""
    assert first.shape == second.shape
    return float((first.float() - second.float()).abs().mean())


def requests(model: Model) -> list[FrameRequest]:
    """Return requests without a source and with a photograph, linear mixes and slerp, weak and full strength."""
    generator = torch.Generator().manual_seed(1)
    count = model.steps if model.consistency else 1
    noises = [tuple(torch.randn(model.channels, 8, 8, generator=generator) for _ in range(count)) for _ in range(4)]
    photo = torch.linspace(-1, 1, 64).expand(3, 64, 64)
    return [
        FrameRequest(0, 1, 0.3, 1.0, noises[0]),
        FrameRequest(1, 2, 0.6, 1.0, noises[1], slerp=True),
        FrameRequest(0, 0, 0.0, 0.55, noises[2], photo),
        FrameRequest(2, 0, 0.5, 0.9, noises[3], photo.flip(2), slerp=True),
    ]


def imagined(folder: Path, device: str, **options: Any) -> tuple[torch.Tensor, Model]:
    """Return two batches, so that recorded graphs are also replayed."""
    model = load_model(str(folder), device=device, **({"dtype": "float32"} | options))
    negatives = ("grey", "", "dull") if model.guidance > 1 else ()
    core = Core(model, PromptBank(model, PROMPTS, negatives=negatives), batch=4, width=64, height=64)
    wanted = requests(model)
    pictures = [core.imagine(part) for part in (wanted, wanted[::-1], wanted[:1])]
    assert all(part.device.type == device for part in pictures)
    return torch.cat(pictures).cpu(), model


def recorded(model: Model) -> dict[str, bool]:
    """Return the networks that were recorded as graphs."""
    assert model.graphs is not None
    return {key[0]: graph is not None for key, graph in model.graphs.known.items()}


SCHEDULERS = {
    "lcm": {"kind": "LCMScheduler"},
    "ddim": {"kind": "DDIMScheduler", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    "euler": {"kind": "EulerDiscreteScheduler", "timestep_spacing": "trailing"},
    "dpmpp_2m": {"kind": "DPMSolverMultistepScheduler"},
    "flow_euler": {"kind": "FlowMatchEulerDiscreteScheduler"},
}


@pytest.mark.parametrize("sampler", ["lcm", "ddim", "euler", "dpmpp_2m"])
def test_every_sampler_gives_the_same_on_a_card_as_on_the_cpu(cuda: str, tmp_path: Path, sampler: str) -> None:
    folder = save_toy(tmp_path / "model", scheduler=SCHEDULERS[sampler])
    guidance = 1.0 if sampler == "lcm" else 3.0
    on_card, model = imagined(folder, cuda, steps=2, guidance=guidance)
    assert model.sampling.sampler == sampler
    assert recorded(model) == {"network": True, "encoder": True, "decoder": True}
    plain, _ = imagined(folder, "cpu", steps=2, guidance=guidance)
    assert apart(on_card, plain) < NEAR
    assert apart(plain[0], plain[1]) > 2 * NEAR


def test_flow_matching_runs_on_a_card(cuda: str, tmp_path: Path) -> None:
    folder = save_toy_model(tmp_path / "model", scheduler="DDIMScheduler", prediction="epsilon")
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(flow))
    on_card, model = imagined(folder, cuda, steps=2)
    assert model.sampling.sampler == "flow_euler"
    assert apart(on_card, imagined(folder, "cpu", steps=2)[0]) < NEAR


def test_fixed_times_run_on_a_card(cuda: str, tmp_path: Path) -> None:
    folder = save_toy_model(tmp_path / "model", scheduler="DDIMScheduler", prediction="epsilon")
    (folder / "reactive.json").write_text(json.dumps({"timesteps": [999, 499], "guidance": 1.0}))
    on_card, model = imagined(folder, cuda)
    assert model.sampling.fixed
    assert apart(on_card, imagined(folder, "cpu")[0]) < NEAR


@pytest.mark.parametrize(("family", "told"), [("sd2", None), ("sdxl", None), ("sd", 8)])
def test_every_family_runs_on_a_card(cuda: str, tmp_path: Path, family: str, told: int | None) -> None:
    scheduler = SCHEDULERS["lcm"] if told else None
    folder = save_toy(tmp_path / "model", family=family, told=told, scheduler=scheduler)
    on_card, model = imagined(folder, cuda, steps=2, guidance=4.0)
    assert model.tells_guidance == (told is not None)
    assert recorded(model) == {"network": True, "encoder": True, "decoder": True}
    assert apart(on_card, imagined(folder, "cpu", steps=2, guidance=4.0)[0]) < NEAR


def test_a_card_uses_float16_and_its_pictures_are_close(cuda: str, toy_model: Path) -> None:
    on_card, model = imagined(toy_model, cuda, steps=2, dtype="auto")
    assert model.dtype == torch.float16
    assert model.notes == ()
    assert apart(on_card, imagined(toy_model, "cpu", steps=2)[0]) < NEAR


def test_folding_on_the_card_would_mix_devices(card: Card, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reproduces the error that broke the default command on every GPU."""
    monkeypatch.setattr(fold, "_exact", lambda weight: weight.detach().double())
    with pytest.raises(RuntimeError, match="same device"):
        load_model(str(toy_model), device="cuda")


def test_a_batch_waits_once_and_uses_no_float64(card: Card, toy_model: Path) -> None:
    model = load_model(str(toy_model), device="cuda", steps=2)
    assert all(isinstance(weight, OnCard) for weight in model.network.parameters())
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)
    core.imagine(requests(model))
    before = card.waits
    core.imagine(requests(model))
    # for the check that all pictures are finite
    assert card.waits - before == 1
    assert card.ops
    assert not [name for name, dtype in card.ops if dtype == torch.float64]


# -- frames ----------------------------------------------------------------------------------------------------------
FRAMES, CUT = 12, 6
SHOT = (np.arange(FRAMES) >= CUT).astype(np.int64)
WEIGHTS = np.zeros(FRAMES)
WEIGHTS[CUT - 3 : CUT] = (np.arange(3) + 1) / 4
TWO_SHOTS = {"shot": SHOT, "seed": 7 + SHOT, "prompt_from": SHOT, "prompt_to": 2 - SHOT, "weight": 0.3, "strength": 0.6}
MOVING = {
    "lens_zoom": 1.2,
    "lens_rotate": np.linspace(-5, 5, FRAMES),
    "lens_tilt": 12.0,
    "lens_turn": np.linspace(0, 20, FRAMES),
    "lens_x": 0.05,
}
CAMERA = {
    "camera_zoom": np.linspace(0, 0.4, FRAMES),
    "camera_rotate": np.linspace(0, 20, FRAMES),
    "camera_tilt": np.linspace(0, 8, FRAMES),
}


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    return torch.stack([x, y, x * y])


def shown(model: Model, timeline: Timeline, photo: torch.Tensor, videos: dict[int, VideoSource]) -> torch.Tensor:
    """Return every frame of a timeline of two shots, as in a render."""
    core = Core(model, PromptBank(model, timeline.prompts), batch=3, width=64, height=64)
    scene = scene_inputs(timeline, core, {0: photo} if timeline.photos else {}, videos, pace=1.0)
    found: dict[int, torch.Tensor] = {}
    for start, stop in ((0, CUT), (CUT, FRAMES)):
        for frames, pictures in _shot(core, scene, start, stop):
            assert pictures.device.type == model.device.type
            found |= dict(zip(frames.tolist(), pictures.cpu(), strict=True))
    return torch.stack([found[frame] for frame in range(FRAMES)])


def _shot(core: Core, scene: SceneInputs, start: int, stop: int) -> Any:
    if scene.timeline.columns["source"][start] == FEEDBACK:
        return feedback_frames(core, scene, [(start, stop)])
    return independent_frames(core, scene, np.arange(start, stop))


def assert_similar(
    cuda: str, toy_model: Path, timeline: Timeline, photo: torch.Tensor, videos: Sequence[Path] = ()
) -> torch.Tensor:
    made = []
    for device in (cuda, "cpu"):
        model = load_model(str(toy_model), device=device, steps=1, dtype="float32")
        films = {
            number: VideoSource(path, width=64, height=64) for number, path in enumerate(videos, len(timeline.photos))
        }
        made.append(shown(model, timeline, photo, films))
        for film in films.values():
            film.close()
    assert apart(*made) < NEAR
    return made[0]


@pytest.mark.parametrize(
    ("before", "after", "join"),
    [
        (-1, 0, "dissolve"),
        (0, -1, "morph"),
        (FEEDBACK, 0, "dissolve"),
        # the fed-back picture is on the card, the photograph on the host
        (FEEDBACK, 0, "morph"),
        (0, FEEDBACK, "morph"),
        (FEEDBACK, FEEDBACK, "dissolve"),
    ],
)
def test_joins_of_all_kinds_run_on_a_card(
    cuda: str, toy_model: Path, photo: torch.Tensor, before: int, after: int, join: str
) -> None:
    columns = {**TWO_SHOTS, **MOVING, **CAMERA, "source": np.where(SHOT == 1, after, before), join: WEIGHTS}
    timeline = flat_timeline(FRAMES, photos=("photo.png",), feedback_colour=0.4, **columns)
    pictures = assert_similar(cuda, toy_model, timeline, photo)
    assert apart(pictures[0], pictures[-1]) > 1


def test_feedback_led_by_palettes_and_a_video_runs_on_a_card(
    cuda: str, toy_model: Path, photo: torch.Tensor, tmp_path: Path
) -> None:
    y, x = np.mgrid[0:64, 0:64]
    film = [np.stack([(x + 4 * n) % 64 * 4, y * 4, (x * y) % 256], axis=2).astype(np.uint8) for n in range(24)]
    path = save_video(tmp_path / "film.mp4", film)
    columns = {**TWO_SHOTS, **CAMERA, "source": FEEDBACK, "guide": 0, "camera_flow": 0.8}
    timeline = flat_timeline(FRAMES, videos=(path.name,), feedback_colour=0.5, **columns)
    assert_similar(cuda, toy_model, timeline, photo, [path])


def test_a_video_and_pictures_between_others_run_on_a_card(cuda: str, toy_model: Path, tmp_path: Path) -> None:
    film = [np.full((64, 64, 3), 8 * n, np.uint8) for n in range(24)]
    path = save_video(tmp_path / "film.mp4", film)
    timeline = flat_timeline(FRAMES, videos=(path.name,), **{**TWO_SHOTS, **MOVING, "source": 0})
    made = []
    for device in (cuda, "cpu"):
        model = load_model(str(toy_model), device=device, steps=1, dtype="float32")
        core = Core(model, PromptBank(model, timeline.prompts), batch=3, width=64, height=64)
        source = VideoSource(path, width=64, height=64)
        scene = scene_inputs(timeline, core, {}, {0: source}, pace=1.0)
        made.append(torch.cat([p.cpu() for _, p in sparse_frames(core, scene, np.arange(FRAMES), Fraction(8))]))
        source.close()
    assert len(made[0]) == FRAMES
    assert apart(*made) < NEAR


def test_positions_and_colours_use_no_matrix_products_on_the_card(
    card: Card, toy_model: Path, photo: torch.Tensor
) -> None:
    """These products would use TF32: a position in a wide picture would be off by half a pixel."""
    from reactive.diffusion.colour import led_to, palette
    from reactive.diffusion.motion.camera import inverse_map, resample

    pictures = photo[None].to("cuda")
    tilted = inverse_map([1.1, 5, 0.1, 0, 20, 10], 1.0)[None]
    flow = torch.ones(2, 64, 64)
    for device in ("cuda", "cpu"):
        here = photo[None].to(device)
        moved = [resample(here, tilted), resample(here, tilted, flows=[flow]), led_to(here, palette(here) + 1, 0.5)]
        if device == "cuda":
            on_card = [part.cpu() for part in moved]
    assert all(torch.allclose(a, b, atol=2e-5) for a, b in zip(on_card, moved, strict=True))
    assert pictures.is_cuda
    assert not {"mm", "bmm", "addmm", "matmul", "linear", "einsum"} & {name for name, _ in card.ops}


def test_the_pace_of_a_walk_is_measured_on_a_card(cuda: str, toy_model: Path) -> None:
    paces = []
    for device in (cuda, "cpu"):
        model = load_model(str(toy_model), device=device, steps=1, dtype="float32")
        paces.append(measure_pace(model, width=64, height=64))
    assert paces[0].pace == pytest.approx(paces[1].pace, rel=0.1)
    assert paces[0].pictures == paces[1].pictures


def test_a_card_that_gives_nan_in_float16_is_detected(card: Card, toy_model: Path) -> None:
    card.half_is_broken = True
    model = load_model(str(toy_model), device="cuda", steps=1)
    assert model.dtype == model.vae_dtype == torch.float32
    assert "NaN in float16" in model.notes[0]
    with pytest.raises(ModelError, match="--dtype float32"):
        load_model(str(toy_model), device="cuda", dtype="float16")
    assert load_model(str(toy_model), device="cuda", dtype="bfloat16").dtype == torch.bfloat16


# -- graphs and memory -----------------------------------------------------------------------------------------------
def addresses(model: Model) -> list[int]:
    return [weight.data_ptr() for part in (model.network, model.vae) for weight in part.parameters()]


def loud(model: Model, times: float) -> list[FrameRequest]:
    """Return requests, the second with noise scaled far beyond the range of float16, which ends at 65,504."""
    return [
        replace(request, noises=tuple(noise * (times if number == 1 else 1) for noise in request.noises))
        for number, request in enumerate(requests(model))
    ]


def test_after_an_overflow_weights_are_back_at_their_recorded_addresses(cuda: str, toy_model: Path) -> None:
    model = load_model(str(toy_model), device=cuda, steps=1)
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)
    calm, before = core.imagine(requests(model)), addresses(model)
    mixed = core.imagine(loud(model, 1e5))
    assert core.retried == 1
    assert addresses(model) == before
    for slot in (0, 2, 3):
        assert torch.equal(mixed[slot], calm[slot])
    # a replay with weights that did not move
    assert torch.equal(core.imagine(requests(model)), calm)


def test_moved_weights_under_a_graph_are_detected(card: Card, toy_model: Path) -> None:
    model = load_model(str(toy_model), device="cuda", steps=1)
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)
    core.imagine(requests(model))
    model.network.to(torch.float32)
    model.network.to(torch.float16)
    with pytest.raises(RuntimeError, match="given back"):
        core.imagine(requests(model))


def test_graphs_share_a_pool_and_are_recorded_for_one_thread(card: Card, toy_model: Path) -> None:
    model = load_model(str(toy_model), device="cuda", steps=1)
    core = Core(model, PromptBank(model, PROMPTS), batch=4, width=64, height=64)
    core.imagine(requests(model))
    assert len(card.captures) == 3
    pools = {id(pool) for pool, _ in card.captures}
    assert len(pools) == 1
    assert None not in [pool for pool, _ in card.captures]
    assert {mode for _, mode in card.captures} == {"thread_local"}
    assert model.graphs is not None
    model.graphs.forget()
    core.imagine(requests(model))
    # a pool is freed with its last graph
    assert len({id(pool) for pool, _ in card.captures}) == 2


# -- benchmarks ------------------------------------------------------------------------------------------------------
def test_the_benchmarks_of_core_and_walk_run_on_a_card(
    cuda: str, toy_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import walk
    from benchmarks.core import Idle, Nets

    on_card, plain = (Nets.load(str(toy_model), device, dtype="float32") for device in (cuda, "cpu"))
    # operations are counted although graphs hide them
    assert on_card.gflop == pytest.approx(plain.gflop)
    for measured in (on_card.imagine, on_card.bare, on_card.from_photo, on_card.encode):
        assert measured().device.type == cuda
    assert Idle(on_card, len(on_card.requests)).imagine(on_card.requests).device.type == cuda
    walk.main(["--device", cuda, "--model", str(toy_model), "--prompts", "2", "--threads", "1"])
    assert "median change" in capsys.readouterr().out
