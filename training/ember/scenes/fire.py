"""Burning matter: fire and explosions."""

from __future__ import annotations

import numpy as np

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
    flat,
    mix,
    pick,
    polygons,
    ramp,
    rgb,
    sample,
    smooth,
    strokes,
    texture,
    words,
)

HEAT = [
    (0.0, (0.0, 0.0, 0.0)),
    (0.25, (0.22, 0.02, 0.003)),
    (0.5, (1.2, 0.20, 0.02)),
    (0.75, (3.2, 1.0, 0.12)),
    (1.0, (6.0, 3.2, 0.8)),
    (1.3, (9.0, 7.0, 3.5)),
]


def _flame(f: Frame, rng: np.random.Generator, base: Field | np.float32, tall: Field, scale: float) -> Field:
    """Flame temperature above a base line: noise stretched upward, torn more the higher it gets."""
    tile, fine = texture(rng, 4, 2.1), texture(rng, 5, 1.9)
    rise = (f.y - base) / tall
    up = np.maximum(rise, 0)
    bend = sample(tile, f.x * 0.22 * scale + 0.3, f.y * 0.16 * scale)
    x = f.x + 0.16 / scale * bend * up
    n = sample(tile, x * 0.34 * scale, f.y * 0.13 * scale + 0.05 * bend)
    lick = np.abs(sample(fine, x * 0.45 * scale + 0.05 * bend, f.y * 0.16 * scale + 0.2))
    heat = 0.98 - 0.78 * up + 0.42 * n * (0.25 + up) - 0.30 * lick * (0.3 + up)
    return np.clip(heat, 0, 1.3) * smooth(-0.25, 0.05, rise)


def _sparks(f: Frame, rng: np.random.Generator, n: int, region: Field) -> Field:
    """Short streaks of ember where `region` allows."""
    lines = []
    for _ in range(n):
        x, y = between(rng, -f.hx, f.hx), between(rng, -f.hy, f.hy)
        a, long = rng.normal(np.pi / 2, 0.5), between(rng, 0.005, 0.03)
        lines.append(
            (
                [(x, y), (x + np.cos(a) * long, y + np.sin(a) * long)],
                between(rng, 0.004, 0.011),
                between(rng, 0.3, 1),
            )
        )
    return strokes(f, lines) * region


