"""Imagine what is being heard: always the newest frame, one picture at a time, in a thread of its own.

There is nothing to work ahead of, so what counts is how old a picture is when it is ready: frames that came while
another was imagined are left out. A fed-back picture grows out of the last one, moved by what the camera did since.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from reactive.diffusion.backend.out_of_memory import smaller_batch
from reactive.diffusion.calibration import pace_of
from reactive.diffusion.core import Core, FrameRequest, from_bytes
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.motion.camera import PATH, inverse_map, resample
from reactive.diffusion.motion.lens import through_lens
from reactive.diffusion.sampling.noise import NoisePath
from reactive.errors import ReactiveError
from reactive.live.conductor import LiveFrame
from reactive.live.engine import RATE_WINDOW, to_jpeg
from reactive.live.material import Studio
from reactive.timeline.placement import FEEDBACK
from reactive.timeline.walk import DEFAULT_HARMONICS

log = logging.getLogger(__name__)
QUALITY = 85
# embedded prompts that are kept; beyond, only those in use
MAX_TEXTS = 400


@dataclass(frozen=True)
class ShownFrame:
    """A finished picture: its number, when its sound was heard (`time.monotonic`), how old it was when done, and its JPEG."""

    number: int
    frame: int
    heard: float
    age: float
    jpeg: bytes


@dataclass
class _Feedback:
    """The last fed-back picture, uint8 [3, height, width], its shot, tick, camera path [6], and when it was made."""

    shot: int
    tick: int
    picture: torch.Tensor
    path: np.ndarray
    at: float


class LatestFrameRenderer:
    """The imagining thread.

    Parameters
    ----------
    studio
        What it works with.
    made
        Called from the thread after each picture.
    """

    def __init__(self, studio: Studio, made: Callable[[], None]) -> None:
        self.studio = studio
        self.made = made
        self.error: BaseException | None = None
        self.shown: ShownFrame | None = None
        self.pictures = 0
        self._row: tuple[LiveFrame, float] | None = None
        self._wanted = False
        self._running = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reactive-imagining", daemon=True)
        self._bank: PromptBank | None = None
        self._texts: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._core: Core | None = None
        self._noise: NoisePath | None = None
        self._feedback: _Feedback | None = None
        self._times: deque[float] = deque(maxlen=400)
        self._ages: deque[float] = deque(maxlen=60)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the picture in hand."""
        with self._condition:
            self._running = False
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def request(self, row: LiveFrame, heard: float) -> None:
        """Make this the frame to imagine next; `heard` is when its newest sound came, by `time.monotonic`."""
        with self._condition:
            self._row = row, heard
            self._condition.notify_all()

    def set_wanted(self, wanted: bool) -> None:
        """Say whether anybody looks."""
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
        """The median time from a sound's arrival to the finished picture, in seconds; 0 before there is one."""
        ages = sorted(self._ages)
        return ages[len(ages) // 2] if ages else 0.0

    def _work(self) -> None:
        while True:
            with self._condition:
                if not self._running:
                    return
                given = self._row if self._wanted else None
                if given is None:
                    self._condition.wait(0.5)
                    continue
                self._row = None
            row, heard = given
            try:
                try:
                    jpeg = self._finished(row)
                except (RuntimeError, MemoryError) as problem:
                    # one picture at a time already: one line
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
        """Return a frame's JPEG; None if the picture stands still."""
        if row.hold and self.shown is not None:
            return None
        columns = {name: np.array([value]) for name, value in row.columns.items()}
        picture = self.imagine(row)
        seen = through_lens(picture[None], columns, np.array([0]))[0]
        array = seen.permute(1, 2, 0).contiguous().cpu().numpy()
        return to_jpeg(array * np.uint8(0) if row.black else array, QUALITY)

    def imagine(self, row: LiveFrame) -> torch.Tensor:
        """Return a frame's picture without the lens, uint8 [3, height, width]."""
        core, noise = self._prepared(row)
        columns = row.columns
        source = int(columns["source"])
        noises = tuple(noise.at(row.seed + (step << 48), columns["walk"]) for step in range(core.noises_per_picture))
        given, strength, tick = self._source(row, source), columns["strength"], 0
        path = np.array([columns[name] for name in PATH])
        if source == FEEDBACK:
            fed = self._feedback if self._feedback is not None and self._feedback.shot == row.shot else None
            if fed is None:
                strength = 1.0
            else:
                moved = self._moved(fed, path)
                if float(row.seconds) - fed.at < 1 / row.rate - 1e-6:
                    # between two ticks the last picture moves on with the camera
                    return moved.clamp(0, 255).round().to(torch.uint8)
                tick = fed.tick + 1
                fresh = noise.fresh(row.seed, row.shot & 0xFFF, tick)
                noises = (math.sqrt(1 - row.fresh) * noises[0] + math.sqrt(row.fresh) * fresh, *noises[1:])
                given = (moved / 127.5 - 1).clamp(-1, 1)
        picture = core.imagine([FrameRequest(0, 1, columns["weight"], strength, noises, given, row.slerp)])[0]
        self._feedback = (
            _Feedback(row.shot, tick, picture.clone(), path, float(row.seconds)) if source == FEEDBACK else None
        )
        return picture

    def _moved(self, fed: _Feedback, path: np.ndarray) -> torch.Tensor:
        """Return the last fed-back picture as the camera has moved it since, float [3, height, width] in 0..255."""
        move = path - fed.path
        move[0] = math.exp(move[0])
        height, width = fed.picture.shape[-2:]
        return resample(fed.picture[None].float(), inverse_map(move, width / height)[None])[0]

    def _source(self, row: LiveFrame, source: int) -> torch.Tensor | None:
        """Return the photograph, or the video's picture now, float32 [3, height, width] in [-1, 1]."""
        if source < 0:
            return None
        if source in self.studio.sources.photos:
            return self.studio.sources.photos[source]
        return from_bytes(torch.from_numpy(self.studio.sources.videos[source].at(row.seconds)).permute(2, 0, 1))

    def _prepared(self, row: LiveFrame) -> tuple[Core, NoisePath]:
        """Return the core with the frame's prompts embedded, and the noise."""
        studio = self.studio
        texts = row.prompts, row.negatives
        width, height = studio.imagined
        if self._core is None or texts != self._texts:
            old = self._bank if self._bank is not None and len(self._bank.texts) < MAX_TEXTS else None
            negatives = row.negatives if any(row.negatives) else ()
            self._bank = PromptBank.extended(old, studio.model, row.prompts, negatives)
            self._core = Core(studio.model, self._bank, batch=1, width=width, height=height)
            self._texts = texts
        if self._noise is None:
            pace = pace_of(studio.model, width=width, height=height)
            shape = (
                studio.model.channels,
                height // studio.model.vae_scale_factor,
                width // studio.model.vae_scale_factor,
            )
            self._noise = NoisePath(*shape, DEFAULT_HARMONICS, pace=pace)
        return self._core, self._noise
