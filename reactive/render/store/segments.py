"""Which segments of a plan are done and which are missing: plan, cache keys and job folder together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from fractions import Fraction
from pathlib import Path
from threading import Event

from reactive.errors import OutputError
from reactive.render.plan import Plan
from reactive.render.spec import RenderSpec
from reactive.render.store.cache_keys import file_key
from reactive.render.store.job import Job, JobFile
from reactive.render.workers.segment_renderer import SegmentTask
from reactive.render.workers.segment_writer import Piece
from reactive.timeline.clock import frame_time
from reactive.video.codec import BYTES_A_PIXEL, Codec
from reactive.video.upscale import NO_UPSCALING, Upscaling

# seconds between two looks at a piece that is not finished
_PAUSE = 0.05


class SegmentStore:
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

    def flash_check_name(self, number: int) -> str:
        """Return the name of the file with the small pictures by which a segment's flashes are judged, in the clip's own shape."""
        return f"flashes/{Path(self.files[number][0]).stem}"

    def missing(self) -> list[SegmentTask]:
        """Return the segments that are not whole on disk, in order."""
        return [task for number in range(len(self.plan.segments)) if (task := self.task(number)).piece.files]

    def task(self, number: int) -> SegmentTask:
        """Return what is missing of a segment now; a task without files if nothing is."""
        segment = self.plan.segments[number]
        # a dict: output shapes of the same size share one file
        wanted = {
            name: size
            for name, size in zip(self.files[number], self.sizes, strict=True)
            if not self.job.is_intact(name)
        }
        before = self._state(number - 1) if number else None
        follows = number and self.plan.segments[number - 1].shot == segment.shot and segment.shot is not None
        return SegmentTask(
            number,
            segment,
            Piece(
                segment.start,
                segment.stop,
                tuple(wanted.items()),
                self._state(number),
                (self.flash_check_name(number), self.files[number][0]) if self.files[number][0] in wanted else None,
            ),
            checkpoint=f"trails/{self.keys[number]}" if segment.shot is not None else "",
            before=before if follows and before is not None and self.job.is_intact(before) else None,
        )

    def accept(self, number: int, entries: list[JobFile]) -> None:
        """Record the files of a finished segment; its checkpoint is removed once the journal has them."""
        # the pictures last: a segment that has them has its other files
        for entry in reversed(entries):
            self.job.accept(entry)
        if self.plan.segments[number].shot is not None:
            (self.job.folder / "trails" / self.keys[number]).unlink(missing_ok=True)

    def pieces(self, shape: int) -> list[tuple[Path, int]]:
        """Return a shape's pieces in order, with their numbers of frames."""
        return [
            (self.job.folder / names[shape], segment.stop - segment.start)
            for names, segment in zip(self.files, self.plan.segments, strict=True)
        ]

    def flash_checked_ahead(self, ended: Event) -> Iterator[tuple[Path, int, Path | None]]:
        """Yield what `flash_checked_pieces` returns, each as soon as it is finished; `missing` must have been asked before.

        Raises
        ------
        CancelledError
            Soon after `ended` is set while a piece is not finished.
        """
        for number, piece in enumerate(self.pieces(0)):
            while not self.job.is_known(self.files[number][0]):
                if ended.wait(_PAUSE):
                    raise CancelledError
            name = self.flash_check_name(number)
            yield (*piece, self.job.folder / name if self.job.is_intact(name) else None)

    def flash_checked_pieces(self, pieces: Sequence[tuple[Path, int]]) -> list[tuple[Path, int, Path | None]]:
        """Return the clip's pieces, each with the small pictures by which its flashes are judged."""
        # pieces that were encoded again with something laid over them are other files than the job's own
        own = self.pieces(0)
        found: list[tuple[Path, int, Path | None]] = []
        for number, (piece, before) in enumerate(zip(pieces, own, strict=True)):
            name = self.flash_check_name(number)
            there = piece == before and self.job.is_intact(name)
            found.append((*piece, self.job.folder / name if there else None))
        return found

    def frames_done(self) -> int:
        """Return how many frames of the clip are rendered already."""
        missing = {task.number for task in self.missing()}
        return sum(s.stop - s.start for number, s in enumerate(self.plan.segments) if number not in missing)

    def _state(self, number: int) -> str | None:
        """Return the name of the file with a segment's last picture, from which the next one goes on; None if the shot ends there."""
        segment = self.plan.segments[number]
        return f"states/{self.keys[number]}" if segment.shot is not None and segment.stop < segment.shot[1] else None


def feedback_bytes(segments: SegmentStore, spec: RenderSpec) -> int:
    """Return how many bytes the uncompressed pictures of feedback segments take: states, and checkpoints of those in progress."""
    tasks = [task for task in segments.missing() if task.segment.shot is not None]
    ticks = math.ceil(frame_time(segments.plan.longest, spec.timeline.fps) * spec.timeline.feedback_rate) + 1
    pictures = (
        sum(task.piece.state is not None for task in tasks) + min(len(tasks), spec.lane_count(spec.batch)) * ticks
    )
    # lanes that wait for a free stream of a card's encoder keep a piece's pictures in a file
    if (streams := segments.codec.sessions) is not None:
        pictures += max(0, min(len(tasks), spec.lane_count(spec.batch)) - streams) * segments.plan.longest
    return pictures * 3 * spec.imagined[0] * spec.imagined[1]


def check_space(segments: SegmentStore, outs: Sequence[Path], spec: RenderSpec) -> None:
    """Check that the disk holds what is still to be written, by a rough estimate.

    Raises
    ------
    OutputError
        If it certainly does not.
    """
    quality = int(segments.codec.options.get("crf", 18))
    a_pixel = BYTES_A_PIXEL[segments.codec.name] * (
        2 ** ((18 - quality) / 6) if segments.codec.name == "libx264" else 1
    )
    pixels = sum(width * height for width, height in segments.sizes)
    total = segments.plan.last - segments.plan.first
    # the pieces that are missing, and the whole clip beside them
    needed = int((2 * total - segments.frames_done()) * pixels * a_pixel) + feedback_bytes(segments, spec)
    free = shutil.disk_usage(segments.job.folder).free
    if free < needed:
        raise OutputError(
            f"needs about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            where=str(outs[0]),
            remedy="free some space, or choose another place with -o or --job",
        )
