"""Encode while the next batch is imagined: frames are queued by piece, and threads feed the pieces' encoders.

A piece is one closed stream, so pieces are encoded side by side without changing a bit of any; the frames of one piece follow
each other. An encoder on a card opens only so many streams at once: pieces beyond that keep their frames in a file until
one is free.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.backend.opencv import opencv
from reactive.diffusion.backend.transfer import HostCopy, to_host
from reactive.errors import OutputError
from reactive.render.store.job import JobFile, finish_file
from reactive.render.workers.flash_check import flash_check_data
from reactive.render.workers.spool import Spool
from reactive.video.codec import Codec
from reactive.video.segment import SegmentEncoder, output_error
from reactive.video.upscale import Upscale

# batches that may wait for each thread: enough to keep both sides busy, few enough to keep memory flat
_WAITING = 4
# more threads than this slow down imagining
MAX_THREADS = 16


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
        Name of the file that keeps its last picture for the next segment; None if none follows.
    flash_check
        Name of the file with the small pictures by which flashes are judged, and of the file of `files` that they are taken from;
        None if it exists already.
    """

    start: int
    stop: int
    files: tuple[tuple[str, tuple[int, int]], ...]
    state: str | None = None
    flash_check: tuple[str, str] | None = None


# called with the number of each finished piece and its files
Finished = Callable[[int, list[JobFile]], None]


@dataclass
class _Batch:
    """Pictures that are being copied to the host, and how many of them are not encoded yet."""

    pictures: HostCopy
    left: int

    def picture(self, slot: int) -> np.ndarray:
        """Return a picture, uint8 [height, width, 3]; waits until it is copied."""
        whole = self.pictures.wait()
        if whole.shape[-1] == 3:
            return whole[slot].numpy()
        planes = whole[slot].numpy()
        turned = planes.transpose(1, 2, 0)
        if turned.flags.c_contiguous:
            return turned
        # thirty times as fast as numpy's own way
        merged: np.ndarray = opencv().merge(list(planes))
        return merged


@dataclass
class _OpenPiece:
    """A piece in progress: waiting frames, its encoders once they are open, and a file of earlier frames."""

    waiting: deque[tuple[_Batch, int]] = field(default_factory=deque)
    encoders: list[SegmentEncoder] | None = None
    spool: Spool | None = None
    busy: bool = False
    # frames that were received and are not encoded yet, and those that are
    behind: int = 0
    written: int = 0


