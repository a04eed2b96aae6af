"""What all workers of a render get once: plain data that can be sent to other machines.

The settings that it is made of are in `settings`; how the model is loaded is `settings.ModelSpec`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reactive.diffusion.controls import ControlFile
from reactive.media.picture import BLACK
from reactive.sources.ground import GroundFile
from reactive.timeline.timeline import Timeline
from reactive.video.codec import Codec
from reactive.video.upscale import NO_UPSCALING, Upscaling


@dataclass(frozen=True)
class RenderSpec:
    """What all workers of a job get once: plain data that can be sent to other machines.

    Attributes
    ----------
    folder
        The job folder, on a path that all workers share.
    timeline
        What is decided for every frame.
    negatives
        What each of its prompts keeps away from, the user's `--negative` included; empty for nothing.
    imagined
        Width and height that the model works at.
    batch, threads
        Shape of a batch, CPU threads of a worker.
    photos, videos
        The photographs and videos that the timeline numbers.
    codec
        How pieces are encoded.
    rate
        Pictures a second that are imagined outside feedback shots; 0: every frame.
    black
        How black each frame of the song is, 0 to 1; None: none is.
    upscaling
        How finished pictures are made larger.
    pace
        The pace of the model's walk.
    slices
        How many pictures are encoded or decoded at once; 0: all of a batch.
    lanes
        Shape of a batch of feedback lanes; 0: that of any batch.
    background
        The colour that shows where photographs and videos are transparent.
    grounds, composed
        The files that the timeline numbers as grounds, none where no frame shows one, and the size of the frames that do.
    lut
        A colour table (`.cube`) for all frames.
    styles
        The files of the timeline's reference pictures; none if they count nowhere.
    controls
        The files of the timeline's controls; none if they count nowhere.
    """

    folder: Path
    timeline: Timeline
    negatives: tuple[str, ...]
    imagined: tuple[int, int]
    batch: int
    threads: int
    photos: tuple[Path, ...]
    videos: tuple[Path, ...]
    codec: Codec
    rate: float = 0.0
    black: np.ndarray | None = None
    upscaling: Upscaling = NO_UPSCALING
    pace: float = 1.0
    slices: int = 0
    lanes: int = 0
    background: tuple[int, int, int] = BLACK
    grounds: tuple[GroundFile, ...] = ()
    composed: tuple[int, int] = (0, 0)
    lut: Path | None = None
    styles: tuple[Path, ...] = ()
    controls: tuple[ControlFile, ...] = ()

    def lane_count(self, batch: int) -> int:
        """Return the shape of a batch of lanes if a batch is smaller than planned, because memory ran out."""
        return min(self.lanes or batch, batch)

    def visible_timeline(self) -> Timeline:
        """Return the timeline with everything that decides its pictures: negatives too, and how black each frame is."""
        more = {} if self.black is None else {"black": self.black}
        return replace(self.timeline, negatives=self.negatives, columns={**self.timeline.columns, **more})
