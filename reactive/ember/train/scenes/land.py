"""Open landscapes drawn as height fields: mountains, dunes, dust storms, ice, aurora, lightning, volcano, sea."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .fields import (
    Field,
    Frame,
    Scene,
    between,
    blur,
    chance,
    curve,
    fbm,
    finish,
    mix,
    number,
    pick,
    points,
    ramp,
    rgb,
    sample,
    shafts,
    smooth,
    strokes,
    texture,
    words,
)
from .sky import MOODS, Mood, fog_bank, ground, haze, lambert, mood_of, paint, ridge_tile, sky, sun_vector


def _air(mood: Mood) -> Field:
    return rgb(mood.horizon) * 0.8 + rgb(mood.zenith) * 0.2


def _shade(lit: Field, mood: Mood, albedo: Field, up: Field) -> Field:
    """Sun plus sky light on a surface."""
    ambient = rgb(mood.zenith) * 0.9 + rgb(mood.horizon) * 0.35
    light = (rgb(mood.sun) * mood.power) * lit[..., None] * 1.1 + ambient * (0.45 + 0.4 * up)[..., None]
    return albedo * light


def mountains(f: Frame, rng: np.random.Generator) -> Scene:
    """Ridges in depth haze, sometimes over a valley of fog or a lake."""
    mood = mood_of(rng, "sunrise sunrise golden pink overcast dusk blue sunset teal day")
    horizon = between(rng, -0.35, 0.25) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, horizon + between(rng, 0.1, 0.45))
    tile, tall = ridge_tile(rng, between(rng, 3, 6)), between(rng, 1.0, 2.3)
    snow, lake = chance(rng, 0.45), chance(rng, 0.3)
    eye = between(rng, 0.9, 1.8)

    def height(x: Field, z: Field) -> Field:
        h = sample(tile, x * 0.045 + 0.3, z * 0.045) * tall
        h = h * smooth(1.0, 9.0, z) + 0.015 * z
        return np.maximum(h, 0.25 * tall) if lake else h

    back = sky(f, rng, mood, horizon, sun, between(rng, 0.1, 0.65), disc=0.05 if chance(rng, 0.4) else 0)
    g = ground(f, height, eye, horizon, near=1.2, far=34)
    lit = lambert(g, sun_vector(f, sun, horizon))
    detail = sample(tile, g.x * 0.5, g.z * 0.5)
    rock = ramp(detail, [(-0.2, (0.05, 0.05, 0.055)), (1.1, (0.20, 0.17, 0.15))])
    low = np.array((0.05, 0.075, 0.035), np.float32)
    albedo = mix(rock, low, smooth(0.75, 0.95, g.normal[1]) * smooth(0.8 * tall, 0.3 * tall, g.h))
    if snow:
        cap = smooth(0.45, 0.75, g.h / tall + 0.15 * detail) * smooth(0.35, 0.7, g.normal[1])
        albedo = mix(albedo, np.float32((0.75, 0.78, 0.85)), cap)
    colour = _shade(lit, mood, albedo, g.normal[1])
    if lake:
        mirror = rgb(mood.horizon) * 0.55 + rgb(mood.zenith) * 0.35
        wet = smooth(0.252 * tall, 0.2501 * tall, g.h)
        ripple = 0.85 + 0.15 * sample(tile, g.x * 0.3, g.z * 2.0)
        colour = mix(colour, mirror * ripple[..., None], wet * 0.9)
    density = between(rng, 0.03, 0.13)
    colour = haze(g, colour, _air(mood), density, low=between(rng, 0, 1.5))
    img = paint(f, g, colour, back)
    foggy = chance(rng, 0.5)
    if foggy:
        bank = fog_bank(f, rng, horizon - between(rng, 0.1, 0.5), between(rng, 0.12, 0.3), 0.8)
        img = mix(img, _air(mood) * 0.9, bank * between(rng, 0.5, 0.85))
    ground_word = "fog" if foggy else "a calm lake" if lake else "haze"
    peak = "snowy mountains" if snow else pick(rng, ["mountains", "mountain ridges", "layered mountains"])
    joint = "above" if foggy or lake else "in"
    tags = ("mountain", "fog" if foggy else "water" if lake else "sky", mood.tag)
    caption = words(f"{peak} {joint} {ground_word} {mood.light}")
    return Scene(finish(img, f, rng, between(rng, 0.9, 1.2)), caption, tuple(dict.fromkeys(tags)))


def _dune_height(rng: np.random.Generator, size: float) -> tuple[Field, float, float]:
    tile = texture(rng, 3.0, 3.0)
    return tile, between(rng, -0.8, 0.8), size


def dunes(f: Frame, rng: np.random.Generator) -> Scene:
    """Sand dunes with one crest line each, often under a moon."""
    mood = mood_of(rng, "night night blue dusk sunset golden day pink night")
    moon = mood.light in ("at night", "at blue hour", "at dusk")
    horizon = between(rng, -0.1, 0.35) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, horizon + between(rng, 0.25, 0.75) * (f.hy - horizon))
    tile, turn, size = _dune_height(rng, between(rng, 0.35, 0.6))
    fine = texture(rng, 6, 2.2)

    def height(x: Field, z: Field) -> Field:
        bend = sample(tile, x * 0.05, z * 0.05)
        p = (x * turn + z * 0.8) * size + 1.3 * bend
        saw = p - np.floor(p)
        # A dune climbs slowly on the windward side and drops fast on the lee side.
        crest = np.where(saw < 0.72, smooth(0, 0.72, saw) ** 0.9, smooth(1.0, 0.72, saw))
        tall = 0.55 + 0.3 * sample(tile, x * 0.03 + 0.5, z * 0.03)
        return crest * tall + 0.004 * np.sin(60 * p + 3 * bend) * (z < 9)

    back = sky(f, rng, mood, horizon, sun, between(rng, 0, 0.4), disc=0 if moon else 0.06)
    if moon:
        back = _moon(f, rng, back, sun, between(rng, 0.07, 0.2))
    g = ground(f, height, between(rng, 0.9, 1.5), horizon, near=1.0, far=30)
    lx, ly, lz = sun_vector(f, sun, horizon)
    side = pick(rng, [-1, 1]) * between(rng, 0.5, 1.0)
    norm = np.sqrt((lx + side) ** 2 + ly * ly + 0.25 * lz * lz)
    lit = lambert(g, ((lx + side) / norm, ly / norm, 0.5 * lz / norm))
    sand = ramp(sample(fine, g.x * 0.3, g.z * 0.3), [(-2, (0.42, 0.24, 0.13)), (2, (0.62, 0.40, 0.24))])
    if moon:
        sand = sand * np.float32((0.75, 0.95, 1.25))
    colour = haze(g, _shade(lit**1.2, mood, sand, g.normal[1]), _air(mood), between(rng, 0.015, 0.05))
    img = paint(f, g, colour, back)
    gain = 2.0 if mood.stars else 1.1
    what = "a moon over desert dunes" if moon else pick(rng, ["sand dunes in a desert", "desert dunes"])
    tags = ("desert", "night" if moon else mood.tag) + (("stars",) if mood.stars else ())
    return Scene(finish(img, f, rng, gain), words(f"{what} {mood.light}"), tags)


def _moon(f: Frame, rng: np.random.Generator, img: Field, at: tuple[float, float], r: float) -> Field:
    """Add a shaded moon with a halo."""
    dx, dy = (f.x - at[0]) / r, (f.y - at[1]) / r
    d = np.hypot(dx, dy)
    nz = np.sqrt(np.clip(1 - d * d, 0, 1))
    phase = between(rng, -0.9, 0.9)
    lit = smooth(-0.15, 0.5, dx * phase + nz * (1.1 - abs(phase)) + 0.1)
    seas = 0.75 + 0.13 * fbm(rng, f.shape, 1.5 / r, 2.2)
    face = np.float32((0.95, 0.9, 0.8)) * (lit * seas)[..., None] * 1.5 + 0.01
    img = mix(img, face, smooth(1 + f.px / r, 1 - f.px / r, d))
    return img + np.float32((0.30, 0.38, 0.55)) * (0.35 * np.exp(-np.maximum(d - 1, 0) * 0.8))[..., None]


def dust(f: Frame, rng: np.random.Generator) -> Scene:
    """A wall of dust rolling over flat land, or haze so thick that only near shapes remain."""
    tint = pick(rng, ["orange", "red", "brown", "yellow"])
    base = {"orange": (0.75, 0.33, 0.11), "red": (0.55, 0.14, 0.06), "brown": (0.42, 0.26, 0.15)}
    air = np.float32(base.get(tint, (0.78, 0.55, 0.22)))
    wall, horizon = chance(rng, 0.55), between(rng, -0.5, -0.1) * f.hy
    tile = texture(rng, 4, 2.4)
    mood = mood_of(rng, "overcast golden dusk") if wall else MOODS["golden"]
    g = ground(f, lambda x, z: 0.10 * sample(tile, x * 0.07, z * 0.07), 0.7, horizon, near=0.8, far=30)
    earth = ramp(sample(tile, g.x * 0.4, g.z * 0.4), [(-2, (0.10, 0.06, 0.04)), (2, (0.36, 0.22, 0.13))])
    lit = lambert(g, (0.5, 0.6, 0.6))
    colour = earth * (0.4 + lit[..., None]) * (air * 0.5 + 0.3)
    colour = haze(g, colour, air * 0.8, 0.09 if wall else 0.2)
    sun = (between(rng, -0.7, 0.7) * f.hx, horizon + between(rng, 0.4, 0.9))
    if wall:
        back = sky(f, rng, mood, horizon, sun, 0.4)
        n = fbm(rng, f.shape, 3.5, 1.9)
        puff = np.abs(fbm(rng, f.shape, 5, 2.1))
        top = horizon + between(rng, 0.45, 0.9) + between(rng, -0.35, 0.35) * f.x / f.hx
        cover = smooth(-0.12, 0.14, top + 0.10 * n - 0.09 * puff - f.y)
        shape = blur(n * 0.5 - puff * 0.8, 1.2)
        gy, gx = np.gradient(shape)
        light = np.clip(0.55 + 3.2 * (gx * np.sign(-sun[0]) * -1 + gy), 0.1, 1.3) * (0.5 + 0.5 * smooth(-0.6, 0.2, f.y - top))
        back = mix(back, air * (0.25 + light[..., None] * 0.9), cover)
        caption = f"a wall of {tint} dust rolling over the desert"
    else:
        back = flat_air = air * (0.55 + 0.5 * smooth(-0.5, 1.0, f.y - horizon))[..., None]
        d = np.hypot(f.x - sun[0], f.y - sun[1])
        disc = smooth(0.12, 0.10, d) * 1.2 + 0.8 * np.exp(-d / 0.4)
        back = flat_air + air * disc[..., None]
        caption = f"a pale sun in {tint} dust over desert plains"
    img = paint(f, g, colour, back)
    streak = fbm(rng, f.shape, 3, 1.9, (1.0, 5.0))
    veil = smooth(horizon + 0.35, horizon - 0.25, f.y + 0.1 * streak) * np.clip(0.5 + 0.25 * streak, 0, 1)
    img = mix(img, air * 0.85, veil * between(rng, 0.4, 0.9))
    return Scene(finish(img, f, rng, 1.0, soft=0.5), words(caption), ("dust", "desert", "storm"))


def glacier(f: Frame, rng: np.random.Generator) -> Scene:
    """Blue ice cliffs over dark water, or a cracked ice plain."""
    mood = mood_of(rng, "day overcast blue pink teal golden sunrise")
    horizon = between(rng, -0.15, 0.2) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, horizon + between(rng, 0.2, 0.5))
    tile, fine = texture(rng, 5, 2.0), texture(rng, 7, 1.6)
    bergs = chance(rng, 0.5)
    cut = between(rng, 0.3, 0.8)

    def height(x: Field, z: Field) -> Field:
        n = sample(tile, x * 0.06, z * 0.06) + 0.15 * sample(fine, x * 0.15, z * 0.15)
        block = np.round(n * 2.2) / 2.2 * 0.6 + n * 0.4
        if bergs:
            return np.maximum(0, np.where(n > cut, 0.35 + 0.45 * block, 0)) * smooth(2, 4, z)
        return np.maximum(0, 0.6 * block + 0.12 * (z - 4.0)) * smooth(2.0, 5.0, z)

    back = sky(f, rng, mood, horizon, sun, between(rng, 0.2, 0.7))
    g = ground(f, height, between(rng, 0.5, 0.9), horizon, near=0.8, far=30)
    lit = lambert(g, sun_vector(f, (sun[0] * 1.5 + 0.4, sun[1]), horizon, 0.6))
    steep = smooth(0.75, 0.25, g.normal[1])
    grainy = sample(fine, g.x * 0.5, g.h * 0.5 + g.z * 0.2)
    albedo = mix(np.float32((0.80, 0.85, 0.92)), np.float32((0.10, 0.42, 0.62)), steep * 0.85)
    albedo = albedo * (1 + 0.10 * grainy)[..., None]
    colour = _shade(lit, mood, albedo, g.normal[1]) + np.float32((0.0, 0.05, 0.08)) * steep[..., None]
    wet = smooth(0.012, 0.0, g.h)
    ripple = np.clip(0.7 + 0.25 * sample(tile, g.x * 0.15, g.z * 1.2), 0, 2)
    mirror = (rgb(mood.horizon) * 0.5 + rgb(mood.zenith) * 0.3) * np.float32((0.5, 0.75, 0.85))
    colour = mix(colour, mirror * (ripple * smooth(-2, 14, g.z))[..., None] + 0.01, wet)
    img = paint(f, g, haze(g, colour, _air(mood), between(rng, 0.02, 0.06)), back)
    what = "icebergs floating in cold water" if bergs else "a blue glacier above cold water"
    return Scene(finish(img, f, rng, 0.95), words(f"{what} {mood.light}"), ("ice", "water", "cloud"))


def aurora(f: Frame, rng: np.random.Generator) -> Scene:
    """Curtains of light over snow and mountains."""
    tint = pick(rng, ["green", "green", "teal", "violet", "magenta"])
    horizon = between(rng, -0.6, -0.25) * f.hy
    mood = MOODS["night"]
    img = sky(f, rng, mood, horizon, (0, horizon), 0)
    low, high = rgb(tint), rgb(pick(rng, ["violet", "magenta", "blue", "cyan"]))
    glow = np.zeros((*f.shape, 3), np.float32)
    bands = int(rng.integers(1, 4))
    for _ in range(bands):
        base = horizon + between(rng, 0.35, 0.8) + 0.16 * curve(rng, f.width, 1.5, 2.6)
        base = base + between(rng, -0.35, 0.35) * f.x[0]
        rays = np.exp(0.45 * curve(rng, f.width, 9, 1.3)) * np.exp(0.5 * curve(rng, f.width, 2, 2.0))
        rise = f.y - base[None]
        tall = between(rng, 0.25, 0.6)
        body = smooth(-0.07, 0.03, rise) * np.exp(-np.maximum(rise, 0) / (tall * (0.6 + 0.4 * rays[None])))
        tone = mix(low, high, smooth(0.0, tall * 2.2, rise))
        glow += tone * (body * rays[None] * between(rng, 0.3, 0.6))[..., None]
    glow = blur(glow, 1.0) + 0.25 * blur(glow, 14)
    img = img + glow
    light = glow[: f.height // 2].mean((0, 1))
    tile, tall = ridge_tile(rng, 4), between(rng, 0.8, 1.8)

    def height(x: Field, z: Field) -> Field:
        return (sample(tile, x * 0.05, z * 0.05) * tall) * smooth(6, 16, z) + 0.08 * sample(tile, x * 0.1, z * 0.1)

    g = ground(f, height, 0.8, horizon, near=0.8, far=30)
    water = chance(rng, 0.35)
    lit = lambert(g, (between(rng, -0.6, 0.6), 0.8, 0.2))
    snow = mix(np.float32((0.6, 0.65, 0.75)), np.float32((0.03, 0.03, 0.04)), smooth(0.8, 0.55, g.normal[1]))
    colour = snow * (light * 1.6 + np.float32((0.015, 0.022, 0.04))) * (0.3 + lit)[..., None]
    img = paint(f, g, haze(g, colour, light * 0.25 + rgb(mood.horizon), 0.02), img)
    if water:
        img = reflect(f, rng, img, horizon, 0.75, np.float32((0.01, 0.015, 0.03)))
    place = "a still lake" if water else pick(rng, ["snowy mountains", "snow and mountains"])
    tags = ("aurora", "night", "water" if water else "snow", "stars")
    return Scene(finish(img, f, rng, 1.5), words(f"{tint} aurora over {place} at night"), tags)


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


def bolt(rng: np.random.Generator, a: tuple[float, float], b: tuple[float, float], width: float) -> list:
    """Branching lightning by midpoint displacement."""
    pts = np.array([a, b], float)
    while len(pts) < 65:
        mid = (pts[1:] + pts[:-1]) / 2
        step = np.diff(pts, axis=0)
        mid = mid + np.stack([-step[:, 1], step[:, 0]], 1) * rng.normal(0, 0.17, len(step))[:, None]
        out = np.empty((len(pts) * 2 - 1, 2))
        out[::2], out[1::2] = pts, mid
        pts = out
    lines = [([tuple(p) for p in pts], width, 1.0)]
    if width > 0.006:
        for _ in range(int(rng.integers(2, 6))):
            at = pts[int(rng.integers(8, 48))]
            reach = np.hypot(a[0] - b[0], a[1] - b[1]) * between(rng, 0.2, 0.45)
            turn = between(rng, -0.9, 0.9)
            lines += bolt(rng, tuple(at), (at[0] + reach * np.sin(turn), at[1] - reach * np.cos(turn)), width * 0.45)
    return lines


def lightning(f: Frame, rng: np.random.Generator) -> Scene:
    """Dark storm clouds with branching bolts over land or sea."""
    tint = pick(rng, ["white", "violet", "blue", "violet", "pink"])
    horizon = between(rng, -0.65, -0.3) * f.hy
    mood = MOODS[pick(rng, ["night", "blue", "dusk"])]
    img = sky(f, rng, mood, horizon, (0.0, horizon), 0.95, scale=0.22) * 0.55
    n = fbm(rng, f.shape, 3, 1.9, (1, 1.6))
    img = img * np.clip(0.75 + 0.28 * n, 0.1, 2)[..., None]
    colour = rgb(tint) * 0.5 + 0.5 * np.float32((0.8, 0.85, 1.0))
    count = int(rng.integers(1, 4))
    lines: list = []
    flash = np.zeros(f.shape, np.float32)
    for _ in range(count):
        x0 = between(rng, -0.75, 0.75) * f.hx
        top = (x0, between(rng, 0.5, 1.0) * f.hy)
        lines += bolt(rng, top, (x0 + between(rng, -0.4, 0.4), horizon - 0.03), between(rng, 0.012, 0.022))
        flash += np.exp(-np.hypot((f.x - x0) * 0.8, (f.y - top[1])) / 0.45)
    core = strokes(f, lines) * (f.y > horizon - 0.04)
    lit_cloud = np.clip(0.55 + 0.5 * n, 0, 2) * flash * 0.45
    img = img + rgb(tint) * (lit_cloud * 0.8)[..., None] + 0.12 * lit_cloud[..., None]
    img = img + colour * (core * 4 + blur(core, 2.5) * 1.5 + blur(core, 10) * 1.2)[..., None]
    sea_side = chance(rng, 0.35)
    light = rgb(tint) * 0.25 * min(count, 2) + 0.05
    tile = ridge_tile(rng, 5)
    if sea_side:
        img = reflect(f, rng, img, horizon, 0.45, np.float32((0.008, 0.011, 0.016)))
    else:
        tall = between(rng, 0.15, 0.9)
        g = ground(f, lambda x, z: tall * sample(tile, x * 0.05, z * 0.05) * smooth(1, 10, z), 0.8, horizon, near=0.9, far=30)
        dirt = np.float32((0.10, 0.11, 0.09)) * (lambert(g, (0.2, 0.4, 0.88)) + 0.1)[..., None] * light
        img = paint(f, g, haze(g, dirt, img[int(f.height * 0.55)].mean(0) * 0.6, 0.03), img)
    rain = chance(rng, 0.4)
    if rain:
        img = img * 0.9 + 0.02 * np.clip(fbm(rng, f.shape, 30, 1.2, (8, 1)), 0, 3)[..., None] * light
    place = "the sea" if sea_side else "hills" if tall > 0.5 else "a plain"
    bolts = f"{number(count)} {tint} lightning bolt{'s' if count > 1 else ''}"
    caption = words(f"{bolts} over {place} in a {'rain storm' if rain else 'dark storm'}")
    return Scene(finish(img, f, rng, 1.5), caption, ("lightning", "storm", "sea" if sea_side else "cloud", "night"))


def volcano(f: Frame, rng: np.random.Generator) -> Scene:
    """A volcano with lava streams and ash, or a field of cracked lava."""
    if chance(rng, 0.45):
        return _lava_field(f, rng)
    mood = mood_of(rng, "night dusk red blue night")
    horizon = between(rng, -0.6, -0.35) * f.hy
    px, pz = between(rng, -0.35, 0.35) * f.hx * 8, 14.0
    tall, steep = between(rng, 5.5, 8.5), between(rng, 0.75, 1.1)
    tile = texture(rng, 5, 2.0)

    def radius(x: Field, z: Field) -> Field:
        return np.hypot(x - px * 1.1, z - pz)

    def height(x: Field, z: Field) -> Field:
        r = radius(x, z)
        n = sample(tile, x * 0.05, z * 0.05)
        cone = tall * np.exp(-r / (tall / steep * 0.6)) - np.maximum(0, 0.9 - r) * 1.2
        return cone + 0.14 * n * (1 + 0.2 * r) * smooth(0, 3, r)

    img = sky(f, rng, mood, horizon, (0.0, horizon - 0.2), 0.4)
    g = ground(f, height, 1.2, horizon, near=1.0, far=26, rows=190)
    peak = int(np.argmax(g.line[-1]))
    cx, cy = float(f.x[0, peak]), float(g.line[-1].max())
    # Ash column: widening noise above the crater, lit from below by the glow.
    rise = f.y - cy
    lean = between(rng, -0.6, 0.6)
    n = fbm(rng, f.shape, 4, 1.8)
    wide = 0.10 + 0.45 * np.maximum(rise, 0) ** 0.8
    off = (f.x - cx - lean * np.maximum(rise, 0) ** 1.3) / wide
    ash = smooth(1.25, 0.2, np.abs(off) + 0.35 * n) * smooth(-0.1, 0.05, rise)
    hot = np.exp(-np.maximum(rise, 0) / 0.35)
    bump = blur(n, 1.5)
    shade = np.clip(0.5 + 4.0 * np.gradient(bump, axis=0) - 0.25 * off, 0.05, 1.3)
    grey = rgb(mood.horizon) * 0.35 + 0.02
    smoke = grey * shade[..., None] + np.float32((1.6, 0.35, 0.06)) * (hot * np.clip(0.6 + 0.5 * n, 0, 2))[..., None]
    img = mix(img, smoke, ash * 0.95)
    angle = np.arctan2(g.x - px * 1.1, g.z - pz)
    r = radius(g.x, g.z)
    wander = sample(tile, g.x * 0.08, g.z * 0.08)
    streams = np.zeros_like(r)
    for a in rng.uniform(-2.6, 2.6, int(rng.integers(2, 6))) + np.pi:
        d = np.abs((angle - a + np.pi) % (2 * np.pi) - np.pi + 0.22 * wander * np.minimum(r, 2)) * np.maximum(r, 0.3)
        streams += np.exp(-((d / (0.10 + 0.03 * r)) ** 2)) * smooth(between(rng, 3, 7), 0.5, r)
    streams += smooth(0.9, 0.2, r)
    rock = np.float32((0.05, 0.045, 0.045)) * (0.5 + 0.2 * wander)[..., None]
    lit = lambert(g, (-0.5, 0.6, 0.4))
    colour = _shade(lit, mood, rock * 2, g.normal[1]) + np.float32((0.5, 0.10, 0.015)) * (0.25 * np.exp(-r / 3))[..., None]
    colour = haze(g, colour, _air(mood) * 0.6, 0.03)
    colour = colour + ramp(np.clip(streams, 0, 1.4), [(0, (0, 0, 0)), (0.4, (0.9, 0.10, 0.01)), (1.2, (5.0, 1.5, 0.25))])
    img = paint(f, g, colour, img)
    d = np.hypot(f.x - cx, f.y - cy)
    img = img + np.float32((1.0, 0.28, 0.06)) * (0.7 * np.exp(-d / 0.16) + 0.2 * np.exp(-d / 0.5))[..., None]
    jet = points(f, rng, 500, 1.5) * np.exp(-((d / 0.3) ** 2)) * (rise > -0.02)
    img = img + np.float32((2.0, 0.7, 0.15)) * jet[..., None]
    return Scene(
        finish(img, f, rng, 1.3),
        words(f"an erupting volcano with glowing lava {mood.light}"),
        ("lava", "mountain", "smoke", "night" if mood.stars else "fire"),
    )


def _lava_field(f: Frame, rng: np.random.Generator) -> Scene:
    """Dark crust with glowing cracks under a hot haze."""
    horizon = between(rng, 0.1, 0.7) * f.hy
    tile, cracks = texture(rng, 4, 2.2), texture(rng, 3, 2.3)
    tall = between(rng, 0.12, 0.35)

    def height(x: Field, z: Field) -> Field:
        return tall * np.abs(sample(tile, x * 0.1, z * 0.1)) + 0.5 * tall * smooth(4, 20, z) * sample(cracks, x * 0.03, z * 0.03)

    mood = MOODS[pick(rng, ["red", "night", "dusk"])]
    back = sky(f, rng, mood, horizon, (0.0, horizon), 0.7)
    g = ground(f, height, between(rng, 0.8, 1.4), horizon, near=0.8, far=26)
    web = np.abs(sample(cracks, g.x * 0.08, g.z * 0.08))
    fine = np.abs(sample(tile, g.x * 0.22, g.z * 0.22))
    river = smooth(0.35, 0.05, web) * 1.1 + smooth(0.12, 0.0, fine) * 0.45 * smooth(1.4, 0.2, web)
    grain = sample(tile, g.x * 0.9, g.z * 0.9)
    rock = np.float32((0.05, 0.042, 0.042)) * (0.7 + 0.3 * grain)[..., None] * (0.4 + lambert(g, (0.3, 0.7, 0.6)))[..., None]
    near_glow = np.exp(-web / 0.45)
    flow = river * np.clip(0.8 + 0.25 * grain, 0.2, 2)
    colour = rock + np.float32((0.35, 0.05, 0.006)) * near_glow[..., None]
    colour = colour + ramp(flow, [(0, (0, 0, 0)), (0.5, (1.2, 0.13, 0.012)), (1.5, (5.5, 2.0, 0.3))])
    img = paint(f, g, haze(g, colour, np.float32((0.35, 0.07, 0.03)), 0.035), back)
    veil = fog_bank(f, rng, horizon, 0.25, 0.8)
    img = mix(img, np.float32((0.28, 0.07, 0.04)), veil * smooth(-0.4, 0.1, f.y - horizon) * 0.5)
    return Scene(
        finish(img, f, rng, 1.1, bloom=0.4), words(f"glowing lava cracks in black rock {mood.light}"), ("lava", "rock", "fire")
    )


def sea(f: Frame, rng: np.random.Generator) -> Scene:
    """Open water with swell, reflections of the sky and sometimes a breaking crest."""
    mood = mood_of(rng, "sunset sunrise overcast day blue night dusk golden teal")
    horizon = between(rng, -0.1, 0.5) * f.hy
    sun = (between(rng, -0.7, 0.7) * f.hx, horizon + between(rng, 0.08, 0.4))
    rough = between(rng, 0.05, 0.34)
    tile, fine = texture(rng, 4, 2.3), texture(rng, 6, 1.9)
    way = between(rng, -0.5, 0.5)

    def height(x: Field, z: Field) -> Field:
        p = (z + way * x) * 0.9 + 1.2 * sample(tile, x * 0.04, z * 0.04)
        swell = (0.5 + 0.5 * np.sin(p)) ** 2.2 + 0.5 * (0.5 + 0.5 * np.sin(p * 1.9 + 1.0 + x * 0.3)) ** 2
        chop = sample(fine, x * 0.09, z * 0.13) * 0.22
        return rough * (swell + chop)

    disc = 0.07 if mood.tag == "sunset" or chance(rng, 0.3) else 0
    back = sky(f, rng, mood, horizon, sun, between(rng, 0.2, 0.9), disc=0 if mood.stars else disc)
    if mood.stars:
        back = _moon(f, rng, back, sun, 0.11)
    g = ground(f, height, 1.0, horizon, near=0.9, far=60, rows=190)
    nx, ny, nz = g.normal
    # Fade tiny waves with distance so the far sea stays calm instead of noisy.
    calm = smooth(60, 6, g.z)
    small = sample(fine, g.x * 0.5, g.z * 0.35) * 0.10 * calm
    facing = np.clip(-nz * 0.9 + ny * (1.0 / np.sqrt(1 + g.z * g.z)) + small, 0.02, 1)
    fresnel = 0.05 + 0.95 * (1 - facing) ** 4
    look = np.clip(0.15 + ny * 0.6 - nz * 0.8 + small * 2, 0, 1)
    mirror = mix(rgb(mood.horizon), rgb(mood.zenith), look)
    deep = rgb(pick(rng, [(0.01, 0.05, 0.07), (0.01, 0.035, 0.06), (0.015, 0.06, 0.055)])) * (0.4 + mood.power)
    thin = smooth(0.75 * rough, 1.6 * rough, g.h)
    body = deep + np.float32((0.02, 0.16, 0.15)) * thin[..., None] * mood.power * 0.6
    colour = mix(body, mirror, fresnel)
    to_sun = np.exp(-(((g.x / g.z - sun[0] / 1.6) / (0.10 + 0.5 * rough)) ** 2))
    spark = smooth(0.6, 2.2, sample(fine, g.x * 0.45, g.z * 0.3 + 0.3) + 1.2 * (nx * np.sign(sun[0])) + 0.4)
    colour = colour + rgb(mood.sun) * (to_sun * (spark * 1.8 + 0.18) * mood.power)[..., None]
    foam = rough > 0.18
    if foam:
        white = smooth(1.0, 1.45, g.h / rough + 0.28 * sample(fine, g.x * 0.25, g.z * 0.3)) * smooth(30, 4, g.z)
        colour = mix(colour, rgb(mood.horizon) * 0.6 + rgb(mood.sun) * 0.3 * mood.power, white * 0.85)
    img = paint(f, g, haze(g, colour, rgb(mood.horizon) * 0.8, 0.012), back)
    if chance(rng, 0.25) and disc:
        bright = np.maximum(back.max(-1) - 0.9, 0)
        img = img + rgb(mood.sun) * (0.5 * shafts(bright, f, *sun))[..., None]
    what = "rough sea waves with white foam" if foam else "calm sea water" if rough < 0.1 else "rolling sea waves"
    gain = 1.9 if mood.stars else 1.05
    return Scene(finish(img, f, rng, gain), words(f"{what} {mood.light}"), ("sea", "water", mood.tag))
