"""Encode while the next batch is imagined: frames go through a queue to one thread that feeds the segments' encoders."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.render.plan import Plan
from reactive.video.codec import Codec
from reactive.video.segment import SegmentEncoder

# batches that may wait: enough to keep both sides busy, few enough to keep memory flat
_WAITING = 4


class SegmentWriter:
    """Routes finished frames to the piece they belong to, in a thread of its own.

    Frames of one segment have to come in order; different segments may come in any.

    Parameters
    ----------
    plan
        The segments.
    folder
        Where the pieces are written.
    size, fps, codec
        Of the clip.
    done
        Called with the number of frames just encoded.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        size: tuple[int, int],
        fps: Fraction,
        codec: Codec,
        done: Callable[[int], None],
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.size = size
        self.fps = fps
        self.codec = codec
        self.done = done
        self.starts = np.array([segment.start for segment in plan.segments])
        self.open: dict[int, SegmentEncoder] = {}
        self.error: BaseException | None = None
        self.queue: queue.Queue[tuple[np.ndarray, torch.Tensor] | None] = queue.Queue(_WAITING)
        self.thread = threading.Thread(target=self._work, name="encode", daemon=True)
        self.thread.start()

    def put(self, frames: np.ndarray, pictures: torch.Tensor) -> None:
        """Hand over finished pictures, uint8 [n, 3, height, width]; waits while the encoder is behind.

        Raises
        ------
        OutputError
            If an earlier frame could not be written.
        """
        self._check()
        self.queue.put((frames, pictures))

    def finish(self) -> list[tuple[Path, int]]:
        """Wait for the last frame; return the pieces in order with their numbers of frames.

        Raises
        ------
        OutputError
            If a frame could not be written.
        """
        self.queue.put(None)
        self.thread.join()
        self._check()
        return [(self._path(i), segment.stop - segment.start) for i, segment in enumerate(self.plan.segments)]

    def abandon(self) -> None:
        """Stop at once; what was written is of no use."""
        self.error = self.error or KeyboardInterrupt()
        while self.thread.is_alive():
            try:
                self.queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self.thread.join()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.mkv"

    def _work(self) -> None:
        while (item := self.queue.get()) is not None:
            if self.error is not None:
                continue
            try:
                self._encode(*item)
            except BaseException as problem:
                self.error = problem
        for encoder in self.open.values():
            # unfinished pieces are of no use; on a full disk even closing fails
            with contextlib.suppress(Exception):
                encoder.container.close()

    def _encode(self, frames: np.ndarray, pictures: torch.Tensor) -> None:
        whole = pictures.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for frame, picture in zip(frames.tolist(), whole, strict=True):
            if not self.plan.first <= frame < self.plan.last:
                continue
            index = int(np.searchsorted(self.starts, frame, side="right")) - 1
            segment = self.plan.segments[index]
            if frame == segment.start:
                self.open[index] = SegmentEncoder(self._path(index), size=self.size, fps=self.fps, codec=self.codec)
            self.open[index].write(picture)
            if frame == segment.stop - 1:
                self.open.pop(index).close()
            self.done(1)
