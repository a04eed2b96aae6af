"""Videos as sources: any picture of them at a time of the song, at imagine-size, cropped around the salient part."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.media.picture import BLACK
from reactive.media.video import Film, FilmReader, open_film
from reactive.sources.saliency import SIDE, best_window, saliency

# pictures for placing the window: one window a video, since a moving one would move the picture
_LOOKS = 7


class VideoSource:
    """A video that is read at song time; if the song is longer, it begins again.

    Parameters
    ----------
    path
        The file.
    width, height
        The imagine-size.
    background
        Red, green and blue, 0 to 255, that show where it is transparent.
    window
        Left, top, width and height of the window that is shown, as shares of its pictures, in the shape of the imagine-size.
        Default: around what stands out.

    Raises
    ------
    MediaError
        If it can't be read as a video, or is HDR.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        background: tuple[int, int, int] = BLACK,
        window: tuple[float, float, float, float] | None = None,
    ) -> None:
        self.film: Film = open_film(path)
        size = self.film.width, self.film.height
        left, top, across, down = salient_window(self.film, width / height) if window is None else scaled(window, size)
        scale_x, scale_y = width / across, height / down
        whole = max(round(self.film.width * scale_x), width), max(round(self.film.height * scale_y), height)
        part = (
            min(round(left * scale_x), whole[0] - width),
            min(round(top * scale_y), whole[1] - height),
            width,
            height,
        )
        self.reader = FilmReader(self.film, width=whole[0], height=whole[1], window=part, background=background)

    def number_at(self, seconds: Fraction) -> int:
        """Return the number of the picture that is nearest to a time of the song."""
        within = seconds - math.floor(seconds / self.film.duration) * self.film.duration
        return self.film.nearest(within)

    def at(self, seconds: Fraction) -> np.ndarray:
        """Return the picture nearest to a time of the song, uint8 [height, width, 3]; not to be written to."""
        return self.reader.picture(self.number_at(seconds))

    def picture(self, number: int) -> np.ndarray:
        """Return the picture of a number, uint8 [height, width, 3]; not to be written to."""
        return self.reader.picture(number)

    def close(self) -> None:
        """Close the file; this also happens when the object is deleted."""
        self.reader.close()


def salient_window(film: Film, aspect: float) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the window of an aspect ratio around what stands out in a film."""
    return best_window(_salience(film), (film.width, film.height), aspect)


def scaled(window: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a window, given as shares of a picture, in pixels of a picture of a size; it lies within it."""
    width, height = size
    across, down = max(round(window[2] * width), 1), max(round(window[3] * height), 1)
    return min(round(window[0] * width), width - across), min(round(window[1] * height), height - down), across, down


def _salience(film: Film) -> np.ndarray:
    """Return the mean saliency of a few pictures spread over a video."""
    scale = 4 * SIDE / max(film.width, film.height)
    small = max(8, round(film.width * scale)), max(8, round(film.height * scale))
    reader = FilmReader(film, width=small[0], height=small[1])
    numbers = np.unique(np.linspace(0, len(film.times) - 1, _LOOKS + 2)[1:-1].round().astype(int))
    try:
        return np.mean([saliency(reader.picture(number)) for number in numbers.tolist()], axis=0)
    finally:
        reader.close()
