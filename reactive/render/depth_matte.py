"""The depth of a finished clip's frames: how near each place of the photographs is that they stand on, by their depth maps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from reactive.audio.hear import hear
from reactive.diffusion.grounds import Grounds, load_grounds
from reactive.errors import MediaError, OutputError
from reactive.media.picture import parse_colour
from reactive.media.sound import open_track
from reactive.render.inputs import read_inputs
from reactive.render.prepare import chosen_range
from reactive.render.recipe import read_recipe
from reactive.render.repeat import check_song, settings_again
from reactive.render.resolve import resolve_timeline


@contextmanager
def clip_depths(
    clip: Path, song: str | os.PathLike[str], *, size: tuple[int, int], frames: int, places: Sequence[Path] = ()
) -> Iterator[Iterator[np.ndarray]]:
    """Yield the mattes of a clip's frames, uint8 [height, width], by the recipe that it carries: 255 is near, or has no depth map.

    Where the painting hides its photograph, as in a change from one to the next, the matte goes towards 255.

    Parameters
    ----------
    clip
        The clip.
    song
        Its song.
    size
        Its width and height.
    frames
        How many frames it has.
    places
        Where its photographs are looked for, besides the folders of clip and song.

    Raises
    ------
    ReactiveError
        If it carries no recipe, the song or a photograph is not here or was changed, or no frame has a depth map.
    """
    recipe = read_recipe(clip)
    check_song(recipe, song)
    with settings_again(recipe, song, places=(*places, clip.parent)) as settings:
        if settings.output.loop:
            raise OutputError(
                "is a loop, whose joint has no depth", where=str(clip), remedy="leave out --alpha-by depth"
            )
        inputs = read_inputs(song, [], settings)
        heard = None if settings.sources.timeline else hear(song, settings.hearing)
        track = heard.track if heard else open_track(song)
        resolved = resolve_timeline(track, heard, inputs, settings)
        timeline = resolved.timeline
        first, last = chosen_range(resolved, settings)
        if last - first != frames:
            raise MediaError(
                f"has {frames} frames, and its recipe makes {last - first}",
                where=str(clip),
                remedy="name the whole clip",
            )
        beside = [
            path.parent for path in (settings.sources.timeline, settings.sources.take, inputs.preset_path) if path
        ]
        assert settings.output.imagine_size is not None
        grounds = load_grounds(
            timeline,
            inputs.photos,
            settings.sources.videos,
            beside,
            imagined=settings.output.imagine_size,
            size=size,
            background=parse_colour(settings.sources.background, where="--background"),
        )
        if grounds is None or not any(grounds.has_depth(frame) for frame in range(first, last)):
            raise OutputError(
                "no frame of it stands on a photograph with a depth map",
                where=str(clip),
                remedy="make maps with `reactive depth PHOTO...` and render it again, or use --alpha alone",
            )
        try:
            yield _mattes(grounds, range(first, last), size)
        finally:
            grounds.close()


def _mattes(grounds: Grounds, frames: Sequence[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for frame in frames:
        near = grounds.depth(frame)
        if near is None:
            yield np.full(size[::-1], 255, np.uint8)
            continue
        # a ground that is half there has all of its depth
        there = min(2 * float(grounds.columns["detail"][frame]), 1.0)
        yield np.rint(255 * (1 - there * (1 - near) / 2)).astype(np.uint8)
