"""The core with a model of toy width: results do not depend on slot, neighbours or batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from reactive.diffusion.backend.overflow import is_finite
from reactive.diffusion.core import Core, FrameRequest, from_bytes, to_bytes
from reactive.diffusion.frames import independent_frames
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.scene import scene_inputs
from reactive.errors import ModelError
from reactive.timeline.timeline import FEEDBACK
from tests.toy import save_toy_model

PROMPTS = ["a red sea", "a blue mountain", "fire at night"]


@pytest.fixture(autouse=True)
def threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def model(toy_model: Path):
    return load_model(str(toy_model), steps=2)


def core_of(model, batch: int = 4, size: int = 64) -> Core:
    return Core(model, PromptBank(model, PROMPTS), batch=batch, width=size, height=size)


def request(
    core: Core, seed: int, *, prompt: int = 0, strength: float = 1.0, source: torch.Tensor | None = None
) -> FrameRequest:
    path = NoisePath(4, core.height // 8, core.width // 8, 8)
    noises = tuple(path.at(seed + 100 * i, 0.3) for i in range(core.noises_per_picture))
    return FrameRequest(prompt, prompt, 0.0, strength, noises, source)


def source(core: Core) -> torch.Tensor:
    rng = np.random.default_rng(5)
    small = torch.from_numpy(rng.uniform(-0.8, 0.8, (1, 3, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(small, (core.height, core.width), mode="bicubic")[0].clamp(-1, 1)


def test_a_picture_has_the_same_bits_in_any_slot_beside_any_neighbours(model) -> None:
    core = core_of(model)
    wanted = request(core, 1, prompt=1)
    others = [request(core, seed, prompt=seed % 3) for seed in (2, 3, 4)]
    alone = core.imagine([wanted])[0]
    for slot in range(4):
        assert torch.equal(core.imagine([*others[:slot], wanted, *others[slot:]])[slot], alone)
    # frames must differ from one another, or the test proves nothing
    assert not torch.equal(core.imagine([others[0]])[0], alone)


def test_batch_shapes_agree_within_rounding(model) -> None:
    requests = [request(core_of(model), seed, prompt=seed % 3) for seed in range(5)]
    large = core_of(model, 5).imagine(requests)
    for i, one in enumerate(requests):
        small = core_of(model, 1).imagine([one])[0]
        assert (small.int() - large[i].int()).abs().max() <= 1


def test_prompt_seed_and_mix_change_the_picture(model) -> None:
    core = core_of(model)
    base = request(core, 1)
    mixed = FrameRequest(0, 1, 0.5, 1.0, base.noises)
    pictures = core.imagine([base, request(core, 1, prompt=1), request(core, 2), mixed]).float()
    for a in range(4):
        for b in range(a):
            assert (pictures[a] - pictures[b]).abs().mean() > 0.05, (a, b)


def test_strength_0_is_the_source_through_the_autoencoder_and_1_ignores_it(model) -> None:
    core = core_of(model)
    given = source(core)
    with torch.inference_mode():
        through = to_bytes(model.decode(model.encode(given[None].repeat(4, 1, 1, 1))))[0]
    kept = core.imagine([request(core, 1, strength=0.0, source=given)])[0]
    assert (kept.int() - through.int()).abs().max() <= 1
    free, bound = core.imagine([request(core, 1, strength=1.0), request(core, 1, strength=1.0, source=given)])
    assert torch.equal(free, bound)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_picture_changes_smoothly_with_strength(toy_model: Path, steps: int) -> None:
    core = core_of(load_model(str(toy_model), steps=steps), batch=8)
    given = source(core)
    strengths = np.linspace(0.05, 0.95, 48)
    pictures = [
        core.imagine([request(core, 1, strength=float(s), source=given) for s in part]).float()
        for part in np.split(strengths, 6)
    ]
    change = torch.cat(pictures).diff(dim=0).abs().mean((1, 2, 3))
    assert float(change.max()) < 12
    assert float(change.max()) < 8 * float(change.median()) + 1


@pytest.mark.parametrize("kind", ["LCMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_any_scheduler_of_the_family_renders(tmp_path: Path, kind: str, prediction: str) -> None:
    folder = save_toy_model(tmp_path / "model", scheduler=kind, prediction=prediction)
    model = load_model(str(folder), steps=2)
    assert model.consistency == (kind == "LCMScheduler")
    core = core_of(model, 2)
    pictures = core.imagine([request(core, 1), request(core, 2)])
    assert pictures.shape == (2, 3, 64, 64)
    assert not torch.equal(pictures[0], pictures[1])


def test_a_folder_that_is_not_a_model_is_refused(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        load_model("nothing-of-that-name")
    with pytest.raises(ModelError, match="models pull"):
        load_model("somebody/some-model")
    with pytest.raises(ModelError, match=r"model_index\.json"):
        load_model(str(tmp_path))
    spoilt = tmp_path / "spoilt"
    shutil.copytree(toy_model, spoilt)
    weights = spoilt / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="can't be loaded"):
        load_model(str(spoilt))
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="no safetensors"):
        load_model(str(spoilt))


@pytest.fixture(scope="module")
def scene(model, beat_timeline):
    core = core_of_timeline(model, beat_timeline)
    return core, scene_inputs(beat_timeline, core, {})


def core_of_timeline(model, timeline, batch: int = 4) -> Core:
    return Core(model, PromptBank(model, timeline.prompts), batch=batch, width=64, height=64)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bytes_are_rounded_and_clipped(layout: torch.memory_format) -> None:
    drawn = torch.randn(2, 3, 40, 24, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=layout)
    before = drawn.clone()
    expected = drawn.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    assert torch.equal(to_bytes(drawn), expected)
    assert torch.equal(drawn, before)
    assert to_bytes(drawn.bfloat16()).dtype == torch.uint8


def test_independent_frames_can_be_made_in_any_order(scene, beat_timeline) -> None:
    core, scenes = scene
    frames = np.flatnonzero(beat_timeline.columns["source"] != FEEDBACK)[:10]
    forward = {
        int(f): p
        for chunk, pictures in independent_frames(core, scenes, frames)
        for f, p in zip(chunk, pictures, strict=True)
    }
    backward = {
        int(f): p
        for chunk, pictures in independent_frames(core, scenes, frames[::-1])
        for f, p in zip(chunk, pictures, strict=True)
    }
    assert forward.keys() == backward.keys()
    assert all(torch.equal(forward[f], backward[f]) for f in forward)
    assert not torch.equal(forward[int(frames[0])], forward[int(frames[9])])


def feedback_shots(timeline) -> list[tuple[int, int]]:
    shot, source = timeline.columns["shot"], timeline.columns["source"]
    numbers = np.unique(shot[source == FEEDBACK])
    return [(int(np.flatnonzero(shot == n)[0]), int(np.flatnonzero(shot == n)[-1]) + 1) for n in numbers]


def test_lanes_give_the_same_as_single_shots(scene, beat_timeline) -> None:
    core, scenes = scene
    shots = feedback_shots(beat_timeline)[:3]
    assert len(shots) >= 2
    together: dict[int, torch.Tensor] = {}
    for frames, pictures in feedback_frames(core, scenes, shots):
        for frame, picture in zip(frames.tolist(), pictures, strict=True):
            assert frame not in together
            together[frame] = picture
    assert sorted(together) == sorted(f for a, b in shots for f in range(a, b))
    for shot in shots:
        for frames, pictures in feedback_frames(core, scenes, [shot]):
            for frame, picture in zip(frames.tolist(), pictures, strict=True):
                assert torch.equal(picture, together[frame]), frame


def test_feedback_uses_the_previous_frame(scene, beat_timeline) -> None:
    core, scenes = scene
    start, stop = max(feedback_shots(beat_timeline), key=lambda shot: shot[1] - shot[0])
    pictures = torch.cat([p for _, p in feedback_frames(core, scenes, [(start, stop)])]).float()
    near = (pictures[1:] - pictures[:-1]).abs().mean()
    far = (pictures[len(pictures) // 2 :] - pictures[: len(pictures) - len(pictures) // 2]).abs().mean()
    assert 0 < near < far


def test_bytes_and_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_bytes(from_bytes(values)), values)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pictures_become_bytes(layout: torch.memory_format, dtype: torch.dtype) -> None:
    pictures = torch.linspace(-1.3, 1.3, 2 * 3 * 7 * 5).view(2, 3, 7, 5).to(dtype).contiguous(memory_format=layout)
    exact = (pictures.double().clamp(-1, 1) + 1) * 127.5
    found = to_bytes(pictures)
    assert found.dtype == torch.uint8
    assert float((found.double() - exact).abs().max()) <= 0.5 + 1e-4
    assert (found.amin(), found.amax()) == (0, 255)


def test_a_broken_picture_is_told_from_a_good_one() -> None:
    pictures = torch.full((4, 3, 8, 8), 1e4)
    pictures[1, 0, 3, 3] = torch.nan
    pictures[2, 1, 0, 0], pictures[2, 1, 0, 1] = torch.inf, -torch.inf
    assert is_finite(pictures).tolist() == [True, False, False, True]
    # half precision would overflow in the sum
    assert is_finite(pictures[:1].half()).tolist() == [True]