def fire(f: Frame, rng: np.random.Generator) -> Scene:
    """A wall of flame, a bonfire or a few burning spots in the dark."""
    form = pick(rng, ["wall", "bonfire", "bonfire", "burning forest"])
    dark = rgb(pick(rng, [(0.006, 0.006, 0.012), (0.012, 0.014, 0.035), (0.03, 0.012, 0.01), (0.02, 0.025, 0.04)]))
    ground = between(rng, -0.85, -0.5) * f.hy
    img = flat(f, dark) * (1 + 1.6 * smooth(1.0, -0.3, f.y - ground))[..., None]
    haze = fbm(rng, f.shape, 3, 2.0)
    img = img * (1 + 0.25 * haze)[..., None]
    glow_at = 0.0
    tags: tuple[str, ...]
    if form == "wall":
        base = np.float32(ground - 0.3) + 0.05 * curve(rng, f.width, 3)[None]
        tall = between(rng, 0.7, 1.5) * np.exp(0.22 * curve(rng, f.width, 3, 2))[None]
        heat = _flame(f, rng, base, tall, between(rng, 0.8, 1.6))
        wide = 2.5
        caption, tags = (
            f"a {pick(rng, ['tall', 'roaring'])} wall of orange flames in the dark",
            ("fire", "night"),
        )
    elif form == "bonfire":
        glow_at, wide = between(rng, -0.4, 0.4) * f.hx, between(rng, 0.25, 0.5)
        d = (f.x - glow_at) / wide
        tall = between(rng, 0.8, 1.5) * np.exp(-1.1 * d * d) + 0.05
        heat = _flame(f, rng, np.float32(ground), tall, between(rng, 1.2, 2.0)) * smooth(1.5, 0.8, np.abs(d))
        caption, tags = "a bonfire with orange flames and sparks at night", ("fire", "night")
    else:
        wide = 2.5
        tall = 0.12 + 0.55 * np.clip(0.4 + 0.6 * curve(rng, f.width, 3, 2), 0, 2)[None]
        heat = _flame(f, rng, np.float32(ground - 0.05), tall, between(rng, 1.5, 2.2))
        caption, tags = "a burning forest with black trees and smoke", ("fire", "forest", "tree", "smoke")
    d = np.hypot((f.x - glow_at) / (wide + 0.5), (f.y - ground - 0.2))
    warm = np.exp(-d / 0.55)
    smoke = np.clip(0.6 + 0.45 * fbm(rng, f.shape, 3, 1.9), 0, 2)
    img = img + np.array((0.75, 0.17, 0.03), np.float32) * (warm * (0.25 + 0.5 * smoke))[..., None]
    floor = smooth(0.02, -0.06, f.y - ground)
    soil = np.clip(1 + 0.35 * fbm(rng, f.shape, 12, 1.5, (1, 3)), 0.1, 2)
    img = mix(
        img,
        np.array((0.55, 0.14, 0.03), np.float32) * (soil * np.exp(-d / 0.4) * 0.6)[..., None] + dark * 0.4,
        floor * (form != "wall"),
    )
    fade = 1.0
    if form == "burning forest":
        trunks = _trunks(f, rng, ground)
        img = img + ramp(heat * 0.9, HEAT)
        img = img * (1 - 0.96 * trunks)[..., None]
        front = _flame(f, rng, np.float32(ground - 0.25), 0.3 * tall, 2.0)
        heat, fade = front, 0.8
    elif form == "bonfire":
        logs = []
        for _ in range(7):
            a, long = between(rng, -0.9, 0.9), between(rng, 0.8, 1.1) * wide
            logs.append(
                (
                    [
                        (glow_at - long * np.sign(a), ground - 0.03),
                        (glow_at + a * wide * 0.4, ground + between(rng, 0.05, 0.25)),
                    ],
                    0.05,
                    1.0,
                )
            )
        img = mix(img, np.array((0.05, 0.018, 0.008), np.float32), strokes(f, logs))
    img = img + ramp(blur(heat, 0.6), HEAT) * fade
    ember = _sparks(f, rng, 170, np.exp(-np.abs(f.x - glow_at) / (wide + 0.2)))
    img = img + np.array((5.0, 1.6, 0.25), np.float32) * ember[..., None]
    return Scene(finish(img, f, rng, 1.0, bloom=0.35), words(caption), tags)


def _trunks(f: Frame, rng: np.random.Generator, ground: float) -> Field:
    """Bare burnt trees as coverage."""
    lines = []
    for _ in range(int(rng.integers(6, 13))):
        x, w = between(rng, -f.hx, f.hx), between(rng, 0.02, 0.07)
        lean, top = between(rng, -0.1, 0.1), between(rng, 0.5, 2.2)
        lines.append(([(x, ground - 0.2), (x + lean * 0.5, ground + top * 0.5), (x + lean, ground + top)], w, 1.0))
        for _ in range(6):
            t, side = between(rng, 0.3, 0.95), pick(rng, [-1, 1])
            long = (1.05 - t) * between(rng, 0.2, 0.5)
            p = (x + lean * t, ground + top * t)
            lines.append(
                (
                    [
                        p,
                        (p[0] + side * long * 0.6, p[1] + long * 0.3),
                        (p[0] + side * long, p[1] + long * 0.8),
                    ],
                    w * 0.25,
                    1.0,
                )
            )
    return strokes(f, lines)


def _puffs(
    f: Frame, rng: np.random.Generator, spots: list[tuple[float, float, float]], rough: float
) -> tuple[Field, Field, Field]:
    """Union of noisy balls: coverage, a height field for lighting, and the noise itself."""
    n = fbm(rng, f.shape, 4, 2.0)
    big = fbm(rng, f.shape, 2.5, 2.2)
    x, y = f.x + 0.05 * rough * big, f.y + 0.05 * rough * fbm(rng, f.shape, 2.5, 2.2)
    top = np.full(f.shape, -1.0, np.float32)
    for cx, cy, r in spots:
        d2 = ((x - cx) ** 2 + (y - cy) ** 2) / (r * r)
        top = np.maximum(top, r * (1.0 - d2))
    bump = top + 0.07 * rough * n - 0.05 * rough * np.abs(fbm(rng, f.shape, 7, 1.9))
    return smooth(-0.05, 0.10, bump), bump, n


