"""Dry and frozen landscapes drawn as height fields: mountains, dunes, dust storms, ice."""

from __future__ import annotations

import numpy as np

from .fields import (
    Field,
    Frame,
    Scene,
    between,
    blur,
    chance,
    fbm,
    finish,
    mix,
    pick,
    ramp,
    rgb,
    sample,
    smooth,
    texture,
    words,
)
from .sky import (
    MOODS,
    air_of,
    fog_bank,
    ground,
    haze,
    lambert,
    mood_of,
    moon_disc,
    paint,
    ridge_tile,
    sky,
    sun_vector,
    sunlit,
)


def mountains(f: Frame, rng: np.random.Generator) -> Scene:
    """Ridges in depth haze, sometimes over a valley of fog or a lake."""
    mood = mood_of(rng, "sunrise sunrise golden pink overcast dusk blue sunset teal day")
    horizon = between(rng, -0.35, 0.25) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, horizon + between(rng, 0.1, 0.45))
    tile, tall = ridge_tile(rng, between(rng, 3, 6)), between(rng, 5, 10)
    snow, lake = chance(rng, 0.45), chance(rng, 0.3)
    eye = (0.25 * tall if lake else 0.0) + between(rng, 0.8, 4.0)

    def height(x: Field, z: Field) -> Field:
        h = sample(tile, x * 0.011 + 0.3, z * 0.011) * tall
        h = h * smooth(2.0, 24.0, z) + 0.015 * z
        return np.maximum(h, 0.25 * tall) if lake else h

    back = sky(f, rng, mood, horizon, sun, between(rng, 0.1, 0.65), disc=0.05 if chance(rng, 0.4) else 0)
    g = ground(f, height, eye, horizon, near=1.5, far=46, rows=190)
    lit = lambert(g, sun_vector(f, sun, horizon))
    detail = sample(tile, g.x * 0.2, g.z * 0.2)
    rock = ramp(detail, [(-0.2, (0.05, 0.05, 0.055)), (1.1, (0.20, 0.17, 0.15))])
    low = np.array((0.05, 0.075, 0.035), np.float32)
    albedo = mix(rock, low, smooth(0.75, 0.95, g.normal[1]) * smooth(0.8 * tall, 0.3 * tall, g.h))
    if snow:
        cap = smooth(0.25, 0.5, g.h / tall + 0.08 * detail) * smooth(0.35, 0.7, g.normal[1])
        albedo = mix(albedo, np.array((0.75, 0.78, 0.85), np.float32), cap)
        # Only what rises past the picture so far is seen, so only that may be named.
        seen = np.diff(g.line, axis=0, prepend=g.line[:1]) > 1e-4
        snow = float((cap * seen).sum()) > 0.06 * float(seen.sum())
    colour = sunlit(lit, mood, albedo, g.normal[1])
    if lake:
        mirror = rgb(mood.horizon) * 0.55 + rgb(mood.zenith) * 0.35
        wet = smooth(0.252 * tall, 0.2501 * tall, g.h)
        ripple = 0.85 + 0.15 * sample(tile, g.x * 0.3, g.z * 2.0)
        colour = mix(colour, mirror * ripple[..., None], wet * 0.9)
    density = between(rng, 0.018, 0.06)
    colour = haze(g, colour, air_of(mood), density, low=between(rng, 0, 0.8))
    img = paint(f, g, colour, back)
    foggy = chance(rng, 0.5)
    if foggy:
        bank = fog_bank(f, rng, horizon - between(rng, 0.1, 0.5), between(rng, 0.12, 0.3), 0.8)
        img = mix(img, air_of(mood) * 0.9, bank * between(rng, 0.5, 0.85))
    ground_word = "fog" if foggy else "a calm lake" if lake else "haze"
    peak = "snowy mountains" if snow else pick(rng, ["mountains", "mountain ridges", "layered mountains"])
    joint = "above" if foggy or lake else "in"
    tags = ("mountain", "fog" if foggy else "water" if lake else "sky", mood.tag)
    caption = words(f"{peak} {joint} {ground_word} {mood.light}")
    return Scene(finish(img, f, rng, between(rng, 0.9, 1.2)), caption, tuple(dict.fromkeys(tags)))


def _dune_height(rng: np.random.Generator, size: float) -> tuple[Field, float, float]:
    tile = texture(rng, 2.5, 3.2)
    return tile, between(rng, -0.8, 0.8), size


