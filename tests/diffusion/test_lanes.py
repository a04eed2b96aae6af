"""Batches of lanes: which lanes share a batch depends only on the shots, so stand-in pictures suffice."""

from __future__ import annotations

import numpy as np
import torch

from reactive.diffusion.lanes import feedback_frames, shot_ticks
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.scene import SceneInputs
from reactive.timeline.timeline import FEEDBACK
from tests.toy import flat_timeline


class Painter:
    """Stands in for a core and records how full its batches are."""

    batch, noises_per_picture = 4, 1

    def __init__(self) -> None:
        self.filled: list[int] = []

    def imagine(self, requests) -> torch.Tensor:
        self.filled.append(len(requests))
        return torch.full((len(requests), 3, 16, 24), 90, dtype=torch.uint8)


def shots_of(*lengths: int) -> tuple[SceneInputs, list[tuple[int, int]]]:
    """Return feedback shots of the given numbers of frames in a row; a tick every second frame."""
    edges = np.cumsum([0, *lengths])
    shot = np.repeat(np.arange(len(lengths)), lengths)
    timeline = flat_timeline(int(edges[-1]), shot=shot, source=FEEDBACK, strength=0.5)
    return SceneInputs(timeline, NoisePath(4, 2, 3, 8), {}), list(zip(edges.tolist(), edges[1:].tolist(), strict=False))


def test_a_finished_lane_is_reused_for_the_next_shot() -> None:
    scene, shots = shots_of(48, 12, 12, 12, 12, 24, 12, 12, 24, 12)
    core = Painter()
    seen = [frame for frames, _ in feedback_frames(core, scene, shots) for frame in frames.tolist()]
    assert sorted(seen) == list(range(shots[-1][1]))
    ticks = [len(shot_ticks(scene.timeline, *shot)) for shot in shots]
    assert sum(core.filled) == sum(ticks)
    # no schedule is shorter than its longest shot
    assert len(core.filled) <= max(max(ticks), -(-sum(ticks) // 4)) + 2
    assert sum(core.filled) / (4 * len(core.filled)) >= 0.7


def test_batches_are_full_while_many_shots_wait() -> None:
    scene, shots = shots_of(*[24] * 30)
    core = Painter()
    for _ in feedback_frames(core, scene, shots):
        pass
    assert sum(core.filled) / (4 * len(core.filled)) >= 0.9
    assert set(core.filled[:-13]) == {4}
