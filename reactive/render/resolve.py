"""Hear the song and decide its timeline, or take an edited one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.hear import hear
from reactive.errors import TimelineError
from reactive.media.sound import Track
from reactive.preset.lyrics import Line
from reactive.preset.schema import Preset
from reactive.preset.shots import Shots
from reactive.render.decide import decide
from reactive.render.footage import footage_of
from reactive.render.settings import Settings
from reactive.render.take import perform_take
from reactive.sources.ground import picture_chooser
from reactive.timeline.colours import recoloured
from reactive.timeline.excerpt import telling_start
from reactive.timeline.file import load_timeline
from reactive.timeline.shots import apply_shots
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class ResolvedTimeline:
    """The timeline, where an excerpt begins in seconds, the song, what was heard (None: an edited timeline), notes, and how
    black each frame of a take is."""

    timeline: Timeline
    start: float
    track: Track
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()
    black: np.ndarray | None = None


def resolve_timeline(
    track: Track, preset: Preset | None, lines: Sequence[Line], shot_edits: Shots | None, settings: Settings
) -> ResolvedTimeline:
    """Hear the song and decide its timeline."""
    if settings.sources.timeline:
        edited = recoloured(edited_timeline(settings, track), settings.colours.colours)
        return ResolvedTimeline(edited, settings.start, track, notes=track.notes)
    heard = hear(track.path, settings.hearing)
    black = None
    if settings.sources.take:
        photos, videos = (
            tuple(file.name for file in files) for files in (settings.sources.photos, settings.sources.videos)
        )
        performance = perform_take(
            settings.sources.take,
            heard.track,
            heard.analysis,
            photos,
            videos,
            choose=picture_chooser(settings.sources.photos, settings.sources.videos),
            footage=footage_of(settings.sources.videos),
        )
        timeline, black = performance.timeline, performance.black
    else:
        assert preset is not None
        timeline = decide(
            heard.analysis,
            preset,
            fps=settings.fps,
            seed=settings.seed,
            photos=settings.sources.photos,
            videos=settings.sources.videos,
            macros=settings.macros,
            lyrics=lines,
        )
    if shot_edits:
        timeline, _ = apply_shots(timeline, heard.analysis, shot_edits)
    timeline = recoloured(timeline, settings.colours.colours)
    start = settings.start
    if settings.telling:
        start = telling_start(heard.analysis, settings.duration or heard.track.duration)
    return ResolvedTimeline(timeline, start, heard.track, heard.analysis, heard.notes, black)


def edited_timeline(settings: Settings, track: Track) -> Timeline:
    """Load the timeline that was asked for and check that it belongs to this song and these photographs."""
    assert settings.sources.timeline is not None
    timeline = load_timeline(settings.sources.timeline)
    where = str(settings.sources.timeline)
    if not track.is_called(timeline.song_sha256, timeline.file_sha256):
        raise TimelineError("was made for another song", where=where, remedy="name that song, or write a new timeline")
    for kind, option, files, named in (
        ("photographs", "--photo", settings.sources.photos, timeline.photos),
        ("videos", "--video", settings.sources.videos, timeline.videos),
    ):
        if named != tuple(file.name for file in files):
            wanted = ", ".join(named) or "none"
            raise TimelineError(
                f"wants the {kind}: {wanted}", where=where, remedy=f"name them with {option}, in this order"
            )
    return timeline


def negatives_of(timeline: Timeline, more: str) -> tuple[str, ...]:
    """Return what each of a timeline's prompts keeps away from, with `more` for all of them; empty for nothing."""
    own = timeline.negatives or ("",) * len(timeline.prompts)
    return tuple(", ".join(text for text in (one, more) if text) for one in own) if any(own) or more else ()
