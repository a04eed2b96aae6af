"""Dramatic skies and hot or wet ground: aurora, lightning, volcano, sea."""

from __future__ import annotations

import numpy as np

from .fields import (
    Field,
    Frame,
    Scene,
    Stroke,
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
    reflect,
    ridge_tile,
    sky,
    sunlit,
)


def aurora(f: Frame, rng: np.random.Generator) -> Scene:
    """Curtains of light over snow and mountains."""
    tint = pick(rng, ["green", "green", "teal", "violet", "magenta"])
    horizon = between(rng, -0.6, -0.25) * f.hy
    mood = MOODS["night"]
    img = sky(f, rng, mood, horizon, (0, horizon), 0)
    low, high = rgb(tint), rgb(pick(rng, ["violet", "magenta", "blue", "cyan"]))
    glow: Field = np.zeros((*f.shape, 3), np.float32)
    bands = int(rng.integers(1, 4))
    for _ in range(bands):
        base = horizon + between(rng, 0.35, 0.8) + 0.16 * curve(rng, f.width, 1.5, 2.6)
        base = base + between(rng, -0.35, 0.35) * f.x[0]
        rays = np.exp(0.35 * curve(rng, f.width, 9, 1.6)) * np.exp(0.5 * curve(rng, f.width, 2, 2.0))
        rise = f.y - base[None]
        tall = between(rng, 0.25, 0.6)
        body = smooth(-0.07, 0.03, rise) * np.exp(-np.maximum(rise, 0) / (tall * (0.6 + 0.4 * rays[None])))
        tone = mix(low, high, smooth(0.0, tall * 2.2, rise))
        glow += tone * (body * rays[None] * between(rng, 0.3, 0.6))[..., None]
    glow = blur(glow, 1.0) + 0.25 * blur(glow, 14)
    img = img + glow
    light = glow[: f.height // 2].mean((0, 1))
    tile, tall = ridge_tile(rng, 4), between(rng, 5, 10)

    def height(x: Field, z: Field) -> Field:
        return (sample(tile, x * 0.012, z * 0.012) * tall) * smooth(7, 26, z) + 0.15 * sample(tile, x * 0.03, z * 0.03)

    g = ground(f, height, 1.0, horizon, near=0.8, far=50, rows=180)
    water = chance(rng, 0.35)
    lit = lambert(g, (between(rng, -0.6, 0.6), 0.8, 0.2))
    snow = mix(
        np.array((0.6, 0.65, 0.75), np.float32),
        np.array((0.03, 0.03, 0.04), np.float32),
        smooth(0.8, 0.55, g.normal[1]),
    )
    colour = snow * (light * 1.6 + np.array((0.015, 0.022, 0.04), np.float32)) * (0.3 + lit)[..., None]
    img = paint(f, g, haze(g, colour, light * 0.25 + rgb(mood.horizon), 0.02), img)
    if water:
        img = reflect(f, rng, img, horizon, 0.75, np.array((0.01, 0.015, 0.03), np.float32))
    place = "a still lake" if water else pick(rng, ["snowy mountains", "snow and mountains"])
    tags = ("aurora", "night", "water" if water else "snow", "stars")
    return Scene(finish(img, f, rng, 1.5), words(f"{tint} aurora over {place} at night"), tags)


def bolt(rng: np.random.Generator, a: tuple[float, float], b: tuple[float, float], width: float) -> list[Stroke]:
    """Branching lightning by midpoint displacement."""
    pts = np.array([a, b], float)
    while len(pts) < 65:
        mid = (pts[1:] + pts[:-1]) / 2
        step = np.diff(pts, axis=0)
        mid = mid + np.stack([-step[:, 1], step[:, 0]], 1) * rng.normal(0, 0.17, len(step))[:, None]
        out = np.empty((len(pts) * 2 - 1, 2))
        out[::2], out[1::2] = pts, mid
        pts = out
    lines: list[Stroke] = [([(float(p[0]), float(p[1])) for p in pts], width, 1.0)]
    if width > 0.006:
        for _ in range(int(rng.integers(2, 6))):
            at = pts[int(rng.integers(8, 48))]
            reach = np.hypot(a[0] - b[0], a[1] - b[1]) * between(rng, 0.2, 0.45)
            turn = between(rng, -0.9, 0.9)
            lines += bolt(
                rng, (at[0], at[1]), (at[0] + reach * np.sin(turn), at[1] - reach * np.cos(turn)), width * 0.45
            )
    return lines


def lightning(f: Frame, rng: np.random.Generator) -> Scene:
    """Dark storm clouds with branching bolts over land or sea."""
    tint = pick(rng, ["white", "violet", "blue", "violet", "pink"])
    horizon = between(rng, -0.65, -0.3) * f.hy
    mood = MOODS[pick(rng, ["night", "blue", "dusk"])]
    img = sky(f, rng, mood, horizon, (0.0, horizon), 0.85) * 0.4
    n = fbm(rng, f.shape, 2.5, 2.2, (1.4, 1))
    img = img * np.clip(0.75 + 0.16 * n, 0.1, 2)[..., None]
    colour = rgb(tint) * 0.5 + 0.5 * np.array((0.8, 0.85, 1.0), np.float32)
    count = int(rng.integers(1, 4))
    lines: list[Stroke] = []
    flash = np.zeros(f.shape, np.float32)
    for k in range(count):
        x0 = ((k + between(rng, 0.25, 0.75)) / count * 2 - 1) * 0.85 * f.hx
        top = (x0, between(rng, 0.5, 1.0) * f.hy)
        lines += bolt(rng, top, (x0 + between(rng, -0.4, 0.4) / count, horizon - 0.03), between(rng, 0.012, 0.022))
        flash += np.exp(-np.hypot((f.x - x0) * 0.8, (f.y - top[1])) / 0.45)
    core = strokes(f, lines) * (f.y > horizon - 0.04)
    lit_cloud = np.clip(0.55 + 0.3 * n, 0, 2) * flash * 0.5
    img = img + rgb(tint) * (lit_cloud * 0.8)[..., None] + 0.12 * lit_cloud[..., None]
    img = img + colour * (core * 4 + blur(core, 2.5) * 1.5 + blur(core, 10) * 1.2)[..., None]
    sea_side = chance(rng, 0.35)
    light = rgb(tint) * 0.25 * min(count, 2) + 0.05
    tile = ridge_tile(rng, 5)
    if sea_side:
        img = reflect(f, rng, img, horizon, 0.45, np.array((0.008, 0.011, 0.016), np.float32))
    else:
        tall = between(rng, 0.15, 0.9)
        g = ground(
            f,
            lambda x, z: 4 * tall * sample(tile, x * 0.018, z * 0.018) * smooth(4, 25, z),
            0.8,
            horizon,
            far=50,
        )
        dirt = np.array((0.10, 0.11, 0.09), np.float32) * (lambert(g, (0.2, 0.4, 0.88)) + 0.1)[..., None] * light
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
        return cone + 0.14 * n * (1 + 0.2 * r) * smooth(0, 3, r) * smooth(1, 9, z)

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
    smoke = (
        grey * shade[..., None]
        + np.array((1.6, 0.35, 0.06), np.float32) * (hot * np.clip(0.6 + 0.5 * n, 0, 2))[..., None]
    )
    img = mix(img, smoke, ash * 0.95)
    angle = np.arctan2(g.x - px * 1.1, g.z - pz)
    r = radius(g.x, g.z)
    wander = sample(tile, g.x * 0.08, g.z * 0.08)
    streams = np.zeros_like(r)
    for a in rng.uniform(-2.6, 2.6, int(rng.integers(2, 6))) + np.pi:
        d = np.abs((angle - a + np.pi) % (2 * np.pi) - np.pi + 0.22 * wander * np.minimum(r, 2)) * np.maximum(r, 0.3)
        streams += np.exp(-((d / (0.10 + 0.03 * r)) ** 2)) * smooth(between(rng, 3, 7), 0.5, r)
    streams += smooth(0.9, 0.2, r)
    rock = np.array((0.05, 0.045, 0.045), np.float32) * (0.5 + 0.2 * wander)[..., None]
    lit = lambert(g, (-0.5, 0.6, 0.4))
    colour = (
        sunlit(lit, mood, rock * 2, g.normal[1])
        + np.array((0.5, 0.10, 0.015), np.float32) * (0.25 * np.exp(-r / 3))[..., None]
    )
    colour = haze(g, colour, air_of(mood) * 0.6, 0.03)
    colour = colour + ramp(
        np.clip(streams, 0, 1.4), [(0, (0, 0, 0)), (0.4, (0.9, 0.10, 0.01)), (1.2, (5.0, 1.5, 0.25))]
    )
    img = paint(f, g, colour, img)
    d = np.hypot(f.x - cx, f.y - cy)
    img = img + np.array((1.0, 0.28, 0.06), np.float32) * (0.7 * np.exp(-d / 0.16) + 0.2 * np.exp(-d / 0.5))[..., None]
    jet = points(f, rng, 500, 1.5) * np.exp(-((d / 0.3) ** 2)) * (rise > -0.02)
    img = img + np.array((2.0, 0.7, 0.15), np.float32) * jet[..., None]
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
        return tall * (
            0.7 * np.abs(sample(tile, x * 0.05, z * 0.05)) + smooth(4, 20, z) * sample(cracks, x * 0.015, z * 0.015)
        )

    mood = MOODS[pick(rng, ["red", "night", "dusk"])]
    back = sky(f, rng, mood, horizon, (0.0, horizon), 0.7)
    g = ground(f, height, between(rng, 0.8, 1.4), horizon, near=0.8, far=26)
    web = np.abs(sample(cracks, g.x * 0.08, g.z * 0.08))
    fine = np.abs(sample(tile, g.x * 0.22, g.z * 0.22))
    river = smooth(0.35, 0.05, web) * 1.1 + smooth(0.12, 0.0, fine) * 0.45 * smooth(1.4, 0.2, web)
    grain = sample(tile, g.x * 0.9, g.z * 0.9)
    rock = (
        np.array((0.05, 0.042, 0.042), np.float32)
        * (0.7 + 0.3 * grain)[..., None]
        * (0.4 + lambert(g, (0.3, 0.7, 0.6)))[..., None]
    )
    near_glow = np.exp(-web / 0.45)
    flow = river * np.clip(0.8 + 0.25 * grain, 0.2, 2)
    colour = rock + np.array((0.35, 0.05, 0.006), np.float32) * near_glow[..., None]
    colour = colour + ramp(flow, [(0, (0, 0, 0)), (0.5, (1.2, 0.13, 0.012)), (1.5, (5.5, 2.0, 0.3))])
    img = paint(f, g, haze(g, colour, np.array((0.35, 0.07, 0.03), np.float32), 0.035), back)
    veil = fog_bank(f, rng, horizon, 0.25, 0.8)
    img = mix(img, np.array((0.28, 0.07, 0.04), np.float32), veil * smooth(-0.4, 0.1, f.y - horizon) * 0.5)
    return Scene(
        finish(img, f, rng, 1.1, bloom=0.4),
        words(f"glowing lava cracks in black rock {mood.light}"),
        ("lava", "rock", "fire"),
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
        back = moon_disc(f, rng, back, sun, 0.11)
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
    body = deep + np.array((0.02, 0.16, 0.15), np.float32) * thin[..., None] * mood.power * 0.6
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
