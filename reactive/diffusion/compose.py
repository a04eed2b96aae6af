"""Compose: a photograph or film beneath the picture, lit and coloured by what the model painted.

The model's picture is called the painting here, the photograph the ground. The painting's blurred light multiplies the ground
in linear light; where `detail` is below 1, the painting takes the ground's place scale by scale, the coarsest first and the
finest last. A picture is a function of its own painting, ground and terms alone: black and white points come from the
ground, which stays what it is, and from means of the painting's light, which move as smoothly as the painting does.

Linear light is taken as display value to the power of 2.2. So a product in linear light is a product of display values, and all
that is done at the size of the finished picture is one resampling, one product and one sum; everything else happens on a
grid of some 112 rows, whatever the picture's size, so a clip looks the same in every size. On a processor OpenCV does the
work, elsewhere torch by the same formulas.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from reactive.diffusion.backend.opencv import opencv
from reactive.media.picture import centred_window

GAMMA = 2.2
# Rec. 709, of linear light
LUMA = (0.2126, 0.7152, 0.0722)
# the short side of the grid on which light and scales are computed, and what its sides divide by: it is halved four times
GRID, STEP = 112, 16
# how long each scale of the ground stays as detail falls, finest first: its share is 1 - (1 - detail) ** stay
STAY = (14.0, 9.0, 5.0, 3.0, 2.0, 1.4)
# shares beyond this are whole: what is left out is less than half a step of 8 bits
WHOLE = 0.998
# how much larger than the picture a still ground is kept, so that it stays sharp while one comes closer
ROOM = 1.5
# read straight between four pixels it would be a little soft (a tenth of the edges' strength at 1.1, as measured): this
# much of what a blur by one pixel takes is added to it beforehand. A cubic reads as sharp, in ten times the time
CRISP = 0.25
# deviation of the blur of the painting's light, in rows of half the grid: this leaves nothing of the patches that small models
# paint in
SOFT = 2.0
# what the light does: exponent of its contrast, share of its colour, the dark that is never quite dark, and that in which
# hardly a colour is left
CONTRAST, TINT, DARK, COLOURLESS = 1.0, 0.8, 0.03, 0.004
# the least and greatest gain of linear light
LEAST, MOST = 0.3, 3.0
# how far the painting's own brightness decides the picture's, about which brightness, and within which factors
OWN_LEVEL, MIDDLE, DIMMEST, BRIGHTEST = 0.25, 0.2, 0.75, 1.3
# how much stronger the ground's finest scale is under light, which takes some of its edges' strength: so these stay as strong
# as the photograph's
CLARITY = 0.18
# where a ground's white comes to lie under light, in linear light: WHITE times its own level to the power of 0.4
# (no picture of the night is made brighter than one of this white)
WHITE, WHITE_SHARE, DIM_WHITE = 0.75, 0.985, 0.06
# how much of its colour the very brightest light loses
PALE = 0.3
# display values from which on light is led softly below white
KNEE = 0.9
# of a ground with a depth map: by how much more than the middle the nearest moves, and the farthest less
DEPTH = 0.25
# how far, as a share of its width, a depth map is smoothed, so that no edge tears
DEPTH_SOFT = 0.006
# a grid for the places of a ground with a depth map has one point in this many pixels
DEPTH_STEP = 4
# a ground that is moved by less than this many pixels anywhere is seen as it is
_UNMOVED = 1 / 64


@dataclass(frozen=True)
class Terms:
    """How a frame shows its ground.

    Attributes
    ----------
    detail
        0 the painting alone, 1 the ground alone, lit by it.
    colour
        How much of the ground's own colour stays, 0 to 1.
    light
        How strongly the painting lights it: 0 not at all, 1 as it is, 2 twice as hard.
    zoom, x, y
        How the ground lies beneath the picture: scale from 1 on, shift in picture widths and heights.
    parallax
        By how much more than its middle the lower edge is shifted, which in most photographs is nearer, and by how much less
        the upper one; -1 to 1. In a ground with a depth map, what is near moves `DEPTH` and this much more than what is at
        middle depth, and what is far as much less.
    """

    detail: float = 1.0
    colour: float = 0.45
    light: float = 1.0
    zoom: float = 1.0
    x: float = 0.0
    y: float = 0.0
    parallax: float = 0.0


@dataclass(frozen=True)
class Ground:
    """A ground made ready: what of it does not change from picture to picture.

    Attributes
    ----------
    exact
        Display values of red, green and blue, and the grey of their luminance, uint8 [height, width, 4], in the very size
        that the whole frame has at the output's scale; None for the pictures of a film.
    store
        The same, larger and crisper, to be resampled from.
    low, peaks
        Small copies, float32 in 0..1 [rows, columns, 4]: means, and, half as large, means of cubes, which lean to what is
        bright. A star or a spark, whose white loses no shape, darkens its neighbourhood little, a bright cloud fully.
    white
        The level of linear light that its bright places have.
    focus
        What matters in it, in half widths and half heights from the centre: one comes closer to this place.
    aimed
        Whether coming closer ends with this place in the middle, as far as the picture reaches; else it keeps its place in the frame.
    near
        How near each place is, float32 [rows, columns], -1 far to 1 near; None: it has no depth map.
    """

    exact: np.ndarray | None
    store: np.ndarray
    low: np.ndarray
    peaks: np.ndarray
    white: float
    focus: tuple[float, float] = (0.0, 0.0)
    aimed: bool = False
    near: np.ndarray | None = None
    _elsewhere: dict[str, tuple[torch.Tensor, ...]] = field(default_factory=dict, repr=False, compare=False)

    def on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Return store, low, peaks and, if there is one, exact as float32 [1, 4, height, width]; copied to a device once."""
        key = str(device)
        if key not in self._elsewhere:
            parts = (self.store, self.low, self.peaks) + (() if self.exact is None else (self.exact,))
            self._elsewhere[key] = tuple(
                torch.from_numpy(part).to(device).permute(2, 0, 1)[None].float().contiguous() for part in parts
            )
        return self._elsewhere[key]


