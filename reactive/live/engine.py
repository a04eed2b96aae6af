"""Imagine a song's frames ahead of the playhead, in a thread of its own.

The song is known, so the engine always works on the frames that are shown soonest: independent frames in small batches, with
a stride that the machine can keep up with; feedback shots tick by tick from their start. Pictures that would be too late are
skipped, but not all of them: one late picture is better than none.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from PIL import Image

from reactive.diffusion.backend.out_of_memory import smaller_batch
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.lanes import FeedbackRange, shot_ticks
from reactive.errors import ReactiveError
from reactive.live.estimate import Estimate
from reactive.live.material import SongMaterial
from reactive.live.picture_store import Picture, PictureStore, changed_frames
from reactive.live.stride import StrideControl
from reactive.live.thread_choice import ThreadChoice
from reactive.live.transport import Transport
from reactive.timeline.clock import frame_time, frames_in, nearest_frame
from reactive.timeline.edges import shot_edges
from reactive.timeline.timeline import FEEDBACK, Timeline

log = logging.getLogger(__name__)
# seconds of look-ahead while the song plays, and while it is paused
AHEAD, AHEAD_PAUSED = 2.5, 1.0
# a slow machine looks further ahead: a multiple of the duration of one batch, at most this many seconds
LOOKAHEAD_FACTOR, MAX_LOOKAHEAD = 3.0, 30.0
# largest share of the look-ahead that may be skipped because it would be too late
MAX_SKIPPED_SHARE = 0.5
# a late picture is imagined if there would be no new one for this many seconds
STALE_SECONDS = 1.0
# if a picture takes longer than this many seconds, pictures are made one by one, since a batch would delay the first one
SLOW_PICTURE = 1.0
# a partial batch is started if its first picture is due within this many seconds after the batch would be done
FILLING = 0.5
# a seek into a feedback shot lands at its start if imagining up to the target would take longer than this many seconds
CATCH_UP = 0.5
RATE_WINDOW = 3.0
# a thread that dies this often within this many seconds is not restarted
MAX_REVIVALS, REVIVAL_SECONDS = 5, 60.0
# number of ticks of a feedback shot that are kept, so that it can continue from one of them after a change
MAX_TICKS = 64
# memory of the pictures after a jump
AHEAD_BYTES = 24 * 2**20
# number of pictures from before a change that are kept for times without newer ones
MAX_STOPGAPS = 64


@dataclass(frozen=True)
class Status:
    """The state of the engine.

    Attributes
    ----------
    rate
        New pictures a second over the last seconds.
    ahead
        Seconds from the playhead to the last picture of the unbroken run ahead of it.
    stride
        Every `stride`-th frame is imagined.
    behind
        Seconds for which the song has played without a new picture at its playhead; 0 while it is paused.
    late
        Whether the feedback shot at the playhead can't be imagined in time.
    shot
        The feedback shot at the playhead as (start, stop) frames, or None.
    prepared
        Finished share of the shot that is being pre-rendered, or None.
    """

    rate: float
    ahead: float
    stride: Fraction
    behind: float
    late: bool
    shot: tuple[int, int] | None
    prepared: float | None


@dataclass
class _Shot:
    """A feedback shot in progress, with its last ticks: number, frame and picture, uint8 [3, height, width]."""

    start: int
    stop: int
    frames: Iterator[tuple[np.ndarray, torch.Tensor]]
    reached: int
    ticks: deque[tuple[int, Fraction, torch.Tensor]]


@dataclass(frozen=True)
class _Scene:
    """An imaginer and the timeline that it was made for."""

    timeline: Timeline
    black: np.ndarray
    imaginer: Imaginer
    starts: np.ndarray


@dataclass(frozen=True)
class _Ahead:
    """The scene after the next jump of the playhead, and its pictures so far."""

    scene: _Scene
    store: PictureStore


@dataclass(frozen=True)
class _Work:
    """One piece of work: its scene and epoch, and the call that does it."""

    scene: _Scene
    epoch: int
    call: Callable[[], list[tuple[int, np.ndarray]]]


class Engine:
    """The thread that imagines, and its pictures.

    Parameters
    ----------
    material
        Song, model and sources.
    made
        Called from the thread after each piece of work, with the new frames.
    """

    def __init__(self, material: SongMaterial, made: Callable[[list[int]], None]) -> None:
        self.material = material
        self.made = made
        self.store = PictureStore()
        self.stride_control = StrideControl(float(material.options.fps))
        self.transport = Transport(material.track.duration)
        self.epoch = 0
        self.error: BaseException | None = None
        # a note for the user
        self.note: str | None = None
        self.wanted = True
        self._scene: _Scene | None = None
        self._ahead: _Ahead | None = None
        self._shot: _Shot | None = None
        self._prepare: tuple[int, int] | None = None
        self._late = False
        # the newest frame that was finished after its time, and the time of the playhead's last jump or start
        self._overdue: int | None = None
        self._since = time.monotonic()
        # the first frame that the last change of the timeline affects
        self.changed = 0
        # frames that continue pictures from before a change: shown once, then imagined again as in the clip
        self._grown: set[int] = set()
        # pictures outdated by a change while they were imagined: if edits come faster than pictures there are no others
        self._stopgaps: dict[int, Picture] = {}
        # the last frame that was finished at the time of a change: pages have it, and show it until a newer one comes
        self._finished = -1
        # whether the last piece of work was a late picture: they alternate with work that is in time
        self._turned = False
        self._fresh = -1
        # start of the current piece of work
        self._began: float | None = None
        self._times: deque[tuple[float, int]] = deque()
        self._batch_time = Estimate(0.3)
        self._tick_time = Estimate(0.1)
        self._threads = ThreadChoice()
        self._condition = threading.Condition()
        self._running = False
        self._thread = threading.Thread(target=self._work, name="reactive-live", daemon=True)
        self._revivals: deque[float] = deque(maxlen=MAX_REVIVALS)

    # -- called by others ----------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after its current piece of work."""
        with self._condition:
            self._running = False
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    @property
    def died(self) -> bool:
        """Whether the thread has ended without being stopped."""
        return self._running and not self._thread.is_alive()

    def revive(self) -> bool:
        """Restart the thread if it has died, keeping its pictures; return whether it was restarted.

        After `MAX_REVIVALS` deaths within `REVIVAL_SECONDS` it is not restarted.
        """
        with self._condition:
            if not self._running or self._thread.is_alive():
                return False
            now = time.monotonic()
            if len(self._revivals) == MAX_REVIVALS and now - self._revivals[0] < REVIVAL_SECONDS:
                return False
            self._revivals.append(now)
            problem, self.error = self.error, None
            scene = self._scene
            assert scene is not None
            # unfinished work may be the cause
            self._shot, self._prepare, self._fresh, self._ahead = None, None, -1, None
            self._scene = replace(scene, imaginer=self.material.imaginer(scene.timeline, scene.black))
            self.note = f"the engine stopped ({problem or 'no reason was given'}) and was started again."
            log.warning(self.note)
            self._thread = threading.Thread(target=self._work, name="reactive-live", daemon=True)
            self._thread.start()
            return True

    @property
    def timeline(self) -> Timeline:
        """The current timeline."""
        assert self._scene is not None
        return self._scene.timeline

    def set_timeline(self, timeline: Timeline, black: np.ndarray | None = None) -> int:
        """Change to another timeline, keeping unaffected pictures; return the new epoch.

        Parameters
        ----------
        timeline
            The new timeline.
        black
            Frames that are black, bool [frames]; None for none.
        """
        dark = np.zeros(timeline.frames, bool) if black is None else black
        ahead = self._ahead
        prepared = (
            ahead is not None
            and ahead.scene.timeline is timeline
            and np.array_equal(ahead.scene.black, dark)
            # another preset's colour table is known only now
            and ahead.scene.imaginer.lut is self.material.lut
        )
        # prompts are embedded before the lock is taken, so that the current batch continues
        scene = ahead.scene if ahead is not None and prepared else self._scene_of(timeline, dark)
        with self._condition:
            old, self._scene, self._ahead = self._scene, scene, None
            if old is not None:
                stale = changed_frames(old.timeline, timeline)
                if old.imaginer.lut is not scene.imaginer.lut:
                    stale = np.ones(timeline.frames, bool)
                if len(old.black) == len(dark):
                    stale |= old.black != dark
                window = self.window()[0]
                there = [frame for frame in window if frame in self.store and frame < len(stale) and stale[frame]]
                self._finished = max([self._finished, *there])
                self.store.drop(stale)
                self.changed = int(np.argmax(stale)) if stale.any() else timeline.frames
                if (ours := self._shot) is not None:
                    if ours.stop > timeline.frames:
                        self._shot = None
                    elif (different := np.flatnonzero(stale[ours.start : ours.stop])).size:
                        self._shot = self._continued(ours, old, scene, ours.start + int(different[0]))
            if ahead is not None and prepared:
                for picture in ahead.store.all():
                    self.store.put(picture)
            self.epoch += 1
            self._condition.notify_all()
            return self.epoch

    def _scene_of(self, timeline: Timeline, black: np.ndarray) -> _Scene:
        return _Scene(
            timeline, black, self.material.imaginer(timeline, black), np.array(shot_edges(timeline.columns)[:-1])
        )

    def look_ahead(self, timeline: Timeline | None, black: np.ndarray | None = None) -> None:
        """Imagine the first frames after the next jump of the playhead by another timeline, which comes into force with it.

        `set_timeline` with that timeline, after the jump, then has their pictures at once. Frames of feedback shots are left
        until then.

        Parameters
        ----------
        timeline, black
            As in `set_timeline`; None to do so no longer.
        """
        scene = None
        if timeline is not None:
            scene = self._scene_of(timeline, np.zeros(timeline.frames, bool) if black is None else black)
        with self._condition:
            self._ahead = None if scene is None else _Ahead(scene, PictureStore(AHEAD_BYTES))
            self._condition.notify_all()

    def _continued(self, ours: _Shot, old: _Scene, scene: _Scene, different: int) -> _Shot | None:
        """Return a shot that continues after a change that first affects frame `different`; None to restart it.

        It continues from the last tick before that frame, with the clip's exact pictures. If there is none and the song plays,
        it continues from the picture at the playhead, since a restart would freeze the picture for long.
        """
        shot = (ours.start, ours.stop)
        ticks = shot_ticks(scene.timeline, *shot)
        if self._feedback_shot(ours.start) != shot or ticks != shot_ticks(old.timeline, *shot):
            return None
        kept = list(ours.ticks)
        exact = [tick for tick in kept if tick[1] < different and not self._grown]
        here = frames_in(self.transport.at(), scene.timeline.fps)
        playing = self.transport.playing and ours.start <= here < ours.stop
        passed = [tick for tick in kept if tick[1] < int(here)] if playing else []
        if not exact and not passed:
            return None
        return self._from_tick(ours, scene, exact[-1] if exact else passed[-1], exact=bool(exact))

    def _from_tick(self, ours: _Shot, scene: _Scene, tick: tuple[int, Fraction, torch.Tensor], *, exact: bool) -> _Shot:
        """Return a shot that continues from a tick of another; `exact`: the tick is the clip's exact picture."""
        number, at, picture = tick
        shot, first = (ours.start, ours.stop), int(at) + 1
        continued = self._shot_from(
            scene, FeedbackRange(*shot, first, shot[1], number, picture.to(scene.imaginer.model.device))
        )
        continued.ticks.extend(tick for tick in list(ours.ticks) if tick[0] <= number)
        if not exact:
            self._grown.update(range(first, shot[1]))
        return continued

    def _adopt(self, shot: _Shot, scene: _Scene) -> None:
        """Continue from a tick that finished after a change, if the playhead has passed the ticks before the change.

        If changes come faster than ticks, a shot that continues only from ticks before the change would never advance.
        """
        current, ours, place = self._scene, self._shot, (shot.start, shot.stop)
        if current is None or current is scene or ours is shot or not shot.ticks or not self.transport.playing:
            return
        if self._feedback_shot(shot.start) != place or (ours is not None and (ours.start, ours.stop) != place):
            return
        here = frames_in(self.transport.at(), current.timeline.fps)
        known = shot.start if ours is None else ours.reached
        if not known < min(shot.reached, here) or here >= shot.stop:
            return
        if shot_ticks(current.timeline, *place) == shot_ticks(scene.timeline, *place):
            self._shot = self._from_tick(shot, current, shot.ticks[-1], exact=False)

    def _shot_from(self, scene: _Scene, wanted: FeedbackRange) -> _Shot:
        """Return a new feedback shot, which keeps its last ticks."""
        ticks: deque[tuple[int, Fraction, torch.Tensor]] = deque(maxlen=MAX_TICKS)
        places = shot_ticks(scene.timeline, wanted.start, wanted.stop)

        def ticked(_: FeedbackRange, number: int, picture: torch.Tensor) -> None:
            # a copy: the original is a view of the whole batch
            ticks.append((number, places[number], picture.clone()))

        frames = scene.imaginer.feedback([wanted], on_tick=ticked)
        return _Shot(wanted.start, wanted.stop, frames, wanted.first, ticks)

    def _forget_grown(self, frames: set[int]) -> None:
        """Drop frames that continue pictures from before a change, so that they are imagined as in the clip."""
        if frames:
            self._grown -= frames
            stale = np.zeros(self.timeline.frames, bool)
            stale[list(frames)] = True
            self.store.drop(stale)

    def set_transport(self, transport: Transport, *, jumped: bool) -> int:
        """Set the playhead; a jump increments the epoch. Return the epoch."""
        with self._condition:
            if jumped or (transport.playing and not self.transport.playing):
                self._since = time.monotonic()
            self.transport = transport
            if jumped:
                self.epoch += 1
                if self._grown:
                    self._forget_grown(set(self._grown))
                    self._shot = None
                self._late = False
                self._overdue = None
                self._stopgaps.clear()
                self._finished = -1
                self._prepare = None
            self._condition.notify_all()
            return self.epoch

    def set_wanted(self, wanted: bool) -> None:
        """Set whether any page is receiving pictures."""
        if wanted != self.wanted:
            with self._condition:
                self.wanted = wanted
                self._condition.notify_all()

    def prepare(self, frame: int) -> tuple[int, int] | None:
        """Pre-render the feedback shot at a frame; return its range, or None if there is none."""
        with self._condition:
            self._prepare = self._feedback_shot(frame)
            if self._grown:
                self._forget_grown(set(self._grown))
                self._shot = None
            ours = self._shot
            if ours and self._prepare == (ours.start, ours.stop):
                # earlier frames may have been dropped from the store
                finished = range(ours.start, ours.reached)
                self._shot = None if any(number not in self.store for number in finished) else ours
            self._condition.notify_all()
            return self._prepare

    def seek_target(self, frame: int, *, playing: bool = False) -> int:
        """Return the target of a seek to a frame: the start of its feedback shot if catching up would take too long.

        If `playing`, the music continues meanwhile, so there is more to catch up with.
        """
        shot = self._feedback_shot(frame)
        if shot is None or frame in self.store:
            return frame
        reached = (
            self._shot.reached
            if self._shot and self._shot.start == shot[0] and self._shot.reached <= frame
            else shot[0]
        )
        rate = float(self.timeline.feedback_rate)
        tick = self._tick_time.seconds
        work = float(frame_time(frame - reached, self.timeline.fps)) * rate * tick
        gained = 1 - tick * rate if playing else 1.0
        return frame if work < CATCH_UP * gained else shot[0]

    def current_picture(self) -> Picture | None:
        """Return the picture to show at the playhead: the newest of the last seconds."""
        found, stopgap = self._newest(), self._stopgap()
        if stopgap is not None and (found is None or stopgap.frame > found):
            return stopgap
        return None if found is None else self.store.get(found)

    def late_picture(self) -> Picture | None:
        """Return a picture before the playhead that is the best available one; None if there is none.

        It belongs to the shot at the playhead, was finished after its time, or is from before a change.
        """
        scene = self._scene
        if scene is None or not self.transport.playing:
            return None
        found = self.current_picture()
        if found is None or found.frame in (self._overdue, *self._stopgaps):
            return found
        at = int(frames_in(self.transport.at() + 1e-4, scene.timeline.fps))
        same = np.searchsorted(scene.starts, [found.frame, at], side="right")
        return found if same[0] == same[1] else None

    def _newest(self) -> int | None:
        """Return the newest finished frame that is not later than the playhead.

        It is within the look-ahead of the playhead, or the last one that was finished late.
        """
        at = int(frames_in(self.transport.at() + 1e-4, self.timeline.fps))
        oldest = at - int(frames_in(self._lookahead(), self.timeline.fps))
        found = next(
            (frame for frame in range(min(at, self.timeline.frames - 1), oldest, -1) if frame in self.store), None
        )
        if found is None and self._overdue is not None and self._overdue <= at and self._overdue in self.store:
            return self._overdue
        return found

    def _stopgap(self) -> Picture | None:
        """Return the newest picture from before a change that is not later than the playhead."""
        at = int(frames_in(self.transport.at() + 1e-4, self.timeline.fps))
        passed = [picture for frame, picture in list(self._stopgaps.items()) if frame <= at]
        return max(passed, key=lambda picture: picture.frame, default=None)

    def _lookahead(self) -> float:
        """Return how many seconds the engine works ahead while the song plays."""
        began = self._began
        passed = 0.0 if began is None else time.monotonic() - began
        slowest = max(self._batch_time.seconds, self._tick_time.seconds, passed)
        # must extend beyond the current batch on a slow machine
        return min(max(AHEAD, LOOKAHEAD_FACTOR * slowest), MAX_LOOKAHEAD)

    def status(self) -> Status:
        """Return the state of the engine."""
        now = time.monotonic()
        while self._times and self._times[0][0] < now - RATE_WINDOW:
            self._times.popleft()
        at = nearest_frame(self.transport.at(), self.timeline.fps)
        last = frame = at
        while frame < min(self.timeline.frames, at + 4 * int(frames_in(AHEAD, self.timeline.fps))):
            if frame in self.store:
                last = frame
            elif frame - last >= self.stride_control.stride * 2:
                break
            frame += 1
        prepare = self._prepare
        share = None
        if prepare:
            share = sum(frame in self.store for frame in range(*prepare)) / (prepare[1] - prepare[0])
        return Status(
            rate=sum(count for _, count in self._times) / RATE_WINDOW,
            ahead=float(frame_time(last - at, self.timeline.fps)),
            stride=self.stride_control.stride,
            behind=self._behind(now),
            late=self._late,
            shot=self._feedback_shot(min(at, self.timeline.frames - 1)),
            prepared=share,
        )

    def _behind(self, now: float) -> float:
        if not self.transport.playing:
            return 0.0
        newest, here = self.current_picture(), self.transport.at(now)
        stood = self._lookahead() if newest is None else here - float(frame_time(newest.frame, self.timeline.fps))
        return max(0.0, min(stood, now - self._since))

    # -- what comes next -----------------------------------------------------------------------------------------------
    def shown_frames(self, first: int, last: int) -> list[int]:
        """Return the frames in [first, last) that lie on the stride or start a shot."""
        scene = self._scene
        assert scene is not None
        lo, hi = np.searchsorted(scene.starts, [first, last])
        return sorted({*self.stride_control.frames(first, last), *scene.starts[lo:hi].tolist()})

    def window(self) -> list[range]:
        """Return the runs of frames that are shown next, soonest first; after a loop's end those of its start."""
        scene, transport = self._scene, self.transport
        assert scene is not None
        fps, frames = scene.timeline.fps, scene.timeline.frames
        here = transport.at()
        # the newest frame up to the playhead is shown; the tolerance is for rounded times of browsers
        first = min(int(frames_in(here + 1e-4, fps)), frames - 1)
        ahead = self._lookahead() if transport.playing else AHEAD_PAUSED
        last = min(frames, first + 1 + int(frames_in(ahead, fps)))
        if (turn := transport.turn) is not None and transport.playing and here < turn[0]:
            end, begin = (min(nearest_frame(edge, fps), frames) for edge in turn)
            stop = frames if turn == transport.jump else end
            if first < end < last and begin < stop:
                return [range(first, end), range(begin, min(begin + last - end, stop))]
        return [range(first, last)]

    def _feedback_shot(self, frame: int) -> tuple[int, int] | None:
        scene = self._scene
        if scene is None or not 0 <= frame < scene.timeline.frames:
            return None
        if scene.timeline.columns["source"][frame] != FEEDBACK:
            return None
        index = int(np.searchsorted(scene.starts, frame, side="right")) - 1
        stop = int(scene.starts[index + 1]) if index + 1 < len(scene.starts) else scene.timeline.frames
        return int(scene.starts[index]), stop

    def _next(self) -> Callable[[], list[tuple[int, np.ndarray]]] | None:
        """Return the next piece of work; None if there is nothing to do. The caller holds the lock."""
        scene = self._scene
        if scene is None or (not self.wanted and self._prepare is None):
            return None
        if self._prepare is not None:
            ours = self._shot
            # dropped frames are not made again, so a shot larger than the store ends
            made_from = ours.reached if ours and (ours.start, ours.stop) == self._prepare else self._prepare[0]
            missing = next((frame for frame in range(made_from, self._prepare[1]) if frame not in self.store), None)
            if missing is not None:
                return self._ticking(scene, missing)
            self._prepare = None
        # otherwise a shot that is too slow would freeze until everything after it is made
        self._turned = not self._turned and self._left_behind(scene)
        if self._turned and (late := self._late_work(scene)) is not None:
            return late
        # the first picture after a jump or an edit is made alone, so that it comes sooner
        alone = self._fresh != self.epoch or self._slow(scene)
        batch = 1 if alone else scene.imaginer.core.batch
        makes = (self._tick_time if alone else self._batch_time).seconds
        lead = frames_in(min(makes, MAX_SKIPPED_SHARE * self._lookahead()), scene.timeline.fps)
        waiting: list[int] = []
        soonest = passed = 0
        # what comes after a jump may be that of another timeline
        for part, run in enumerate(self.window()[: 1 if self._ahead else None]):
            first = run.start
            if not self.transport.playing:
                frames = [first, *self.shown_frames(first + 1, run.stop)]
            else:
                # frames that would be too late are skipped, but not at the start of a loop's next repetition
                frames = self.shown_frames(first + (0 if part else 1 + int(lead)), run.stop)
            for frame in frames:
                if frame in self.store:
                    continue
                if scene.timeline.columns["source"][frame] == FEEDBACK:
                    if waiting:
                        return self._imagining(scene, waiting, alone=alone)
                    if (work := self._ticking(scene, frame)) is not None:
                        return work
                    continue
                soonest = soonest if waiting else passed + frame - first
                waiting.append(frame)
                if len(waiting) == batch:
                    return self._imagining(scene, waiting, alone=alone)
            passed += len(run)
        # if there is time a batch is filled first: it takes as long for one picture as for all
        spare = self.transport.playing and soonest > 2 * lead + frames_in(FILLING, scene.timeline.fps)
        return self._imagining(scene, waiting, alone=alone) if waiting and not spare else self._late_work(scene)

    def _next_ahead(self, ahead: _Ahead) -> Callable[[], list[tuple[int, np.ndarray]]] | None:
        """Return the next piece of work after the playhead's next jump; None if there is nothing to do."""
        scene, runs = ahead.scene, self.window()
        if len(runs) < 2 or not self.wanted:
            return None
        source = scene.timeline.columns["source"]
        first = runs[1].start
        frames = [
            frame
            for frame in (first, *self.shown_frames(first + 1, runs[1].stop))
            if frame not in ahead.store and source[frame] != FEEDBACK
        ]
        return self._imagining(scene, frames[: scene.imaginer.core.batch], alone=False) if frames else None

    def _slow(self, scene: _Scene) -> bool:
        """Return whether pictures take so long that they are made one by one."""
        return max(self._tick_time.seconds, self._batch_time.seconds / scene.imaginer.core.batch) > SLOW_PICTURE

    def _left_behind(self, scene: _Scene) -> bool:
        """Return whether no picture of the current shot can be in time."""
        here = self.window()[0].start
        if self._feedback_shot(here) is not None:
            return True
        lead = min(self._batch_time.seconds, MAX_SKIPPED_SHARE * self._lookahead())
        then = here + 1 + int(frames_in(lead, scene.timeline.fps))
        one, other = np.searchsorted(scene.starts, [here, min(then, scene.timeline.frames - 1)], side="right")
        return bool(one != other)

    def _late_work(self, scene: _Scene) -> Callable[[], list[tuple[int, np.ndarray]]] | None:
        """Return the work of one late picture if no new one is due soon, else None."""
        if not self.transport.playing:
            return None
        run = self.window()[0]
        soon = range(run.start, min(run.stop, run.start + 1 + int(frames_in(STALE_SECONDS, scene.timeline.fps))))
        if any(frame in self.store for frame in soon):
            return None
        if scene.timeline.columns["source"][run.start] == FEEDBACK:
            return self._ticking(scene, run.start, late=True)
        return self._imagining(scene, [soon.stop - 1], alone=True)

    def _imagining(
        self, scene: _Scene, frames: list[int], *, alone: bool
    ) -> Callable[[], list[tuple[int, np.ndarray]]]:
        return lambda: self._independent(scene, np.array(frames), alone=alone)

    def _independent(self, scene: _Scene, frames: np.ndarray, *, alone: bool) -> list[tuple[int, np.ndarray]]:
        began = time.monotonic()
        with self._computing(scene) if alone else nullcontext():
            made = [
                (frame, picture)
                for numbers, pictures in scene.imaginer.independent(frames, alone=alone)
                for frame, picture in zip(numbers.tolist(), _arrays(pictures), strict=True)
            ]
        passed = time.monotonic() - began
        if alone:
            self._tick_time.took(passed)
            if self._slow(scene):
                self.stride_control.imagined(len(frames), passed)
        else:
            self._batch_time.took(passed)
            # a partial batch takes as long as a full one
            self.stride_control.imagined(scene.imaginer.core.batch, passed)
        return made

    def _computing(self, scene: _Scene) -> AbstractContextManager[None]:
        """Return the context for computing a single picture; it sets the number of threads on a CPU."""
        return self._threads.computing() if scene.imaginer.model.device.type == "cpu" else nullcontext()

    def _ticking(
        self, scene: _Scene, frame: int, *, late: bool = False
    ) -> Callable[[], list[tuple[int, np.ndarray]]] | None:
        """Return the work of one tick towards a frame of a feedback shot; None if that frame can't be in time and not `late`."""
        shot = self._feedback_shot(frame)
        assert shot is not None
        ours = self._shot
        if ours is None or ours.start != shot[0] or ours.stop != shot[1] or ours.reached > frame:
            ours = self._shot_from(scene, FeedbackRange(*shot, *shot))
        if self._prepare is None and self.transport.playing and not late:
            per_tick = frames_in(1.0, scene.timeline.fps) / float(scene.timeline.feedback_rate)
            arrives = (frame - ours.reached) / per_tick * self._tick_time.seconds
            here = frames_in(self.transport.at(), scene.timeline.fps)
            # the shot would end before its picture is done, so the next shot is more important
            if here < frame and here + frames_in(arrives, scene.timeline.fps) > shot[1]:
                self._late = True
                return None
        self._shot = ours
        return lambda: self._tick(ours, scene)

    def _tick(self, shot: _Shot, scene: _Scene) -> list[tuple[int, np.ndarray]]:
        began = time.monotonic()
        with self._computing(scene):
            step = next(shot.frames, None)
        if step is None:
            shot.reached = shot.stop
            return []
        numbers, pictures = step
        shot.reached = int(numbers[-1]) + 1
        passed = time.monotonic() - began
        self._tick_time.took(passed)
        here = frames_in(self.transport.at(), self.timeline.fps)
        # ticks of a later shot do not matter for lateness
        if shot.start <= here < shot.stop:
            self._late = self.transport.playing and here > shot.reached
        with self._condition:
            self._adopt(shot, scene)
        return list(zip(numbers.tolist(), _arrays(pictures), strict=True))

    # -- the thread ----------------------------------------------------------------------------------------------------
    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._running:
                    return
                if (work := self._begin()) is None:
                    self._condition.wait(0.02 if self.transport.playing else 0.2)
                    continue
            try:
                try:
                    self._carry_out(work)
                except (RuntimeError, MemoryError) as problem:
                    # outside of the failed calls, so that their tensors are freed
                    self._shrink(problem)
            except Exception as problem:
                if isinstance(problem, ReactiveError):
                    log.error("the preview's engine stopped: %s", problem)
                else:
                    log.exception("the preview's engine failed")
                self.error = problem
                self.made([])
                return

    def _begin(self) -> _Work | None:
        """Return the next piece of work and start its timer; None if there is nothing to do."""
        scene, call = self._scene, self._next()
        if call is None and self._ahead is not None:
            scene, call = self._ahead.scene, self._next_ahead(self._ahead)
        if call is None:
            return None
        assert scene is not None
        self._began = time.monotonic()
        return _Work(scene, self.epoch, call)

    def _carry_out(self, work: _Work) -> None:
        """Do a piece of work and store its pictures."""
        try:
            self._keep(work.scene, work.call())
        finally:
            self._began = None
        self._fresh = work.epoch

    def _shrink(self, problem: BaseException) -> None:
        """Halve the batch size after memory ran out.

        Raises
        ------
        OutputError
            If the batch is a single picture already.
        BaseException
            `problem` itself, if it is not a lack of memory.
        """
        material = self.material
        with self._condition:
            scene = self._scene
            assert scene is not None
            # a shot in progress uses memory, and its own batch may have failed
            self._shot = None
            material.batch = smaller_batch(problem, scene.imaginer.core.batch, material.model)
            self._scene = replace(scene, imaginer=material.imaginer(scene.timeline, scene.black))
            self._ahead = None
            self.note = f"memory ran out; pictures are imagined in batches of {material.batch} from now on."
            log.warning(self.note)

    def _keep(self, scene: _Scene | None, pictures: list[tuple[int, np.ndarray]]) -> None:
        assert scene is not None
        done = [Picture(frame, to_jpeg(picture, self.stride_control.quality)) for frame, picture in pictures]
        outdated: list[Picture] = []
        with self._condition:
            current, ahead = self._scene, self._ahead
            assert current is not None
            if ahead is not None and ahead.scene is scene:
                for picture in done:
                    ahead.store.put(picture)
                self._times.append((time.monotonic(), len(done)))
                return
            if current is not scene and done:
                # the timeline has changed meanwhile: affected pictures are not stored
                stale = changed_frames(scene.timeline, current.timeline)
                if len(scene.black) == len(current.black):
                    stale |= scene.black != current.black
                outdated = [picture for picture in done if picture.frame >= len(stale) or stale[picture.frame]]
                done = [picture for picture in done if picture not in outdated]
            for picture in done:
                self.store.put(picture)
            at = int(frames_in(self.transport.at() + 1e-4, current.timeline.fps))
            self._keep_stopgaps(outdated, at)
            if late := [picture.frame for picture in done if picture.frame < at]:
                self._overdue = max(late)
            # pages do not request frames older than a second
            self._forget_grown({frame for frame in self._grown if frame < at - current.timeline.fps})
            self._times.append((time.monotonic(), len(done)))
        self.made([picture.frame for picture in done])

    def _keep_stopgaps(self, outdated: list[Picture], at: int) -> None:
        """Keep pictures from before a change until there is a newer one, without those that pages already have."""
        if self.transport.playing:
            self._stopgaps |= {picture.frame: picture for picture in outdated if picture.frame > self._finished}
        newest = max((frame for frame in self._stopgaps if frame <= at), default=0)
        later = [(frame, picture) for frame, picture in self._stopgaps.items() if frame >= newest]
        self._stopgaps = dict(later[-MAX_STOPGAPS:])


def _arrays(pictures: torch.Tensor) -> np.ndarray:
    return pictures.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """Return a picture, uint8 [height, width, 3], as JPEG."""
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "JPEG", quality=quality)
    return target.getvalue()
