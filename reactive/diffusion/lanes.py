"""Feedback: each picture is made from the one before it, many shots side by side.

A shot's pictures are on ticks at their own rate. Within a shot they follow one another, but shots do not wait for each
other: each is a lane, and the lanes of one batch move forward together. Frames between two ticks are the blend of both,
each moved by the camera to the frame's moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.backend.transfer import to_host
from reactive.diffusion.core import Core, FrameRequest, from_bytes
from reactive.diffusion.joins import dissolved, morphed, next_shot, next_shot_pictures
from reactive.diffusion.motion.camera import inverse_map, move_between, resample
from reactive.diffusion.motion.guide import guiding_flow
from reactive.diffusion.motion.lens import lens_maps, through_lens
from reactive.diffusion.palettes import Palettes, keep_palette
from reactive.diffusion.scene import SceneInputs
from reactive.timeline.clock import tick_positions
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class FeedbackRange:
    """The wanted frames of a feedback shot, and the picture to continue from.

    Attributes
    ----------
    start, stop
        The whole shot's frames [start, stop).
    first, until
        The frames [first, until) that are wanted.
    tick, picture
        Number and picture (uint8 [3, height, width]) of the last known tick; -1 and None at the shot's start.
    saved_pictures
        Pictures of the following ticks that an earlier run kept.
    """

    start: int
    stop: int
    first: int
    until: int
    tick: int = -1
    picture: torch.Tensor | None = None
    saved_pictures: Iterable[torch.Tensor] = ()


_STILL = np.eye(3)
# frames between ticks that are moved together
_MAX_WARPED_TOGETHER = 8
# called with each newly imagined picture: the range, the tick's number, uint8 [3, height, width] on the host
OnTick = Callable[[FeedbackRange, int, torch.Tensor], None]


@dataclass
class Lane:
    """A range in progress: its ticks, how many are done, and the last two pictures (uint8 [3, h, w])."""

    wanted: FeedbackRange
    ticks: list[Fraction]
    done: int = 0
    before: torch.Tensor | None = None
    last: torch.Tensor | None = None
    # cached values: the video's motion to a tick, and the next shot's pictures in a dissolve
    flow: tuple[int, torch.Tensor | None] = (0, None)
    next_shot: dict[int, torch.Tensor] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the last wanted frame has a tick on either side."""
        return self.done == len(self.ticks) or (self.done > 0 and self.ticks[self.done - 1] >= self.wanted.until - 1)


def shot_ticks(timeline: Timeline, start: int, stop: int) -> list[Fraction]:
    """Return the positions in frames of the ticks of the feedback shot [start, stop)."""
    hits = np.flatnonzero(timeline.columns["hit"] > 0)
    return tick_positions(start, stop, timeline.fps, timeline.feedback_rate, hits)


