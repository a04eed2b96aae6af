"""The inputs of requests: a timeline, its noise, and its sources at the size that the model works at.

`load_sources` is the one loader of photographs and films. Other code can pass `Sources` with its own arrays and
with objects that implement `MovingSource`. Continue with `frames`, which makes a frame's request, and `imaginer`, which combines
everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.calibration import pace_of
from reactive.diffusion.controls import ControlPictures
from reactive.diffusion.core import Core, from_bytes
from reactive.diffusion.models.control import ControlInput
from reactive.diffusion.sampling.noise import NoisePath, turned, walk_noises
from reactive.errors import ModelError
from reactive.sources.moving import MovingSource as MovingSource
from reactive.sources.photo import load_photo
from reactive.sources.video import VideoSource
from reactive.timeline.clock import frame_time
from reactive.timeline.framing import COVER, Framing
from reactive.timeline.loras import LORAS, loras_at
from reactive.timeline.styles import styles_at
from reactive.timeline.timeline import NO_SEED, Timeline


@dataclass(frozen=True)
class Sources:
    """Photographs and moving pictures by the numbers of the timeline's column `source`.

    Attributes
    ----------
    photos
        float32 [3, height, width] in [-1, 1].
    videos
        Films, numbered after the photographs.
    """

    photos: Mapping[int, torch.Tensor] = field(default_factory=dict)
    videos: Mapping[int, MovingSource] = field(default_factory=dict)

    def close(self) -> None:
        """Close the films."""
        for video in self.videos.values():
            video.close()


NO_SOURCES = Sources()


def load_sources(
    photos: Sequence[Path],
    videos: Sequence[Path],
    *,
    size: tuple[int, int],
    background: tuple[int, int, int] = (0, 0, 0),
    only: Collection[int] | None = None,
    framing: Framing = COVER,
) -> Sources:
    """Read photographs and open films at the size that the model works at, cropped around what matters.

    Parameters
    ----------
    photos, videos
        Files in the order of their numbers: photographs from 0 on, films after them.
    size
        Width and height in pixels.
    background
        Red, green and blue, 0 to 255, that show where a picture is transparent.
    only
        The numbers that are needed; the others are not read. Default: all.
    framing
        How photographs fill the frame.

    Raises
    ------
    MediaError
        If one can't be read.
    """
    width, height = size
    stills: dict[int, torch.Tensor] = {}
    films: dict[int, MovingSource] = {}
    for number, path in enumerate([*photos, *videos]):
        if only is not None and number not in only:
            continue
        if number < len(photos):
            stills[number] = as_source(
                load_photo(
                    path,
                    width=width,
                    height=height,
                    background=background,
                    fit=framing.fit,
                    focus=framing.focus.get(path.name),
                )
            )
        else:
            films[number] = VideoSource(path, width=width, height=height, background=background)
    return Sources(stills, films)


def as_source(picture: np.ndarray) -> torch.Tensor:
    """Return a picture uint8 [height, width, 3] as a request takes it: float32 [3, height, width] in [-1, 1]."""
    # an array that can't be written to must not be shared with torch
    own = picture if picture.flags.writeable else picture.copy()
    return from_bytes(torch.from_numpy(own).permute(2, 0, 1))


@dataclass(frozen=True)
class SceneInputs:
    """The inputs of requests: the timeline, its noise, and the photographs and videos at imagine-size.

    Attributes
    ----------
    timeline
        What is decided for every frame.
    noise
        The noise path of its walk.
    photos, videos
        As in `Sources`.
    first
        The number that the timeline's first frame has in the song, if the timeline is part of a stream.
    control
        The pictures whose shapes are kept; None if there are none.
    lora_names
        The model's LoRAs whose strength changes.
    """

    timeline: Timeline
    noise: NoisePath
    photos: Mapping[int, torch.Tensor]
    videos: Mapping[int, MovingSource] = field(default_factory=dict)
    first: int = 0
    control: ControlPictures | None = None
    lora_names: tuple[str, ...] = ()

    def seconds(self, position: int | Fraction) -> Fraction:
        """Return the time of the song at a position counted in frames."""
        return frame_time(position + self.first, self.timeline.fps)

    def picture(self, source: int, position: int | Fraction) -> torch.Tensor | None:
        """Return what a source shows at a position counted in frames, float32 [3, height, width]; None for no source."""
        if source < 0:
            return None
        if source in self.photos:
            return self.photos[source]
        return as_source(self.videos[source].at(self.film_seconds(position)))

    def film_seconds(self, position: int | Fraction) -> Fraction:
        """Return the second of its film that is shown at a position counted in frames."""
        times = self.timeline.columns["film_time"]
        frame = min(max(int(position), 0), len(times) - 1)
        return self.seconds(position) if times[frame] < 0 else Fraction(float(times[frame]))

    def style(self, frame: int) -> tuple[float, ...]:
        """Return the weights of the reference pictures in a frame."""
        return styles_at(self.timeline.columns, frame, len(self.timeline.styles))

    def controls(self, frame: int, position: int | Fraction | None = None) -> tuple[ControlInput, ...]:
        """Return what the controls do to a frame; films are read at a position counted in frames, if it is not the frame."""
        if self.control is None:
            return ()
        return self.control.at(frame, self.film_seconds(frame if position is None else position))

    def loras(self, frame: int) -> tuple[float, ...]:
        """Return the strengths in a frame of the model's LoRAs whose strength changes."""
        timeline = self.timeline
        own = dict(zip(timeline.loras, loras_at(timeline.columns, frame, len(timeline.loras)), strict=True))
        return tuple(own.get(name, 0.0) for name in self.lora_names)

    def noises(self, frame: int, count: int, *, seed: int | None = None) -> tuple[torch.Tensor, ...]:
        """Return the noise of a frame's walk, one for each of `count` steps; `seed` replaces the frame's own."""
        columns = self.timeline.columns
        walk = float(columns["walk"][frame])
        own = walk_noises(self.noise, int(columns["seed"][frame]) if seed is None else seed, walk, count)
        before = int(columns["seed_from"][frame])
        if seed is not None or before == NO_SEED:
            return own
        # a shot that was given another seed turns to it while it comes
        earlier = walk_noises(self.noise, before, walk, count)
        return tuple(turned(a, b, float(columns["seed_weight"][frame])) for a, b in zip(earlier, own, strict=True))


