"""The one Imaginer: a model, sources, a size and a timeline go in, finished frames come out.

A clip, a preview, live input, a contact sheet and other people's code all make their pictures here:

    imaginer = Imaginer(load_model("ember"), timeline)
    for picture in imaginer.frames():
        ...

`open_imaginer` opens one together with the photographs, films and grounds that it reads, and closes them again.
`frames` yields the song in order. `independent` and `feedback` yield the two kinds of frames for code that writes pieces or works
ahead of a playhead. Every frame passes `_finish` last: stages after the model's picture belong there. `core` computes one
batch; requests are made in `frames` (independent frames) and `lanes` (each picture is made from the one before it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.backend.shapes import shape_of
from reactive.diffusion.controls import ControlFile, ControlPictures, has_controls, subject_files
from reactive.diffusion.core import Core
from reactive.diffusion.frames import independent_frames
from reactive.diffusion.grade import ColourTable, coloured
from reactive.diffusion.grounds import Grounds
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.lanes import FeedbackRange, OnTick, OpenShot, lane_frames, open_shot, step
from reactive.diffusion.models.adapter import StyleBank
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.control import ControlBank
from reactive.diffusion.models.model import Model
from reactive.diffusion.motion.interpolate import sparse_frames
from reactive.diffusion.scene import NO_SOURCES, MovingSource, Sources, load_sources, scene_inputs
from reactive.diffusion.styles import load_styles
from reactive.media.picture import BLACK
from reactive.sources.ground import GroundFile
from reactive.timeline.edges import shot_edges
from reactive.timeline.timeline import FEEDBACK, Timeline

# frame numbers [n] and their pictures, uint8 [n, 3, height, width] on the model's device; all of a yield in one size
Frames = Iterator[tuple[np.ndarray, torch.Tensor]]
# bytes of finished frames that may wait while feedback shots are imagined side by side
_WAITING = 256 << 20


class Imaginer:
    """Makes the frames of a timeline.

    Parameters
    ----------
    model
        The loaded model.
    timeline
        What is decided for every frame.
    sources
        The photographs and films that it numbers, at `size`; they stay the caller's to close.
    size
        Width and height that the model works at. Default: the model's own.
    batch
        Pictures of a batch. Default: by rule, which follows from model, size and device.
    lanes
        Feedback shots of a batch; 0: as many as `batch`.
    slices
        Pictures that are encoded or decoded at once; 0: all of a batch. Default: by rule.
    prompts
        Numbers of the prompts that will be shown; only they are embedded. Default: all that frames show.
    bank
        Prompts that are embedded already; `prompts` is ignored then.
    pace
        The pace of the model's walk. Default: what is known or measured of the model.
    rate
        Pictures a second that are imagined outside feedback shots; the frames between are interpolated. 0: every frame.
    black
        Which frames are black, bool [frames]; None: none is.
    lut
        A colour table for all frames.
    grounds
        The grounds; frames that show one come in the grounds' size. They stay the caller's to close.
    styles
        The timeline's reference pictures; None: they count nowhere.
    control
        The timeline's pictures whose shapes are kept; None: they count nowhere. They stay the caller's to close.

    Raises
    ------
    ModelError
        If memory does not hold the text encoders.
    """

    def __init__(
        self,
        model: Model,
        timeline: Timeline,
        sources: Sources = NO_SOURCES,
        *,
        size: tuple[int, int] | None = None,
        batch: int = 0,
        lanes: int = 0,
        slices: int | None = None,
        prompts: Iterable[int] | None = None,
        bank: PromptBank | None = None,
        pace: float | None = None,
        rate: float = 0.0,
        black: np.ndarray | None = None,
        lut: ColourTable | None = None,
        grounds: Grounds | None = None,
        styles: StyleBank | None = None,
        control: ControlPictures | None = None,
    ) -> None:
        self.model = model
        self.controls = ControlBank(model, control.kinds) if control else None
        self.styles = styles
        self.timeline = timeline
        self.size = size or model.native_size
        if not batch or slices is None:
            shape = shape_of(model, *self.size, batch=batch, slices=slices or 0)
            batch, slices = shape.batch, shape.slices
        self.slices = slices
        self.rate = Fraction(rate).limit_denominator(1000)
        self.black = black
        self.lut = lut
        self.grounds = grounds
        if bank is None:
            used = prompts_at(timeline.columns, np.arange(timeline.frames)) if prompts is None else prompts
            bank = PromptBank(model, timeline.prompts, used, timeline.negatives)
        self.bank = bank
        self.core = self._core(batch)
        self.lane_core = self.core if lanes in (0, batch) else self._core(lanes)
        self.scene = scene_inputs(timeline, self.core, sources.photos, sources.videos, pace=pace, control=control)

    def _core(self, batch: int) -> Core:
        width, height = self.size
        return Core(
            self.model,
            self.bank,
            batch=batch,
            width=width,
            height=height,
            slices=self.slices,
            styles=self.styles,
            controls=self.controls,
        )

    @property
    def pictures(self) -> int:
        """How many pictures were imagined so far."""
        return sum(core.pictures for core in {self.core, self.lane_core})

    @property
    def retried(self) -> int:
        """How many of them were imagined again in float32."""
        return sum(core.retried for core in {self.core, self.lane_core})

    def independent(self, frames: np.ndarray | Iterable[np.ndarray], *, alone: bool = False) -> Frames:
        """Yield frames that need no other, with their numbers, in the requested order.

        Parameters
        ----------
        frames
            Frame numbers [n], rising where `rate` is set; or runs of them, each taken when the batches before it are being computed.
        alone
            Whether they are imagined in batches of `lanes`.
        """
        core = self.lane_core if alone else self.core
        if self.rate:
            chosen = frames if isinstance(frames, np.ndarray) else np.concatenate(list(frames))
            made = sparse_frames(core, self.scene, chosen, self.rate)
        else:
            made = independent_frames(core, self.scene, frames)
        for numbers, pictures in made:
            yield from self._finished(numbers, pictures)

    def feedback(self, ranges: Sequence[FeedbackRange], *, on_tick: OnTick | None = None) -> Frames:
        """Yield the wanted frames of feedback shots, as `lanes.lane_frames` does: numbers rise within each shot."""
        for numbers, pictures in lane_frames(self.lane_core, self.scene, ranges, on_tick=on_tick):
            yield from self._finished(numbers, pictures)

    def follow(self, timeline: Timeline, *, first: int, bank: PromptBank) -> None:
        """Continue with a growing timeline, with the same noise and sources.

        Parameters
        ----------
        first
            The number that its first frame has since the stream began.
        bank
            Its prompts.
        """
        self.timeline, self.bank = timeline, bank
        self.scene = replace(self.scene, timeline=timeline, first=first)
        for core in {self.core, self.lane_core}:
            core.bank = bank

    def open_shot(self, start: int) -> OpenShot:
        """Return a feedback shot whose end is not known, to be imagined by `step`."""
        return open_shot(self.lane_core, self.scene, start)

    def step(self, shot: OpenShot, frame: int, *, tick: bool = True) -> torch.Tensor:
        """Return the newest frame of an open shot, uint8 [3, height, width].

        Parameters
        ----------
        tick
            Whether it is made from the last picture, or is that picture moved on.
        """
        shown = step(self.lane_core, self.scene, shot, frame, tick=tick)
        return self._finish(np.array([frame]), shown[None])[0]

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the frames [start, stop) in order, uint8 [3, height, width].

        Feedback shots are imagined side by side as far as 256 MB hold their frames, so memory does not grow with the number of frames.
        """
        edges = shot_edges(self.timeline.columns)
        end = self.timeline.frames if stop is None else min(stop, self.timeline.frames)
        shots = [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < end and b > start]
        source = self.timeline.columns["source"]
        fed_back = deque(FeedbackRange(a, b, max(a, start), min(b, end)) for a, b in shots if source[a] == FEEDBACK)
        ahead: _Ahead | None = None
        run: list[np.ndarray] = []
        for a, b in shots:
            if source[a] != FEEDBACK:
                run.append(np.arange(max(a, start), min(b, end)))
                continue
            yield from self._in_order(run)
            run = []
            if ahead is None or not ahead.ranges:
                ahead = _Ahead(self, self._side_by_side(fed_back))
            yield from ahead.next_shot()
        yield from self._in_order(run)

    def _in_order(self, runs: list[np.ndarray]) -> Iterator[np.ndarray]:
        for _, pictures in self.independent(np.concatenate(runs)) if runs else ():
            yield from pictures.cpu().numpy()

    def _side_by_side(self, waiting: deque[FeedbackRange]) -> list[FeedbackRange]:
        """Take the next shot, and as many after it as a batch and memory hold."""
        chosen, room = [waiting.popleft()], _WAITING
        width, height = self.size
        while waiting and len(chosen) < self.lane_core.batch:
            room -= (waiting[0].until - waiting[0].first) * 3 * width * height
            if room < 0:
                break
            chosen.append(waiting.popleft())
        return chosen

    def _finished(self, numbers: np.ndarray, pictures: torch.Tensor) -> Frames:
        """Yield frames with their grounds beneath them, in runs of one size, as they are shown."""
        if self.grounds is None:
            yield numbers, self._finish(numbers, pictures)
            return
        for part, shown in self.grounds.beneath(numbers, pictures):
            yield part, self._finish(part, shown)

    def _finish(self, numbers: np.ndarray, pictures: torch.Tensor) -> torch.Tensor:
        """Return frames as they are shown: the last stage of every picture.

        Parameters
        ----------
        numbers
            Frame numbers [n].
        pictures
            uint8 [n, 3, height, width], through the lens.
        """
        pictures = coloured(pictures, self.timeline.columns, self.timeline.palettes, numbers, self.lut)
        if self.black is None or not self.black[numbers].any():
            return pictures
        dark = torch.from_numpy(self.black[numbers]).to(pictures.device).view(-1, 1, 1, 1)
        return torch.where(dark, torch.zeros_like(pictures), pictures)