class SegmentWriter:
    """Routes finished frames to the piece they belong to, in threads of its own.

    Frames of one piece have to come in order; pieces may come in any order. Frames of no piece are ignored.

    Parameters
    ----------
    pieces
        What to write, in order, not overlapping.
    folder
        The job folder.
    fps, codec
        Of the clip.
    upscale
        Upscales each picture before it is cropped and scaled to the clip's size.
    finished
        Called with each piece that is complete and safely on the disk, from one of the writer's threads, never from two at
        once.
    done
        Called with the number of frames just encoded, never by two threads at once.
    threads
        How many pieces are encoded side by side.
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
        threads: int = 1,
    ) -> None:
        self.pieces = pieces
        self.folder = folder
        self.fps = fps
        self.codec = codec
        self.finished = finished
        self.done = done
        self.upscale = upscale
        self.max_threads = max(1, min(threads, MAX_THREADS))
        self.starts = np.array([piece.start for piece in pieces])
        self.stops = np.array([piece.stop for piece in pieces])
        # in the order of their first frames
        self.open: dict[int, _OpenPiece] = {}
        self.states: dict[int, bytes] = {}
        self.error: BaseException | None = None
        self.batches = 0
        # streams that the encoder may have open at once, and how many it has
        self.sessions = codec.sessions
        self.streams = 0
        # how many pieces ever had their streams
        self.begun = 0
        self.idle = 0
        self.closed = False
        # a condition's own `with` runs in Python: a Ctrl-C can come between its lock and its body and leave it locked for ever,
        # so the lock itself is taken, which no signal comes between
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        # progress is not reported by two threads at once
        self.telling = threading.Lock()
        self.threads: list[threading.Thread] = []

    def put(self, frames: np.ndarray, pictures: torch.Tensor, *, few: bool = False) -> None:
        """Queue finished pictures, uint8 [n, 3, height, width]; waits while the encoders are behind.

        Parameters
        ----------
        few
            Also wait until no more pieces than threads are in progress, so that an interruption loses no more than those.

        Raises
        ------
        OutputError
            If an earlier frame could not be written.
        """
        self._check()
        found = [self._index(frame) for frame in frames.tolist()]
        wanted = [index for index in found if index is not None]
        if not wanted:
            return
        # on a processor the writer's own threads turn the pictures
        turned = pictures if pictures.device.type == "cpu" else pictures.permute(0, 2, 3, 1).contiguous()
        batch = _Batch(to_host(turned), len(wanted))
        first = min(wanted)
        try:
            self._queue(found, batch, first, few=few)
        except RuntimeError as problem:
            # what a Ctrl-C becomes that comes just where waiting lets go of the lock
            if isinstance(problem.__context__, KeyboardInterrupt):
                raise problem.__context__ from None
            raise

    def _queue(self, found: Sequence[int | None], batch: _Batch, first: int, *, few: bool) -> None:
        with self.lock:
            self.changed.wait_for(
                lambda: (
                    self.error is not None
                    or (
                        self.batches < _WAITING * self.max_threads
                        and not (few and self._open_count(first) >= self.max_threads)
                    )
                )
            )
            self._check()
            self.batches += 1
            for slot, index in enumerate(found):
                if index is not None:
                    held = self.open.setdefault(index, _OpenPiece())
                    held.waiting.append((batch, slot))
                    held.behind += 1
            ready = sum(bool(held.waiting) and not held.busy for held in self.open.values())
            for _ in range(min(ready - self.idle, self.max_threads - len(self.threads))):
                self.threads.append(threading.Thread(target=self._work, name="encode", daemon=True))
                self.threads[-1].start()
            self.changed.notify_all()

    def runs(self, indices: Sequence[int], size: int) -> Iterator[np.ndarray]:
        """Yield the frames of pieces in runs of at most `size`, so that the encoders have work and few pieces are in progress.

        Another piece begins only when each one in progress has a whole run waiting for its encoder: an interruption loses
        those in progress.
        """
        left = deque(indices)
        # of each piece in progress
        next_frame: dict[int, int] = {}
        while left or next_frame:
            with self.lock:
                behind = {index: self.open[index].behind if index in self.open else 0 for index in next_frame}
            index = min(behind, key=behind.__getitem__, default=None)
            if index is None or (left and len(next_frame) < self.max_threads and behind[index] >= size):
                index = left.popleft()
                next_frame[index] = self.pieces[index].start
            first, stop = next_frame[index], self.pieces[index].stop
            last = min(first + size, stop)
            if last < stop:
                next_frame[index] = last
            else:
                del next_frame[index]
            yield np.arange(first, last)

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
        self._stop()
        self._check()

    def abandon(self) -> None:
        """Stop at once; pieces that are not complete are dropped."""
        with self.lock:
            self.error = self.error or KeyboardInterrupt()
        self._stop()

    def _stop(self) -> None:
        with self.lock:
            self.closed = True
            self.changed.notify_all()
        for thread in self.threads:
            # one that a Ctrl-C kept from starting has nothing to wait for
            with contextlib.suppress(RuntimeError):
                thread.join()
        for held in self.open.values():
            for encoder in held.encoders or ():
                # unfinished pieces are of no use; on a full disk even closing fails
                with contextlib.suppress(Exception):
                    encoder.container.close()
                encoder.path.unlink(missing_ok=True)
            if held.spool is not None:
                held.spool.close()
        self.open.clear()

    def _open_count(self, own: int) -> int:
        """Return how many other pieces are in progress; those that wait for a card's stream may have to wait for this one."""
        return sum(index != own and held.spool is None for index, held in self.open.items())

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _index(self, frame: int) -> int | None:
        """Return which piece a frame belongs to."""
        index = int(np.searchsorted(self.starts, frame, side="right")) - 1
        return index if index >= 0 and frame < self.stops[index] else None

    def _work(self) -> None:
        while True:
            with self.lock:
                self.idle += 1
                self.changed.wait_for(lambda: self._ready() is not None or self.error is not None or self._all_taken())
                self.idle -= 1
                index = self._ready()
                if self.error is not None or index is None:
                    return
                held = self.open[index]
                held.busy = True
                taken, held.waiting = held.waiting, deque()
            try:
                self._encode(index, held, taken)
            except BaseException as problem:
                with self.lock:
                    self.error = self.error or problem
            with self.lock:
                held.busy = False
                self.changed.notify_all()

    def _ready(self) -> int | None:
        """Return the earliest piece that a thread can go on with."""
        for index, held in self.open.items():
            if not held.busy and (held.waiting or (held.spool is not None and self._has_room(index))):
                return index
        return None

    def _all_taken(self) -> bool:
        return self.closed and not any(held.waiting or held.spool is not None for held in self.open.values())

    def _has_room(self, index: int) -> bool:
        """Return whether a piece may open its streams now: those that wait longer come first."""
        if self.sessions is None or not self.streams:
            return True
        earlier = (held for other, held in self.open.items() if other < index and held.encoders is None)
        return self.streams + len(self.pieces[index].files) <= self.sessions and not any(h.spool for h in earlier)

    def _encode(self, index: int, held: _OpenPiece, taken: deque[tuple[_Batch, int]]) -> None:
        if held.encoders is None and not self._begin(index, held):
            if held.spool is None:
                held.spool = Spool(partial_path(self.folder, f"{self.pieces[index].files[0][0]}.frames"))
            for batch, slot in taken:
                held.spool.add(batch.picture(slot))
                self._encoded(batch)
            return
        if held.spool is not None:
            for picture in held.spool:
                self._write(held, picture)
            held.spool.close()
            held.spool = None
        for batch, slot in taken:
            self._write(held, batch.picture(slot))
            self._encoded(batch)
        if held.written == self.pieces[index].stop - self.pieces[index].start:
            self._complete(index, held)

    def _begin(self, index: int, held: _OpenPiece) -> bool:
        """Open a piece's streams; return whether the encoder has them free."""
        files = self.pieces[index].files
        with self.lock:
            if not self._has_room(index):
                return False
            others, begun = self.streams, self.begun
            self.streams += len(files)
        encoders: list[SegmentEncoder] = []
        try:
            for name, size in files:
                path = partial_path(self.folder, name)
                encoders.append(SegmentEncoder(path, size=size, fps=self.fps, codec=self.codec))
                if self.sessions is not None:
                    encoders[-1].open()
        except OutputError:
            for encoder in encoders:
                with contextlib.suppress(Exception):
                    encoder.container.close()
                encoder.path.unlink(missing_ok=True)
            with self.lock:
                self.streams -= len(files)
                # a piece that was begun meanwhile may have taken the stream
                others = max(others, self.streams, int(self.begun > begun))
                if self.sessions is None or not others:
                    raise
                # fewer than documented: other programs use the card too
                self.sessions = min(self.sessions, others)
            return False
        with self.lock:
            self.begun += 1
        held.encoders = encoders
        return True

    def _write(self, held: _OpenPiece, picture: np.ndarray) -> None:
        assert held.encoders is not None
        if self.error is not None:
            raise self.error
        larger = self.upscale(picture) if self.upscale is not None else picture
        for encoder in held.encoders:
            encoder.write(larger)
        with self.lock:
            held.written += 1
            held.behind -= 1
        with self.telling:
            self.done(1)

    def _encoded(self, batch: _Batch) -> None:
        with self.lock:
            batch.left -= 1
            if not batch.left:
                self.batches -= 1
                self.changed.notify_all()

    def _complete(self, index: int, held: _OpenPiece) -> None:
        piece = self.pieces[index]
        assert held.encoders is not None
        for encoder in held.encoders:
            encoder.close()
        try:
            written = [(name, encoder.path) for (name, _), encoder in zip(piece.files, held.encoders, strict=True)]
            if piece.flash_check is not None:
                name, source = piece.flash_check
                written.append((name, partial_path(self.folder, name)))
                written[-1][1].write_bytes(flash_check_data(dict(written)[source]))
            if piece.state is not None:
                written.append((piece.state, partial_path(self.folder, piece.state)))
                written[-1][1].write_bytes(self.states.pop(index))
            entries = [finish_file(self.folder, name, partial) for name, partial in written]
            with self.telling:
                self.finished(index, entries)
        except OSError as problem:
            raise output_error(self.folder, problem) from None
        with self.lock:
            self.streams -= len(piece.files)
            del self.open[index]
            self.changed.notify_all()


def partial_path(folder: Path, name: str) -> Path:
    """Return where a file of a job is written before it is complete; each process of each machine has its own."""
    path = folder / name
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
