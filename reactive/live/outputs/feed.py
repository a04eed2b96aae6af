"""Sends the current picture to all outputs at a steady rate, from a thread of its own.

Other programs expect a frame every 1/fps seconds whether a new picture is ready or not, so the last one is sent again
until the next comes. An output that fails is closed and reported; the others and the preview go on.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from reactive.diffusion.backend.opencv import opencv
from reactive.errors import OutputError
from reactive.live.outputs.sink import KINDS, OutputSpec, Sink, open_sink
from reactive.timeline.clock import frame_length

log = logging.getLogger(__name__)
OPEN_SECONDS, CLOSE_SECONDS = 30.0, 10.0


@dataclass(frozen=True)
class TimedPicture:
    """The current picture: its JPEG, and its time in the song in seconds."""

    jpeg: bytes
    seconds: float


@dataclass
class _Output:
    spec: OutputSpec
    sink: Sink
    size: tuple[int, int]
    sent: int = 0
    failed: str | None = None


class OutputFeed:
    """All outputs of a preview.

    Parameters
    ----------
    specs
        Which outputs.
    picture
        Returns the current picture, with the same JPEG object while it is unchanged; None before there is any.
    size, fps
        Of the clip.
    """

    def __init__(
        self,
        specs: Sequence[OutputSpec],
        picture: Callable[[], TimedPicture | None],
        size: tuple[int, int],
        fps: Fraction,
    ) -> None:
        self.specs = tuple(specs)
        self._picture = picture
        self._size, self._fps = size, fps
        self._outputs: list[_Output] = []
        self._opened = threading.Event()
        self._ending = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="reactive-outputs", daemon=True)

    def open(self) -> None:
        """Open all outputs and begin to send.

        Raises
        ------
        OutputError
            If one can't be opened; then all are closed.
        """
        self._thread.start()
        if not self._opened.wait(OPEN_SECONDS):
            self._ending.set()
            raise OutputError("does not open", where="--output", remedy="leave it out, and see what its driver says")
        if self._problem is not None:
            raise self._problem

    def close(self) -> None:
        """Stop, and close all outputs; calling it again is harmless."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def status(self) -> list[dict[str, Any]]:
        """Return each output's kind, size, frames sent, and what failed."""
        return [
            {"kind": KINDS[one.spec.kind].label, "size": list(one.size), "sent": one.sent, "failed": one.failed}
            for one in self._outputs
        ]

    def _run(self) -> None:
        # opened, used and closed in this thread: OpenGL and Metal require that
        try:
            for spec in self.specs:
                sink = open_sink(spec, self._size, self._fps)
                self._outputs.append(_Output(spec, sink, spec.size or self._size))
        except BaseException as problem:
            self._problem = problem
            self._close_all()
            return
        finally:
            self._opened.set()
        try:
            self._send_all()
        finally:
            self._close_all()

    def _send_all(self) -> None:
        period = frame_length(self._fps)
        due = time.monotonic()
        last: bytes | None = None
        seconds = 0.0
        frames = {one.size: np.zeros((one.size[1], one.size[0], 3), np.uint8) for one in self._outputs}
        while not self._ending.is_set():
            shown = self._picture()
            if shown is not None:
                seconds = shown.seconds
                if shown.jpeg is not last:
                    last = shown.jpeg
                    whole = np.asarray(Image.open(io.BytesIO(last)).convert("RGB"))
                    frames = {size: covering(whole, size) for size in frames}
            for one in self._outputs:
                if one.failed is None:
                    self._send(one, frames[one.size], seconds)
            due = max(due + period, time.monotonic() - period)
            self._ending.wait(max(0.0, due - time.monotonic()))

    def _send(self, one: _Output, frame: np.ndarray, seconds: float) -> None:
        try:
            one.sink.send(frame, seconds)
            one.sent += 1
        except Exception as problem:
            one.failed = " ".join(str(problem).split())[:200] or type(problem).__name__
            log.warning("the output %s stopped: %s", one.spec.kind, one.failed)
            _close(one)

    def _close_all(self) -> None:
        for one in self._outputs:
            if one.failed is None:
                _close(one)


def _close(one: _Output) -> None:
    try:
        one.sink.close()
    except Exception as problem:
        log.warning("the output %s did not close: %s", one.spec.kind, problem)


def covering(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the largest centred part of a picture, uint8 [height, width, 3], that has the shape of `size`, scaled to it."""
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    across, down = min(width, max(1, round(size[0] / scale))), min(height, max(1, round(size[1] / scale)))
    left, top = (width - across) // 2, (height - down) // 2
    part = picture[top : top + down, left : left + across]
    if (across, down) != size:
        cv2 = opencv()
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.ascontiguousarray(part)
