"""Photosensitive safety: the flashes of a clip by ITU-R BT.1702, as a screen shows them.

Conventions. Luminance is that of a screen with a white of 200 cd/m2 and a gamma of 2.2. A *transition* of a point is a
change by 20 cd/m2 or more between one extreme and the next, where the darker of the two is below 160 cd/m2; or a change
from or to a saturated red (a share of red of 0.8 or more among linear R, G and B, more than 0.2 away in u'v'). A transition
of the screen is one of more than a quarter of its points within a tenth of a second. A flash is a pair of opposing
transitions. More than three flashes within a second fail: six transitions pass, the seventh starts a fourth flash.

Flashes in different places count together, and a cut that brightens one part and darkens another is one transition.
Regular patterns are not checked, and this is not a certificate.

Source: Recommendation ITU-R BT.1702; for red, WCAG 2.2, general flash and red flash thresholds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from reactive.errors import MediaError
from reactive.media.video import rgb_frames

# number of points that are compared, horizontally and vertically
GRID = (96, 54)
WHITE = 200.0
GAMMA = 2.2
CONCURRENT = Fraction(1, 10)
SECOND = Fraction(1)
SATURATED = 0.8
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# colours with at least this share of red are at most 0.165 in u'v' from every saturated red
_NEAR_RED = 0.75
# white added to every colour, so that black and nearly black have no hue
_OFFSET = np.float32(0.005)
_LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
_NEVER = np.iinfo(np.int32).min // 2
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
# X, Y and X + 15 Y + 3 Z, from which u' and v' are made
_UV = np.stack([_XYZ[0], _XYZ[1], _XYZ.T @ np.array([1, 15, 3], np.float32)])


@dataclass(frozen=True)
class Limits:
    """The limits of flashing.

    Attributes
    ----------
    swing
        Change of luminance in cd/m2.
    darker
        The darker picture's luminance in cd/m2 must be below this.
    hue
        Distance in u'v' from or to a saturated red.
    area
        Share of the screen that must be exceeded.
    transitions
        The most transitions allowed within a second: two a flash.
    """

    swing: float = 20.0
    darker: float = 160.0
    hue: float = 0.2
    area: float = 0.25
    transitions: int = 6


@dataclass(frozen=True)
class Points:
    """The state of every point of the grid, arrays [points].

    Attributes
    ----------
    turned
        Direction of the last transition: 1 up (or to red), -1 down, 0 none yet.
    low, high
        The extremes since then: in cd/m2, or for red as share of red.
    rose, fell
        Frames of each point's last transitions that have not yet counted in a transition of the screen.
    low_colour, high_colour
        For red: the colours at the extremes, uint8 [3, points].
    """

    turned: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rose: np.ndarray
    fell: np.ndarray
    low_colour: np.ndarray | None = None
    high_colour: np.ndarray | None = None


@dataclass(frozen=True)
class FlashEvents:
    """One kind of flash followed through a clip.

    Attributes
    ----------
    points
        The grid's points.
    events
        The screen's changes within the last second: frame, and direction 1 or -1, or 0 where a cut changes both ways.
    area
        The share of the screen that changed at this frame, if that was enough for an event.
    """

    points: Points
    events: tuple[tuple[int, int], ...] = ()
    area: float = 0.0

    @property
    def transitions(self) -> int:
        """Opposing transitions within the last second: the longest run of events that alternate."""
        up = down = 0
        for _, direction in self.events:
            up, down = (
                max(up, down + 1) if direction >= 0 else up,
                max(down, up + 1) if direction <= 0 else down,
            )
        return max(up, down)


@dataclass(frozen=True)
class FlashState:
    """The state that the check of the next picture depends on."""

    frame: int
    general: FlashEvents
    red: FlashEvents


@dataclass(frozen=True)
class Kind:
    """The result for one kind of flash.

    Attributes
    ----------
    flashes
        Most flashes within a second; a half is a flash that has started.
    area
        The greatest share of the screen that a transition covered, 0 if there was none.
    stretches
        Times with more than three within a second: (start, end) in seconds.
    """

    flashes: float
    area: float
    stretches: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        return {
            "flashes_per_s": self.flashes,
            "area": round(self.area, 4),
            "stretches": [[round(start, 3), round(end, 3)] for start, end in self.stretches],
        }


@dataclass(frozen=True)
class Flashes:
    """The flashes of a clip: of luminance (`general`) and of saturated red."""

    general: Kind
    red: Kind

    @property
    def passes(self) -> bool:
        """Whether the clip stays within the limits."""
        return not (self.general.stretches or self.red.stretches)

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        return {"passes": self.passes, "general": self.general.to_dict(), "red": self.red.to_dict()}

    def sentence(self) -> str:
        """Return the result in one line."""
        if self.passes:
            return "no more than three flashes within any second (ITU-R BT.1702)"
        worst = max((self.general, self.red), key=lambda kind: kind.flashes if kind.stretches else -1)
        name = "red flashes" if worst is self.red else "flashes"
        more = len(self.general.stretches) + len(self.red.stretches) - 1
        start, end = worst.stretches[0]
        others = f" and {more} more" if more else ""
        return (
            f"up to {worst.flashes:g} {name} a second over {worst.area:.0%} of the screen ({start:.1f} to {end:.1f} s"
            f"{others}); ITU-R BT.1702 allows three"
        )


def score_flashes(path: str | os.PathLike[str]) -> Flashes:
    """Count the flashes of a finished clip.

    Raises
    ------
    MediaError
        If it has no pictures.

    Examples
    --------
    >>> import reactive
    >>> reactive.score_flashes("clip.mp4").passes
    True
    """
    frames = rgb_frames(Path(path), size=GRID)
    first, fps = next(frames, (None, Fraction(0)))
    if first is None:
        raise MediaError("holds no pictures", where=str(path), remedy="score a finished clip")
    return count_flashes(chain([first], (picture for picture, _ in frames)), fps)


def count_flashes(pictures: Iterable[np.ndarray], fps: Fraction, *, limits: Limits | None = None) -> Flashes:
    """Count the flashes of pictures, uint8 [height, width, 3] sRGB of one small size, shown at `fps`."""
    state: FlashState | None = None
    limits = limits or Limits()
    general, red = _Tally(), _Tally()
    for picture in pictures:
        state = first_state(picture) if state is None else next_state(state, picture, fps, limits)
        general.add(state.frame, state.general, limits)
        red.add(state.frame, state.red, limits)
    return Flashes(general.kind(fps), red.kind(fps))


def first_state(picture: np.ndarray) -> FlashState:
    """Return the state after a clip's first picture, uint8 [height, width, 3]."""
    colours = _planes(picture)
    light, share = _light_and_share(colours)
    none = np.zeros(len(light), np.int8)
    never = np.full(len(light), _NEVER, np.int32)
    saturated = np.where(share >= SATURATED, 1, -1).astype(np.int8)
    return FlashState(
        0,
        FlashEvents(Points(none, light, light, never, never)),
        FlashEvents(Points(saturated, share, share, never, never, colours, colours)),
    )


