"""The project's song for the page: its analysis, its grid, and the project's timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.cache import hear_once
from reactive.audio.corrections import Corrections, apply_corrections, grid_file, save_corrections
from reactive.audio.fit import outcome
from reactive.errors import GridError, ReactiveError
from reactive.live.grid import correct_grid, grid_for_page, saved_grid
from reactive.live.song import analysis_for_page, timeline_for_page, write_wav
from reactive.media.sound import Track
from reactive.preset.library import lyrics_of, open_preset
from reactive.preset.shots import Shots, load_shots
from reactive.render.decide import decide
from reactive.render.take import perform_take
from reactive.sources.ground import picture_chooser
from reactive.studio.project import Project, render_settings
from reactive.timeline.clock import frame_time
from reactive.timeline.shot_edits import apply_shots
from reactive.timeline.shots import Shot
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class HeardSong:
    """A song, its analysis before corrections, the corrections, and the corrected analysis."""

    track: Track
    raw: Analysis
    corrections: Corrections
    analysis: Analysis


@dataclass(frozen=True)
class Decided:
    """A project's timeline: without (`plain`) and with edits of single shots, these edits, and the shots as they are now."""

    plain: Timeline
    timeline: Timeline
    edits: Shots
    shots: list[Shot]
    fps: float


def hear_song(path: Path, wav: Path, say: Callable[[str], None]) -> HeardSong:
    """Analyse a song and write it as WAV for browsers; `say` is called with a description of each step.

    Raises
    ------
    ReactiveError
        If it can't be read.
    """
    say("listening for beats, bars and sections")
    track, raw = hear_once(path)
    say("preparing the song for the page")
    wav.parent.mkdir(parents=True, exist_ok=True)
    write_wav(track, wav)
    corrections, analysis = saved_grid(track, raw)
    return HeardSong(track, raw, corrections, analysis)


def corrected(song: HeardSong, data: dict[str, Any]) -> HeardSong:
    """Return a song with its grid corrected by an action of the page; the correction is saved beside the song.

    Raises
    ------
    GridError
        If that is not possible; nothing is changed.
    """
    try:
        return with_corrections(song, correct_grid(song.raw, song.corrections, data))
    except ValueError as problem:
        raise GridError(str(problem), where="grid", remedy="reload the page") from None


def with_corrections(song: HeardSong, corrections: Corrections) -> HeardSong:
    """Return a song with corrections, and save them beside it."""
    analysis = apply_corrections(song.raw, corrections)
    track = song.track
    save_corrections(track.path, track.sha256, corrections, track.file_sha256, gave=outcome(analysis))
    return replace(song, corrections=corrections, analysis=analysis)


def kept_grid(song: HeardSong) -> Path | None:
    """Return the file of a song's corrections."""
    return grid_file(song.track.path, song.track.sha256, song.track.file_sha256)


def decide_project(folder: Path, project: Project, song: HeardSong) -> Decided:
    """Compute the timeline of a project's clip.

    Raises
    ------
    ReactiveError
        If the preset or a file can't be used.
    """
    settings = render_settings(folder, project)
    sources = settings.sources
    if sources.take:
        names = [tuple(file.name for file in files) for files in (sources.photos, sources.videos)]
        plain = perform_take(
            sources.take, song.track, song.analysis, *names, choose=picture_chooser(sources.photos)
        ).timeline
    else:
        file = open_preset(settings.preset)
        plain = decide(
            song.analysis,
            file.preset,
            fps=settings.fps,
            seed=settings.seed,
            photos=sources.photos,
            videos=sources.videos,
            macros=_known_macros(file.preset, settings.macros),
            lyrics=lyrics_of(file),
            styles=sources.styles,
            controls=sources.controls,
            loras=settings.model.loras,
        )
    edits = load_shots(sources.shots) if sources.shots else Shots()
    edited = apply_shots(plain, song.analysis, edits)
    return Decided(plain, edited.timeline, edited.edits, edited.shots, float(plain.fps))


def _known_macros(preset: Any, macros: dict[str, float]) -> dict[str, float]:
    """Return the values of a preset's own macros, without those of other presets."""
    known = {macro.name for macro in preset.macros}
    return {name: value for name, value in macros.items() if name in known}


def song_for_page(song: HeardSong) -> dict[str, Any]:
    """Return a song's description and waveform for the page."""
    analysis = song.analysis
    return {
        "title": song.track.path.stem,
        "key": str(getattr(analysis, "key", "") or ""),
        "notes": list(song.track.notes),
        "silent": bool(analysis.silent),
        "grid": grid_for_page(analysis, song.corrections),
        **analysis_for_page(analysis),
    }


def timeline_lanes(decided: Decided) -> dict[str, Any]:
    """Return the data of the timeline's lanes, with its shots and the times of each picture."""
    lanes = timeline_for_page(decided.timeline)
    del lanes["curves"]
    return lanes | {
        "fps": decided.fps,
        "shots": [_shot(shot, decided) for shot in decided.shots],
        "pictures": _picture_spans(decided.timeline),
    }


def _shot(now: Shot, decided: Decided) -> dict[str, Any]:
    edit = decided.edits.shot.get(now.name)
    fps = decided.timeline.fps
    return {
        "name": now.name,
        "start": round(float(frame_time(now.start, fps)), 4),
        # until then the one before it is blended out
        "settled": round(float(frame_time(min(now.settle, now.stop - 1), fps)), 4),
        "end": round(float(frame_time(now.stop, fps)), 4),
        "prompts": list(now.prompts),
        "seed": now.seed,
        "feedback": now.fed_back,
        "soft": not now.hard,
        "grounds": list(now.grounds),
        "photo": edit.photo if edit else "",
        "moved": edit.beats if edit else 0,
        "locked": bool(edit and edit.locked),
        "changed": bool(edit and (edit.prompt or edit.photo or edit.seed is not None or edit.beats or edit.merge)),
    }


def _picture_spans(timeline: Timeline) -> dict[str, list[list[float]]]:
    """Return the times [start, end] in seconds at which each photograph and film is visible, by name."""
    names = (*timeline.photos, *timeline.videos, *timeline.grounds)
    found: dict[str, list[list[float]]] = {}
    for column in ("source", "ground"):
        values = timeline.columns[column]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
        for first, last in zip(starts, starts[1:], strict=False):
            number = int(values[first])
            if 0 <= number < len(names):
                span = [round(float(frame_time(int(edge), timeline.fps)), 2) for edge in (first, last)]
                found.setdefault(names[number], []).append(span)
    return {name: sorted(spans) for name, spans in found.items()}


def error_for_page(error: ReactiveError) -> dict[str, Any]:
    """Return an error for the page."""
    return {"what": error.what, "where": error.where, "remedy": error.remedy, "text": str(error)}
