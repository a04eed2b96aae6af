"""Traced objects: crystals and machinery."""

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
    rgb,
    sample,
    shafts,
    smooth,
    texture,
    words,
)
from .march import march, soften, stain, sunlight, unit


def crystal(f: Frame, rng: np.random.Generator) -> Scene:
    """A cluster of pointed prisms glowing from within, on rock or in a cave."""
    tint = pick(rng, ["violet", "blue", "cyan", "teal", "green", "pink", "magenta", "gold", "red"])
    cave = chance(rng, 0.5)
    count = int(rng.integers(3, 6))
    prisms = []
    for k in range(count):
        a = 2 * np.pi * k / count + between(rng, -0.4, 0.4)
        lean = between(rng, 0.1, 0.75) if k else 0.08
        axis = np.array(unit((np.cos(a) * lean, 1.0, np.sin(a) * lean * 0.7)))
        side = np.array(unit(tuple(np.cross(axis, (0.3, 0.2, 1.0)))))
        prisms.append(
            (
                axis,
                side,
                np.cross(axis, side),
                between(rng, 0.16, 0.40) if k else 0.45,
                between(rng, 0.9, 2.2) if k else between(rng, 1.9, 2.8),
                (np.cos(a) * 0.6 * (k > 0), np.sin(a) * 0.5 * (k > 0)),
            )
        )
    seed = between(rng, 0, 6)

    def gems(x: Field, y: Field, z: Field) -> Field:
        best = np.full(x.shape, 9.0, np.float32)
        for axis, s, t, r, long, (ox, oz) in prisms:
            qx, qz = x - np.float32(ox), z - np.float32(oz)
            h = qx * np.float32(axis[0]) + y * np.float32(axis[1]) + qz * np.float32(axis[2])
            u = np.abs(qx * np.float32(s[0]) + y * np.float32(s[1]) + qz * np.float32(s[2]))
            v = np.abs(qx * np.float32(t[0]) + y * np.float32(t[1]) + qz * np.float32(t[2]))
            hexa = np.maximum(u * np.float32(0.866) + v * np.float32(0.5), v)
            best = np.minimum(best, np.maximum(hexa - r, (hexa * np.float32(1.3) + h - long) * np.float32(0.6)))
        return best

    def rock(x: Field, y: Field, z: Field) -> Field:
        bump = 0.16 * np.sin(x * 1.9 + seed) * np.sin(z * 2.3) + 0.07 * np.sin(x * 5.1 + z * 3.0)
        floor = y - bump
        if not cave:
            return floor * 0.85
        return np.minimum(floor, 3.9 - np.hypot(x, y - 0.8) + 3 * bump) * 0.75

    def sdf(x: Field, y: Field, z: Field) -> Field:
        return np.minimum(gems(x, y, z), rock(x, y, z))

    turn = between(rng, -0.5, 0.5)
    eye = (4.0 * np.sin(turn), between(rng, 0.5, 1.7), -4.0 * np.cos(turn))
    h = march(f, sdf, eye, (0.0, between(rng, 0.8, 1.1), 0.0), between(rng, 1.2, 1.7), 14, steps=15, fine=4)
    c = rgb(tint)
    is_gem = smooth(0.03, 0.0, gems(*h.p)) * h.solid
    light = (between(rng, -0.8, 0.8), 0.8, between(rng, -0.7, 0.2))
    lit = sunlight(h, sdf, light, 3.0, 6)
    tile = texture(rng, 4, 2.0)
    inner = 0.5 + 0.16 * stain(h, tile, 0.25) + 0.35 * np.exp(-np.maximum(h.p[1], 0) / 0.6)
    rim = (1 - np.abs(h.n[0] * h.ray[0] + h.n[1] * h.ray[1] + h.n[2] * h.ray[2])) ** 2.5
    dot = 2 * (h.n[0] * h.ray[0] + h.n[1] * h.ray[1] + h.n[2] * h.ray[2])
    ry = h.ray[1] - dot * h.n[1]
    rx = h.ray[0] - dot * h.n[0]
    env = smooth(0.1, 0.9, ry + 0.35 * sample(tile, rx * 0.3, ry * 0.3))
    deep = c * np.clip(inner, 0.03, 2)[..., None] * 0.7 * (0.45 + 0.55 * np.abs(h.n[0]))[..., None]
    gem = deep + (c * 0.5 + 0.5) * (0.35 * env + 0.5 * rim + 0.6 * lit**3)[..., None]
    glow = np.exp(-np.hypot(h.p[0], h.p[2]) / 1.1) * np.exp(-np.maximum(h.p[1], 0) / 1.8)
    grit = np.clip(0.8 + 0.3 * stain(h, tile, 0.3), 0.2, 1.6)
    stone = (
        np.array((0.11, 0.10, 0.11), np.float32)
        * (grit * h.shade)[..., None]
        * (0.15 + lit[..., None] * 0.5 + c * 2.6 * glow[..., None])
    )
    img = mix(stone, gem, is_gem)
    back = c * 0.05 + 0.01
    img = mix(img, back, 1 - np.exp(-0.05 * np.maximum(h.t - 3, 0)))
    img = mix(
        np.broadcast_to(back, img.shape) * (0.6 + 0.7 * np.exp(-np.hypot(f.x, f.y) / 0.7))[..., None],
        soften(img, h.t),
        h.solid,
    )
    rays = shafts(is_gem * np.clip(gem.mean(-1), 0, 1.5), f, 0.0, 0.1, 0.35, 5)
    img = img + c * (rays * 0.25 + 0.05 * np.clip(1 + 0.5 * fbm(rng, f.shape, 2, 3.0), 0, 2))[..., None]
    place = "in a dark cave" if cave else "on dark rock"
    what = pick(rng, ["glowing", "faceted"])
    caption = words(f"a cluster of {what} {tint} crystals {place}")
    return Scene(finish(img, f, rng, 1.15, bloom=0.4), caption, ("crystal", "rock", "light"))


