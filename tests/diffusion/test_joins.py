"""Joins, palettes and guides on a model of toy width."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from reactive.diffusion.colour import palette
from reactive.diffusion.core import Core, from_bytes, to_bytes
from reactive.diffusion.frames import frame_request, independent_frames
from reactive.diffusion.joins import morphed, next_shot_request
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.motion.guide import guiding_flow
from reactive.diffusion.palettes import first_shown
from reactive.diffusion.scene import SceneInputs, scene_inputs
from reactive.sources.video import VideoSource
from reactive.timeline.timeline import FEEDBACK
from tests.toy import flat_timeline, save_video

CUT, LENGTH, FRAMES = 18, 6, 30
WEIGHTS = np.zeros(FRAMES)
WEIGHTS[CUT - LENGTH : CUT] = (np.arange(LENGTH) + 1) / (LENGTH + 1)
AFTER = (np.arange(FRAMES) >= CUT).astype(np.int64)
TWO_SHOTS = {"shot": AFTER, "seed": 7 + AFTER, "prompt_from": AFTER, "prompt_to": AFTER}


@pytest.fixture(scope="module")
def model(toy_model: Path):
    torch.set_num_threads(1)
    return load_model(str(toy_model), steps=1)


def scene_of(model, timeline, **sources) -> tuple[Core, SceneInputs]:
    core = Core(model, PromptBank(model, timeline.prompts), batch=4, width=64, height=64)
    return core, scene_inputs(timeline, core, sources.get("photos", {}), sources.get("videos"))


def rendered(core: Core, scene: SceneInputs, start: int, stop: int) -> torch.Tensor:
    """Return frames [start, stop) of one kind."""
    if scene.timeline.columns["source"][start] == FEEDBACK:
        parts = list(feedback_frames(core, scene, [(start, stop)]))
    else:
        parts = list(independent_frames(core, scene, np.arange(start, stop)))
    return torch.cat([pictures for _, pictures in parts])


def apart(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.float() - second.float()).abs().mean())


@pytest.mark.parametrize("before", [-1, FEEDBACK])
@pytest.mark.parametrize("after", [-1, FEEDBACK])
@pytest.mark.parametrize("kind", ["dissolve", "morph"])
def test_a_join_ends_at_the_first_picture_of_the_next_shot(model, kind: str, before: int, after: int) -> None:
    columns = {**TWO_SHOTS, "source": np.where(AFTER == 1, after, before), "strength": 0.6, "walk": 0.0}
    core, scene = scene_of(model, flat_timeline(FRAMES, **columns, **{kind: WEIGHTS}))
    _, hard = scene_of(model, flat_timeline(FRAMES, **columns))
    first = rendered(core, scene, CUT, FRAMES)[0]
    joined, cut = rendered(core, scene, 0, CUT), rendered(core, hard, 0, CUT)
    assert torch.equal(joined[: CUT - LENGTH - 2], cut[: CUT - LENGTH - 2])
    assert apart(cut[-1], first) > 4
    gaps = [apart(picture, first) for picture in joined[CUT - LENGTH - 1 :]]
    assert gaps[-1] < 0.5 * gaps[0]
    if kind == "dissolve":
        expected = torch.lerp(cut[-1].float(), first.float(), float(WEIGHTS[CUT - 1]))
        assert apart(joined[-1], expected) < 0.6


def test_a_morph_rotates_the_noise_and_keeps_its_variance(model) -> None:
    core, scene = scene_of(model, flat_timeline(FRAMES, **TWO_SHOTS, morph=WEIGHTS))
    for frame in range(CUT - LENGTH, CUT):
        request = frame_request(scene, frame, core.noises_per_picture)
        assert (request.prompt_from, request.prompt_to) == (0, 1)
        assert request.weight == pytest.approx(WEIGHTS[frame])
        assert float(request.noises[0].std()) == pytest.approx(1, abs=0.15)
    # in a match cut both sides have the same noise
    _, matched = scene_of(model, flat_timeline(FRAMES, **{**TWO_SHOTS, "seed": 7}, morph=WEIGHTS))
    own = frame_request(scene_of(model, flat_timeline(FRAMES, **{**TWO_SHOTS, "seed": 7}))[1], CUT - 2, 1)
    assert torch.equal(frame_request(matched, CUT - 2, 1).noises[0], own.noises[0])


def test_a_morph_into_a_photograph_fades_the_photograph_in(model) -> None:
    photo = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    timeline = flat_timeline(
        FRAMES, **TWO_SHOTS, morph=WEIGHTS, source=AFTER - 1, strength=np.where(AFTER, 0.4, 1), photos=("a",)
    )
    _, scene = scene_of(model, timeline, photos={0: photo})
    strengths = [frame_request(scene, frame, 1).strength for frame in range(CUT - LENGTH - 1, CUT + 1)]
    assert strengths[0] == 1
    assert np.all(np.diff(strengths) < 0)
    assert strengths[-1] == pytest.approx(0.4)
    assert torch.equal(frame_request(scene, CUT - 1, 1).source, photo)
    assert next_shot_request(scene, CUT - 1, 1).strength == pytest.approx(0.4)
    own = frame_request(scene, 3, 1)
    assert morphed(scene, own, 3) is own


def test_joins_do_not_depend_on_the_requested_ranges(model) -> None:
    core, scene = scene_of(model, flat_timeline(FRAMES, **TWO_SHOTS, dissolve=WEIGHTS))
    whole = rendered(core, scene, 0, CUT)
    for frame in (0, CUT - LENGTH, CUT - 1):
        _, alone = next(iter(independent_frames(core, scene, np.array([frame]))))
        assert torch.equal(alone[0], whole[frame])


class Drifting:
    """A core whose model darkens and tints its input a little each time."""

    batch, noises_per_picture = 4, 1

    def imagine(self, requests) -> torch.Tensor:
        drift = torch.tensor([0.02, -0.03, -0.05]).view(3, 1, 1)
        first = torch.nn.functional.interpolate(requests[0].noises[0][None, :3] * 0.3, (64, 64), mode="bicubic")[0]
        return to_bytes(torch.stack([first if r.source is None else r.source * 0.96 + drift for r in requests]))


def test_feedback_keeps_to_the_palette_of_its_prompt(model) -> None:
    frames = 96
    free = flat_timeline(frames, source=FEEDBACK, strength=0.35)
    _, drifting = scene_of(model, free)
    _, kept = scene_of(model, replace(free, feedback_colour=1.0))
    wild, held = rendered(Drifting(), drifting, 0, frames), rendered(Drifting(), kept, 0, frames)
    assert torch.equal(wild[0], held[0])
    goal = palette(from_bytes(wild[:1]))[0]
    away = [float((palette(from_bytes(p[-24:])) - goal)[:, 0].norm(dim=1).mean()) for p in (wild, held)]
    assert away[0] > 15
    assert away[1] < 0.3 * away[0]


def test_a_palette_belongs_to_the_prompt() -> None:
    columns = {"prompt_from": np.array([0, 0, 0, 0, 1, 1, 0, 0]), "prompt_to": np.array([0, 0, 1, 1, 1, 1, 0, 0])}
    assert first_shown(columns, 0, 0, 3) == 0
    assert first_shown(columns, 1, 0, 5) == 2
    # when the prompt is shown again, correction starts from its palette
    assert first_shown(columns, 0, 0, 7) == 6
    assert first_shown(columns, 0, 1, 2) == 1


def test_a_videos_motion_moves_the_feedback(model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(40, 215, (1, 3, 12, 24)))
    wide = (
        torch.nn.functional.interpolate(coarse, (96, 192), mode="bicubic")[0]
        .clamp(0, 255)
        .byte()
        .permute(1, 2, 0)
        .numpy()
    )
    pictures = [np.ascontiguousarray(wide[:, 64 - 2 * k : 160 - 2 * k]) for k in range(30)]
    video = VideoSource(save_video(tmp_path / "a.mkv", pictures), width=64, height=64)
    options = {"source": FEEDBACK, "strength": 0.0, "guide": 0, "videos": ("a.mkv",)}
    core, scene = scene_of(model, flat_timeline(24, **options, camera_flow=1.0), videos={0: video})
    flow = guiding_flow(scene, 0, Fraction(4), Fraction(6))
    assert flow is not None
    # 2 pixels a frame to the right of a picture 96 wide, of which 64 are visible: its content comes from the left
    assert float(flow[0, 8:-8, 8:-8].median()) == pytest.approx(-2 * 2 * 64 / 96, abs=0.4)
    _, half = scene_of(model, flat_timeline(24, **options, camera_flow=0.5), videos={0: video})
    assert torch.allclose(guiding_flow(half, 0, Fraction(4), Fraction(6)) * 2, flow)
    _, still = scene_of(model, flat_timeline(24, **options), videos={0: video})
    assert guiding_flow(still, 0, Fraction(4), Fraction(6)) is None
    # no motion where the video starts again
    assert guiding_flow(scene, 0, Fraction(29), Fraction(31)) is None
    assert apart(rendered(core, scene, 0, 24)[-1], rendered(core, still, 0, 24)[-1]) > 0.3