def dunes(f: Frame, rng: np.random.Generator) -> Scene:
    """Sand dunes with one crest line each, often under a moon."""
    mood = mood_of(rng, "night night blue dusk sunset golden day pink night")
    moon = mood.light in ("at night", "at blue hour", "at dusk")
    horizon = between(rng, -0.1, 0.35) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, horizon + between(rng, 0.25, 0.75) * (f.hy - horizon))
    tile, turn, size = _dune_height(rng, between(rng, 0.11, 0.2))
    fine = texture(rng, 6, 2.2)

    def height(x: Field, z: Field) -> Field:
        bend = sample(tile, x * 0.022, z * 0.022)
        p = (x * turn + z * 0.8) * size + 1.3 * bend
        saw = p - np.floor(p)
        # A dune climbs slowly on the windward side and drops fast on the lee side.
        crest = np.where(saw < 0.72, smooth(0, 0.72, saw) ** 0.9, smooth(1.0, 0.72, saw))
        tall = 1.3 + 0.5 * sample(tile, x * 0.012 + 0.5, z * 0.012)
        return crest * np.maximum(tall, 0.2) * smooth(0.5, 5.0, z)

    back = sky(f, rng, mood, horizon, sun, between(rng, 0, 0.4), disc=0 if moon else 0.06)
    if moon:
        back = moon_disc(f, rng, back, sun, between(rng, 0.07, 0.2))
    g = ground(f, height, between(rng, 1.2, 2.6), horizon, near=1.2, far=70, rows=300)
    lx, ly, lz = sun_vector(f, sun, horizon)
    side = pick(rng, [-1, 1]) * between(rng, 0.5, 1.0)
    norm = np.sqrt((lx + side) ** 2 + ly * ly + 0.25 * lz * lz)
    lit = lambert(g, ((lx + side) / norm, ly / norm, 0.5 * lz / norm))
    sand = ramp(sample(fine, g.x * 0.3, g.z * 0.3), [(-2, (0.42, 0.24, 0.13)), (2, (0.62, 0.40, 0.24))])
    if moon:
        sand = sand * np.array((0.75, 0.95, 1.25), np.float32)
    colour = haze(g, sunlit(lit**1.2, mood, sand, g.normal[1]), air_of(mood), between(rng, 0.015, 0.05))
    img = paint(f, g, colour, back)
    gain = 2.0 if mood.stars else 1.1
    what = "a moon over desert dunes" if moon else pick(rng, ["sand dunes in a desert", "desert dunes"])
    tags = ("desert", "night" if moon else mood.tag) + (("stars",) if mood.stars else ())
    return Scene(finish(img, f, rng, gain), words(f"{what} {mood.light}"), tags)


def dust(f: Frame, rng: np.random.Generator) -> Scene:
    """A wall of dust rolling over flat land, or haze so thick that only near shapes remain."""
    tint = pick(rng, ["orange", "red", "brown", "yellow"])
    base = {"orange": (0.75, 0.33, 0.11), "red": (0.55, 0.14, 0.06), "brown": (0.42, 0.26, 0.15)}
    air = np.array(base.get(tint, (0.78, 0.55, 0.22)), np.float32)
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
        n = fbm(rng, f.shape, 3.0, 2.2)
        puff = np.abs(fbm(rng, f.shape, 3.5, 2.7))
        top = horizon + between(rng, 0.45, 0.9) + between(rng, -0.35, 0.35) * f.x / f.hx
        cover = smooth(-0.12, 0.14, top + 0.10 * n - 0.09 * puff - f.y)
        shape = blur(n * 0.4 - puff * 0.9, 2.0)
        gy, gx = np.gradient(shape)
        light = np.clip(0.55 + 3.2 * (gx * np.sign(-sun[0]) * -1 + gy), 0.1, 1.3) * (
            0.5 + 0.5 * smooth(-0.6, 0.2, f.y - top)
        )
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
    tile, fine = texture(rng, 5, 2.5), texture(rng, 7, 1.9)
    bergs = chance(rng, 0.5)
    cut = between(rng, 0.3, 0.8)

    def height(x: Field, z: Field) -> Field:
        n = sample(tile, x * 0.025, z * 0.025) + 0.06 * sample(fine, x * 0.06, z * 0.06)
        block = n + 0.09 * np.sin(n * 13)
        if bergs:
            return np.maximum(0, np.where(n > cut, 0.6 + 0.9 * block, 0)) * smooth(3, 6, z)
        return np.maximum(0, 1.2 * block + 0.16 * (z - 5.0)) * smooth(3.0, 8.0, z)

    back = sky(f, rng, mood, horizon, sun, between(rng, 0.2, 0.7))
    g = ground(f, height, between(rng, 0.5, 0.9), horizon, near=0.8, far=30)
    lit = lambert(g, sun_vector(f, (sun[0] * 1.5 + 0.4, sun[1]), horizon, 0.6))
    steep = smooth(0.75, 0.25, g.normal[1])
    grainy = sample(fine, g.x * 0.5, g.h * 0.5 + g.z * 0.2)
    albedo = mix(np.array((0.80, 0.85, 0.92), np.float32), np.array((0.10, 0.42, 0.62), np.float32), steep * 0.85)
    albedo = albedo * (1 + 0.10 * grainy)[..., None]
    colour = sunlit(lit, mood, albedo, g.normal[1]) + np.array((0.0, 0.05, 0.08), np.float32) * steep[..., None]
    wet = smooth(0.012, 0.0, g.h)
    ripple = np.clip(0.7 + 0.25 * sample(tile, g.x * 0.15, g.z * 1.2), 0, 2)
    mirror = (rgb(mood.horizon) * 0.5 + rgb(mood.zenith) * 0.3) * np.array((0.5, 0.75, 0.85), np.float32)
    colour = mix(colour, mirror * (ripple * smooth(-2, 14, g.z))[..., None] + 0.01, wet)
    img = paint(f, g, haze(g, colour, air_of(mood), between(rng, 0.02, 0.06)), back)
    what = "icebergs floating in cold water" if bergs else "a blue glacier above cold water"
    return Scene(finish(img, f, rng, 0.95), words(f"{what} {mood.light}"), ("ice", "water", "cloud"))
