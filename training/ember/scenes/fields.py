"""Shared building blocks of the scene renderers: frames, noise, colour, masks, the final grade.

All pictures are built as linear light in float32 and only turned into sRGB by `finish`, so glows add
up the way light does and bright things roll off to white instead of clipping to a flat colour.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from PIL import Image, ImageDraw
from scipy import ndimage

Field = np.ndarray
Rgb = tuple[float, float, float]
# points in frame units; of a stroke also its width and level
Outline = Sequence[tuple[float, float]]
Stroke = tuple[Outline, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (0.90, 0.07, 0.05),
    "orange": (1.00, 0.33, 0.06),
    "gold": (1.00, 0.58, 0.16),
    "yellow": (1.00, 0.80, 0.20),
    "green": (0.10, 0.75, 0.20),
    "teal": (0.05, 0.60, 0.52),
    "cyan": (0.10, 0.75, 0.95),
    "blue": (0.08, 0.25, 1.00),
    "violet": (0.34, 0.14, 0.95),
    "purple": (0.50, 0.08, 0.75),
    "magenta": (0.95, 0.08, 0.65),
    "pink": (1.00, 0.35, 0.50),
    "white": (0.90, 0.92, 1.00),
}


@dataclass(frozen=True)
class Scene:
    """One training picture with the caption and tags that describe it."""

    picture: np.ndarray
    caption: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """Pixel grid whose short side spans -1..1, x to the right and y up."""

    width: int
    height: int
    x: Field
    y: Field
    hx: float
    hy: float
    px: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


def make_frame(width: int, height: int) -> Frame:
    """Return the coordinate grid of a picture size."""
    half = min(width, height) / 2
    xs = ((np.arange(width) + 0.5 - width / 2) / half).astype(np.float32)
    ys = ((height / 2 - np.arange(height) - 0.5) / half).astype(np.float32)
    x, y = np.meshgrid(xs, ys)
    return Frame(width, height, x, y, width / 2 / half, height / 2 / half, 1 / half)


def make_rng(kind: str, seed: int, width: int, height: int) -> np.random.Generator:
    """Return the generator that makes a scene a pure function of its arguments."""
    return np.random.default_rng([zlib.crc32(kind.encode()), seed & 0xFFFFFFFF, width, height])


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform float."""
    return float(rng.uniform(low, high))