@contextmanager
def open_imaginer(
    model: Model,
    timeline: Timeline,
    photos: Sequence[Path] = (),
    videos: Sequence[Path | MovingSource] = (),
    *,
    size: tuple[int, int],
    grounds: Sequence[GroundFile] = (),
    composed: tuple[int, int] | None = None,
    styles: Sequence[Path] = (),
    controls: Sequence[ControlFile] = (),
    folders: Sequence[Path] = (),
    background: tuple[int, int, int] = BLACK,
    only: Collection[int] | None = None,
    batch: int = 0,
    lanes: int = 0,
    slices: int | None = None,
    prompts: Iterable[int] | None = None,
    pace: float | None = None,
    rate: float = 0.0,
    black: np.ndarray | None = None,
    lut: ColourTable | None = None,
) -> Iterator[Imaginer]:
    """Open an `Imaginer` with the files that it reads, and close them when the block ends.

    Parameters
    ----------
    photos, videos
        Photographs, and films or frames of one's own, in the order of the timeline's numbers. Frames of one's own stay the
        caller's to close.
    grounds, composed
        The files that the timeline numbers as grounds, and the size of frames that show one. Default: `size`.
    styles
        The files of the timeline's reference pictures, in its order; none if they count nowhere.
    controls
        The files of the timeline's controls, as `controls.control_files` finds them.
    folders
        Folders of presets or timelines, which may hold grounds.
    background
        Red, green and blue, 0 to 255, that show where a picture is transparent.
    only
        The numbers of the photographs and films that are needed; the others are not read. Default: all.
    size, batch, lanes, slices, prompts, pace, rate, black, lut
        As `Imaginer` has them.

    Raises
    ------
    MediaError
        If a photograph or film can't be read.
    ModelError
        If memory does not hold the text encoders.
    """
    own = {len(photos) + place: video for place, video in enumerate(videos) if not isinstance(video, Path)}
    # frames of one's own have a number among the films, and no file
    films = [video if isinstance(video, Path) else Path() for video in videos]
    wanted = set(range(len(photos) + len(films))) if only is None else set(only)
    files = load_sources(
        photos, films, size=size, background=background, only=wanted - own.keys(), framing=timeline.framing
    )
    beneath = control = None
    try:
        if grounds:
            beneath = Grounds(timeline, grounds, imagined=size, size=composed or size, background=background)
        given = Sources(files.photos, {**files.videos, **own})
        if has_controls(timeline):
            subjects = grounds or subject_files(timeline, photos, films, folders)
            control = ControlPictures(
                timeline, controls, subjects, given.photos, given.videos, size=size, background=background
            )
        yield Imaginer(
            model,
            timeline,
            given,
            size=size,
            batch=batch,
            lanes=lanes,
            slices=slices,
            prompts=prompts,
            pace=pace,
            rate=rate,
            black=black,
            lut=lut,
            grounds=beneath,
            styles=load_styles(model, styles, background=background),
            control=control,
        )
    finally:
        files.close()
        if control is not None:
            control.close()
        if beneath is not None:
            beneath.close()


class _Ahead:
    """Feedback shots imagined side by side: frames of later ones wait on the host until their shot is the next."""

    def __init__(self, imaginer: Imaginer, ranges: list[FeedbackRange]) -> None:
        self.ranges = deque(ranges)
        self._frames = imaginer.feedback(ranges)
        self._waiting: dict[int, np.ndarray] = {}

    def next_shot(self) -> Iterator[np.ndarray]:
        """Yield the next shot's frames in order."""
        wanted = self.ranges.popleft()
        for frame in range(wanted.first, wanted.until):
            while frame not in self._waiting:
                numbers, pictures = next(self._frames)
                self._waiting |= zip(numbers.tolist(), pictures.cpu().numpy(), strict=True)
            yield self._waiting.pop(frame)
