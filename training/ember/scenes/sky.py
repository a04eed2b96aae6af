"""Skies, weather moods and a perspective height-field renderer shared by the landscape scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .fields import Field, Frame, Rgb, between, fbm, mix, pick, points, rgb, sample, smooth, texture


@dataclass(frozen=True)
class Mood:
    """Light of a time of day: `light` names it in captions, colours are linear."""

    light: str
    zenith: Rgb
    horizon: Rgb
    sun: Rgb
    power: float
    stars: bool = False
    tag: str = "cloud"


MOODS: dict[str, Mood] = {
    "sunrise": Mood("at sunrise", (0.10, 0.20, 0.42), (0.95, 0.46, 0.22), (1.0, 0.55, 0.25), 1.3),
    "golden": Mood("in golden light", (0.16, 0.30, 0.48), (0.90, 0.62, 0.32), (1.0, 0.70, 0.36), 1.5),
    "sunset": Mood("at sunset", (0.10, 0.09, 0.24), (0.95, 0.26, 0.09), (1.0, 0.40, 0.12), 1.2, tag="sunset"),
    "pink": Mood("under a pink sky", (0.17, 0.16, 0.40), (0.90, 0.36, 0.42), (1.0, 0.52, 0.45), 1.0),
    "day": Mood("on a clear day", (0.10, 0.27, 0.65), (0.55, 0.70, 0.85), (1.0, 0.93, 0.80), 1.7),
    "overcast": Mood("under a grey sky", (0.26, 0.29, 0.33), (0.55, 0.57, 0.58), (0.85, 0.88, 0.90), 0.5),
    "dusk": Mood("at dusk", (0.03, 0.04, 0.13), (0.36, 0.19, 0.32), (0.75, 0.40, 0.50), 0.6),
    "blue": Mood("at blue hour", (0.02, 0.05, 0.16), (0.12, 0.24, 0.42), (0.40, 0.60, 0.90), 0.5),
    "night": Mood("at night", (0.004, 0.007, 0.022), (0.02, 0.04, 0.085), (0.45, 0.58, 0.85), 0.32, True, "night"),
    "red": Mood("under a red sky", (0.09, 0.012, 0.016), (0.70, 0.11, 0.05), (1.0, 0.25, 0.10), 1.0),
    "teal": Mood("in teal haze", (0.02, 0.10, 0.13), (0.20, 0.46, 0.44), (0.65, 0.95, 0.85), 0.8),
}


def mood_of(rng: np.random.Generator, names: str) -> Mood:
    """Choose one of the space-separated mood names."""
    return MOODS[pick(rng, names.split())]


def sky(
    f: Frame,
    rng: np.random.Generator,
    mood: Mood,
    horizon: float,
    sun: tuple[float, float] | None = None,
    cloud: float = 0.5,
    disc: float = 0.0,
    scale: float = 0.24,
) -> Field:
    """A sky with a sun glow and a perspective cloud deck.

    `cloud` is the covered share, `disc` the sun radius.
    """
    up = np.clip((f.y - horizon) / (f.hy - horizon + 0.3), 0, 1)
    img = mix(rgb(mood.horizon), rgb(mood.zenith), 1 - np.exp(-2.6 * up))
    sun = sun or (between(rng, -f.hx, f.hx), horizon + 0.2)
    d = np.hypot(f.x - sun[0], f.y - sun[1])
    glow = 0.45 * np.exp(-d / 0.55) + 0.8 * np.exp(-d / 0.16)
    img = img + rgb(mood.sun) * (mood.power * glow)[..., None]
    if mood.stars:
        img = (
            img
            + (np.minimum(points(f, rng, int(420 * f.hx * f.hy), soft=0.42), 1.2) * smooth(0.0, 0.5, up) * 0.5)[
                ..., None
            ]
        )
    if disc:
        img = img + rgb(mood.sun) * (6 * mood.power * smooth(disc + 1.5 * f.px, disc - 1.5 * f.px, d))[..., None]
    if cloud > 0:
        tile = texture(rng, 3.0, 1.75)
        depth = 1 / (np.maximum(f.y - horizon, 0) + 0.28)
        u, v = (f.x * depth) * scale + rng.random(), depth * scale * 1.8 + rng.random()
        n = sample(tile, u, v)
        # A second look a little toward the sun tells whether the cloud there is thinner, i.e. lit.
        toward = np.stack([sun[0] - f.x, sun[1] - f.y]) / (d + 0.3)
        lit = n - sample(tile, u + 0.035 * toward[0] * depth * 0.4, v - 0.035 * toward[1] * depth * 0.4)
        edge = 1.6 - 3.0 * cloud
        cover = smooth(edge, edge + 1.1, n) * smooth(0.0, 0.3, f.y - horizon + 0.1)
        bright = np.clip(0.45 + 0.7 * lit, 0, 1.3) + 0.7 * np.exp(-d / 0.5)
        dark = (rgb(mood.zenith) * 0.55 + rgb(mood.horizon) * 0.25) * 0.8
        light = rgb(mood.horizon) * 0.55 + rgb(mood.sun) * mood.power * 0.55
        img = mix(img, mix(dark, light, bright * (1.0 - 0.35 * smooth(edge, edge + 2.2, n))), cover * 0.92)
    return img


@dataclass(frozen=True)
class Ground:
    """Height field sampled along view rays: rows go away from the camera, columns are picture columns."""

    x: Field
    z: Field
    h: Field
    normal: tuple[Field, Field, Field]
    line: Field
    near: float
    far: float


def ground(
    f: Frame,
    height: Callable[[Field, Field], Field],
    eye: float,
    horizon: float,
    focal: float = 1.6,
    near: float = 0.6,
    far: float = 40.0,
    rows: int = 150,
) -> Ground:
    """Sample a height function in view order and project it."""
    z = np.geomspace(near, far, rows).astype(np.float32)[:, None]
    x = f.x[0][None] * z / focal
    z = np.broadcast_to(z, x.shape)
    h = height(x, z)
    e = 0.02 * z / focal + 0.01
    nx, nz = -(height(x + e, z) - h) / e, -(height(x, z + e) - h) / e
    norm = 1 / np.sqrt(nx * nx + nz * nz + 1)
    line = np.maximum.accumulate(horizon + focal * (h - eye) / z, axis=0)
    return Ground(x, z, h, (nx * norm, norm, nz * norm), line, near, far)


def paint(f: Frame, g: Ground, colour: Field, behind: Field) -> Field:
    """Draw a shaded height field over a backdrop; rows are sampled twice per pixel against jagged ridges."""
    rows = len(g.line)
    ys = (f.hy - (np.arange(f.height * 2) + 0.5) / 2 * f.px).astype(np.float32)
    index = np.empty((f.height * 2, f.width), np.int32)
    for j in range(f.width):
        index[:, j] = np.searchsorted(g.line[:, j], ys)
    hit = index < rows
    a = np.clip(index, 1, rows - 1)
    cols = np.arange(f.width)[None]
    low, high = g.line[a - 1, cols], g.line[a, cols]
    t = np.clip((ys[:, None] - low) / np.maximum(high - low, 1e-5), 0, 1)
    t[index == 0] = 0
    out = colour[a - 1, cols] * (1 - t)[..., None] + colour[a, cols] * t[..., None]
    cover = hit.reshape(f.height, 2, f.width).mean(1)
    total = (out * hit[..., None]).reshape(f.height, 2, f.width, 3).sum(1) * 0.5
    return total + behind * (1 - cover)[..., None]


def sun_vector(f: Frame, sun: tuple[float, float], horizon: float, focal: float = 1.6) -> tuple[float, float, float]:
    """Unit direction to a sun seen at a picture position."""
    v = np.array([sun[0], max(0.08, sun[1] - horizon), focal])
    v = v / np.linalg.norm(v)
    return float(v[0]), float(v[1]), float(v[2])


def lambert(g: Ground, light: tuple[float, float, float]) -> Field:
    """Diffuse term of a height field."""
    return np.clip(g.normal[0] * light[0] + g.normal[1] * light[1] + g.normal[2] * light[2], 0, 1)


def haze(g: Ground, colour: Field, air: Field | Rgb, density: float, low: float = 0.0) -> Field:
    """Blend toward the air colour with distance; `low` thickens the air near the ground."""
    amount = 1 - np.exp(-density * g.z)
    if low:
        amount = np.clip(amount * (1 + low * np.exp(-2.0 * np.maximum(g.h, 0))), 0, 1)
    return mix(colour, np.asarray(air, np.float32), amount)


def fog_bank(f: Frame, rng: np.random.Generator, y0: float, thick: float, rough: float = 0.5) -> Field:
    """Opacity of a soft ground fog whose top wanders around y0."""
    n = fbm(rng, f.shape, 2.0, 2.1, (1.0, 3.0))
    return np.clip(smooth(y0 + thick, y0 - thick, f.y + rough * thick * n), 0, 1)


def ridge_tile(rng: np.random.Generator, cells: float = 4.0, slope: float = 3.0) -> Field:
    """Tile of sharp-crested mountains between 0 and about 1."""
    a = texture(rng, cells, slope)
    b = ndimage.gaussian_filter(texture(rng, cells * 2.0, 2.6), 1.0, mode="wrap")
    return np.maximum(0, 1.05 - np.sqrt(a * a + 0.04) * 0.8) + 0.05 * b


def air_of(mood: Mood) -> Field:
    """Colour that distance fades to."""
    return rgb(mood.horizon) * 0.8 + rgb(mood.zenith) * 0.2


def sunlit(lit: Field, mood: Mood, albedo: Field, up: Field) -> Field:
    """Sun plus sky light on a surface."""
    ambient = rgb(mood.zenith) * 0.9 + rgb(mood.horizon) * 0.35
    light = (rgb(mood.sun) * mood.power) * lit[..., None] * 1.1 + ambient * (0.45 + 0.4 * up)[..., None]
    return albedo * light


def moon_disc(f: Frame, rng: np.random.Generator, img: Field, at: tuple[float, float], r: float) -> Field:
    """Add a shaded moon with a halo."""
    dx, dy = (f.x - at[0]) / r, (f.y - at[1]) / r
    d = np.hypot(dx, dy)
    nz = np.sqrt(np.clip(1 - d * d, 0, 1))
    phase = between(rng, -0.9, 0.9)
    lit = smooth(-0.15, 0.5, dx * phase + nz * (1.1 - abs(phase)) + 0.1)
    seas = 0.75 + 0.13 * fbm(rng, f.shape, 1.5 / r, 2.2)
    face = np.array((0.95, 0.9, 0.8), np.float32) * (lit * seas)[..., None] * 1.5 + 0.01
    img = mix(img, face, smooth(1 + f.px / r, 1 - f.px / r, d))
    return img + np.array((0.30, 0.38, 0.55), np.float32) * (0.35 * np.exp(-np.maximum(d - 1, 0) * 0.8))[..., None]


def reflect(f: Frame, rng: np.random.Generator, img: Field, line: float, gain: float, deep: Field) -> Field:
    """Replace what lies below `line` with a rippled mirror image."""
    row = np.clip((f.hy - line) / f.px, 0, f.height - 1)
    jy, jx = np.mgrid[0 : f.height, 0 : f.width].astype(np.float32)
    depth = np.maximum(jy - row, 0)
    persp = 1 / (depth / f.height + 0.05)
    tile = texture(rng, 5, 1.8)
    n = sample(tile, f.x * persp * 0.03, persp * 0.35)
    ry = row - depth * 0.95 + n * (0.6 + depth * 0.10)
    rx = jx + n * (0.3 + depth * 0.02)
    mirror = np.stack([ndimage.map_coordinates(img[..., c], [ry, rx], order=1, mode="mirror") for c in range(3)], -1)
    below = smooth(-0.5, 0.8, jy - row)
    return mix(img, deep + mirror * (gain * (1 - 0.3 * depth / f.height))[..., None], below)
