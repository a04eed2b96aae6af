"""The colours of the finished picture: brightness, contrast, saturation, temperature, tint, palette and colour table, in that order.

The settings become one table of colours, computed in OKLab (Ottosson, "A perceptual color space for image processing", 2020)
and applied between its entries by tetrahedra (Kasson et al., "Performing color space conversions with three-dimensional linear
interpolation", 1995). All of that is arithmetic of whole numbers, so a processor and a card give the same picture.

A palette moves each colour towards a blend of the palette's colours, chosen by lightness first and hue second. Dark
places get the palette's darkest colours and light places the lightest ones, so shapes stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Protocol, cast

import numpy as np
import torch

from reactive.timeline.timeline import COLOURS, NO_PALETTE

Palette = tuple[str, ...]

# entries along a side: 255 is 17 times 15 and 51 times 5, so every entry is a colour of 8 bits
_SIDE, _FINE = 18, 52
# settings are rounded to this many steps, finer than visible: a table costs more than a picture, so frames share it
_STEPS = 128
# an entry times a cell's width is a value of 8 bits with so many digits behind its point; the three of a colour lie in fields of
# one number of 64 bits, so that each corner costs one multiplication
DIGITS, FIELD = 13, 21
HALF = (1 << DIGITS - 1) * (1 + (1 << FIELD) + (1 << 2 * FIELD))
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)
# how far a temperature or tint of 1 moves white, in OKLab: about what 3,000 K do
_WARM, _MAGENTA = (0.015, 0.06), (0.06, -0.02)
# the exponent of lightness at a brightness of -1: middle grey becomes a tenth as light
_DARKER = 2.5
# a palette: entries between two neighbours, how near a colour must be to count, the share of hue in that, the
# smallest range of lightness that a picture is led into, and how much of its own lightness a place keeps beside
_BETWEEN, _NEAR, _HUE, _RANGE, _KEPT = 8, 0.07, 0.3, 0.4, 0.3

_loading = Lock()


class ColourTable(Protocol):
    """A colour table of the user, as `reactive.media.cube` reads one."""

    def applied(self, colours: np.ndarray) -> np.ndarray:
        """Apply it to sRGB colours float64 [n, 3] in [0, 1]."""


@dataclass(frozen=True)
class Setting:
    """The colour settings of one picture; a palette is texts ``#rrggbb``, and is blended with `after` by `weight`.

    `strength` is the palette's, 0 to 1; `tint` (green to magenta), `temperature` (cold to warm) and
    `brightness` (dark to light) are -1 to 1;
    `saturation` and `contrast` 0 to 4, 1 as it is.
    """

    before: Palette = ()
    after: Palette = ()
    weight: float = 0.0
    strength: float = 1.0
    tint: float = 0.0
    temperature: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    lut: ColourTable | None = None

    @property
    def rests(self) -> bool:
        """Whether pictures stay as they are."""
        palette = self.strength > 0 and (self.before or self.after)
        moved = (self.tint, self.temperature, self.saturation, self.contrast, self.brightness) != (
            0.0,
            0.0,
            1.0,
            1.0,
            0.0,
        )
        return not (palette or moved or self.lut)


def setting_of(
    columns: Mapping[str, np.ndarray], palettes: Sequence[Palette], frame: int, lut: ColourTable | None = None
) -> Setting:
    """Return one frame's colour settings from the timeline's columns, rounded so that similar frames share a table."""
    strength, tint, temperature, saturation, contrast, brightness = (
        round(float(columns[name][frame]) * _STEPS) / _STEPS for name in COLOURS
    )
    one, other = (int(columns[name][frame]) for name in ("palette_from", "palette_to"))
    before, after = (palettes[number] if number != NO_PALETTE else () for number in (one, other))
    weight = round(float(columns["weight"][frame]) * _STEPS) / _STEPS if before != after else 0.0
    return Setting(before, after, weight, strength, tint, temperature, saturation, contrast, brightness, lut)


def any_colours(columns: Mapping[str, np.ndarray], frames: np.ndarray, lut: ColourTable | None = None) -> bool:
    """Return whether colour settings change any of some frames."""
    moved = any((columns[name][frames] != rest).any() for name, rest in COLOURS.items() if name != "colour_strength")
    palette = (columns["palette_from"][frames] != NO_PALETTE) | (columns["palette_to"][frames] != NO_PALETTE)
    return bool(lut is not None or moved or palette.any())


def coloured(
    pictures: torch.Tensor,
    columns: Mapping[str, np.ndarray],
    palettes: Sequence[Palette],
    frames: np.ndarray,
    lut: ColourTable | None = None,
) -> torch.Tensor:
    """Return finished pictures uint8 [n, 3, height, width] with the colour settings of their frames applied.

    Without settings the pictures themselves are returned.

    Parameters
    ----------
    columns
        The timeline's columns.
    palettes
        Its palettes.
    frames
        Frame numbers [n].
    lut
        A colour table for the whole clip.
    """
    settings = [setting_of(columns, palettes, frame, lut) for frame in frames.tolist()]
    if all(setting.rests for setting in settings):
        return pictures
    return torch.stack(
        [
            picture if setting.rests else through_table(picture, setting)
            for picture, setting in zip(pictures, settings, strict=True)
        ]
    )


def through_table(picture: torch.Tensor, setting: Setting) -> torch.Tensor:
    """Return a picture uint8 [3, height, width] in the colours of a setting."""
    if picture.device.type != "cpu":
        return on_card(picture, setting)
    table, side = packed(setting)
    place, part = _grid(side)
    strides = np.array([[side * side], [side], [1]])
    cells, keys = (place * strides).astype(np.uint64), (part << 16 | strides).astype(np.uint64)
    source = np.ascontiguousarray(picture.numpy()).reshape(3, -1)
    result = np.empty_like(source)
    _kernel()(source, result, table, cells, keys, np.uint64(255 // (side - 1)), np.uint64(strides.sum()))
    return torch.from_numpy(result.reshape(picture.shape))


def prepare_colours() -> None:
    """Load what colours need on a processor, in half a second, so that the first picture does not wait for it."""
    through_table(torch.zeros(3, 1, 1, dtype=torch.uint8), Setting(saturation=0.5))


def _kernel() -> Callable[..., None]:
    """Return the compiled loop over pixels; one thread loads it, and others wait."""
    with _loading:
        return _compiled()


@cache
def _compiled() -> Callable[..., None]:
    """Compile the loop over pixels; numba comes with librosa, and is loaded only when colours change.

    Compiling costs about a second, so the result is kept on disk, beside this file or in the user's cache.
    """
    import numba

    def apply(source, result, table, cells, keys, whole, across):  # type: ignore[no-untyped-def]  # pragma: no cover
        half, stride, shift = np.uint64(HALF), np.uint64(0xFFFF), np.uint64(16)
        first_at, second_at, third_at = np.uint64(2 * FIELD + DIGITS), np.uint64(FIELD + DIGITS), np.uint64(DIGITS)
        for i in range(source.shape[1]):
            r, g, b = source[0, i], source[1, i], source[2, i]
            low = cells[0, r] + cells[1, g] + cells[2, b]
            high = low + across
            kr, kg, kb = keys[0, r], keys[1, g], keys[2, b]
            # from the cell's lowest corner to its highest, along the axis of the largest part first: a key has the part
            # above its axis's stride, so sorting needs no branches, which would be mispredicted in noisy pictures
            most, least = max(kr, max(kg, kb)), min(kr, min(kg, kb))
            middle = (kr + kg + kb - most - least) >> shift
            second, third = low + (most & stride), high - (least & stride)
            most, least = most >> shift, least >> shift
            value = (
                table[low] * (whole - most)
                + table[second] * (most - middle)
                + table[third] * (middle - least)
                + table[high] * least
                + half
            )
            result[0, i], result[1, i], result[2, i] = value >> first_at, value >> second_at, value >> third_at

    try:
        compiled = numba.njit(nogil=True, cache=True)(apply)
    except RuntimeError:
        # neither this folder nor the user's cache is writable
        compiled = numba.njit(nogil=True)(apply)
    return cast(Callable[..., None], compiled)


def on_card(picture: torch.Tensor, setting: Setting) -> torch.Tensor:
    """Do what `through_table` does on a card, with the same integer arithmetic."""
    table, side = table_of(setting)
    entries = torch.from_numpy(table).to(picture.device)
    place, part = (torch.from_numpy(values).to(picture.device) for values in _grid(side))
    colours = picture.flatten(1).int()
    strides = torch.tensor([side * side, side, 1], dtype=torch.int32, device=picture.device)
    low = (place[colours] * strides[:, None]).sum(dim=0)
    parts, order = part[colours].sort(dim=0, descending=True)
    path = torch.cat([low[None], low + strides[order].cumsum(dim=0)])
    weights = torch.cat([255 // (side - 1) - parts[:1], parts[:-1] - parts[1:], parts[-1:]])
    value = (entries[path.long()] * weights[..., None]).sum(dim=0)
    return ((value + (1 << DIGITS - 1)) >> DIGITS).to(torch.uint8).T.reshape(picture.shape)


@cache
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of 256 values its cell, int32, and its position within, int32 0 to the cell's width."""
    width = 255 // (side - 1)
    place = np.minimum(np.arange(256) // width, side - 2)
    return place.astype(np.int32), (np.arange(256) - place * width).astype(np.int32)


@lru_cache(128)
def table_of(setting: Setting) -> tuple[np.ndarray, int]:
    """Return a setting's table, int32 [side * side * side, 3] in 2^13 over a cell's width, and its side."""
    side = _FINE if setting.lut else _SIDE
    steps = np.linspace(0, 1, side)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    made = np.clip(graded_colours(colours, setting), 0, 1) * 255
    return np.round(made * ((1 << DIGITS) * (side - 1) / 255)).astype(np.int32), side


@lru_cache(128)
def packed(setting: Setting) -> tuple[np.ndarray, int]:
    """Return a setting's table with each colour as one number, uint64 [side * side * side], and its side."""
    table, side = table_of(setting)
    red, green, blue = table.astype(np.uint64).T
    return (red << np.uint64(2 * FIELD)) + (green << np.uint64(FIELD)) + blue, side


def graded_colours(colours: np.ndarray, setting: Setting) -> np.ndarray:
    """Apply a setting to colours float64 [n, 3], sRGB in [0, 1], clipped to the gamut."""
    lab = to_oklab(colours)
    light = np.clip(lab[:, 0], 0, 1)
    if setting.brightness != 0:
        # the middle moves; black and white stay
        lab[:, 0] = light = light ** (_DARKER**-setting.brightness)
    if setting.contrast != 1:
        # black, middle grey and white stay, and nothing is clipped
        up, down = light**setting.contrast, (1 - light) ** setting.contrast
        lab[:, 0] = light = up / (up + down)
    lab[:, 1:] *= setting.saturation
    for amount, (a, b) in ((setting.temperature, _WARM), (setting.tint, _MAGENTA)):
        # black stays black
        lab[:, 1] += amount * a * light
        lab[:, 2] += amount * b * light
    if setting.strength > 0 and (setting.before or setting.after):
        led = led_to(lab, setting.before)
        if setting.after != setting.before:
            led += (led_to(lab, setting.after) - led) * setting.weight
        lab += (led - lab) * setting.strength
    made = from_oklab(lab)
    return made if setting.lut is None else setting.lut.applied(made)


def led_to(lab: np.ndarray, palette: Palette) -> np.ndarray:
    """Return colours in OKLab [n, 3] moved to a palette; unchanged for an empty one."""
    if not palette:
        return lab.copy()
    own = to_oklab(np.array([_rgb(colour) for colour in palette]) / 255)
    own = own[np.argsort(own[:, 0], kind="stable")]
    share = np.arange(_BETWEEN)[:, None] / _BETWEEN
    between = [a + (b - a) * share for a, b in zip(own, own[1:], strict=False)]
    points = np.concatenate([*between, own[-1:]])
    low, high = own[0, 0], own[-1, 0]
    more = max(_RANGE - (high - low), 0.0) / 2
    low, high = max(low - more, 0.0), min(high + more, 1.0)
    light = low + (high - low) * np.clip(lab[:, 0], 0, 1)
    apart = (light[:, None] - points[:, 0]) ** 2
    apart += _HUE * ((lab[:, None, 1:] - points[:, 1:]) ** 2).sum(axis=-1)
    apart -= apart.min(axis=1, keepdims=True)
    weights = np.exp(-apart / (2 * _NEAR**2))
    led = (weights / weights.sum(axis=1, keepdims=True)) @ points
    led[:, 0] += _KEPT * (light - led[:, 0])
    return led


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def to_oklab(colours: np.ndarray) -> np.ndarray:
    """Return sRGB colours float64 [n, 3] in [0, 1] as OKLab: lightness 0 to 1, a and b about -0.4 to 0.4."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((np.maximum(colours, 0) + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """Return OKLab colours as sRGB in [0, 1]; clipped to the gamut."""
    linear = np.clip((lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
