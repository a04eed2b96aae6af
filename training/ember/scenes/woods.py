"""Forest interiors and waterfalls."""

from __future__ import annotations

import numpy as np

from .fields import (
    Frame,
    Scene,
    between,
    blur,
    chance,
    curve,
    fbm,
    finish,
    mix,
    pick,
    ramp,
    rgb,
    sample,
    shafts,
    smooth,
    texture,
    words,
)
from .sky import mood_of, sky


def forest(f: Frame, rng: np.random.Generator) -> Scene:
    """Tree trunks in ranks of fog with light coming through."""
    look = pick(
        rng,
        [
            ("golden", (0.85, 0.62, 0.30), (0.10, 0.13, 0.05)),
            ("green", (0.45, 0.62, 0.30), (0.05, 0.11, 0.03)),
            ("blue", (0.22, 0.34, 0.52), (0.02, 0.035, 0.05)),
            ("grey", (0.55, 0.58, 0.58), (0.07, 0.08, 0.06)),
            ("orange", (0.90, 0.45, 0.18), (0.22, 0.09, 0.025)),
            ("moonlit", (0.10, 0.16, 0.26), (0.01, 0.016, 0.02)),
        ],
    )
    name, air, leaf = look[0], rgb(look[1]), rgb(look[2])
    floor = between(rng, -0.45, -0.05)
    sx, sy = between(rng, -0.8, 0.8) * f.hx, between(rng, 0.1, 0.8) * f.hy
    d = np.hypot(f.x - sx, f.y - sy)
    img = air * (0.55 + 0.9 * np.exp(-d / 0.6))[..., None]
    bark_tile, ground_tile = texture(rng, 5, 1.6), texture(rng, 5, 1.8)
    snow = name in ("blue", "grey") and chance(rng, 0.4)
    ranks = 6
    light = smooth(0.9, 0.1, d)
    for k in range(ranks):
        t = (k + 1) / ranks
        size = 0.02 + 0.11 * t**2.2
        base = floor + 0.12 - (0.15 + 0.75 * t**1.8) * 0.8
        # Ground strip of this rank, then its trunks, then a breath of fog.
        rise = base + 0.05 * curve(rng, f.width, 3, 2)[None] * (0.4 + t)
        g = smooth(-0.015, 0.015, rise - f.y)
        depth = 1 / np.maximum(floor + 0.3 - f.y, 0.12)
        tone = np.clip(0.8 + 0.3 * sample(ground_tile, f.x * depth * 0.25, depth * 0.6), 0.2, 1.7)
        soil = (
            np.array((0.55, 0.58, 0.65), np.float32) * air
            if snow
            else leaf * 0.9 + np.array((0.03, 0.02, 0.01), np.float32)
        )
        img = mix(img, mix(air * 0.7, soil * (0.5 + 0.8 * np.exp(-d / 0.9))[..., None], t) * tone[..., None], g)
        cover, shade = np.zeros(f.shape, np.float32), np.zeros(f.shape, np.float32)
        for _ in range(int(rng.integers(3, 7) + (ranks - k))):
            x0, w = between(rng, -1.1, 1.1) * f.hx, size * between(rng, 0.6, 1.3)
            lean, bow = between(rng, -0.10, 0.10), between(rng, -0.05, 0.05)
            h = f.y - base
            centre = x0 + lean * h + bow * h * h
            wide = w * (1 - 0.15 * h + 0.5 * np.exp(-np.maximum(h, 0) / (0.06 + w)))
            q = (f.x - centre) / np.maximum(wide, 0.004)
            body = smooth(1 + f.px / w, 1 - f.px / w, np.abs(q)) * smooth(-0.02, 0.02, h + 0.05 * w)
            side = np.clip(0.55 - 0.45 * q * np.sign(x0 - sx), 0.1, 1)
            shade = np.where(body > 0.5, side, shade)
            cover = np.maximum(cover, body)
        rough = 1 + 0.28 * sample(bark_tile, f.x * 2.2 / (0.3 + t), f.y * 0.4)
        bark = np.array((0.07, 0.055, 0.045), np.float32) * (shade * rough)[..., None] * (air * 1.5 + 0.1)
        img = mix(img, mix(air * 0.65, bark, 0.15 + 0.85 * t), cover)
        if k < ranks - 1:
            n = fbm(rng, f.shape, 2.5, 2.1, (1, 2))
            img = mix(img, air * (0.6 + 0.55 * np.exp(-d / 0.6))[..., None], np.clip(0.22 + 0.09 * n, 0, 0.6))
        if k in (1, 3) and name not in ("blue", "moonlit") and not snow:
            crown = smooth(0.2, 1.3, fbm(rng, f.shape, 7, 1.5) + 2.2 * (f.y - 0.35 * f.hy))
            img = mix(img, mix(air * 0.8, leaf * (0.7 + 1.4 * light)[..., None], 0.35 + 0.4 * t), crown * 0.75)
    bright = (
        np.clip(img.mean(-1) - float(air.mean()) * 0.35, 0, 2)
        * smooth(1.3, 0.0, d)
        * np.clip(0.6 + 0.6 * fbm(rng, f.shape, 9, 1.3), 0, 3)
    )
    rays = shafts(bright, f, sx, sy + 0.2, 0.72)
    beams = chance(rng, 0.65)
    img = img + air * (rays * (1.6 if beams else 0.4))[..., None]
    where = "light shafts through" if beams else "tall trunks in"
    kind = "a snowy" if snow else "a moonlit" if name == "moonlit" else f"a {name}"
    caption = words(
        f"{where} {kind} forest {'and' if beams else 'with'} {'fog between trees' if beams else 'thick fog'}"
    )
    gain = 1.6 if name == "moonlit" else 1.0
    return Scene(finish(img, f, rng, gain, soft=0.3), caption, ("forest", "tree", "fog", "snow" if snow else "light"))


