"""Decide a clip: an analysis and a preset become a timeline. The arguments are those that a person would write."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.errors import TimelineError
from reactive.preset.control import control_pictures
from reactive.preset.library import open_lyrics_of, open_preset
from reactive.preset.lyrics import Line, open_lyrics
from reactive.preset.schema import Preset
from reactive.preset.style import style_pictures
from reactive.render.footage import Video, films_of, footage_of
from reactive.sources.ground import picture_chooser
from reactive.timeline.clock import as_fps, frame_count, frame_times
from reactive.timeline.control_pictures import with_control_pictures
from reactive.timeline.loras import lora_strengths, with_lora_strengths
from reactive.timeline.styles import with_styles
from reactive.timeline.timeline import Timeline, build_timeline

# float [frames] in [0, 1], or a function that returns it for the times in seconds, float64 [frames], at which frames show
Curve = np.ndarray | Callable[[np.ndarray], np.ndarray]
_STEM = "stem."


def decide(
    analysis: Analysis,
    preset: str | os.PathLike[str] | Preset = "loop-destroy",
    *,
    fps: int | float | str | Fraction = 24,
    seed: int = 0,
    photos: Sequence[str | os.PathLike[str]] = (),
    videos: Sequence[Video] = (),
    macros: Mapping[str, float] | None = None,
    lyrics: str | os.PathLike[str] | Sequence[Line] | None = None,
    signals: Mapping[str, Curve] | None = None,
    styles: Sequence[str] = (),
    controls: Sequence[str] = (),
    loras: Sequence[str] = (),
) -> Timeline:
    """Decide every frame of a song's clip.

    Parameters
    ----------
    analysis
        What was heard.
    preset
        The name of a preset, its file or folder, or a preset that was read.
    fps
        Frames a second, 1 to 240: ``24``, ``29.97`` (the exact NTSC rate), ``"30000/1001"`` or a Fraction.
    seed
        Decides prompt order, noise and shake; the same seed gives the same timeline.
    photos, videos
        Photographs and films to feed in, or frames of one's own (`MovingSource`); `imagine` takes the same ones.
    macros
        Where the preset's knobs stand, 0 to 1, by name; those not named stand at their defaults.
    lyrics
        The song's words: an LRC, SRT or WebVTT file, or lines. Default: the file in the preset's folder, if there is one.
    signals
        Curves of one's own that the preset reads, by names that begin with ``stem.``: float [frames] in [0, 1], or a
        function that returns them for the frames' times in seconds. A preset reads 0 for a signal that is not given.
    styles
        Reference pictures in addition to the preset's own, each with an optional weight: ``cover.jpg:0.6``, or an expression in
        place of the number.
    controls
        Pictures whose shapes are kept in addition to the preset's own: ``canny:0.8``, ``depth:depth.png:0.3 + 0.5 * drop``.
    loras
        LoRAs in addition to the preset's own, each with an expression for its strength: ``film.safetensors:0.2+0.8*drop``; the
        model is loaded with the same ones. Those with a number are left to the model.

    Returns
    -------
    Timeline
        One row a frame, from the song's first sample to its last.

    Raises
    ------
    PresetError
        If the preset can't be found or used, or does not have one of the macros.
    TimelineError
        If the frame rate is not valid, or a signal has another length or leaves 0..1.
    MediaError
        If a photograph or film can't be read.

    Examples
    --------
    >>> import reactive
    >>> analysis = reactive.analyze(reactive.open_track("song.wav"))
    >>> timeline = reactive.decide(analysis, "loop-destroy", fps=29.97, seed=7)
    >>> timeline.fps
    Fraction(30000, 1001)
    >>> timeline.frames == len(timeline.columns["walk"])
    True
    """
    folder: Path | None = None
    lines: Sequence[Line] = ()
    if isinstance(preset, Preset):
        chosen = preset
    else:
        opened = open_preset(os.fspath(preset), option="preset")
        chosen, folder = opened.preset, opened.path.parent
        words = open_lyrics_of(opened) if lyrics is None else None
        lines = words.lines if words else ()
    if isinstance(lyrics, str | os.PathLike):
        lines = open_lyrics(Path(lyrics)).lines
    elif lyrics is not None:
        lines = lyrics
    chosen = with_styles(chosen, style_pictures(styles))
    chosen = with_control_pictures(chosen, control_pictures(controls))
    chosen = with_lora_strengths(chosen, lora_strengths(loras))
    rate = as_fps(fps)
    files = [Path(photo) for photo in photos]
    timeline = build_timeline(
        analysis,
        chosen,
        samples=analysis.samples,
        fps=rate,
        seed=seed,
        photos=tuple(file.name for file in files),
        videos=tuple(map(video_name, videos)),
        macros=macros,
        lyrics=lines,
        choose=picture_chooser(files, films_of(videos)),
        footage=footage_of(videos),
        signals=_curves(signals or {}, analysis, rate),
    )
    return replace(timeline, folder=folder)


def video_name(video: Video) -> str:
    """Return what a timeline calls a video: a film's base name, the kind of one's own frames."""
    return Path(video).name if isinstance(video, str | os.PathLike) else type(video).__name__


def _curves(signals: Mapping[str, Curve], analysis: Analysis, fps: Fraction) -> dict[str, np.ndarray]:
    """Return signals as arrays, float64 [frames]."""
    frames = frame_count(analysis.samples, analysis.sample_rate, fps)
    curves = {}
    for name, given in signals.items():
        if not name.startswith(_STEM) or name == _STEM:
            raise TimelineError("is not a name for a signal of your own", where=name, remedy=f"call it {_STEM}{name}")
        curve = np.asarray(given(frame_times(frames, fps)) if callable(given) else given, np.float64)
        if curve.shape != (frames,):
            raise TimelineError(
                f"has the shape {curve.shape}", where=name, remedy=f"give one value for each of {frames} frames"
            )
        # also false for NaN
        if not ((curve >= 0) & (curve <= 1)).all():
            raise TimelineError("leaves 0 to 1", where=name, remedy="scale it, or hold it by numpy.clip")
        curves[name] = curve
    return curves
