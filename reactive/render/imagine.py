"""Imagine the frames of a timeline, one after the other, for those who write or show them by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.diffusion.controls import ControlFile, control_files, has_controls, subject_files
from reactive.diffusion.grounds import grounds_of
from reactive.diffusion.imaginer import open_imaginer
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.models.model import Model
from reactive.diffusion.styles import style_files
from reactive.errors import MediaError, TimelineError
from reactive.media.picture import parse_colour
from reactive.render.decide import video_name
from reactive.render.footage import Video
from reactive.render.settings import Progress
from reactive.render.sizes import clip_sizes, parse_size
from reactive.timeline.edges import shot_around
from reactive.timeline.excerpt import excerpt_frames
from reactive.timeline.timeline import Timeline
from reactive.video.segment import fitted

# width and height in pixels, or ``1280x720``
Size = tuple[int, int] | str


class Frames(Iterator[np.ndarray]):
    """Frames in order, uint8 [3, height, width], that know their rate and where in the song they are.

    Attributes
    ----------
    fps
        Frames a second.
    first
        The number that the first frame has in the song.
    total
        How many there are, including those that were taken already.
    size
        Width and height in pixels.
    """

    def __init__(
        self, pictures: Iterable[np.ndarray], *, fps: Fraction, first: int, total: int, size: tuple[int, int]
    ) -> None:
        self.fps = fps
        self.first = first
        self.total = total
        self.size = size
        self._pictures = iter(pictures)
        self._taken = 0

    def __next__(self) -> np.ndarray:
        """Return the next frame."""
        picture = next(self._pictures)
        self._taken += 1
        return picture

    def __length_hint__(self) -> int:
        """Return how many frames are still to come."""
        return max(self.total - self._taken, 0)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> Frames:
        """Return the frames as a function changes them, each uint8 [3, height, width]; rate and place in the song stay.

        Examples
        --------
        >>> import numpy as np
        >>> from fractions import Fraction
        >>> dark = Frames([np.zeros((3, 16, 16), np.uint8)], fps=Fraction(24), first=0, total=1, size=(16, 16))
        >>> [int(frame.max()) for frame in dark.map(lambda frame: 255 - frame)]
        [255]
        """

        def changed() -> Iterator[np.ndarray]:
            # closing the changed frames closes these too, and with them the films that they are read from
            try:
                for picture in self:
                    yield change(picture)
            finally:
                self.close()

        return Frames(changed(), fps=self.fps, first=self.first, total=self.total, size=self.size)

    def close(self) -> None:
        """Close the files before the last frame is taken; no frame comes after that."""
        if isinstance(self._pictures, Generator):
            self._pictures.close()
        self._pictures = iter(())


def imagine(
    timeline: Timeline,
    model: Model,
    *,
    photos: Sequence[str | os.PathLike[str]] = (),
    videos: Sequence[Video] = (),
    styles: Sequence[str | os.PathLike[str]] = (),
    controls: Sequence[str | os.PathLike[str]] = (),
    size: Size | None = None,
    imagine_size: Size | None = None,
    start: float = 0.0,
    duration: float | None = None,
    batch: int = 0,
    background: str = "black",
    progress: Progress | None = None,
) -> Frames:
    """Imagine a timeline's frames; each is made when it is taken, so memory does not grow with their number.

    Parameters
    ----------
    timeline
        What is decided for every frame.
    model
        What `load_model` returns.
    photos, videos
        The files that the timeline names, in its order; a video may be frames of one's own (`MovingSource`), which stay the
        caller's to close.
    styles
        Reference pictures that are not beside the preset.
    controls
        Pictures and films whose shapes are kept that are not beside the preset.
    size
        Width and height of the frames, or ``"1280x720"``; they are cropped and scaled, never stretched. Default: what suits
        the model.
    imagine_size
        The size that the model works at. Default: its own.
    start, duration
        Seconds of the song. Default: all of it.
    batch
        Pictures of a batch. Default: by rule.
    background
        The colour that shows where photographs and films are transparent.
    progress
        Told ``"imagining"``, how many frames were taken, and how many there are.

    Returns
    -------
    Frames
        An iterator of uint8 [3, height, width], sRGB, all of one size.

    Raises
    ------
    TimelineError
        If the timeline names other photographs or videos, or the excerpt is not within the song.
    MediaError
        If a file can't be read.
    OutputError
        If a size is not possible.
    ModelError
        If memory runs out while the prompts are embedded.

    Examples
    --------
    >>> import reactive
    >>> timeline = reactive.decide(reactive.analyze(reactive.open_track("song.wav")), "nocturne", fps=8)
    >>> model = reactive.load_model("ember", steps=1)
    >>> frames = reactive.imagine(timeline, model, size=(64, 48), imagine_size=(64, 48), duration=0.5)
    >>> [frame.shape for frame in frames]
    [(3, 48, 64), (3, 48, 64), (3, 48, 64), (3, 48, 64)]
    """
    _check_named(timeline, [Path(photo).name for photo in photos], [video_name(video) for video in videos])
    lasts = float(Fraction(timeline.samples, timeline.sample_rate))
    first, last = excerpt_frames(timeline, start, duration, lasts=lasts)
    imagined, shown = clip_sizes(model, size=_parsed(size, "size"), imagined=_parsed(imagine_size, "imagine_size"))
    colour = parse_colour(background, where="background")
    stills = [Path(photo) for photo in photos]
    moving = [Path(video) if isinstance(video, str | os.PathLike) else video for video in videos]
    _check_grounds(timeline, [len(stills) + place for place, video in enumerate(moving) if not isinstance(video, Path)])
    # frames of one's own have no file, but a number among the files
    films = [video if isinstance(video, Path) else Path(video_name(video)) for video in moving]
    # a feedback shot begins before an excerpt that shows only its end
    begin = shot_around(timeline.columns, first)[0]
    folders = [timeline.folder] if timeline.folder else []
    shapes: tuple[ControlFile, ...] = ()
    if has_controls(timeline):
        subjects = subject_files(timeline, stills, films, folders)
        shapes = control_files(timeline, subjects, [Path(control) for control in controls], folders)
    opened = ExitStack()
    imaginer = opened.enter_context(
        open_imaginer(
            model,
            timeline,
            stills,
            moving,
            size=imagined,
            grounds=grounds_of(timeline, stills, films, folders),
            composed=shown,
            styles=style_files(timeline, [Path(style) for style in styles], folders),
            controls=shapes,
            folders=folders,
            background=colour,
            batch=batch,
            prompts=prompts_at(timeline.columns, np.arange(begin, last)),
        )
    )
    report = progress or (lambda stage, done, total: None)

    def made() -> Iterator[np.ndarray]:
        with opened:
            for done, picture in enumerate(imaginer.frames(first, last), 1):
                yield _fitted(picture, shown)
                report("imagining", done, last - first)

    return Frames(made(), fps=timeline.fps, first=first, total=last - first, size=shown)


def _parsed(size: Size | None, option: str) -> tuple[int, int] | None:
    if size is None:
        return None
    return parse_size(size if isinstance(size, str) else f"{size[0]}x{size[1]}", option, multiple=1)


def _check_named(timeline: Timeline, photos: Sequence[str], videos: Sequence[str]) -> None:
    """Check that what is given are the photographs and videos that a timeline was made for."""
    for kind, given, named in (("photos", photos, timeline.photos), ("videos", videos, timeline.videos)):
        if tuple(given) != named:
            raise TimelineError(
                f"the timeline was made for the {kind}: {', '.join(named) or 'none'}",
                where=kind,
                remedy=f"give decide and imagine the same {kind} in the same order",
            )


def _check_grounds(timeline: Timeline, own: Iterable[int]) -> None:
    """Check that frames of one's own lie beneath no picture: they come only in the size that the model works at."""
    if np.isin(timeline.columns["ground"], list(own)).any():
        raise MediaError(
            "frames of one's own can't lie beneath pictures",
            where="videos",
            remedy="give a file, or a preset without own grounds",
        )


def _fitted(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a frame, uint8 [3, height, width], in the size of all; one that lies over a ground has it already."""
    if picture.shape[:0:-1] == size:
        return picture
    return np.ascontiguousarray(fitted(picture.transpose(1, 2, 0), size).transpose(2, 0, 1))
