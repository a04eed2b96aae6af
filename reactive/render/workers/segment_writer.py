"""Encode while the next batch is imagined: frames go through a queue to one thread that feeds the segments' encoders."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.backend.transfer import Leaving, to_host
from reactive.render.store.job import Entry, finish_file
from reactive.video.codec import Codec
from reactive.video.segment import SegmentEncoder, output_error
from reactive.video.upscale import Upscale

# batches that may wait: enough to keep both sides busy, few enough to keep memory flat
_WAITING = 4


@dataclass(frozen=True)
class Piece:
    """A segment that is to be written.

    Attributes
    ----------
    start, stop
        Its frames.
    files
        For each shape of the clip that is missing: the file's name within the job folder, and its size in pixels.
    state
        Name of the file that hands its last picture over; None where nothing follows.
    """

    start: int
    stop: int
    files: tuple[tuple[str, tuple[int, int]], ...]
    state: str | None = None


# told each finished piece, by its number, and the files that it consists of
Finished = Callable[[int, list[Entry]], None]


class SegmentWriter:
    """Routes finished frames to the piece they belong to, in a thread of its own.

    Frames of one piece have to come in order; different pieces may come in any. Frames of no piece are ignored.

    Parameters
    ----------
    pieces
        What to write, in order, not overlapping.
    folder
        The job folder.
    fps, codec
        Of the clip.
    upscale
        Makes each picture as large as the clip wants it before it is cropped and scaled.
    finished
        Told each piece that is complete and safely on the disk; called from the writer's thread.
    done
        Called with the number of frames just encoded.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        folder: Path,
        *,
        fps: Fraction,
        codec: Codec,
        finished: Finished,
        done: Callable[[int], None],
        upscale: Upscale | None = None,
    ) -> None:
        self.pieces = pieces
        self.folder = folder
        self.fps = fps
        self.codec = codec
        self.finished = finished
        self.done = done
        self.upscale = upscale
        self.starts = np.array([piece.start for piece in pieces])
        self.stops = np.array([piece.stop for piece in pieces])
        self.open: dict[int, list[SegmentEncoder]] = {}
        self.states: dict[int, bytes] = {}
        self.error: BaseException | None = None
        # pieces in hand that an interruption would lose
        self.unfinished: set[int] = set()
        self.changed = threading.Condition()
        self.queue: queue.Queue[tuple[np.ndarray, Leaving] | None] = queue.Queue(_WAITING)
        self.thread = threading.Thread(target=self._work, name="encode", daemon=True)
        self.thread.start()

    def put(self, frames: np.ndarray, pictures: torch.Tensor, *, one_by_one: bool = False) -> None:
        """Hand over finished pictures, uint8 [n, 3, height, width]; waits while the encoder is behind.

        Parameters
        ----------
        one_by_one
            Wait until the piece before is on the disk, so that no more than one is ever lost.

        Raises
        ------
        OutputError
            If an earlier frame could not be written.
        """
        self._check()
        if one_by_one:
            touched = {index for frame in frames.tolist() if (index := self._index(frame)) is not None}
            first = min(touched, default=None)
            with self.changed:
                self.changed.wait_for(lambda: self.error is not None or self.unfinished <= {first})
                self.unfinished |= touched
            self._check()
        self.queue.put((frames, to_host(pictures.permute(0, 2, 3, 1).contiguous())))

    def hand_over(self, index: int, state: bytes) -> None:
        """Give a feedback piece's state, before its last frame."""
        self.states[index] = state

    def finish(self) -> None:
        """Wait for the last frame.

        Raises
        ------
        OutputError
            If a frame could not be written.
        """
        self.queue.put(None)
        self.thread.join()
        self._check()

    def abandon(self) -> None:
        """Stop at once; pieces that are not complete are dropped."""
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

    def _index(self, frame: int) -> int | None:
        """Return which piece a frame belongs to."""
        index = int(np.searchsorted(self.starts, frame, side="right")) - 1
        return index if index >= 0 and frame < self.stops[index] else None

    def _work(self) -> None:
        while (item := self.queue.get()) is not None:
            if self.error is not None:
                continue
            try:
                self._encode(*item)
            except BaseException as problem:
                with self.changed:
                    self.error = problem
                    self.changed.notify_all()
        for encoders in self.open.values():
            for encoder in encoders:
                # unfinished pieces are of no use; on a full disk even closing fails
                with contextlib.suppress(Exception):
                    encoder.container.close()
                encoder.path.unlink(missing_ok=True)

    def _encode(self, frames: np.ndarray, pictures: Leaving) -> None:
        whole = pictures.wait().numpy()
        for frame, picture in zip(frames.tolist(), whole, strict=True):
            index = self._index(frame)
            if index is None:
                continue
            piece = self.pieces[index]
            if frame == piece.start:
                self.open[index] = [
                    SegmentEncoder(partial_path(self.folder, name), size=size, fps=self.fps, codec=self.codec)
                    for name, size in piece.files
                ]
            larger = self.upscale(picture) if self.upscale is not None else picture
            for encoder in self.open[index]:
                encoder.write(larger)
            if frame == piece.stop - 1:
                self._complete(index)
            self.done(1)

    def _complete(self, index: int) -> None:
        piece = self.pieces[index]
        encoders = self.open[index]
        for encoder in encoders:
            encoder.close()
        del self.open[index]
        try:
            entries = [
                finish_file(self.folder, name, encoder.path)
                for (name, _), encoder in zip(piece.files, encoders, strict=True)
            ]
            if piece.state is not None:
                partial = partial_path(self.folder, piece.state)
                partial.write_bytes(self.states.pop(index))
                entries.append(finish_file(self.folder, piece.state, partial))
            self.finished(index, entries)
        except OSError as problem:
            raise output_error(self.folder, problem) from None
        with self.changed:
            self.unfinished.discard(index)
            self.changed.notify_all()


def partial_path(folder: Path, name: str) -> Path:
    """Return where a file of a job is written before it is complete; each process of each machine has its own place."""
    path = folder / name
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
