"""Feedback: each picture grows out of the one before it, many shots side by side.

A shot's pictures lie on ticks of its own rate. Within a shot they follow one another, but shots do not wait for each
other: each is a lane, and the lanes of one batch move forward together. Frames between two ticks are the blend of both,
each moved by the camera to the frame's moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.camera import inverse_map, move_between, resample
from reactive.diffusion.core import Core, Request, from_bytes
from reactive.diffusion.frames import Scenery
from reactive.diffusion.guide import guiding_flow
from reactive.diffusion.joins import arriving_pictures, dissolved, morphed, next_shot
from reactive.diffusion.lens import lens_maps, through_lens
from reactive.diffusion.palettes import Palettes, keep_palette
from reactive.diffusion.transfer import to_host
from reactive.timeline.clock import tick_positions
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class Passage:
    """What is wanted of a feedback shot, and where it goes on from.

    Attributes
    ----------
    start, stop
        The whole shot's frames [start, stop).
    first, until
        The frames [first, until) that are wanted.
    tick, picture
        Number and picture (uint8 [3, height, width]) of the last tick that is known; -1 and None at the shot's start.
    kept
        Pictures of the ticks that follow it, as far as an earlier run kept them.
    """

    start: int
    stop: int
    first: int
    until: int
    tick: int = -1
    picture: torch.Tensor | None = None
    kept: Iterable[torch.Tensor] = ()


# told each newly imagined picture: the passage, the tick's number, uint8 [3, height, width] on the host
Ticked = Callable[[Passage, int, torch.Tensor], None]


@dataclass
class Lane:
    """A passage being rendered: its ticks, how many are done, and the last two pictures (uint8 [3, h, w])."""

    passage: Passage
    ticks: list[Fraction]
    done: int = 0
    before: torch.Tensor | None = None
    last: torch.Tensor | None = None
    # what can be had again from the timeline: the video's motion to a tick, and the next shot's pictures in a dissolve
    flow: tuple[int, torch.Tensor | None] = (0, None)
    arriving: dict[int, torch.Tensor] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the last wanted frame has a tick on either side."""
        return self.done == len(self.ticks) or (self.done > 0 and self.ticks[self.done - 1] >= self.passage.until - 1)


def shot_ticks(timeline: Timeline, start: int, stop: int) -> list[Fraction]:
    """Return where, counted in frames, the ticks of the feedback shot [start, stop) lie."""
    hits = np.flatnonzero(timeline.columns["hit"] > 0)
    return tick_positions(start, stop, timeline.fps, timeline.feedback_rate, hits)


