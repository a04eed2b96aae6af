"""A video that guides feedback: its motion moves the fed-back picture."""

from __future__ import annotations

from fractions import Fraction

import torch

from reactive.diffusion.motion.flow import flow_between
from reactive.diffusion.scene import SceneInputs


def guiding_flow(scene: SceneInputs, shot: int, start: Fraction, stop: Fraction) -> torch.Tensor | None:
    """Return by how many pixels right and down each place's content is moved, float32 [2, height, width]; None if nothing moves.

    Parameters
    ----------
    shot
        The shot's first frame: a shot has one guide.
    start, stop
        Positions of two ticks, in frames.
    """
    timeline = scene.timeline
    number = int(timeline.columns["guide"][shot])
    frame = min(int(stop + Fraction(1, 2)), timeline.frames - 1)
    share = float(timeline.columns["camera_flow"][frame])
    if number < 0 or share <= 0:
        return None
    video = scene.videos[len(timeline.photos) + number]
    early, late = (video.number_at(scene.seconds(position)) for position in (start, stop))
    # there is no motion from the video's last picture to its first
    if late <= early:
        return None
    return share * flow_between(video.picture(late), video.picture(early))
