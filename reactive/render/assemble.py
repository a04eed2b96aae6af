"""Make clips of finished segments: lay the overlay over them, limit flashes, join them with the sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from threading import Event

from reactive.audio.analysis import Analysis
from reactive.media.sound import Track
from reactive.preset.schema import Overlay
from reactive.render.beside import beside
from reactive.render.deliver import deliver
from reactive.render.flashsafe import limit_pieces
from reactive.render.inputs import RenderInputs
from reactive.render.looping import LoopPlan, loop_pieces
from reactive.render.overlay import OverlayMark, make_marks, overlay_pieces
from reactive.render.recipe import Recipe, clip_tags
from reactive.render.request import RenderRequest, record_clip
from reactive.render.resolve import ResolvedTimeline
from reactive.render.settings import Settings
from reactive.render.store.job import Job, JobFile, finish_file
from reactive.render.store.segments import SegmentStore
from reactive.render.workers.flash_check import check_pieces
from reactive.score.flash import Flashes
from reactive.timeline.captions import captions_of
from reactive.timeline.clock import frame_time
from reactive.timeline.timeline import Timeline
from reactive.video.mux import encode_sound, join
from reactive.video.segment import output_error


def write_clips(
    song: str | os.PathLike[str],
    outs: Sequence[Path],
    settings: Settings,
    *,
    job: Job,
    request: RenderRequest,
    segments: SegmentStore,
    resolved: ResolvedTimeline,
    inputs: RenderInputs,
    container: str,
    recipe: Recipe | None,
    sound: tuple[int, int],
    encoded: Callable[[], Path] | None = None,
    judged: Callable[[], Flashes] | None = None,
    loop: LoopPlan | None = None,
) -> tuple[int, Flashes]:
    """Write the clip in each of its shapes; return how many pictures were held back to be safe to watch, and how it flashes.

    Parameters
    ----------
    sound
        The first sample of the song that sounds, and the one after the last.
    encoded
        Returns a file with them as AAC, see `sound_beside`; None: they are encoded as the clip is written.
    judged
        Returns how the clip flashes, see `flashes_beside`; None: it is found out as the clip is written.

    Raises
    ------
    OutputError
        If the disk is full or fails.
    """
    timeline, track, codec = resolved.timeline, resolved.track, segments.codec
    first = segments.plan.first
    # tags of the container, of which players show the first
    title = os.fsencode(Path(song).stem).decode("utf-8", "replace")
    metadata = {"title": title, "comment": f"made with reactive, preset {timeline.title}", **clip_tags(recipe)}
    held, flashes = 0, None
    for number, path in enumerate(outs):
        pieces, size = segments.pieces(number), segments.sizes[number]
        marks = overlay_marks(settings, inputs, timeline, resolved.analysis, size)
        if marks:
            pieces = overlay_pieces(pieces, marks, first=first, fps=timeline.fps, size=size, codec=codec)
        if loop:
            laid_over, pieces = pieces, loop_pieces(pieces, loop, fps=timeline.fps, size=size, codec=codec)
            for piece, _ in set(laid_over) - set(segments.pieces(number)):
                piece.unlink()
        if settings.output.flash_safe:
            given = pieces
            pieces, count = limit_pieces(given, fps=timeline.fps, size=size, codec=codec)
            held = max(held, count)
            for piece, _ in set(given) - set(pieces) - set(segments.pieces(number)):
                piece.unlink()
        write = partial(
            join,
            pieces,
            None if loop else track,
            fps=timeline.fps,
            container=container,
            codec=codec,
            sound=sound,
            metadata=metadata,
            encoded=encoded() if encoded else None,
        )
        with ExitStack() as stack:
            if number == 0 and judged is None:
                # judged while the clip is joined, which mostly waits for the disk
                looked = [(*piece, None) for piece in pieces] if loop else segments.flash_checked_pieces(pieces)
                judged = stack.enter_context(_judged_beside(looked, timeline.fps))
            deliver(write, path, settings, room=job.folder / "segments", whole=partial(record_clip, job, request, path))
            flashes = judged() if number == 0 and judged else flashes
        for piece, _ in set(pieces) - set(segments.pieces(number)):
            piece.unlink()
    assert flashes is not None
    return held, flashes


@contextmanager
def sound_beside(job: Job, track: Track, sound: tuple[int, int]) -> Iterator[Callable[[], Path]]:
    """Encode samples [start, stop) of the song as AAC while the block runs; yield what waits for the job's file with it.

    That takes 2 to 4 seconds for three minutes, in which loading the model leaves a core idle. Only the first run of a job
    encodes them. A block that ends by an error does not wait for the rest.

    Raises
    ------
    OutputError
        By what is yielded, if the disk is full or fails.
    """
    name = f"sounds/{track.sha256}-{sound[0]}-{sound[1]}.m4a"
    if job.is_intact(name):
        yield lambda: job.folder / name
        return
    # two suffixes, so that a job that goes on after a crash sweeps it away
    unfinished = job.folder / f"{name}.part"

    def encode(ended: Event) -> JobFile:
        try:
            encode_sound(track, unfinished, sound, halted=ended.is_set)
            return finish_file(job.folder, name, unfinished)
        finally:
            unfinished.unlink(missing_ok=True)

    with beside("sound", encode) as encoded:

        @cache
        def finished() -> Path:
            try:
                job.accept(encoded())
            except OSError as problem:
                raise output_error(job.folder / name, problem) from None
            return job.folder / name

        yield finished


def _judged_beside(
    pieces: Sequence[tuple[Path, int, Path | None]], fps: Fraction
) -> AbstractContextManager[Callable[[], Flashes]]:
    return beside("flashes", lambda ended: check_pieces(pieces, fps))


def flashes_beside(
    settings: Settings,
    *,
    segments: SegmentStore,
    resolved: ResolvedTimeline,
    inputs: RenderInputs,
) -> AbstractContextManager[Callable[[], Flashes] | None]:
    """Judge how the clip flashes piece by piece while the block makes them; what it gives waits for the result.

    For three minutes that takes a second and a half after the last picture otherwise. It gives None where finished pieces
    are not yet what the clip shows.
    """
    if settings.output.flash_safe or settings.output.loop:
        return nullcontext(None)
    if overlay_marks(settings, inputs, resolved.timeline, resolved.analysis, segments.sizes[0]):
        return nullcontext(None)
    fps = resolved.timeline.fps
    return beside("flashes", lambda ended: check_pieces(segments.flash_checked_ahead(ended), fps))


def title_notes(
    settings: Settings, inputs: RenderInputs, timeline: Timeline, analysis: Analysis | None, frames: tuple[int, int]
) -> list[str]:
    """Return a sentence if a title was given and none of the frames [first, last) shows it."""
    if not settings.overlay.title:
        return []
    if analysis is None:
        return ["An edited timeline brings no titles, so --title changes nothing."]
    overlay = inputs.preset.preset.overlay if inputs.preset else Overlay()
    bare = {caption.text for caption in captions_of(overlay, timeline, analysis)}
    captions = captions_of(overlay, timeline, analysis, title=settings.overlay.title)
    shown = [(caption.start, caption.end) for caption in captions if caption.text not in bare]
    start, end = (float(frame_time(frame, timeline.fps)) for frame in frames)
    if any(one < end and other > start for one, other in shown):
        return []
    where = (
        ", ".join(f"{one:.1f} to {other:.1f} s" for one, other in shown[:3]) or "a place that this song does not have"
    )
    return [f"No frame shows --title: it stands at {where}, and the clip is {start:.1f} to {end:.1f} s of the song."]


def overlay_marks(
    settings: Settings, inputs: RenderInputs, timeline: Timeline, analysis: Analysis | None, size: tuple[int, int]
) -> list[OverlayMark]:
    """Return what is laid over the finished pictures: the preset's overlay, and what the settings add to it.

    An edited timeline has no preset, so only the logo can be laid over it.
    """
    overlay, folder = Overlay(), None
    if inputs.preset:
        overlay, folder = inputs.preset.preset.overlay, inputs.preset.path.parent
    if settings.overlay.show_lyrics:
        overlay = overlay.model_copy(update={"lyrics": True})
    captions = (
        captions_of(overlay, timeline, analysis, title=settings.overlay.title, lyrics=inputs.lines) if analysis else []
    )
    logo = settings.overlay.logo or (folder / overlay.logo if folder and overlay.logo else None)
    font = folder / overlay.font if folder and overlay.font else None
    if not captions and not logo:
        return []
    return make_marks(overlay, captions, font=font, logo=logo, fps=timeline.fps, frames=timeline.frames, size=size)
