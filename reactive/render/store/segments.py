"""What of a plan is done and what is missing: plan, keys and job folder side by side."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from reactive.errors import OutputError
from reactive.render.plan import Plan
from reactive.render.store.cache_keys import file_key
from reactive.render.store.job import Entry, Job
from reactive.render.workers.segment_renderer import Order, Todo
from reactive.render.workers.segment_writer import Piece
from reactive.timeline.clock import frame_time
from reactive.video.codec import HARDWARE, Codec
from reactive.video.upscale import NO_UPSCALING, Upscaling

# bytes a pixel that a clip of lively pictures takes: measured for H.264 at quality 18 (x264 halves it every 6 steps)
_BYTES = {"libx264": 0.08, **dict.fromkeys(HARDWARE.values(), 0.1), "prores_ks": 0.55, "ffv1": 1.6}


class Books:
    """The state of a render.

    Parameters
    ----------
    job
        The open job folder.
    plan, keys
        The segments and the keys of their pictures.
    sizes
        The clip's size, and those of its other shapes.
    fps, codec, upscaling
        Of the clip.
    """

    def __init__(
        self,
        job: Job,
        plan: Plan,
        keys: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        fps: Fraction,
        codec: Codec,
        upscaling: Upscaling = NO_UPSCALING,
    ) -> None:
        self.job = job
        self.plan = plan
        self.sizes = sizes
        self.codec = codec
        self.keys = keys
        self.files = [
            [f"segments/{file_key(key, size=size, fps=fps, codec=codec, upscaling=upscaling)}.mkv" for size in sizes]
            for key in keys
        ]

    def watched(self, number: int) -> str:
        """Return the name of the file that keeps what flashes of a segment are judged by, in the clip's own shape."""
        return f"flashes/{Path(self.files[number][0]).stem}"

    def missing(self) -> list[Todo]:
        """Return the segments that are not whole on disk, in order."""
        return [todo for number in range(len(self.plan.segments)) if (todo := self.todo(number)).piece.files]

    def todo(self, number: int) -> Todo:
        """Return what is missing of a segment, as things stand now; no files if nothing is."""
        segment = self.plan.segments[number]
        # two shapes of one size are one file
        wanted = {
            name: size for name, size in zip(self.files[number], self.sizes, strict=True) if not self.job.good(name)
        }
        before = self._state(number - 1) if number else None
        follows = number and self.plan.segments[number - 1].shot == segment.shot and segment.shot is not None
        return Todo(
            number,
            segment,
            Piece(
                segment.start,
                segment.stop,
                tuple(wanted.items()),
                self._state(number),
                (self.watched(number), self.files[number][0]) if self.files[number][0] in wanted else None,
            ),
            trail=f"trails/{self.keys[number]}" if segment.shot is not None else "",
            before=before if follows and before is not None and self.job.good(before) else None,
        )

    def accept(self, number: int, entries: list[Entry]) -> None:
        """Note the files of a finished segment; its trail goes once the journal tells of them."""
        for entry in entries:
            self.job.accept(entry)
        if self.plan.segments[number].shot is not None:
            (self.job.folder / "trails" / self.keys[number]).unlink(missing_ok=True)

    def pieces(self, shape: int) -> list[tuple[Path, int]]:
        """Return a shape's pieces in order, with their numbers of frames."""
        return [
            (self.job.folder / names[shape], segment.stop - segment.start)
            for names, segment in zip(self.files, self.plan.segments, strict=True)
        ]

    def watched_pieces(self, pieces: Sequence[tuple[Path, int]]) -> list[tuple[Path, int, Path | None]]:
        """Return the clip's pieces, some of which may have been encoded again, each with what is left to judge it by."""
        own = self.pieces(0)
        found: list[tuple[Path, int, Path | None]] = []
        for number, (piece, before) in enumerate(zip(pieces, own, strict=True)):
            name = self.watched(number)
            there = piece == before and self.job.good(name)
            found.append((*piece, self.job.folder / name if there else None))
        return found

    def frames_there(self) -> int:
        """Return how many frames of the clip need no rendering."""
        missing = {todo.number for todo in self.missing()}
        return sum(s.stop - s.start for number, s in enumerate(self.plan.segments) if number not in missing)

    def _state(self, number: int) -> str | None:
        segment = self.plan.segments[number]
        return f"states/{self.keys[number]}" if segment.shot is not None and segment.stop < segment.shot[1] else None


def feedback_bytes(books: Books, order: Order) -> int:
    """Return how many bytes the uncompressed pictures of feedback segments take: states for good, trails while in hand."""
    todos = [todo for todo in books.missing() if todo.segment.shot is not None]
    ticks = math.ceil(frame_time(books.plan.longest, order.timeline.fps) * order.timeline.feedback_rate) + 1
    pictures = (
        sum(todo.piece.state is not None for todo in todos) + min(len(todos), order.lanes_of(order.batch)) * ticks
    )
    # lanes that find no stream of a card's encoder free keep a piece's pictures in a file
    if (streams := books.codec.sessions) is not None:
        pictures += max(0, min(len(todos), order.lanes_of(order.batch)) - streams) * books.plan.longest
    return pictures * 3 * order.imagined[0] * order.imagined[1]


def check_space(books: Books, outs: Sequence[Path], order: Order) -> None:
    """Check that the disk holds what is still to be written, by a rough estimate.

    Raises
    ------
    OutputError
        If it surely does not.
    """
    quality = int(books.codec.options.get("crf", 18))
    a_pixel = _BYTES[books.codec.name] * (2 ** ((18 - quality) / 6) if books.codec.name == "libx264" else 1)
    pixels = sum(width * height for width, height in books.sizes)
    total = books.plan.last - books.plan.first
    # the pieces that are missing, and the whole clip beside them
    needed = int((2 * total - books.frames_there()) * pixels * a_pixel) + feedback_bytes(books, order)
    free = shutil.disk_usage(books.job.folder).free
    if free < needed:
        raise OutputError(
            f"needs about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free", where=str(outs[0]),
            remedy="free some space, or choose another place with -o or --job",
        )  # fmt: skip