def pick(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    """Uniform choice that keeps the item's type."""
    return items[int(rng.integers(len(items)))]


def chance(rng: np.random.Generator, p: float) -> bool:
    """True with probability p."""
    return bool(rng.random() < p)


def words(text: str) -> str:
    """Tidy a caption: single spaces and 'an' before vowels."""
    text = re.sub(r"\s+", " ", text).strip().lower()
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def number(n: int) -> str:
    """Count word for small numbers."""
    return ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")[n] if n < 9 else "many"


def rgb(colour: str | Sequence[float] | Field) -> Field:
    """Linear colour vector of a name or triple."""
    return np.asarray(COLOURS[colour] if isinstance(colour, str) else colour, np.float32)


def smooth(low: Field | float, high: Field | float, v: Field) -> Field:
    """Smoothstep; works with low > high for a falling edge."""
    t = np.clip((v - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Field, b: Field, m: Field | float) -> Field:
    """Blend colour pictures (or colours) by a scalar field."""
    m = np.asarray(m, np.float32)
    if m.ndim >= 1:
        m = m[..., None]
    return a + (b - a) * m


def ramp(v: Field, stops: Sequence[tuple[float, Sequence[float] | Field]]) -> Field:
    """Map a field to colour through (position, colour) stops."""
    at = [s[0] for s in stops]
    out = np.empty((*v.shape, 3), np.float32)
    for c in range(3):
        out[..., c] = np.interp(v, at, [s[1][c] for s in stops])
    return out


def flat(f: Frame, colour: str | Sequence[float] | Field) -> Field:
    """A picture of one colour."""
    return np.broadcast_to(rgb(colour), (*f.shape, 3)).copy()


def fbm(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cells: float = 3.0,
    slope: float = 1.9,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Fractal noise with zero mean and unit deviation, shaped in frequency space (hence periodic).

    `cells` is the number of largest features along the short side, `slope` how fast detail fades,
    `stretch` makes features longer along (y, x).
    """
    h, w = shape
    short = min(h, w)
    fy = (np.fft.fftfreq(h) * short * stretch[0]).astype(np.float32)[:, None]
    fx = (np.fft.rfftfreq(w) * short * stretch[1]).astype(np.float32)[None]
    amp = (cells * cells + fx * fx + fy * fy) ** (-slope / 2)
    # The zero and sub-feature frequencies only tilt the whole picture, so they are faded.
    amp *= np.minimum(1, (fx * fx + fy * fy) / (0.3 * cells) ** 2)
    spectrum = rng.standard_normal((2, h, amp.shape[1]), np.float32)
    field = scipy.fft.irfft2((spectrum[0] + 1j * spectrum[1]) * amp, s=shape)
    return ((field - field.mean()) / (field.std() + 1e-9)).astype(np.float32)


def texture(rng: np.random.Generator, cells: float = 4.0, slope: float = 1.9, size: int = 256) -> Field:
    """A square periodic noise tile for `sample`; size must be a power of two."""
    return fbm(rng, (size, size), cells, slope)


def sample(tile: Field, u: Field, v: Field) -> Field:
    """Read a periodic tile at any coordinates (one period per unit), bilinear."""
    n = tile.shape[0]
    u = np.asarray(u, np.float32) * n
    v = np.asarray(v, np.float32) * n
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = u - u0, v - v0
    iu, iv = u0.astype(np.int32) & (n - 1), v0.astype(np.int32) & (n - 1)
    ju, jv = (iu + 1) & (n - 1), ((iv + 1) & (n - 1)) * n
    iv = iv * n
    flat_tile = tile.ravel()
    top = flat_tile[iv + iu] * (1 - fu) + flat_tile[iv + ju] * fu
    low = flat_tile[jv + iu] * (1 - fu) + flat_tile[jv + ju] * fu
    return top * (1 - fv) + low * fv


def curve(rng: np.random.Generator, n: int, cells: float = 4.0, slope: float = 1.5) -> Field:
    """One-dimensional fractal noise, unit deviation, used for skylines and broken edges."""
    fr = np.fft.rfftfreq(2 * n) * 2 * n
    amp = (cells * cells * 4 + fr * fr) ** (-slope / 2)
    amp[0] = 0
    spectrum = (rng.standard_normal(len(fr)) + 1j * rng.standard_normal(len(fr))) * amp
    line = np.fft.irfft(spectrum)[:n]
    return ((line - line.mean()) / (line.std() + 1e-9)).astype(np.float32)


def resize(a: Field, shape: tuple[int, int]) -> Field:
    """Smooth resampling of a scalar field or colour picture."""
    if a.ndim == 3:
        return np.stack([resize(a[..., c], shape) for c in range(a.shape[2])], -1)
    image = Image.fromarray(np.ascontiguousarray(a, np.float32), mode="F")
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32)


def blur(a: Field, sigma: float) -> Field:
    """Gaussian blur of a field or picture; wide blurs run on a reduced grid because they have no detail."""
    if sigma > 4:
        k = max(2, int(sigma / 2))
        h, w = a.shape[:2]
        low = (max(4, -(-h // k)), max(4, -(-w // k)))
        return resize(blur(resize(a, low), sigma / k), (h, w))
    if a.ndim == 3:
        return ndimage.gaussian_filter(a, (sigma, sigma, 0), mode="nearest", truncate=3)
    return ndimage.gaussian_filter(a, sigma, mode="nearest", truncate=3)


def warp(a: Field, dx: Field, dy: Field) -> Field:
    """Displace a field by pixel offsets."""
    h, w = a.shape[:2]
    jy, jx = np.mgrid[0:h, 0:w].astype(np.float32)
    coords = [jy + dy, jx + dx]
    if a.ndim == 3:
        return np.stack([ndimage.map_coordinates(a[..., c], coords, order=1, mode="mirror") for c in range(3)], -1)
    return ndimage.map_coordinates(a, coords, order=1, mode="mirror")


def swirl(
    rng: np.random.Generator, shape: tuple[int, int], cells: float, amount: float, steps: int = 8
) -> tuple[Field, Field]:
    """Pixel offsets of a stirred fluid: positions carried backwards along a divergence-free random flow."""
    stream = fbm(rng, shape, cells, 4.6)
    vy, vx = np.gradient(stream)
    norm = amount * min(shape) / (np.hypot(vx, vy).mean() * steps + 1e-9)
    vx, vy = vx * norm, -vy * norm
    h, w = shape
    jy, jx = np.mgrid[0:h, 0:w].astype(np.float32)
    py, px = jy.copy(), jx.copy()
    for _ in range(steps):
        iy = np.clip(py, 0, h - 1).astype(np.int32)
        ix = np.clip(px, 0, w - 1).astype(np.int32)
        px, py = px + vy[iy, ix], py + vx[iy, ix]
    return ndimage.gaussian_filter(px - jx, 1), ndimage.gaussian_filter(py - jy, 1)


def polygons(f: Frame, shapes: Sequence[Sequence[tuple[float, float]]], levels: Sequence[float] | None = None) -> Field:
    """Antialiased coverage (or grey level) of filled polygons given in frame units."""
    k = 3
    image = Image.new("L", (f.width * k, f.height * k), 0)
    draw = ImageDraw.Draw(image)
    for i, shape in enumerate(shapes):
        points = [((x + f.hx) / f.px * k, (f.hy - y) / f.px * k) for x, y in shape]
        draw.polygon(points, fill=255 if levels is None else int(255 * min(1.0, max(0.0, levels[i]))))
    return np.asarray(image.reduce(k), np.float32) / 255


def strokes(f: Frame, lines: Sequence[tuple[Sequence[tuple[float, float]], float, float]]) -> Field:
    """Antialiased polylines, each (points, width in frame units, level)."""
    k = 3
    image = Image.new("L", (f.width * k, f.height * k), 0)
    draw = ImageDraw.Draw(image)
    for line, width, level in lines:
        points = [((x + f.hx) / f.px * k, (f.hy - y) / f.px * k) for x, y in line]
        draw.line(points, fill=int(255 * min(1.0, level)), width=max(1, round(width / f.px * k)), joint="curve")
    return np.asarray(image.reduce(k), np.float32) / 255


def points(f: Frame, rng: np.random.Generator, n: int, power: float = 2.5, soft: float = 0.55) -> Field:
    """Scattered point lights with a steep brightness law, as stars and sparks have."""
    out = np.zeros(f.shape, np.float32)
    iy, ix = rng.integers(0, f.height, n), rng.integers(0, f.width, n)
    np.maximum.at(out, (iy, ix), np.minimum(30, rng.pareto(power, n) + 0.15).astype(np.float32))
    return ndimage.gaussian_filter(out, soft * f.height / 224 if f.height > 224 else soft)


def shafts(light: Field, f: Frame, cx: float, cy: float, reach: float = 0.6, rounds: int = 6) -> Field:
    """Volumetric rays: smear a brightness field away from (cx, cy), on a half-size grid."""
    h, w = max(8, f.height // 2), max(8, f.width // 2)
    a = resize(light, (h, w))
    jy, jx = np.mgrid[0:h, 0:w].astype(np.float32)
    oy, ox = (f.hy - cy) / (2 * f.hy) * h, (cx + f.hx) / (2 * f.hx) * w
    # Each round doubles the smear, so n rounds equal 2**n taps.
    for k in range(rounds):
        s = 1 - reach * 0.5 ** (k + 1)
        shifted = ndimage.map_coordinates(a, [oy + (jy - oy) * s, ox + (jx - ox) * s], order=1, mode="nearest")
        a = 0.5 * (a + shifted)
    return resize(a, f.shape)


def finish(
    img: Field,
    f: Frame,
    rng: np.random.Generator,
    exposure: float = 1.0,
    bloom: float = 0.25,
    vignette: float = 0.35,
    grain: float = 0.006,
    soft: float = 0.0,
) -> np.ndarray:
    """Bloom, lens falloff, filmic tone curve and light grain; returns the sRGB picture."""
    img = np.maximum(img, 0).astype(np.float32) * exposure
    if soft:
        img = blur(img, soft)
    if bloom:
        low = (f.height // 4, f.width // 4)
        small = np.minimum(resize(img, low), 12)
        hot = np.maximum(small - 0.35, 0)
        halo = blur(hot, 2.0) * 0.55 + blur(hot, 6.0) * 0.45
        img = img + bloom * np.maximum(resize(halo, f.shape), 0)
    if vignette:
        r = (f.x / f.hx) ** 2 + (f.y / f.hy) ** 2
        img = img * (1 - vignette * smooth(0.2, 2.2, r))[..., None]
    img = np.maximum(img, 0)
    img = img * (2.51 * img + 0.03) / (img * (2.43 * img + 0.59) + 0.14)
    img = np.clip(img, 0, 1) ** (1 / 2.2)
    img = img + (grain * rng.standard_normal(f.shape, np.float32))[..., None]
    return (np.clip(img, 0, 1) * 255 + 0.5).astype(np.uint8)