def feedback_frames(
    core: Core, scene: SceneInputs, shots: Sequence[tuple[int, int]], *, until: int | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine whole feedback shots as lanes of one batch.

    Parameters
    ----------
    shots
        Frame ranges (start, stop).
    until
        Frames from this one on are not wanted; ticks are still those of the whole shot.

    Yields
    ------
    Frame numbers [n] of one shot, rising within it, and their finished pictures, uint8 [n, 3, height, width].
    """
    end = scene.timeline.frames if until is None else until
    yield from lane_frames(core, scene, [FeedbackRange(start, stop, start, min(stop, end)) for start, stop in shots])


def lane_frames(
    core: Core, scene: SceneInputs, ranges: Sequence[FeedbackRange], *, on_tick: OnTick | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine ranges of feedback shots as lanes of one batch.

    A range that continues from a tick's picture has the bits of the whole shot: a tick depends only on the
    picture before it and the timeline.

    Parameters
    ----------
    ranges
        The wanted ranges; no two of the same shot may overlap.
    on_tick
        Called with each imagined picture before the frames that it completes are yielded.

    Yields
    ------
    Wanted frame numbers [n] of one range, rising within it, and their finished pictures, uint8 [n, 3, height, width].
    """
    timeline = scene.timeline
    waiting = [Lane(p, shot_ticks(timeline, p.start, p.stop), done=p.tick + 1, last=p.picture) for p in ranges]
    # long ones first, so that the batch stays full until near the end
    waiting.sort(key=lambda lane: (lane.wanted.first - lane.wanted.until, lane.wanted.start))
    active: list[Lane] = []
    palettes = Palettes(core, scene)
    while waiting or active:
        while waiting and len(active) < core.batch:
            lane = waiting.pop(0)
            for picture in lane.wanted.saved_pictures:
                yield from _advance(core, scene, [lane], [picture])
                if lane.finished:
                    break
            if not lane.finished:
                active.append(lane)
        if not active:
            return
        pictures = _imagine_ticks(core, scene, palettes, active)
        # one copy for all lanes, to wait for the device once a batch, not once a picture
        on_host = pictures if on_tick is None else to_host(pictures).wait()
        if on_tick is not None:
            for lane, copy in zip(active, on_host, strict=True):
                on_tick(lane.wanted, lane.done, copy)
        yield from _advance(core, scene, active, [picture.clone() for picture in pictures])
        active = [lane for lane in active if not lane.finished]


@dataclass
class OpenShot:
    """A feedback shot of music that is still being played: its ticks come one by one, and its end is not known.

    Attributes
    ----------
    lane
        Its pictures so far.
    palettes
        The palettes of its prompts.
    """

    lane: Lane
    palettes: Palettes


def open_shot(core: Core, scene: SceneInputs, start: int) -> OpenShot:
    """Return a feedback shot that begins at a frame without pictures yet."""
    return OpenShot(Lane(FeedbackRange(start, start + 1, start, start + 1), []), Palettes(core, scene))


def step(core: Core, scene: SceneInputs, shot: OpenShot, frame: int, *, tick: bool) -> torch.Tensor:
    """Imagine the newest frame of an open shot, uint8 [3, height, width] through the lens.

    Parameters
    ----------
    scene
        With a timeline that reaches to `frame` at least, and one frame further during a join.
    frame
        The frame, later than the one before.
    tick
        Whether a new picture is made from the last one. Else the last one is shown as camera and video have moved it since: the
        next tick, to blend with, is not known yet.
    """
    lane, shot.palettes.scene = shot.lane, scene
    lane.wanted = replace(lane.wanted, stop=frame + 1, first=frame, until=frame + 1)
    if tick or lane.last is None:
        lane.ticks.append(Fraction(frame))
        picture = _imagine_ticks(core, scene, shot.palettes, [lane])[0].clone()
        _, shown = next(_advance(core, scene, [lane], [picture]))
    else:
        shown = _dissolving(core, scene, lane, np.array([frame]), _moved_on(scene, lane, frame))
    return shown[0]


def _imagine_ticks(core: Core, scene: SceneInputs, palettes: Palettes, lanes: Sequence[Lane]) -> torch.Tensor:
    """Imagine each lane's next tick: the one step of feedback, uint8 [n, 3, height, width]."""
    requests = _tick_requests(core, scene, lanes)
    requests = keep_palette(palettes, requests, [(lane.wanted.start, _tick_frame(lane)) for lane in lanes])
    _draw_ahead(scene, lanes)
    return core.imagine(requests)


def _moved_on(scene: SceneInputs, lane: Lane, frame: int) -> torch.Tensor:
    """Return a lane's last picture as camera, video and lens show it at a later frame, uint8 [1, 3, height, width]."""
    assert lane.last is not None
    columns, last = scene.timeline.columns, lane.ticks[lane.done - 1]
    aspect = lane.last.shape[-1] / lane.last.shape[-2]
    lens, moving = lens_maps(columns, np.array([frame]), aspect)
    camera = inverse_map(move_between(columns, float(last), float(frame)), aspect)
    flow = guiding_flow(scene, lane.wanted.start, last, Fraction(frame))
    return _bytes(torch.stack([*_resampled([WarpedTick(lane.last, camera, lens[0] if moving[0] else _STILL, flow)])]))


def _advance(
    core: Core, scene: SceneInputs, lanes: Sequence[Lane], pictures: Sequence[torch.Tensor]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Add each lane's next picture; yield the wanted frames that it completes."""
    completed = []
    for lane, picture in zip(lanes, pictures, strict=True):
        lane.before, lane.last = lane.last, picture
        lane.done += 1
        frames = _frames_behind(lane)
        frames = frames[(frames >= lane.wanted.first) & (frames < lane.wanted.until)]
        if len(frames):
            completed.append((lane, frames))
    between = _between(core, scene, completed)
    for (lane, frames), shown in zip(completed, between, strict=True):
        yield frames, _dissolving(core, scene, lane, frames, shown)


def _tick_requests(core: Core, scene: SceneInputs, lanes: Sequence[Lane]) -> list[FrameRequest]:
    """Return the request of each lane's next tick; its source is the last picture as the camera moves it until then."""
    moved = iter(_moved_to_tick(scene, [lane for lane in lanes if lane.last is not None]))
    return [_tick_request(core, scene, lane, None if lane.last is None else next(moved)) for lane in lanes]


def _moved_to_tick(scene: SceneInputs, lanes: Sequence[Lane]) -> Iterable[torch.Tensor]:
    """Return each lane's last picture moved to its next tick, float32 [3, height, width] in [-1, 1]."""
    if not lanes:
        return ()
    pictures = torch.stack([lane.last for lane in lanes if lane.last is not None])
    height, width = pictures.shape[-2:]
    maps = [
        inverse_map(
            move_between(scene.timeline.columns, float(lane.ticks[lane.done - 1]), float(lane.ticks[lane.done])),
            width / height,
        )
        for lane in lanes
    ]
    flows = [_flow(scene, lane, lane.done) for lane in lanes]
    # all lanes at once: resampling one picture uses one processor, many use all of them
    return resample(from_bytes(pictures), np.stack(maps), flows=flows).clamp(-1, 1)


def _tick_request(core: Core, scene: SceneInputs, lane: Lane, source: torch.Tensor | None) -> FrameRequest:
    timeline = scene.timeline
    tick = lane.ticks[lane.done]
    frame = _tick_frame(lane)
    columns = timeline.columns
    noises = scene.noises(frame, core.noises_per_picture)
    if source is not None:
        # the same slowly moving noise, added again and again, would burn in
        fresh = scene.noise.fresh(int(columns["seed"][frame]), scene.first + lane.wanted.start, lane.done)
        share = timeline.feedback_fresh
        noises = (math.sqrt(1 - share) * noises[0] + math.sqrt(share) * fresh, *noises[1:])
    own = FrameRequest(
        prompt_from=int(columns["prompt_from"][frame]),
        prompt_to=int(columns["prompt_to"][frame]),
        weight=float(columns["weight"][frame]),
        strength=1.0 if source is None else float(columns["strength"][frame]),
        noises=noises,
        source=source,
        slerp=bool(columns["slerp"][frame]),
        style=scene.style(frame),
        controls=scene.controls(frame, tick),
        loras=scene.loras(frame),
    )
    return morphed(scene, own, frame, tick)


def _tick_frame(lane: Lane, ahead: int = 0) -> int:
    """Return the frame whose columns decide the lane's next tick, or a later one."""
    return min(math.floor(lane.ticks[lane.done + ahead] + Fraction(1, 2)), lane.wanted.stop - 1)


def _draw_ahead(scene: SceneInputs, lanes: Sequence[Lane]) -> None:
    """Draw the fresh noise of the ticks after the next ones in the background."""
    seeds = scene.timeline.columns["seed"]
    scene.noise.draw_ahead(
        (int(seeds[_tick_frame(lane, 1)]), scene.first + lane.wanted.start, lane.done + 1)
        for lane in lanes
        if lane.done + 1 < len(lane.ticks)
    )


def _flow(scene: SceneInputs, lane: Lane, number: int) -> torch.Tensor | None:
    """Return a guiding video's motion between a tick and the one before it, as `resample` takes it."""
    if lane.flow[0] != number:
        lane.flow = number, guiding_flow(scene, lane.wanted.start, lane.ticks[number - 1], lane.ticks[number])
    return lane.flow[1]


def _frames_behind(lane: Lane) -> np.ndarray:
    """Return the frames after the tick before last, up to the last one."""
    last = lane.ticks[lane.done - 1]
    if lane.done == 1:
        return np.array([lane.wanted.start]) if last == lane.wanted.start else np.zeros(0, np.int64)
    first = math.floor(lane.ticks[lane.done - 2]) + 1
    return np.arange(first, min(math.floor(last), lane.wanted.stop - 1) + 1)


def _dissolving(core: Core, scene: SceneInputs, lane: Lane, frames: np.ndarray, shown: torch.Tensor) -> torch.Tensor:
    """Return a lane's frames, uint8 [n, 3, height, width], with the next shot blended over those that dissolve."""
    columns = scene.timeline.columns
    weights = columns["dissolve"][frames]
    if not weights.any():
        return shown
    wanted = frames[weights > 0]
    missing = [frame for frame in wanted.tolist() if frame not in lane.next_shot]
    if missing:
        # a whole batch of the dissolve at once: batches have one shape, full or not
        ahead = np.arange(missing[0], next_shot(columns, missing[0]))
        chosen = ahead[columns["dissolve"][ahead] > 0][: core.batch].tolist()
        lane.next_shot = dict(zip(chosen, next_shot_pictures(core, scene, chosen), strict=True)) | {
            frame: lane.next_shot[frame] for frame in wanted.tolist() if frame in lane.next_shot
        }
    theirs = through_lens(torch.stack([lane.next_shot[frame] for frame in wanted.tolist()]), columns, wanted)
    dissolving = torch.from_numpy(np.flatnonzero(weights > 0)).to(shown.device)
    shown[dissolving] = dissolved(shown[dissolving], theirs, weights[weights > 0])
    return shown


def _between(core: Core, scene: SceneInputs, completed: Sequence[tuple[Lane, np.ndarray]]) -> list[torch.Tensor]:
    """Return for each lane frames between its last two ticks through the lens, uint8 [n, 3, height, width]."""
    wanted = [(lane, int(frame)) for lane, frames in completed for frame in frames]
    shown: list[torch.Tensor] = []
    # some at a time: slow ticks have many frames between them, too many for memory with all lanes
    at_once = max(core.batch, _MAX_WARPED_TOGETHER)
    for first in range(0, len(wanted), at_once):
        shown += _through_camera_and_lens(scene, wanted[first : first + at_once])
    parts = iter(shown)
    return [torch.stack([next(parts) for _ in frames]) for _, frames in completed]


def _through_camera_and_lens(scene: SceneInputs, wanted: Sequence[tuple[Lane, int]]) -> list[torch.Tensor]:
    """Return lanes' frames uint8 [3, height, width]: a tick's picture, or the blend of two, each moved to the frame's moment."""
    columns = scene.timeline.columns
    first = wanted[0][0].last
    assert first is not None
    aspect = first.shape[-1] / first.shape[-2]
    lens, moving = lens_maps(columns, np.array([frame for _, frame in wanted]), aspect)
    ends: list[WarpedTick] = []
    shares: list[float | None] = []
    for number, (lane, frame) in enumerate(wanted):
        assert lane.last is not None
        last = lane.ticks[lane.done - 1]
        if frame == last or lane.before is None:
            shares.append(None)
            if moving[number]:
                ends.append(WarpedTick(lane.last, _STILL, lens[number], None))
            continue
        early = lane.ticks[lane.done - 2]
        share = float((frame - early) / (last - early))
        flow = _flow(scene, lane, lane.done - 1)
        through = lens[number] if moving[number] else _STILL
        for picture, tick, reach in ((lane.before, early, share), (lane.last, last, share - 1)):
            camera = inverse_map(move_between(columns, float(tick), float(frame)), aspect)
            ends.append(WarpedTick(picture, camera, through, None if flow is None else flow * reach))
        shares.append(share)
    moved = iter(_resampled(ends))
    shown = []
    for (lane, _), part, moves in zip(wanted, shares, moving, strict=True):
        assert lane.last is not None
        if part is not None:
            shown.append(_bytes(torch.lerp(next(moved), next(moved), part)))
        else:
            shown.append(_bytes(next(moved)) if moves else lane.last)
    return shown


@dataclass(frozen=True)
class WarpedTick:
    """A tick's picture with its moves to a frame: uint8 [3, height, width], camera and lens [3, 3], flow as `resample` takes it."""

    picture: torch.Tensor
    camera: np.ndarray
    lens: np.ndarray
    flow: torch.Tensor | None


def _resampled(ends: Sequence[WarpedTick]) -> Iterable[torch.Tensor]:
    if not ends:
        return ()
    cameras, lenses = np.stack([end.camera for end in ends]), np.stack([end.lens for end in ends])
    pictures = torch.stack([end.picture for end in ends]).float()
    return resample(pictures, cameras, lens=lenses, flows=[end.flow for end in ends])


def _bytes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.clamp(0, 255).round().to(torch.uint8)