def scene_inputs(
    timeline: Timeline,
    core: Core,
    photos: Mapping[int, torch.Tensor],
    videos: Mapping[int, MovingSource] | None = None,
    *,
    pace: float | None = None,
    control: ControlPictures | None = None,
) -> SceneInputs:
    """Return the inputs of requests for a core's model and imagine-size.

    Parameters
    ----------
    photos, videos
        As in `Sources`.
    pace
        The pace of the model's walk. Default: what is known or measured of the model.
    control
        The pictures whose shapes are kept.

    Raises
    ------
    ModelError
        If the model was loaded without one of the timeline's LoRAs.
    """
    model = core.model
    names = tuple(lora.name for lora in model.loras)
    for number, name in enumerate(timeline.loras):
        if name not in names and timeline.columns[LORAS[number]].any():
            raise ModelError(
                f"was loaded without the LoRA {name}, whose strength changes",
                where=model.name,
                remedy=f"load it with --lora {name}:preset",
            )
    if pace is None:
        pace = pace_of(model, width=core.width, height=core.height)
    shape = (model.channels, core.height // model.vae_scale_factor, core.width // model.vae_scale_factor)
    noise = NoisePath(*shape, timeline.harmonics, pace=pace, device=model.device)
    return SceneInputs(timeline, noise, photos, videos or {}, control=control, lora_names=names)