@dataclass(frozen=True)
class Tools:
    """What the formulas are written in, for arrays of numpy or of torch; pictures are [rows, columns, channels]."""

    xp: Any
    halved: Callable[[Any], Any]
    smoothed: Callable[[Any], Any]
    blurred: Callable[[Any], Any]
    enlarged: Callable[[Any, tuple[int, int]], Any]


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return columns and rows of the grid of a picture's width and height: the short side 112, both in steps of 16."""
    across, down = (max(STEP, round(GRID * side / min(size) / STEP) * STEP) for side in size)
    return across, down


def canvas_size(imagined: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return how large a whole frame of `imagined` width and height is at the scale of an output that is cut out of it."""
    _, _, across, down = centred_window(*imagined, size)
    return round(imagined[0] * size[0] / across), round(imagined[1] * size[1] / down)


def prepare_ground(
    larger: np.ndarray,
    exact: np.ndarray | None = None,
    *,
    focus: tuple[float, float] = (0.0, 0.0),
    aimed: bool = False,
    near: np.ndarray | None = None,
) -> Ground:
    """Make a photograph, or a picture of a film, ready to lie beneath pictures.

    Parameters
    ----------
    larger
        uint8 [height, width, 3], sRGB: the whole frame at about `ROOM` times the output's scale, see `canvas_size`.
    exact
        The same at the output's scale; None: one is content with what is resampled from `larger`.
    focus, aimed
        As in `Ground`.
    near
        Its depth map, uint8 [height, width] of any size, 255 is near; None: it has none.
    """
    cv2 = opencv()
    store = with_grey(larger)
    height, width = larger.shape[:2]
    # means and peaks have some room too
    across, down = (2 * round(side * 0.65) for side in grid_size((width, height)))
    low = cv2.resize(store, (across, down), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    cubes = cv2.resize(cv2.LUT(store, _cubes()), (across // 2, down // 2), interpolation=cv2.INTER_AREA)
    peaks = np.cbrt(cubes)
    white = float(np.quantile(low[..., 3], WHITE_SHARE)) ** GAMMA
    crisp = cv2.addWeighted(store, 1 + CRISP, cv2.GaussianBlur(store, (0, 0), 1.0), -CRISP, 0)
    whole = None if exact is None else with_grey(exact)
    return Ground(whole, crisp, low, peaks, white, focus, aimed, None if near is None else _smooth_depth(near))


def _smooth_depth(near: np.ndarray) -> np.ndarray:
    """Return a depth map as float32 [rows, columns], -1 far to 1 near, small and smooth; what is near is enlarged a little.

    A place is looked up where it will be seen, so the rim of what is near belongs to it, and no edge tears.
    """
    cv2 = opencv()
    height, width = near.shape
    across = min(width, 480)
    small = cv2.resize(near, (across, max(1, round(height * across / width))), interpolation=cv2.INTER_AREA)
    reach = max(1, round(DEPTH_SOFT * across))
    grown = cv2.dilate(small, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), float(reach)) / np.float32(127.5) - 1, np.float32)


def with_grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3], with the grey of its luminance as a fourth channel."""
    cv2 = opencv()
    linear = cv2.LUT(picture, _to_linear())
    luminance = cv2.transform(linear, np.array([LUMA], np.float32))
    # 12 bits tell the shades of 8 apart but for the darkest, which hardly anybody sees
    steps = cv2.multiply(luminance, 4095.0, dtype=cv2.CV_16U)
    return np.asarray(cv2.merge([*cv2.split(picture), _from_linear()[steps]]))


@cache
def _cubes() -> np.ndarray:
    return np.asarray((np.arange(256) / 255) ** 3, np.float32)


@cache
def _to_linear() -> np.ndarray:
    return np.asarray((np.arange(256) / 255) ** GAMMA, np.float32)


@cache
def _from_linear() -> np.ndarray:
    return np.asarray(np.round((np.arange(4096) / 4095) ** (1 / GAMMA) * 255), np.uint8)


def shares(detail: float) -> list[float]:
    """Return how much of each of the ground's scales stays at a detail, finest first: none at 0, all at 1."""
    kept = [1 - (1 - min(max(detail, 0.0), 1.0)) ** stay for stay in STAY]
    return [1.0 if share >= WHOLE else share for share in kept]


def ground_map(terms: Terms, focus: tuple[float, float], *, aimed: bool = False, deep: bool = False) -> np.ndarray:
    """Return the map float64 [3, 3] from a place in the frame to the place of its ground that is seen there.

    Places are half widths and half heights from the centre, as in `motion.camera`. One comes as much closer as a shift needs, so
    that no edge comes into view. A `deep` ground has a depth map, which decides what moves further instead of the lower edge.
    """
    lean = 0.0 if deep else min(max(terms.parallax, -1.0), 1.0)
    reach = 1 + 2 * max(abs(terms.x) * (1 + abs(lean)), abs(terms.y))
    zoom = max(terms.zoom, reach)
    free = 1 - reach / zoom
    # as near to the focus as the edges allow, without a jolt where it is reached
    x, y = (free * math.tanh(place / free) if aimed and free > 0 else place * free for place in focus)
    return np.array(
        [
            [1 / zoom, -2 * terms.x * lean / zoom, x - 2 * terms.x / zoom],
            [0.0, 1 / zoom, y - 2 * terms.y / zoom],
            [0.0, 0.0, 1.0],
        ]
    )


def compose(ground: Ground, painting: np.ndarray, terms: Terms, size: tuple[int, int], lens: np.ndarray) -> np.ndarray:
    """Return a finished picture, uint8 [height, width, 3], of `size` (width and height), computed on this thread.

    Parameters
    ----------
    painting
        What the model painted, as its lens shows it: uint8 [rows, columns, 3] of any size.
    lens
        The frame's lens as an inverse map of the whole frame, float64 [3, 3]; the ground is seen through it too.
    """
    cv2 = opencv()
    left, top, across, down = centred_window(painting.shape[1], painting.shape[0], size)
    seen = np.ascontiguousarray(painting[top : top + down, left : left + across])
    places = _places(ground, terms, painting.shape[1::-1], size, lens)
    grid = grid_size(size)
    half = grid[0] // 2, grid[1] // 2
    further = bend(ground, terms, places, _unmoved(painting.shape[1::-1], size, lens), size)
    low, peaks = (
        cv2.transform(_warped(part, places, to, bend=further), _mix(terms.colour))
        for part, to in ((ground.low, grid), (ground.peaks, half))
    )
    own = cv2.resize(seen.astype(np.float32), grid, interpolation=cv2.INTER_AREA) * np.float32(1 / 255)
    light = cv2.resize(cv2.LUT(seen, _to_linear()), half, interpolation=cv2.INTER_AREA)
    gain, rest, share, painted = _fields(_host(), own, light, low, peaks, ground.white, terms)
    room = _room(size)
    window = _exactly(ground.exact, places, size)
    if ground.exact is None or window is None:
        under = _warped(ground.store, places, size, room.under, bend=further)
    else:
        under = ground.exact[window[1] : window[1] + size[1], window[0] : window[0] + size[0]]
    grey = cv2.cvtColor(cv2.extractChannel(under, 3, room.one), cv2.COLOR_GRAY2RGB, room.grey)
    mixed = cv2.cvtColor(under, cv2.COLOR_RGBA2RGB, room.mixed)
    mixed = cv2.addWeighted(mixed, terms.colour, grey, 1 - terms.colour, 0, mixed)
    # the gain's own room takes the product: nothing reads it again
    lit = _to_size(gain * np.float32(share), size, room.half, room.lit)
    lit = cv2.multiply(mixed, lit, lit, dtype=cv2.CV_32F)
    if rest is None:
        return np.asarray(cv2.convertScaleAbs(lit))
    more = _to_size(rest * np.float32(255), size, room.half, room.more)
    if painted:
        lit = cv2.add(lit, more, lit)
        more = cv2.resize(seen.astype(np.float32) * np.float32(painted), size, more, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.add(lit, more, dtype=cv2.CV_8U))


def exposed_twice(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Return two finished pictures on one film, uint8 [height, width, 3]: `share` of the light is the second's.

    Light is taken as the square of display value here, which is near enough to a power of 2.2, and fast.
    """
    cv2 = opencv()
    one, other = (np.float32(picture) for picture in (first, second))
    mixed = cv2.addWeighted(cv2.multiply(one, one, one), 1 - share, cv2.multiply(other, other, other), share, 0, one)
    return np.asarray(cv2.convertScaleAbs(cv2.sqrt(mixed, mixed)))


@dataclass(frozen=True)
class _Room:
    """Where a thread computes pictures of one size: fresh memory for each would take longer than the computing."""

    under: np.ndarray
    one: np.ndarray
    grey: np.ndarray
    mixed: np.ndarray
    half: np.ndarray
    lit: np.ndarray
    more: np.ndarray


_rooms = threading.local()


def _room(size: tuple[int, int]) -> _Room:
    known: dict[tuple[int, int], _Room] = _rooms.__dict__.setdefault("known", {})
    if size not in known:
        columns, rows = size
        bytes_of, floats_of = np.uint8, np.float32
        known[size] = _Room(
            np.empty((rows, columns, 4), bytes_of),
            np.empty((rows, columns), bytes_of),
            np.empty((rows, columns, 3), bytes_of),
            np.empty((rows, columns, 3), bytes_of),
            np.empty(((rows + 1) // 2, (columns + 1) // 2, 3), floats_of),
            np.empty((rows, columns, 3), floats_of),
            np.empty((rows, columns, 3), floats_of),
        )
    return known[size]


def _mix(colour: float) -> np.ndarray:
    """Return the matrix float32 [3, 4] from a ground's channels to what of its colour stays."""
    return np.concatenate([colour * np.eye(3), np.full((3, 1), 1 - colour)], axis=1).astype(np.float32)


def nearness(
    ground: Ground, terms: Terms, frame: tuple[int, int], size: tuple[int, int], lens: np.ndarray
) -> np.ndarray | None:
    """Return how near each place of a composed picture's ground is, float32 [height, width], -1 far to 1 near.

    None if the ground has no depth map.

    Parameters
    ----------
    frame
        Width and height of the painting.
    size, lens
        As in `compose`.
    """
    if ground.near is None:
        return None
    places = _places(ground, terms, frame, size, lens)
    further = bend(ground, terms, places, _unmoved(frame, size, lens), size)
    return np.clip(_warped(ground.near, places, size, bend=further), -1, 1)


def _places(
    ground: Ground, terms: Terms, frame: tuple[int, int], size: tuple[int, int], lens: np.ndarray
) -> np.ndarray:
    """Return the map [3, 3] from places of the output to places of the ground, in half widths and heights of each."""
    return np.asarray(_shown(ground, terms) @ _unmoved(frame, size, lens))


def _shown(ground: Ground, terms: Terms) -> np.ndarray:
    """Return the map [3, 3] from places of the frame to places of the ground."""
    return ground_map(terms, ground.focus, aimed=ground.aimed, deep=ground.near is not None)


def _unmoved(frame: tuple[int, int], size: tuple[int, int], lens: np.ndarray) -> np.ndarray:
    """Return the map [3, 3] from places of the output to places of the frame, where a ground that is not moved lies."""
    left, top, across, down = centred_window(*frame, size)
    # the output is a window of the frame
    cut = np.array(
        [
            [across / frame[0], 0.0, (2 * left + across) / frame[0] - 1],
            [0.0, down / frame[1], (2 * top + down) / frame[1] - 1],
            [0.0, 0.0, 1.0],
        ]
    )
    return np.asarray(lens @ cut)


def bend(
    ground: Ground, terms: Terms, places: np.ndarray, unmoved: np.ndarray, size: tuple[int, int]
) -> np.ndarray | None:
    """Return how much further each place of a ground with a depth map moves, in half widths and heights, float32 [rows, columns, 2].

    None where it has no depth map, or does not move. Its grid is coarser than the picture: the map is smooth.
    """
    if ground.near is None:
        return None
    amount = min(max(DEPTH + terms.parallax, 0.0), 1.0)
    if not amount or np.abs(places - unmoved).max() < _UNMOVED / max(size):
        return None
    cv2 = opencv()
    columns, rows = (max(2, -(-side // DEPTH_STEP)) for side in size)
    x, y = ((2 * np.arange(count) + 1) / count - 1 for count in (columns, rows))
    at = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1)
    moved, still = (_projected(at @ matrix.T) for matrix in (places, unmoved))
    height, width = ground.near.shape
    way, found = (moved - still).astype(np.float32), np.zeros((rows, columns, 2), np.float32)
    closer = max(-math.log(float(_shown(ground, terms)[0, 0])), 1e-4)
    # what is seen at a place lies where the bend leads, so its depth is looked up there
    for _ in range(3):
        seen = moved.astype(np.float32) + found
        near = cv2.remap(
            ground.near,
            (seen[..., 0] + 1) * np.float32(width / 2) - np.float32(0.5),
            (seen[..., 1] + 1) * np.float32(height / 2) - np.float32(0.5),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        # its scale is the zoom to the power of 1 + amount * near; for small moves that is so much of the way
        further = np.expm1(-closer * (1 + np.float32(amount) * near)) / np.float32(math.expm1(-closer)) - 1
        found = way * further[..., None]
    return found


def _projected(places: np.ndarray) -> np.ndarray:
    return np.asarray(places[..., :2] / places[..., 2:])


def _pixels(places: np.ndarray, source: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return a map of places as one from pixels of a picture of `size` to pixels of a source, [3, 3]."""
    from_pixels = np.array([[2 / size[0], 0, 1 / size[0] - 1], [0, 2 / size[1], 1 / size[1] - 1], [0, 0, 1]])
    to_pixels = np.array([[source[0] / 2, 0, source[0] / 2 - 0.5], [0, source[1] / 2, source[1] / 2 - 0.5], [0, 0, 1]])
    return np.asarray(to_pixels @ places @ from_pixels)


def _exactly(exact: np.ndarray | None, places: np.ndarray, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return left and top of the window of a ground that is seen as it is; None where it is moved at all."""
    if exact is None:
        return None
    height, width = exact.shape[:2]
    matrix = _pixels(places, (width, height), size)
    left, top = round(matrix[0, 2]), round(matrix[1, 2])
    still = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    inside = 0 <= left <= width - size[0] and 0 <= top <= height - size[1]
    near = np.abs((matrix - still) @ np.array([size[0], size[1], 1.0])).max() < _UNMOVED
    return (left, top) if inside and near else None


def _warped(
    picture: np.ndarray,
    places: np.ndarray,
    size: tuple[int, int],
    room: np.ndarray | None = None,
    *,
    bend: np.ndarray | None = None,
) -> np.ndarray:
    """Return a picture as a map and a bend show it, read straight between pixels, in `room` if there is one."""
    cv2 = opencv()
    matrix = _pixels(places, picture.shape[1::-1], size)
    if bend is not None:
        columns, rows = size
        at = np.stack(np.broadcast_arrays(np.arange(columns)[None, :], np.arange(rows)[:, None], 1.0), axis=-1)
        seen = _projected(at @ matrix.T).astype(np.float32)
        half = np.array(picture.shape[1::-1], np.float32) / 2
        seen += cv2.resize(bend, size, interpolation=cv2.INTER_LINEAR) * half
        return np.asarray(cv2.remap(picture, seen, None, cv2.INTER_LINEAR, room, borderMode=cv2.BORDER_REFLECT))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if (matrix[2] == (0.0, 0.0, 1.0)).all():
        return np.asarray(cv2.warpAffine(picture, matrix[:2], size, room, flags=flags, borderMode=cv2.BORDER_REFLECT))
    return np.asarray(cv2.warpPerspective(picture, matrix, size, room, flags=flags, borderMode=cv2.BORDER_REFLECT))


def _to_size(values: np.ndarray, size: tuple[int, int], half: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return values of the grid at a picture's size: smoothly to half of it, then straight, which nobody sees."""
    cv2 = opencv()
    middle = half.shape[1::-1]
    if middle[0] <= values.shape[1]:
        return np.asarray(cv2.resize(values, size, room, interpolation=cv2.INTER_CUBIC))
    smooth = cv2.resize(values, middle, half, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(smooth, size, room, interpolation=cv2.INTER_LINEAR))


def _fields(
    tools: Tools, painting: Any, light: Any, ground: Any, peaks: Any, white: float, terms: Terms
) -> tuple[Any, Any | None, float, float]:
    """Return what decides a picture, on the grid.

    Parameters
    ----------
    painting, ground
        Display values in 0..1, float32 [rows, columns, 3]; the ground with as much of its colour as stays.
    light, peaks
        The painting's linear light and the bright places of the ground on half the grid.
    white
        As in `Ground`.

    Returns
    -------
    The gain of the ground's display values, what is added to them (None: nothing), and the shares that the whole ground and the
    whole painting have.
    """
    gain = tools.enlarged(
        _gain(tools, tools.blurred(light), tools.halved(ground), peaks, white, terms.light), ground.shape[1::-1]
    )
    kept = shares(terms.detail)
    clarity = CLARITY * min(terms.light, 1.0) * kept[0]
    if kept[-1] == 1 and not clarity:
        return gain, None, 1.0, 0.0
    lit = ground * gain
    levels = [painting - lit]
    for _ in kept[2:]:
        levels.append(tools.halved(levels[-1]))
    rest = levels[-1] * (kept[-2] - kept[-1])
    for level, finer, coarser in zip(levels[-2::-1], kept[-3::-1], kept[-2::-1], strict=False):
        rest = tools.enlarged(tools.smoothed(rest), level.shape[1::-1]) + level * (finer - coarser)
    return gain, rest - lit * clarity, kept[0] + clarity, 1 - kept[0]


def _gain(tools: Tools, light: Any, ground: Any, peaks: Any, white: float, strength: float) -> Any:
    """Return by how much light multiplies a ground's display values, all on half the grid [rows, columns, 3]."""
    xp = tools.xp
    level = _luma(light)
    weight = _luma(ground**GAMMA)
    # measured where the ground is bright: its bright places stay as bright on the whole, wherever the light falls
    middle = (weight * level).sum() / (weight.sum() + 1e-4)
    gain = xp.clip((level + DARK) / (middle + DARK), LEAST, MOST) ** CONTRAST
    tint = 1 + TINT * ((light + COLOURLESS) / (level + COLOURLESS)[..., None] - 1)
    own = xp.clip(((level.mean() + DARK) / (MIDDLE + DARK)) ** OWN_LEVEL, DIMMEST, BRIGHTEST)
    exposed = own * WHITE * max(white, DIM_WHITE) ** -0.6
    gain = xp.clip(tint * gain[..., None] * exposed, 1e-3, 1e3) ** (strength / GAMMA)
    # colours that would clip: first they pale, then their whole neighbourhood darkens, so that no shape in them is lost
    bright = xp.amax(peaks * gain, -1)
    pale = PALE * (1 - 1 / xp.clip(bright, 1.0, 1e3))[..., None]
    gain = gain + (gain.mean(-1)[..., None] - gain) * pale
    bright = xp.amax(peaks * gain, -1)
    # without light the ground is as bright as it is
    own_knee = xp.clip(xp.amax(peaks, -1), KNEE, 1.0)
    knee = own_knee + (KNEE - own_knee) * min(strength, 1.0)
    over = xp.clip(bright - knee, 0.0, 1e3)
    soft = xp.minimum(bright, knee) + (1 - knee) * over / (1 - knee + over + 1e-4)
    return gain * ((soft + 1e-4) / (bright + 1e-4))[..., None]


def _luma(values: Any) -> Any:
    return values[..., 0] * LUMA[0] + values[..., 1] * LUMA[1] + values[..., 2] * LUMA[2]


@cache
def _host() -> Tools:
    """Return the tools for arrays of numpy, by OpenCV."""
    cv2 = opencv()

    def halved(values: np.ndarray) -> np.ndarray:
        rows, columns = values.shape[:2]
        return np.asarray(cv2.resize(values, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA))

    def filtered(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.sepFilter2D(values, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE))

    def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_CUBIC))

    return Tools(
        np, halved, lambda values: filtered(values, _SMOOTH), lambda values: filtered(values, _bell(SOFT)), enlarged
    )


_SMOOTH = np.array([0.25, 0.5, 0.25], np.float32)


@cache
def _bell(deviation: float) -> np.ndarray:
    """Return a Gaussian as a kernel of odd length, float32, sum 1."""
    reach = math.ceil(3 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


# -- elsewhere: the same by torch --------------------------------------------------------------------------------------
def compose_on_device(
    ground: Ground, painting: torch.Tensor, terms: Terms, size: tuple[int, int], lens: np.ndarray
) -> torch.Tensor:
    """Return what `compose` returns to within a step of 8 bits, uint8 [3, height, width], computed where the painting lies.

    Parameters
    ----------
    painting
        uint8 [3, rows, columns].
    """
    frame = int(painting.shape[2]), int(painting.shape[1])
    left, top, across, down = centred_window(*frame, size)
    seen = painting[None, :, top : top + down, left : left + across].float()
    places = _places(ground, terms, frame, size, lens)
    grid = grid_size(size)
    half = grid[0] // 2, grid[1] // 2
    store, low, peaks, *exact = ground.on(painting.device)
    # small, and computed as on the CPU, so that both show the same
    host = bend(ground, terms, places, _unmoved(frame, size, lens), size)
    further = None if host is None else torch.from_numpy(host).to(painting.device).permute(2, 0, 1)[None]
    beneath, tops = (
        _last(_mixed(_sampled(part, places, to, further), terms.colour)) for part, to in ((low, grid), (peaks, half))
    )
    own, light = _last(_area(seen, grid)) / 255, _last(_area((seen / 255) ** GAMMA, half))
    gain, rest, share, painted = _fields(_device(), own, light, beneath, tops, ground.white, terms)
    window = _exactly(ground.exact, places, size)
    if window is None:
        under = _sampled(store, places, size, further).round()
    else:
        under = exact[0][..., window[1] : window[1] + size[1], window[0] : window[0] + size[0]]
    lit = _mixed(under, terms.colour).round() * _enlarged_twice(_first(gain * share), size)
    if rest is not None:
        lit = lit + _enlarged_twice(_first(rest * 255), size)
        if painted:
            lit = lit + _interpolated(seen * painted, size, "bicubic")
    return lit[0].clamp(0, 255).round().to(torch.uint8)


def exposed_twice_on_device(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Return what `exposed_twice` returns, uint8 [3, height, width], computed where the pictures lie."""
    mixed = torch.lerp(first.float().square(), second.float().square(), share)
    return mixed.sqrt().round().to(torch.uint8)


def _first(values: torch.Tensor) -> torch.Tensor:
    return values.permute(2, 0, 1)[None]


def _last(values: torch.Tensor) -> torch.Tensor:
    return values[0].permute(1, 2, 0)


def _mixed(pictures: torch.Tensor, colour: float) -> torch.Tensor:
    return pictures[:, :3] * colour + pictures[:, 3:] * (1 - colour)


def _sampled(
    picture: torch.Tensor, places: np.ndarray, size: tuple[int, int], bend: torch.Tensor | None = None
) -> torch.Tensor:
    """Return a picture [1, channels, rows, columns] as a map and a bend show it, read straight between pixels."""
    columns, rows = size
    # in the float64 of OpenCV's own map: half a pixel of a large picture is told apart by float32 only just
    x = torch.arange(columns, device=picture.device, dtype=torch.float64)
    y = torch.arange(rows, device=picture.device, dtype=torch.float64)[:, None]
    x, y = (2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1
    right, down, depth = (float(row[0]) * x + float(row[1]) * y + float(row[2]) for row in places)
    at = torch.stack([right / depth, down / depth], dim=-1).float()
    if bend is not None:
        at = at + _interpolated(bend, size, "bilinear")[0].permute(1, 2, 0)
    return functional.grid_sample(picture, at[None], mode="bilinear", padding_mode="reflection", align_corners=False)


def _interpolated(values: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    return functional.interpolate(values, size=(size[1], size[0]), mode=mode, align_corners=False)


def _enlarged_twice(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    if half[0] <= values.shape[3]:
        return _interpolated(values, size, "bicubic")
    return _interpolated(_interpolated(values, half, "bicubic"), size, "bilinear")


def _area(picture: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return means of areas [1, channels, rows, columns]: two sums by a few shifted picks each, in full float32."""
    for dim, count in ((3, grid[0]), (2, grid[1])):
        picks, weights = _area_picks(int(picture.shape[dim]), count)
        shape = [1, 1, 1, 1]
        shape[dim] = count
        parts = [
            picture.index_select(dim, torch.from_numpy(pick).to(picture.device))
            * torch.from_numpy(weight).to(picture.device).view(shape)
            for pick, weight in zip(picks, weights, strict=True)
        ]
        picture = torch.stack(parts).sum(0)
    return picture


@cache
def _area_picks(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels the area of each of `count` cells holds and how much of each, [most, count] twice."""
    edges = np.arange(count + 1) * length / count
    first = np.floor(edges[:-1]).astype(np.int64)
    most = int((np.ceil(edges[1:] - 1e-9).astype(np.int64) - first).max())
    picks = np.minimum(first + np.arange(most)[:, None], length - 1)
    begins = first + np.arange(most)[:, None]
    held = np.clip(np.minimum(begins + 1, edges[1:]) - np.maximum(begins, edges[:-1]), 0, None)
    return picks, np.asarray(held / held.sum(0), np.float32)


@cache
def _device() -> Tools:
    """Return the tools for tensors."""

    def halved(values: torch.Tensor) -> torch.Tensor:
        rows, columns, channels = values.shape
        return values.view(rows // 2, 2, columns // 2, 2, channels).mean(dim=(1, 3))

    def filtered(values: torch.Tensor, kernel: np.ndarray) -> torch.Tensor:
        # sums of shifted pictures: convolutions run in TF32 on some cards
        reach = len(kernel) // 2
        for dim in (0, 1):
            count = values.shape[dim]
            places = torch.arange(count, device=values.device)
            parts = [
                values.index_select(dim, (places + offset - reach).clamp(0, count - 1)) * weight
                for offset, weight in enumerate(kernel.tolist())
            ]
            values = torch.stack(parts).sum(0)
        return values

    def enlarged(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return _last(_interpolated(_first(values), size, "bicubic"))

    return Tools(
        torch, halved, lambda values: filtered(values, _SMOOTH), lambda values: filtered(values, _bell(SOFT)), enlarged
    )