def waterfall(f: Frame, rng: np.random.Generator) -> Scene:
    """White water over dark cliffs into a misty pool."""
    mood = mood_of(rng, "overcast golden teal day dusk blue pink")
    top, pool = between(rng, 0.25, 0.7) * f.hy, between(rng, -0.6, -0.35) * f.hy
    back = sky(f, rng, mood, top - 0.3, (between(rng, -1, 1) * f.hx, top + 0.2), 0.6)
    air = rgb(mood.horizon) * 0.8 + rgb(mood.zenith) * 0.2
    n, steps = fbm(rng, f.shape, 3, 1.8, (1.8, 1)), fbm(rng, f.shape, 5, 1.6, (1, 1.8))
    ridge = top + 0.14 * curve(rng, f.width, 3, 1.7)[None] + between(rng, 0, 0.3) * np.abs(f.x)
    relief = n * 0.5 + steps * 0.35
    gy, gx = np.gradient(blur(relief, 0.8))
    lit = np.clip(0.4 + 2.0 * gy + 0.9 * gx * pick(rng, [-1, 1]), 0.05, 1.6)
    rock = ramp(n, [(-2, (0.05, 0.05, 0.05)), (2, (0.16, 0.14, 0.12))]) * 1.3
    green = chance(rng, 0.6)
    if green:
        rock = mix(rock, np.array((0.06, 0.11, 0.03), np.float32), smooth(-0.2, 0.9, steps + 0.9 * gy * 4) * 0.8)
    cliff = (
        rock * lit[..., None] * (rgb(mood.sun) * mood.power * 0.8 + rgb(mood.horizon) * 0.6 + rgb(mood.zenith) * 0.5)
    )
    cliff = mix(cliff, air, 0.05 + 0.2 * smooth(-0.2, 0.6, f.y))
    img = mix(back, cliff, smooth(-0.01, 0.01, ridge - f.y))
    count = int(pick(rng, [1, 1, 1, 2, 3]))
    spray = np.zeros(f.shape, np.float32)
    tile = texture(rng, 5, 1.7)
    for k in range(count):
        x0 = (k - (count - 1) / 2) * 1.5 * f.hx / count + between(rng, -0.12, 0.12)
        w = between(rng, 0.12, 0.35) if count == 1 else between(rng, 0.06, 0.14)
        lip = float(ridge[0, int(np.clip((x0 + f.hx) / f.px, 0, f.width - 1))]) - 0.04
        down = np.maximum(lip - f.y, 0)
        wide = w * (1 + 0.35 * down) * (1 + 0.12 * sample(tile, f.x * 0 + 0.1 * k, f.y * 0.25))
        q = (f.x - x0 - 0.03 * np.sin(f.y * 4)) / wide
        strand = sample(tile, q * 0.22 + 0.3 * k, f.y * 0.06) + 0.6 * sample(tile, q * 0.5, f.y * 0.10 + 0.4)
        body = smooth(1.15, 0.65, np.abs(q) + 0.13 * strand) * smooth(-0.01, 0.03, lip - f.y) * (f.y > pool - 0.05)
        white = (rgb(mood.horizon) * 0.6 + rgb(mood.sun) * 0.35 * mood.power + 0.12) * np.clip(
            0.75 + 0.22 * strand, 0.2, 1.5
        )[..., None]
        img = mix(img, white, body * np.clip(0.88 + 0.12 * strand, 0, 1))
        spray += np.exp(-(((f.x - x0) / (w * 2.2)) ** 2)) * np.exp(-(((f.y - pool) / 0.16) ** 2))
    depth = 1 / np.maximum(pool + 0.12 - f.y, 0.05)
    ripple = sample(tile, f.x * depth * 0.06, depth * 0.4)
    water = (air * 0.32 + np.array((0.0, 0.03, 0.03), np.float32)) * np.clip(0.7 + 0.3 * ripple, 0.1, 1.6)[..., None]
    water = water + air * (0.35 * spray * np.clip(0.8 + 0.5 * ripple, 0, 2))[..., None]
    img = mix(img, water, smooth(0.02, -0.02, f.y - pool - 0.02 * fbm(rng, f.shape, 6, 2)))
    for side in (-1, 1):
        if chance(rng, 0.6):
            edge = -f.hx * 0.2 + 0.22 * n + 0.8 * (f.x * side - f.hx * 0.85) - 0.9 * (f.y - pool) * 0.5
            m = smooth(0.0, 0.03, edge + 0.25)
            img = mix(img, cliff * 0.35, m)
    mist = np.clip(spray * (0.7 + 0.3 * n), 0, 1) * 0.8
    img = mix(img, air * 1.05, mist)
    what = "a white waterfall" if count == 1 else f"{('two', 'three')[count - 2]} waterfalls"
    place = "green mossy cliffs" if green else "dark rock cliffs"
    return Scene(
        finish(img, f, rng, 1.2, soft=0.3),
        words(f"{what} over {place} {mood.light}"),
        ("waterfall", "water", "rock"),
    )
