"""The timeline of a render: decided from what was heard and the preset, performed from a take, or loaded as it was edited."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.hear import Heard
from reactive.errors import TimelineError
from reactive.media.sound import Track
from reactive.render.decide import decide
from reactive.render.footage import footage_of
from reactive.render.inputs import RenderInputs
from reactive.render.settings import Settings
from reactive.render.take import perform_take
from reactive.sources.ground import picture_chooser
from reactive.timeline.colours import recoloured
from reactive.timeline.excerpt import telling_start
from reactive.timeline.file import load_timeline
from reactive.timeline.shot_edits import apply_shots
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class ResolvedTimeline:
    """The timeline of a render and what it comes from.

    Attributes
    ----------
    timeline
        What is decided for every frame of the song.
    start
        Second of the song at which the clip begins.
    track
        The song.
    analysis
        What was heard; None for an edited timeline.
    notes
        Sentences for the user.
    black
        How black each frame of a take is, float [frames] in [0, 1]; None where none is.
    """

    timeline: Timeline
    start: float
    track: Track
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()
    black: np.ndarray | None = None


def resolve_timeline(track: Track, heard: Heard | None, inputs: RenderInputs, settings: Settings) -> ResolvedTimeline:
    """Decide the timeline, or load the one that was edited.

    Parameters
    ----------
    track
        The song.
    heard
        What was heard in it; None if an edited timeline is rendered.
    inputs
        The preset, the words and the edits of single shots.
    settings
        Name the timeline or take that stands in the preset's place, if there is one.

    Raises
    ------
    ReactiveError
        If an edited timeline or a take belongs to another song, or an edit or a source can't be used.
    """
    if heard is None:
        edited = recoloured(edited_timeline(settings, track), settings.colours.colours)
        return ResolvedTimeline(edited, settings.start, track, notes=track.notes)
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
        assert inputs.preset_data is not None
        timeline = decide(
            heard.analysis,
            inputs.preset_data,
            fps=settings.fps,
            seed=settings.seed,
            photos=settings.sources.photos,
            videos=settings.sources.videos,
            macros=settings.macros,
            lyrics=inputs.lines,
            styles=settings.sources.styles,
            controls=settings.sources.controls,
            loras=settings.model.loras,
        )
    if inputs.shot_edits:
        timeline = apply_shots(timeline, heard.analysis, inputs.shot_edits).timeline
    timeline = replace(timeline, framing=settings.sources.framing_over(timeline.framing))
    timeline = recoloured(timeline, settings.colours.colours)
    start = settings.start
    if settings.telling:
        start = telling_start(heard.analysis, settings.duration or heard.track.duration)
    return ResolvedTimeline(timeline, start, heard.track, heard.analysis, heard.notes, black)


def edited_timeline(settings: Settings, track: Track) -> Timeline:
    """Load the timeline that the settings name and check that it belongs to this song and these photographs."""
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