def machine(f: Frame, rng: np.random.Generator) -> Scene:
    """Meshing gear wheels in layers with metal shading, sometimes with pistons and steam."""
    metal, tone = pick(
        rng,
        [
            ("brass", (0.75, 0.48, 0.16)),
            ("steel", (0.50, 0.53, 0.57)),
            ("copper", (0.75, 0.33, 0.17)),
            ("iron", (0.22, 0.21, 0.21)),
        ],
    )
    lamp = pick(rng, ["orange", "blue", "teal", "white", "red"])
    img = (rgb(tone) * 0.02 + 0.006) * (1 + 0.25 * fbm(rng, f.shape, 2, 3))[..., None]
    tile = texture(rng, 5, 1.6)
    la = between(rng, 0.4, 2.7)
    lx, ly = float(np.cos(la)), float(np.sin(la))
    sx, sy = lx * f.hx * 0.7, ly * f.hy * 0.7
    pool = np.exp(-np.hypot(f.x - sx, f.y - sy) / between(rng, 0.6, 1.1))
    pistons = chance(rng, 0.45)
    if pistons:
        for _ in range(int(rng.integers(2, 5))):
            x0, w, cut = between(rng, -f.hx, f.hx), between(rng, 0.05, 0.13), between(rng, -0.4, 0.4)
            for half, keep in ((w, f.y > cut), (w * 0.55, f.y <= cut)):
                q = (f.x - x0) / half
                body = smooth(1 + f.px / half, 1 - f.px / half, np.abs(q)) * keep
                nz = np.sqrt(np.clip(1 - q * q, 0, 1))
                s = 0.06 + 0.5 * np.clip(q * lx + nz * 0.4, 0, 1) + 1.2 * np.clip(q * lx * 0.7 + nz * 0.6, 0, 1) ** 14
                img = mix(img, rgb(tone) * (s * (0.15 + pool))[..., None], body)
    n = int(rng.integers(3, 7))
    wheels: list[tuple[float, float, float]] = [
        (between(rng, -0.5, 0.5) * f.hx, between(rng, -0.3, 0.3) * f.hy, between(rng, 0.4, 0.75))
    ]
    while len(wheels) < n:
        px, py, pr = wheels[int(rng.integers(len(wheels)))]
        r, a = between(rng, 0.16, 0.55), between(rng, 0, 6.28)
        wheels.append((px + (pr + r * 0.97) * np.cos(a), py + (pr + r * 0.97) * np.sin(a), r))
    order = rng.permutation(n)
    for rank, k in enumerate(order):
        cx, cy, r = wheels[k]
        t = (rank + 1) / n
        x, y = (f.x - cx) / r, (f.y - cy) / r
        d, ang = np.hypot(x, y), np.arctan2(y, x)
        teeth = max(8, int(r * 42))
        wave = np.cos(ang * teeth + k * 1.7)
        edge = 0.94 + 0.06 * np.clip(wave * 2.2, -1, 1)
        spokes = int(3 + k % 4)
        gap = np.minimum(
            np.minimum(d - 0.36, 0.72 - d),
            (0.5 - np.abs((ang * spokes / (2 * np.pi)) % 1 - 0.5)) * 2 * np.pi / spokes * d - 0.09,
        )
        holes = smooth(-0.015, 0.015, gap)
        cover = smooth(1.3 * f.px / r, -1.3 * f.px / r, d - edge) * (1 - holes) * smooth(0.07, 0.085, d)
        img = img * (1 - 0.75 * np.roll(blur(cover, 5), (5, -int(5 * np.sign(lx))), (0, 1)))[..., None]
        height = np.minimum(smooth(0, 0.05, edge - d), 1 - smooth(-0.05, 0.0, gap))
        height = blur(
            height + 0.5 * smooth(0.30, 0.26, d) + 0.35 * smooth(0.78, 0.82, d) - 0.4 * smooth(0.12, 0.09, d),
            0.8,
        )
        gy, gx = np.gradient(height * 2.2)
        # Brushed metal: bright streaks turn with the angle, as on lathe-turned discs.
        brush = np.cos(2 * (ang - la) + 0.5) ** 2
        scratch = sample(tile, d * 1.3, ang * 0.05) * 0.10 + sample(tile, x * 0.3, y * 0.3) * 0.12
        s = 0.16 + 0.30 * brush**3 + np.clip(gx * -lx + gy * ly, -0.25, 0.8) * 1.1 + scratch * 0.6
        alloy = rgb(tone) * (1 + 0.25 * np.sin(k * 2.4))
        rust = np.array((0.18, 0.07, 0.03), np.float32)
        body = mix(alloy, rust, smooth(0.8, 2.2, sample(tile, x * 0.2 + k, y * 0.2)) * 0.7)
        body = body * (np.clip(s, 0.01, 3) * (0.30 + 1.7 * pool) * (0.4 + 0.6 * t))[..., None]
        body = body + rgb(lamp) * (np.clip(brush**6 * pool, 0, 1) * 0.10)[..., None]
        img = mix(img, body, cover)
        if rank < n - 1:
            img = img * 0.86 + rgb(lamp) * 0.004
    img = img + rgb(lamp) * (0.10 * pool + 0.35 * np.exp(-np.hypot(f.x - sx * 1.3, f.y - sy * 1.3) / 0.25))[..., None]
    steam = chance(rng, 0.35)
    if steam:
        m = smooth(0.0, 2.0, fbm(rng, f.shape, 2.0, 3.0) - 0.5 * f.y) * 0.55
        img = mix(img, (rgb(lamp) * 0.25 + 0.15) * (0.3 + pool)[..., None], m)
    what = "gears and pistons" if pistons else "clockwork gears"
    extra = "with steam" if steam else ""
    return Scene(
        finish(img, f, rng, 1.8, bloom=0.3),
        words(f"{metal} {what} {extra} in {lamp} light"),
        ("machine", "industry") if not steam else ("machine", "smoke"),
    )
