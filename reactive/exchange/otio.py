"""OpenTimelineIO: shots as clips on a video track, the song on an audio track, sections, phases and prompts as markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from reactive.exchange.moments import Run, phase_runs, prompt_runs, shot_runs
from reactive.exchange.packages import require_package
from reactive.timeline.clock import frame_length, nearest_frame
from reactive.timeline.timeline import Timeline


def otio_text(
    timeline: Timeline, *, song: str = "", clip: str = "", sections: Sequence[tuple[float, float, str]] = ()
) -> str:
    """Return a timeline that editing programs open.

    Parameters
    ----------
    timeline
        The timeline to write.
    song
        The song's file, referenced by its track, as a path relative to the timeline's.
    clip
        The rendered clip that every shot refers to, as such a path; empty if there is none.
    sections
        The song's sections as (start, end, label), in seconds.

    Raises
    ------
    ReactiveError
        If opentimelineio is not installed.
    """
    otio = require_package("opentimelineio")
    rate = 1 / frame_length(timeline.fps)

    def span(start: int, stop: int) -> Any:
        first, length = otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(stop - start, rate)
        return otio.opentime.TimeRange(first, length)

    def mark(run: Run, kind: str, colour: str) -> Any:
        return otio.schema.Marker(
            name=run.text, marked_range=span(run.start, run.stop), color=colour, metadata={"reactive": {"kind": kind}}
        )

    def refer(file: str) -> Any:
        reference = otio.schema.ExternalReference(target_url=quote(file)) if file else otio.schema.MissingReference()
        reference.available_range = span(0, timeline.frames)
        return reference

    document = otio.schema.Timeline(name=timeline.title or "reactive")
    document.metadata["reactive"] = {
        "song_sha256": timeline.song_sha256,
        "fps": str(timeline.fps),
        "seed": str(timeline.seed),
    }
    pictures = otio.schema.Track(name="pictures", kind=otio.schema.TrackKind.Video)
    for number, shot in enumerate(shot_runs(timeline), 1):
        part = otio.schema.Clip(
            name=f"shot {number}",
            media_reference=refer(clip),
            source_range=span(shot.start, shot.stop),
        )
        part.metadata["reactive"] = {"prompt": shot.text, **_film(timeline, shot.start)}
        pictures.append(part)
    sound = otio.schema.Track(name="sound", kind=otio.schema.TrackKind.Audio)
    sound.append(
        otio.schema.Clip(name=song or "song", media_reference=refer(song), source_range=span(0, timeline.frames))
    )
    document.tracks.extend([pictures, sound])
    section_runs = [
        Run(nearest_frame(start, timeline.fps), min(nearest_frame(end, timeline.fps), timeline.frames), label)
        for start, end, label in sections
    ]
    colours = otio.schema.MarkerColor
    for runs, kind, colour in (
        (section_runs, "section", colours.BLUE),
        (phase_runs(timeline), "phase", colours.PURPLE),
        (prompt_runs(timeline), "prompt", colours.GREEN),
    ):
        document.tracks.markers.extend(mark(run, kind, colour) for run in runs)
    return str(otio.adapters.write_to_string(document, "otio_json"))


def _film(timeline: Timeline, frame: int) -> dict[str, Any]:
    """Return the film of a frame and its position in seconds; empty without a film, or for one at song time."""
    second = float(timeline.columns["film_time"][frame])
    if second < 0:
        return {}
    source = int(timeline.columns["source"][frame])
    number = source if source >= 0 else int(timeline.columns["ground"][frame])
    return {"film": timeline.videos[number - len(timeline.photos)], "film_seconds": second}
