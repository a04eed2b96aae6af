"""Stirred matter: smoke and ink."""

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
    flat,
    mix,
    number,
    pick,
    rgb,
    smooth,
    swirl,
    warp,
    words,
)
from .fire import relief_light


def smoke(f: Frame, rng: np.random.Generator) -> Scene:
    """Rising plumes or a drifting coloured cloud."""
    tint = pick(rng, ["white", "blue", "orange", "pink", "violet", "green", "red", "teal"])
    second = pick(rng, ["blue", "violet", "pink", "orange", "teal"])
    bright = chance(rng, 0.25)
    back = (
        np.array((0.55, 0.56, 0.58), np.float32)
        if bright
        else rgb(pick(rng, [(0.008, 0.008, 0.012), (0.02, 0.025, 0.045), (0.03, 0.02, 0.02)]))
    )
    img = flat(f, back) * (1 + 0.5 * np.exp(-np.hypot(f.x, f.y - 0.2)))[..., None]
    plume = chance(rng, 0.55)
    count = int(rng.integers(1, 4)) if plume else 1
    dx, dy = swirl(rng, f.shape, 3.5, between(rng, 0.08, 0.2) / count**0.5, 10)
    if plume:
        dens: Field = np.zeros(f.shape, np.float32)
        for k in range(count):
            x0 = ((k + between(rng, 0.35, 0.65)) / count * 2 - 1) * 0.9 * f.hx
            lean = between(rng, -0.3, 0.3)
            up = np.maximum(f.y + f.hy, 0)
            wide = 0.06 + between(rng, 0.12, 0.3) / count * up
            off = (f.x - x0 - lean * up**1.3 * 0.4 - 0.1 * np.sin(up * 3 + x0)) / wide
            dens += np.exp(-off * off * 1.3) * (1.1 - 0.28 * up)
        strand = fbm(rng, f.shape, 4, 2.1, (2, 1))
    else:
        strand = fbm(rng, f.shape, 2.5, 2.2)
        dens = smooth(-0.6, 1.4, fbm(rng, f.shape, 1.6, 2.4)) * 1.2
    dens = warp(np.clip(dens * np.clip(0.75 + 0.42 * strand, 0.05, 2.2), 0, 2), dx, dy)
    lit = relief_light(dens * 0.25, f, between(rng, -1, 1), 0.7, 0.06)
    colour = (
        mix(rgb(tint), rgb(second), smooth(-0.8, 0.8, f.x * 0.6 + 0.5 * fbm(rng, f.shape, 1.5, 2.5)))
        if chance(rng, 0.4)
        else flat(f, tint)
    )
    two = not np.allclose(colour[0, 0], colour[-1, -1]) and second != tint
    body = colour * (0.12 + 0.85 * np.clip(lit, 0, 1))[..., None] + 0.03
    img = mix(img, body, np.clip(1 - np.exp(-1.9 * dens), 0, 1))
    name = f"{tint} and {second}" if two else tint
    where = "on a light background" if bright else "in the dark"
    if plume:
        what = f"{number(count)} {'plume' if count == 1 else 'plumes'} of {name} smoke rising"
    else:
        what = f"swirling clouds of {name} smoke drifting"
    return Scene(finish(img, f, rng, 1.05), words(f"{what} {where}"), ("smoke", "abstract"))


def ink(f: Frame, rng: np.random.Generator) -> Scene:
    """Ink blooming in clear water, or thick paint streams folded together."""
    names = list(rng.permutation(["red", "blue", "violet", "teal", "orange", "magenta", "gold", "green", "pink"])[:3])
    if chance(rng, 0.5):
        low = (f.height, f.width)
        dx, dy = swirl(rng, low, 1.8, between(rng, 0.25, 0.5), 14)
        ex, ey = swirl(rng, low, 4, 0.06, 6)
        pos = warp(f.x * 0.9 + 0.7 * f.y + 0.25 * fbm(rng, low, 1.5, 3.2), dx + ex, dy + ey)
        band = 0.5 + 0.5 * np.sin(pos * between(rng, 3, 5.5))
        thin = 0.5 + 0.5 * np.sin(pos * between(rng, 11, 19) + 1)
        img = mix(
            mix(rgb(names[0]), rgb(names[1]), smooth(0.3, 0.7, band)),
            rgb(names[2]),
            smooth(0.75, 0.95, thin) * 0.8,
        )
        img = mix(img, np.array((0.9, 0.87, 0.8), np.float32), smooth(0.93, 1.0, band) * 0.8)
        gloss = relief_light(blur(band * 0.05 + thin * 0.02, 1.5), f, -0.6, 0.7, 0.05)
        img = img * (0.35 + 0.6 * gloss)[..., None] + 0.5 * np.maximum(gloss - 0.78, 0)[..., None]
        return Scene(
            finish(img, f, rng, 1.0),
            words(f"flowing {names[0]}, {names[1]} and {names[2]} paint swirls"),
            ("ink", "abstract"),
        )
    pale = chance(rng, 0.6)
    back = np.array((0.75, 0.78, 0.80), np.float32) if pale else np.array((0.012, 0.016, 0.025), np.float32)
    img = flat(f, back) * (1 - 0.25 * np.hypot(f.x / f.hx, f.y / f.hy) ** 2)[..., None]
    count = int(rng.integers(1, 3))
    for k in range(count):
        cx, top = between(rng, -0.5, 0.5) * f.hx, between(rng, 0.2, 0.8) * f.hy
        down = top - f.y
        wide = 0.08 + between(rng, 0.3, 0.5) * smooth(-0.1, 1.5, down)
        stem = np.exp(-(((f.x - cx) / (0.05 + 0.1 * wide)) ** 2)) * (down < 0.3) * smooth(1.2, 0.0, down)
        ball = np.exp(-(((f.x - cx) / wide) ** 2)) * smooth(-0.25, 0.25, down) * smooth(1.7, 0.7, down)
        dens = (stem + ball * np.clip(0.7 + 0.5 * fbm(rng, f.shape, 3.0, 2.3), 0, 2)) * 1.2
        dx, dy = swirl(rng, f.shape, 3.5, between(rng, 0.15, 0.3), 14)
        ex, ey = swirl(rng, f.shape, 9, 0.08, 5)
        dens = warp(dens, dx + ex, dy + ey)
        lit = np.clip(relief_light(dens * 0.3, f, -0.5, 0.8, 0.06), 0, 1)
        body = rgb(names[k]) * (0.10 + 0.9 * lit)[..., None] + 0.05 * lit[..., None]
        img = mix(img, body, 1 - np.exp(-2.6 * np.clip(dens, 0, 3)))
    name = names[0] if count == 1 else f"{names[0]} and {names[1]}"
    where = "clear bright water" if pale else "dark water"
    return Scene(finish(img, f, rng, 1.0), words(f"{name} ink spreading in {where}"), ("ink", "water", "abstract"))
