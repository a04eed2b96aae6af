"""Fewer pictures than frames: which frames are imagined, and what is interpolated between them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from reactive.diffusion.motion.interpolate import imagined_frames, sparse_frames
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.scene import SceneInputs
from tests.toy import flat_timeline

FRAMES = 60
HITS = np.zeros(FRAMES)
HITS[[7, 8, 33]] = 1


class Painter:
    """Stands in for a core: pictures are as bright as the weight of the second prompt, in any batch."""

    batch, noises_per_picture = 4, 1

    def __init__(self) -> None:
        self.pictures = 0

    def imagine(self, requests) -> torch.Tensor:
        self.pictures += len(requests)
        shade = torch.linspace(0.2, 1, 48).expand(3, 32, 48)
        return torch.stack([(shade * 250 * r.weight).round().to(torch.uint8) for r in requests])


def scene_of(**columns) -> SceneInputs:
    timeline = flat_timeline(FRAMES, weight=np.linspace(0.2, 1, FRAMES), hit=HITS, **columns)
    return SceneInputs(timeline, NoisePath(4, 4, 6, 8), {})


@pytest.mark.parametrize("rate", [3, 6, Fraction(25, 2), 24, 60])
def test_hits_and_both_ends_of_a_shot_are_imagined(rate) -> None:
    keys = imagined_frames(scene_of().timeline, 5, 50, Fraction(rate))
    assert {5, 7, 8, 33, 49} <= set(keys.tolist())
    assert np.all(np.diff(keys) > 0)
    assert np.diff(keys).max() <= 1.5 * max(1, 24 / rate) + 1
    assert len(keys) <= min(45, 45 * rate / 24 + 6)


def test_every_frame_exists_and_is_interpolated() -> None:
    scene, core = scene_of(), Painter()
    got = list(sparse_frames(core, scene, np.arange(FRAMES), Fraction(6)))
    frames = np.concatenate([numbers for numbers, _ in got])
    assert frames.tolist() == list(range(FRAMES))
    shown = torch.cat([pictures for _, pictures in got]).float()
    whole = Painter().imagine([type("R", (), {"weight": w}) for w in np.linspace(0.2, 1, FRAMES)]).float()
    assert float((shown - whole).abs().max()) <= 2
    assert core.pictures < FRAMES / 3
    for hit in np.flatnonzero(HITS):
        assert torch.equal(shown[hit], whole[hit])


@pytest.mark.parametrize(("first", "last"), [(0, 13), (14, 15), (20, 47)])
def test_an_excerpt_has_the_same_frames_as_the_full_clip(first: int, last: int) -> None:
    shots = {"shot": (np.arange(FRAMES) >= 30).astype(int)}
    whole = torch.cat([p for _, p in sparse_frames(Painter(), scene_of(**shots), np.arange(FRAMES), Fraction(5))])
    part = list(sparse_frames(Painter(), scene_of(**shots), np.arange(first, last), Fraction(5)))
    assert np.concatenate([numbers for numbers, _ in part]).tolist() == list(range(first, last))
    assert torch.equal(torch.cat([pictures for _, pictures in part]), whole[first:last])


def test_nothing_is_interpolated_across_a_cut() -> None:
    jump = np.where(np.arange(FRAMES) < 30, 0.2, 0.9)
    timeline = flat_timeline(FRAMES, weight=jump, shot=(np.arange(FRAMES) >= 30).astype(int))
    scene = SceneInputs(timeline, NoisePath(4, 4, 6, 8), {})
    means = (
        torch.cat([p for _, p in sparse_frames(Painter(), scene, np.arange(FRAMES), Fraction(4))])
        .float()
        .mean((1, 2, 3))
    )
    assert torch.unique(means.round()).numel() == 2
    assert float(means[29]) < float(means[30])
