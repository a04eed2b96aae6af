"""Imagine a live input: always the newest frame, one picture at a time, in a thread of its own.

It can't work ahead, so the latency of pictures matters: frames that arrive while another is imagined are skipped. The
Imaginer of clips makes the pictures, from a timeline that grows frame by frame (`stream_timeline`); between two ticks of
feedback the last picture is moved, since the next is not known yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.backend.out_of_memory import smaller_batch
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.lanes import OpenShot
from reactive.diffusion.models.conditioning import PromptBank
from reactive.errors import ReactiveError
from reactive.live.conductor import LiveFrame
from reactive.live.engine import MAX_REVIVALS, RATE_WINDOW, REVIVAL_SECONDS, to_jpeg
from reactive.live.material import Studio
from reactive.live.stream_timeline import MAX_ROWS, StreamTimeline
from reactive.timeline.colours import recoloured
from reactive.timeline.timeline import FEEDBACK

log = logging.getLogger(__name__)
QUALITY = 85
# number of embedded prompts above which the cache is reset to those in use
MAX_TEXTS = 400


@dataclass(frozen=True)
class ShownFrame:
    """A finished picture: its number, its frame, arrival of its sound (`time.monotonic`), age when finished, and JPEG."""

    number: int
    frame: int
    heard: float
    age: float
    jpeg: bytes


@dataclass
class _Feedback:
    """The current feedback shot, and the time of its last tick in seconds."""

    shot: OpenShot
    at: Fraction


class LatestFrameRenderer:
    """The thread that imagines the newest frame.

    Parameters
    ----------
    studio
        Model and sources.
    made
        Called from the thread after each picture.
    """

    def __init__(self, studio: Studio, made: Callable[[], None]) -> None:
        self.studio = studio
        self.made = made
        self.error: BaseException | None = None
        self.shown: ShownFrame | None = None
        self.pictures = 0
        self._rows: deque[tuple[LiveFrame, float]] = deque(maxlen=MAX_ROWS)
        self._wanted = False
        self._running = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reactive-imagining", daemon=True)
        self._bank: PromptBank | None = None
        self._texts: tuple[list[str], tuple[str, ...]] | None = None
        self._imaginer: Imaginer | None = None
        self._stream = StreamTimeline(studio.options.fps, studio.photo_names, studio.video_names)
        self._feedback: _Feedback | None = None
        self._times: deque[float] = deque(maxlen=400)
        self._revivals: deque[float] = deque(maxlen=MAX_REVIVALS)
        self._ages: deque[float] = deque(maxlen=60)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after its current picture."""
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
        """Restart the thread if it has died, like a song's engine; return whether it was restarted."""
        with self._condition:
            if not self._running or self._thread.is_alive():
                return False
            now = time.monotonic()
            if len(self._revivals) == MAX_REVIVALS and now - self._revivals[0] < REVIVAL_SECONDS:
                return False
            self._revivals.append(now)
            log.warning("the engine stopped (%s) and is started again", self.error or "no reason was given")
            self.error = self._imaginer = self._feedback = self._bank = self._texts = None
            self._thread = threading.Thread(target=self._work, name="reactive-imagining", daemon=True)
            self._thread.start()
            return True

    def request(self, row: LiveFrame, heard: float) -> None:
        """Request a frame as the next to imagine; `heard` is the arrival of its newest sound, by `time.monotonic`."""
        with self._condition:
            self._rows.append((row, heard))
            self._condition.notify_all()

    def set_wanted(self, wanted: bool) -> None:
        """Set whether any page or output receives pictures."""
        with self._condition:
            self._wanted = wanted
            self._condition.notify_all()

    @property
    def rate(self) -> float:
        """Pictures a second over the last seconds."""
        now = time.monotonic()
        return sum(at > now - RATE_WINDOW for at in list(self._times)) / RATE_WINDOW

    @property
    def age(self) -> float:
        """The median time from a sound's arrival to the finished picture, in seconds; 0 before the first one."""
        ages = sorted(self._ages)
        return ages[len(ages) // 2] if ages else 0.0

    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._running:
                    return
                if not (self._wanted and self._rows):
                    self._condition.wait(0.5)
                    continue
                rows = list(self._rows)
                self._rows.clear()
            row, heard = rows[-1]
            try:
                try:
                    for arrived, _ in rows:
                        self.hear(arrived)
                    jpeg = self._finished(row)
                except (RuntimeError, MemoryError) as problem:
                    # the batch is a single picture already, so this raises a one-line error if memory ran out
                    smaller_batch(problem, 1, self.studio.model)
                    raise
            except Exception as problem:
                if isinstance(problem, ReactiveError):
                    log.error("the preview's engine stopped: %s", problem)
                else:
                    log.exception("the preview's engine failed")
                self.error = problem
                self.made()
                return
            if jpeg is None:
                continue
            now = time.monotonic()
            self.pictures += 1
            self._times.append(now)
            self._ages.append(now - heard)
            self.shown = ShownFrame(self.pictures, row.frame, heard, now - heard, jpeg)
            self.made()

    def _finished(self, row: LiveFrame) -> bytes | None:
        """Return a frame's JPEG; None if the picture is held."""
        if row.hold and self.shown is not None:
            return None
        array = self.imagine(row).permute(1, 2, 0).contiguous().cpu().numpy()
        return to_jpeg(array * np.uint8(0) if row.black else array, QUALITY)

    def hear(self, row: LiveFrame) -> None:
        """Record a frame, whether it is imagined or skipped: feedback depends on all of them."""
        if self._stream.append(row):
            self._feedback = None

    def imagine(self, row: LiveFrame) -> torch.Tensor:
        """Return the picture of the last recorded frame, uint8 [3, height, width]."""
        imaginer, frame = self._prepared(row), self._stream.last
        if row.columns["source"] != FEEDBACK:
            return next(imaginer.independent(np.array([frame])))[1][0]
        tick = self._feedback is None or row.seconds - self._feedback.at >= 1 / row.rate - 1e-6
        if self._feedback is None:
            self._feedback = _Feedback(imaginer.open_shot(frame), row.seconds)
        if tick:
            self._feedback.at = row.seconds
        return imaginer.step(self._feedback.shot, frame, tick=tick)

    def _prepared(self, row: LiveFrame) -> Imaginer:
        """Return the imaginer, with the stream so far and its prompts embedded."""
        studio = self.studio
        timeline = recoloured(self._stream.timeline(), studio.options.colours.colours)
        old = self._bank if self._bank is not None and len(self._bank.texts) < MAX_TEXTS else None
        # the likely next prompt is embedded before it is needed
        texts, negatives = [*timeline.prompts, row.prompts[2]], (*timeline.negatives, row.negatives[2])
        if self._bank is None or (texts, negatives) != self._texts:
            kept = negatives if len(negatives) == len(texts) and any(negatives) else ()
            self._bank = PromptBank.extended(old, studio.model, texts, kept)
            self._texts = texts, negatives
        if self._imaginer is None:
            self._imaginer = Imaginer(
                studio.model, timeline, studio.sources, size=studio.imagined, batch=1, bank=self._bank
            )
        self._imaginer.lut = studio.lut
        self._imaginer.follow(timeline, first=self._stream.first, bank=self._bank)
        return self._imaginer
