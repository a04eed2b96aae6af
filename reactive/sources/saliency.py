"""Saliency of a picture, and the window of a given shape with most of it.

The spectral residual (Hou & Zhang, Saliency Detection: A Spectral Residual Approach, CVPR 2007): the part of a picture's spectrum
above its smooth trend is salient. Computed for light and two colour differences.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# the map's longer side; the paper's scale, at which objects are salient and texture is not
SIDE = 64
# columns of red, green, blue: light, red against green, blue against yellow
_CHANNELS = np.array([[1 / 3, 1.0, -0.5], [1 / 3, -1.0, -0.5], [1 / 3, 0.0, 1.0]])
# skin of all tones in YCbCr: the range of Chai and Ngan, Face segmentation using skin-color map in videophone applications (1999)
_CB, _CR = (77, 127), (133, 173)
# of a picture: the least and largest share of a patch of skin, and the share of skin from which it is sand or wood rather than people
_PATCH, _MOST_SKIN = (0.002, 0.25), 0.45
# how much weightier people are than everything else that stands out, and what belongs to a face above and beside it, in its own sizes
_PEOPLE, _HAIR, _EARS = 4.0, 0.6, 0.25
# how much more saliency a window at the edge needs than one in the middle
_TO_THE_MIDDLE = 0.1


def saliency(picture: np.ndarray) -> np.ndarray:
    """Return how much each place stands out, float64 [rows, columns] with the longer side 64, sum 1.

    Parameters
    ----------
    picture
        uint8 [height, width, 3].
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), np.float64)
    found = np.zeros(small.shape[:2])
    for channel in np.moveaxis(small @ _CHANNELS, 2, 0):
        # a flat channel has only rounding noise
        if channel.std() < 1:
            continue
        spectrum = np.fft.fft2(channel)
        logarithm = np.log(np.abs(spectrum) + 1e-9)
        residual = logarithm - uniform_filter(logarithm, 3, mode="wrap")
        found += np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2 * channel.std()
    # the transform wraps around, so opposite edges that differ seem salient
    margin = 2
    found[:margin], found[-margin:], found[:, :margin], found[:, -margin:] = 0, 0, 0, 0
    found = gaussian_filter(found, 2.5, mode="constant")
    total = float(found.sum())
    return found / total if total > 1e-12 else np.full(found.shape, 1 / found.size)


def with_people(salience: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Return a saliency map in which patches of skin, with the hair above them, weigh most, so that heads are not cut off.

    Compact patches of the colours of skin count as faces, the higher the more; a picture that is full of such colours has none.

    Parameters
    ----------
    salience
        float64 [rows, columns], sum 1.
    picture
        uint8 [height, width, 3].
    """
    from scipy.ndimage import binary_opening, find_objects, label

    rows, columns = salience.shape
    small = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BOX).convert("YCbCr")
    light, blue, red = np.moveaxis(np.asarray(small).astype(int), 2, 0)
    skin = (blue >= _CB[0]) & (blue <= _CB[1]) & (red >= _CR[0]) & (red <= _CR[1]) & (light > 40)
    if not 0 < skin.mean() < _MOST_SKIN:
        return salience
    numbered, _ = label(binary_opening(skin, np.ones((2, 2), bool)))
    people = np.zeros_like(salience)
    for number, (down, across) in enumerate(find_objects(numbered), 1):
        area = int((numbered[down, across] == number).sum())
        tall, wide = down.stop - down.start, across.stop - across.start
        if not _PATCH[0] * skin.size <= area <= _PATCH[1] * skin.size or area < 0.5 * tall * wide:
            continue
        if not 0.4 <= wide / tall <= 2.0:
            continue
        top, left = max(round(down.start - _HAIR * tall), 0), max(round(across.start - _EARS * wide), 0)
        box = people[top : down.stop, left : min(round(across.stop + _EARS * wide), columns)]
        # hands are lower than faces
        box += area / box.size * (1.5 - down.start / rows)
    total = float(people.sum())
    return (salience + _PEOPLE * people / total) / (1 + _PEOPLE) if total else salience


def window_at(focus: tuple[float, float], size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """Return the largest window of an aspect ratio whose centre is as near to a place as the picture allows.

    Parameters
    ----------
    focus
        Shares of width and height from the upper left corner.
    size, aspect
        As in `best_window`.
    """
    columns, rows = size
    width = max(min(columns, round(rows * aspect)), 1)
    height = max(min(rows, round(columns / aspect)), 1)
    left, top = (
        min(max(round(share * length - side / 2), 0), length - side)
        for share, length, side in zip(focus, size, (width, height), strict=True)
    )
    return left, top, width, height


def best_window(salience: np.ndarray, size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the largest window of an aspect ratio, placed over the most salient part.

    A mild preference for the middle breaks ties.

    Parameters
    ----------
    salience
        [rows, columns] of any size, not negative, for the whole picture.
    size
        The picture's width and height in pixels.
    aspect
        Width over height of the window.
    """
    columns, rows = size
    width = max(min(columns, round(rows * aspect)), 1)
    height = max(min(rows, round(columns / aspect)), 1)
    return _slide(salience.sum(axis=0), columns, width), _slide(salience.sum(axis=1), rows, height), width, height


def _slide(profile: np.ndarray, length: int, size: int) -> int:
    """Return the position of the window of `size` pixels out of `length` with most of a profile."""
    free = length - size
    if free <= 0:
        return 0
    edges = np.linspace(0, length, len(profile) + 1)
    total = np.concatenate([[0.0], np.cumsum(profile)])
    starts = np.arange(free + 1)
    held = np.interp(starts + size, edges, total) - np.interp(starts, edges, total)
    from_middle = np.abs(starts - free / 2) / max(free / 2, 1)
    return int(np.argmax(held / max(total[-1], 1e-12) - _TO_THE_MIDDLE * from_middle))