def next_state(state: FlashState, picture: np.ndarray, fps: Fraction, limits: Limits) -> FlashState:
    """Return the state after one more picture; the arguments are not changed."""
    frame = state.frame + 1
    colours = _planes(picture)
    light, share = _light_and_share(colours)
    general = _luminance_turns(state.general.points, light, frame, limits)
    red = _red_turns(state.red.points, share, colours, frame, limits)
    return FlashState(
        frame,
        _next_events(state.general, general, frame, fps, limits),
        _next_events(state.red, red, frame, fps, limits),
    )


def _planes(picture: np.ndarray) -> np.ndarray:
    """Return a picture's red, green and blue one after the other, uint8 [3, points]: a third of the time of [points, 3]."""
    return np.ascontiguousarray(picture.reshape(-1, 3).T)


def _light_and_share(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return luminance in cd/m2 and share of red of each point, float32 [points], for colours uint8 [3, points]."""
    linear = _LINEAR.take(colours)
    red, green, blue = linear
    share = (red + _OFFSET) / (red + green + blue + 3 * _OFFSET)
    return (WHITE * LUMA) @ linear, share


def _hue(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return u' and v' of each point, float32 [points], for colours uint8 [3, points]."""
    x, y, below = _UV @ (_LINEAR.take(colours) + _OFFSET)
    return 4 * x / below, 9 * y / below


def _luminance_turns(points: Points, light: np.ndarray, frame: int, limits: Limits) -> Points:
    low, high = np.minimum(points.low, light), np.maximum(points.high, light)
    up = light - low >= limits.swing
    up &= points.turned != 1
    up &= low < limits.darker
    down = high - light >= limits.swing
    down &= points.turned != -1
    down &= light < limits.darker
    down &= ~up
    return _turned(Points(points.turned, low, high, points.rose, points.fell), up, down, light, frame)


def _red_turns(points: Points, share: np.ndarray, colours: np.ndarray, frame: int, limits: Limits) -> Points:
    assert points.low_colour is not None
    assert points.high_colour is not None
    low, low_colour = np.minimum(points.low, share), points.low_colour.copy()
    high, high_colour = np.maximum(points.high, share), points.high_colour.copy()
    np.copyto(low_colour, colours, where=share < points.low)
    np.copyto(high_colour, colours, where=share > points.high)
    # a colour of a greater share is too near in hue to every saturated red
    up = _hue_turns((share >= SATURATED) & (low < _NEAR_RED) & (points.turned == -1), colours, low_colour, limits)
    down = _hue_turns((share < _NEAR_RED) & (points.turned == 1), colours, high_colour, limits)
    followed = Points(points.turned, low, high, points.rose, points.fell, low_colour, high_colour)
    return _turned(followed, up, down, share, frame, colours)


def _turned(
    points: Points, up: np.ndarray, down: np.ndarray, value: np.ndarray, frame: int, colours: np.ndarray | None = None
) -> Points:
    """Return points after those of `up` and `down`, bool [points], turned; their search for the next extreme starts again.

    The arrays of extremes are changed in place. Few points turn at once, so indices are several times as fast as masks.
    """
    rising, falling = np.flatnonzero(up), np.flatnonzero(down)
    if not (len(rising) or len(falling)):
        return points
    turned, rose, fell = points.turned.copy(), points.rose.copy(), points.fell.copy()
    turned[rising], rose[rising] = 1, frame
    turned[falling], fell[falling] = -1, frame
    for which in (rising, falling):
        points.low[which] = points.high[which] = value[which]
        if colours is not None and points.low_colour is not None and points.high_colour is not None:
            points.low_colour[:, which] = points.high_colour[:, which] = colours[:, which]
    return replace(points, turned=turned, rose=rose, fell=fell)


def _hue_turns(points: np.ndarray, colours: np.ndarray, before: np.ndarray, limits: Limits) -> np.ndarray:
    """Return which of some points, bool [points], are far enough in hue from what they were before."""
    chosen = np.flatnonzero(points)
    if len(chosen):
        (u, v), (other_u, other_v) = _hue(colours[:, chosen]), _hue(before[:, chosen])
        # a third of the time of numpy's hypot
        points[chosen] = (u - other_u) ** 2 + (v - other_v) ** 2 > limits.hue**2
    return points


def _next_events(before: FlashEvents, points: Points, frame: int, fps: Fraction, limits: Limits) -> FlashEvents:
    # a frame exactly a second later is no longer within the second
    window, second = _in_frames(fps)
    events = tuple(event for event in before.events if event[0] > frame - second)
    rising, falling = points.rose > frame - window, points.fell > frame - window
    up, down = (np.count_nonzero(which) / len(which) for which in (rising, falling))
    if max(up, down) <= limits.area:
        return FlashEvents(points, events)
    # transitions of an event count only once
    if up > limits.area:
        points = replace(points, rose=np.where(rising, _NEVER, points.rose))
    if down > limits.area:
        points = replace(points, fell=np.where(falling, _NEVER, points.fell))
    direction = int(up > limits.area) - int(down > limits.area)
    return FlashEvents(points, (*events, (frame, direction)), max(up, down))


@cache
def _in_frames(fps: Fraction) -> tuple[int, int]:
    """Return a tenth of a second and a second in whole frames, since comparing arrays with fractions converts them."""
    return math.ceil(CONCURRENT * fps), math.ceil(SECOND * fps)


@dataclass
class _Tally:
    most: int = 0
    area: float = 0.0
    stretches: list[list[int]] = field(default_factory=list)

    def add(self, frame: int, watch: FlashEvents, limits: Limits) -> None:
        self.most = max(self.most, watch.transitions)
        self.area = max(self.area, watch.area)
        if watch.transitions > limits.transitions:
            first = watch.events[0][0]
            if self.stretches and first <= self.stretches[-1][1] + 1:
                self.stretches[-1][1] = frame
            else:
                self.stretches.append([first, frame])

    def kind(self, fps: Fraction) -> Kind:
        seconds = tuple((float(first / fps), float((last + 1) / fps)) for first, last in self.stretches)
        return Kind(self.most / 2, self.area, seconds)