def relief_light(bump: Field, f: Frame, lx: float, ly: float, depth: float = 0.09) -> Field:
    """Directional shading of a height field, 0..1."""
    gy, gx = np.gradient(blur(bump, 2.4) / f.px)
    nz = depth * 8
    norm = np.sqrt(gx * gx + gy * gy + nz * nz)
    return np.clip((-gx * lx + gy * ly + 0.45 * nz) / norm, -0.2, 1)


def explosion(f: Frame, rng: np.random.Generator) -> Scene:
    """A fireball with dark smoke, flying sparks and dust."""
    cx, cy = between(rng, -0.35, 0.35) * f.hx, between(rng, -0.25, 0.25)
    size = between(rng, 0.45, 0.85)
    backdrop, where = pick(
        rng,
        [
            ((0.01, 0.013, 0.03), "in the night"),
            ((0.10, 0.13, 0.18), "under a dark sky"),
            ((0.30, 0.22, 0.17), "in dusty air"),
            ((0.06, 0.03, 0.05), "at dusk"),
        ],
    )
    img = flat(f, backdrop) * (1 + 0.25 * fbm(rng, f.shape, 2, 2.2) + 0.3 * (f.y < 9))[..., None]
    ground = cy - size * between(rng, 0.5, 1.1)
    floor = smooth(0.03, -0.03, f.y - ground + 0.03 * curve(rng, f.width, 4)[None])
    img = mix(img, rgb(backdrop) * 0.3 + 0.004, floor)
    d = np.hypot(f.x - cx, f.y - cy)
    img = (
        img + np.array((1.0, 0.36, 0.09), np.float32) * (0.7 * np.exp(-d / (size * 0.7)) * (1 - 0.3 * floor))[..., None]
    )
    spots = [(cx, cy, size * 0.62)]
    for _ in range(16):
        a, r = between(rng, -0.5, np.pi + 0.5), between(rng, 0.35, 1.15) * size
        spots.append((cx + np.cos(a) * r * 0.9, cy + np.sin(a) * r * 0.75, size * between(rng, 0.24, 0.46)))
    smoky, bump, n = _puffs(f, rng, spots, 1.5)
    shade = relief_light(bump, f, 0.2, 0.9)
    grey = mix(np.array((0.02, 0.018, 0.018), np.float32), rgb(backdrop) * 0.8 + 0.05, np.clip(shade, 0, 1))
    # The inside stays hot: heat falls with distance and shows through gaps of the noise.
    hot = 0.95 - d / size * between(rng, 1.0, 1.5) + 0.24 * n + 0.3 * (0.4 - shade)
    burn = ramp(np.clip(hot, 0, 1.3) * smooth(0.0, 0.5, smoky), HEAT)
    img = mix(img, grey + burn, smoky)
    lines = []
    for _ in range(int(rng.integers(40, 110))):
        a = between(rng, -0.4, np.pi + 0.4)
        r0, long = size * between(rng, 0.5, 1.9), between(rng, 0.03, 0.2)
        drop = 0.15 * r0 * r0
        p0 = (cx + np.cos(a) * r0, cy + np.sin(a) * r0 - drop)
        lines.append(
            (
                [p0, (p0[0] + np.cos(a) * long, p0[1] + np.sin(a) * long - 0.3 * long * r0)],
                between(rng, 0.005, 0.014),
                between(rng, 0.25, 1),
            )
        )
    spark = strokes(f, lines)
    img = (
        img
        + np.array((6, 2.2, 0.4), np.float32) * spark[..., None]
        + np.array((1.5, 0.4, 0.05), np.float32) * blur(spark, 2)[..., None]
    )
    if chance(rng, 0.6):
        bits = []
        for _ in range(25):
            a, r = between(rng, 0, np.pi), size * between(rng, 0.7, 1.8)
            bx, by, s, t = (
                cx + np.cos(a) * r,
                cy + np.sin(a) * r,
                between(rng, 0.008, 0.035),
                between(rng, 0, 6),
            )
            bits.append([(bx + s * np.cos(t + k * 1.6), by + s * 0.7 * np.sin(t + k * 1.6)) for k in range(4)])
        img = mix(img, np.array((0.012, 0.01, 0.01), np.float32), polygons(f, bits))
        what = "an orange explosion with black smoke and debris"
    else:
        what = "a huge orange fireball with smoke and sparks"
    return Scene(finish(img, f, rng, 1.0, bloom=0.4), words(f"{what} {where}"), ("explosion", "fire", "smoke"))