def feedback_frames(
    core: Core, scene: Scenery, shots: Sequence[tuple[int, int]], *, until: int | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine whole feedback shots as lanes of one batch.

    Parameters
    ----------
    shots
        Frame ranges (start, stop).
    until
        Frames from this one on are not wanted; ticks lie as in the whole shot all the same.

    Yields
    ------
    Frame numbers [n] of one shot, rising within it, and their finished pictures, uint8 [n, 3, height, width].
    """
    end = scene.timeline.frames if until is None else until
    yield from lane_frames(core, scene, [Passage(start, stop, start, min(stop, end)) for start, stop in shots])


def lane_frames(
    core: Core, scene: Scenery, passages: Sequence[Passage], *, ticked: Ticked | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine passages of feedback shots as lanes of one batch.

    A passage that goes on from a tick's picture has the very bits of the whole shot: a tick depends on nothing but the
    picture before it and the timeline.

    Parameters
    ----------
    passages
        What is wanted; no two of the same shot may overlap.
    ticked
        Told each picture that was imagined, before the frames that it completes are yielded.

    Yields
    ------
    Wanted frame numbers [n] of one passage, rising within it, and their finished pictures, uint8 [n, 3, height, width].
    """
    timeline = scene.timeline
    waiting = [Lane(p, shot_ticks(timeline, p.start, p.stop), done=p.tick + 1, last=p.picture) for p in passages]
    # long ones first: the batch then stays full until near the end
    waiting.sort(key=lambda lane: (lane.passage.first - lane.passage.until, lane.passage.start))
    active: list[Lane] = []
    palettes = Palettes(core, scene)
    while waiting or active:
        while waiting and len(active) < core.batch:
            lane = waiting.pop(0)
            for picture in lane.passage.kept:
                yield from _advance(core, scene, lane, picture)
                if lane.finished:
                    break
            if not lane.finished:
                active.append(lane)
        if not active:
            return
        requests = [_tick_request(core, scene, lane) for lane in active]
        requests = keep_palette(palettes, requests, [(lane.passage.start, _tick_frame(lane)) for lane in active])
        pictures = core.imagine(requests)
        # one copy for all lanes: the device is waited for once a batch, not once a picture
        told = pictures if ticked is None else to_host(pictures).wait()
        for lane, picture, copy in zip(active, pictures, told, strict=True):
            if ticked is not None:
                ticked(lane.passage, lane.done, copy)
            yield from _advance(core, scene, lane, picture.clone())
        active = [lane for lane in active if not lane.finished]


def _advance(
    core: Core, scene: Scenery, lane: Lane, picture: torch.Tensor
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Take a lane's next picture in; yield the wanted frames that it completes."""
    lane.before, lane.last = lane.last, picture
    lane.done += 1
    frames = _frames_behind(lane)
    frames = frames[(frames >= lane.passage.first) & (frames < lane.passage.until)]
    if len(frames):
        yield frames, _shown(core, scene, lane, frames)


def _tick_request(core: Core, scene: Scenery, lane: Lane) -> Request:
    timeline = scene.timeline
    tick = lane.ticks[lane.done]
    frame = _tick_frame(lane)
    columns = timeline.columns
    noises = scene.noises(frame, core.noises_per_picture)
    source = None
    if lane.last is not None:
        move = move_between(columns, float(lane.ticks[lane.done - 1]), float(tick))
        height, width = lane.last.shape[-2:]
        maps = inverse_map(move, width / height)[None]
        source = resample(from_bytes(lane.last)[None], maps, flows=[_flow(scene, lane, lane.done)])[0].clamp(-1, 1)
        # one slowly moving noise, added again and again, would burn in
        fresh = scene.noise.fresh(int(columns["seed"][frame]), lane.passage.start, lane.done)
        share = timeline.feedback_fresh
        noises = (math.sqrt(1 - share) * noises[0] + math.sqrt(share) * fresh, *noises[1:])
    own = Request(
        prompt_from=int(columns["prompt_from"][frame]),
        prompt_to=int(columns["prompt_to"][frame]),
        weight=float(columns["weight"][frame]),
        strength=1.0 if source is None else float(columns["strength"][frame]),
        noises=noises,
        source=source,
        slerp=bool(columns["slerp"][frame]),
    )
    return morphed(scene, own, frame, tick)


def _tick_frame(lane: Lane) -> int:
    """Return the frame whose columns decide the lane's next tick."""
    return min(math.floor(lane.ticks[lane.done] + Fraction(1, 2)), lane.passage.stop - 1)


def _flow(scene: Scenery, lane: Lane, number: int) -> torch.Tensor | None:
    """Return what a guiding video's motion does between a tick and the one before it, as `resample` takes it."""
    if lane.flow[0] != number:
        lane.flow = number, guiding_flow(scene, lane.passage.start, lane.ticks[number - 1], lane.ticks[number])
    return lane.flow[1]


def _frames_behind(lane: Lane) -> np.ndarray:
    """Return the frames that lie after the tick before last, up to the last one."""
    last = lane.ticks[lane.done - 1]
    if lane.done == 1:
        return np.array([lane.passage.start]) if last == lane.passage.start else np.zeros(0, np.int64)
    first = math.floor(lane.ticks[lane.done - 2]) + 1
    return np.arange(first, min(math.floor(last), lane.passage.stop - 1) + 1)


def _shown(core: Core, scene: Scenery, lane: Lane, frames: np.ndarray) -> torch.Tensor:
    """Return frames between the lane's last two ticks as they are shown, uint8 [n, 3, height, width]."""
    columns = scene.timeline.columns
    shown = _between(scene, lane, frames)
    weights = columns["dissolve"][frames]
    if not weights.any():
        return shown
    wanted = frames[weights > 0]
    missing = [frame for frame in wanted.tolist() if frame not in lane.arriving]
    if missing:
        # a whole batch of the dissolve at once: batches have one shape, full or not
        ahead = np.arange(missing[0], next_shot(columns, missing[0]))
        chosen = ahead[columns["dissolve"][ahead] > 0][: core.batch].tolist()
        lane.arriving = dict(zip(chosen, arriving_pictures(core, scene, chosen), strict=True)) | {
            frame: lane.arriving[frame] for frame in wanted.tolist() if frame in lane.arriving
        }
    theirs = through_lens(torch.stack([lane.arriving[frame] for frame in wanted.tolist()]), columns, wanted)
    dissolving = torch.from_numpy(weights > 0).to(shown.device)
    shown[dissolving] = dissolved(shown[dissolving], theirs, weights[weights > 0])
    return shown


def _between(scene: Scenery, lane: Lane, frames: np.ndarray) -> torch.Tensor:
    """Return frames between the lane's last two ticks through the lens, uint8 [n, 3, height, width]."""
    last = lane.ticks[lane.done - 1]
    assert lane.last is not None
    columns = scene.timeline.columns
    height, width = lane.last.shape[-2:]
    aspect = width / height
    lens, moving = lens_maps(columns, frames, aspect)
    parts = []
    for number, frame in enumerate(frames.tolist()):
        through = lens[number][None]
        if frame == last or lane.before is None:
            alone = lane.last[None]
            parts.append(_bytes(resample(alone.float(), through)) if moving[number] else alone)
            continue
        early = lane.ticks[lane.done - 2]
        share = float((frame - early) / (last - early))
        forward = inverse_map(move_between(columns, float(early), float(frame)), aspect)
        backward = inverse_map(move_between(columns, float(last), float(frame)), aspect)
        flow = _flow(scene, lane, lane.done - 1)
        flows = None if flow is None else [flow * share, flow * (share - 1)]
        ends = torch.stack([lane.before, lane.last]).float()
        maps = np.stack([forward, backward])
        pair = resample(ends, maps, lens=np.concatenate([through, through]) if moving[number] else None, flows=flows)
        parts.append(_bytes(torch.lerp(pair[:1], pair[1:], share)))
    return torch.cat(parts)


def _bytes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.clamp(0, 255).round().to(torch.uint8)
