"""Pattern pictures: mandalas, caustics, flowers, glitch blocks."""

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
    flat,
    mix,
    number,
    pick,
    ramp,
    resize,
    rgb,
    sample,
    shafts,
    smooth,
    texture,
    warp,
    words,
)

HUES = ["red", "orange", "gold", "green", "teal", "cyan", "blue", "violet", "magenta", "pink"]


def duo(rng: np.random.Generator) -> tuple[str, str]:
    """Two different colour names."""
    a, b = rng.permutation(HUES)[:2]
    return str(a), str(b)


def mandala(f: Frame, rng: np.random.Generator) -> Scene:
    """Radially symmetric ornament: embossed gold, stained glass or glowing lines."""
    a, b = duo(rng)
    a, b = (b, a) if b == "gold" else (a, b)
    n = int(pick(rng, [6, 8, 8, 10, 12, 16]))
    x, y = f.x - between(rng, -0.08, 0.08), f.y
    r = np.hypot(x, y) / between(rng, 0.85, 1.1)
    ang = np.arctan2(y, x) + between(rng, 0, 1)
    s = np.abs((ang * n / (2 * np.pi)) % 1 - 0.5) * 2
    relief, line = np.zeros(f.shape, np.float32), np.zeros(f.shape, np.float32)
    tone = np.zeros(f.shape, np.float32)
    edges = np.sort(rng.uniform(0.12, 1.0, int(rng.integers(5, 9))))
    inner = 0.0
    for i, outer in enumerate([*edges, 1.6]):
        t = (r - inner) / max(outer - inner, 0.05)
        on = smooth(-0.03, 0.03, t) * smooth(1.03, 0.97, t)
        kind, q = int(rng.integers(0, 5)), (s * (1 + int(rng.integers(0, 3)))) % 2
        q = np.where(q > 1, 2 - q, q)
        if kind == 0:
            d = q - np.sqrt(np.clip(1 - (2 * t - 1) ** 2, 0, 1)) * 0.85
        elif kind == 1:
            d = np.hypot(q - 0.5, (t - 0.5) * 1.2) - 0.38
        elif kind == 2:
            d = q - (1 - t) * 0.95
        elif kind == 3:
            d = np.abs(q - 0.5 - 0.35 * np.sin(np.pi * 2 * t)) - 0.16
        else:
            d = np.abs(t - 0.35 - 0.4 * q) - 0.17
        line += on * np.exp(-((d / 0.07) ** 2)) + np.exp(-(((r - outer) / 0.010) ** 2))
        relief += on * smooth(0.18, -0.35, d)
        tone += on * (smooth(0.05, -0.05, d) * 0.6 + 0.12 * i)
        inner = outer
    line, relief, tone = blur(line, 0.8), blur(relief, 1.2), blur(tone, 0.7)
    style = pick(rng, ["glow", "gold", "glass"])
    fade = smooth(1.75, 0.7, r)
    if style == "glow":
        img = mix(rgb(a), rgb(b), smooth(0.15, 0.9, r)) * (line * 0.9 + 0.10 * relief)[..., None] * fade[..., None]
        img = img + rgb(a) * (0.5 * np.exp(-r / 0.18))[..., None] + 0.004
        caption = f"a glowing {a} and {b} mandala on black"
    elif style == "gold":
        gy, gx = np.gradient(blur(relief * 0.6 + line * 0.4, 1.0) * 9)
        la = between(rng, 0, 6.28)
        shade = np.clip(0.45 + 0.5 * (np.cos(la) * gx + np.sin(la) * gy), 0.03, 2.2)
        grain = 1 + 0.08 * fbm(rng, f.shape, 12, 1.3)
        tint = mix(rgb(b) * 0.35, np.array((1.0, 0.58, 0.20), np.float32), smooth(0.05, 0.6, relief + line))
        img = tint * (shade * grain * (0.25 + 0.75 * fade))[..., None]
        caption = f"an ornate gold and {b} mandala relief with {n}-fold symmetry"
    else:
        colour = ramp(tone, [(0, rgb(a) * 0.25), (0.4, rgb(b) * 0.8), (0.8, rgb(a)), (1.3, rgb("gold")), (1.9, rgb(b))])
        light = np.exp(-r / 0.8) * 1.5 + 0.15 + 0.12 * fbm(rng, f.shape, 3, 2)
        img = colour * np.clip(light * (1 - 0.85 * np.clip(line, 0, 1)), 0, 4)[..., None]
        caption = f"a {a} and {b} stained glass mandala with {n}-fold symmetry"
    return Scene(finish(img, f, rng, 1.1, bloom=0.35), words(caption), ("mandala", "abstract"))


def caustics(f: Frame, rng: np.random.Generator) -> Scene:
    """Light under water: rays from above and the bright net on a sandy bed, or the net alone."""
    tint = pick(rng, ["blue", "teal", "cyan", "green"])
    deep = rgb(tint) * np.array((0.3, 0.6, 0.75), np.float32)
    tile, other = texture(rng, 5, 2.6), texture(rng, 5, 2.6)
    bed = chance(rng, 0.6)

    def net(u: Field, v: Field) -> Field:
        # Two drifting ridge fields multiplied give the thin bright cells of refracted sunlight.
        wob = 0.03 * sample(other, u * 0.7, v * 0.7)
        p = np.exp(-((sample(tile, u + wob, v - wob) / 0.28) ** 2))
        q = np.exp(-((sample(other, u * 1.1 + 0.3, v * 1.1 + wob) / 0.28) ** 2))
        return np.maximum(p, q) * 0.6 + p * q * 1.6

    if not bed:
        scale = between(rng, 0.12, 0.3)
        n = net(f.x * scale, f.y * scale)
        fade = 0.65 + 0.3 * fbm(rng, f.shape, 1.5, 2.4)
        img = (
            deep * 0.5
            + (deep * 0.7 + np.array((0.25, 0.4, 0.4), np.float32)) * (n * np.clip(fade, 0.2, 1.4))[..., None]
        )
        return Scene(
            finish(img, f, rng, 1.0, soft=0.4),
            f"rippling {tint} water with bright light caustics",
            ("water", "light"),
        )
    line = between(rng, -0.1, 0.35)
    depth = 1 / np.maximum(line + 0.12 - f.y, 0.06)
    u, v = f.x * depth * 0.14, depth * 0.22
    mound = sample(other, u * 0.5, v * 0.5)
    sand = np.array((0.45, 0.42, 0.30), np.float32) * (0.7 + 0.1 * mound)[..., None]
    sand = sand * (0.4 + 0.9 * net(u, v))[..., None] * (deep * 1.3 + 0.12)
    top = smooth(-0.6, 1.1, f.y)
    water = deep * (0.12 + 0.75 * top)[..., None] + np.array((0.2, 0.3, 0.3), np.float32) * (top**3)[..., None]
    far = smooth(line - 0.75, line - 0.02, f.y + 0.05 * curve(rng, f.width, 3)[None])
    img = mix(sand, water, far)
    sx = between(rng, -0.6, 0.6) * f.hx
    slits = np.clip(curve(rng, f.width, 9, 1.0), 0, 3)[None] * smooth(f.hy - 0.12, f.hy, f.y)
    rays = shafts(slits.astype(np.float32), f, sx, f.hy + 0.8, 0.75)
    img = img + (deep + 0.25) * (rays * 2.2 + 0.25 * np.exp(-np.hypot(f.x - sx, f.y - f.hy) / 0.5))[..., None]
    specks = ndimage.gaussian_filter((rng.random(f.shape) > 0.9988).astype(np.float32), 0.8)
    img = img + 0.5 * specks[..., None]
    caption = f"sunlight rays under {tint} water over a sandy bed"
    return Scene(finish(img, f, rng, 1.1, soft=0.3), words(caption), ("water", "sea", "light"))


def flower(f: Frame, rng: np.random.Generator) -> Scene:
    """A blossom seen close: layered petals over a soft blurred garden."""
    tint = pick(rng, ["red", "pink", "magenta", "violet", "orange", "gold", "white", "blue"])
    dark = chance(rng, 0.4)
    back = np.array((0.012, 0.018, 0.016), np.float32) if dark else np.array((0.08, 0.16, 0.05), np.float32)
    img = flat(f, back) * (1.2 + 0.5 * fbm(rng, f.shape, 1.6, 2.6))[..., None]
    for _ in range(0 if dark else 9):
        bx, by, br = between(rng, -f.hx, f.hx), between(rng, -f.hy, f.hy), between(rng, 0.12, 0.35)
        spot = smooth(br, br * 0.8, np.hypot(f.x - bx, f.y - by))
        img = img + rgb(pick(rng, ["green", "gold", tint])) * (0.10 * blur(spot, 6))[..., None]
    count = 1 if chance(rng, 0.6) else int(rng.integers(2, 4))
    petals = int(rng.integers(5, 14))
    la = between(rng, 0.3, 2.8)
    for k in range(count):
        size = between(rng, 0.6, 0.98) if count == 1 else between(rng, 0.32, 0.5)
        cx = (
            between(rng, -0.3, 0.3)
            if count == 1
            else (k - (count - 1) / 2) * 1.5 * f.hx / count + between(rng, -0.1, 0.1)
        )
        cy = between(rng, -0.2, 0.2) if count == 1 else between(rng, -0.35, 0.35)
        stem = np.exp(-(((f.x - cx - 0.12 * (f.y - cy)) / (0.05 * size)) ** 4)) * (f.y < cy)
        img = mix(img, np.array((0.05, 0.13, 0.03), np.float32) * (0.5 if dark else 1), stem * 0.9)
        squash, spin = between(rng, 0.6, 1.0), between(rng, 0, 6)
        x, y = (f.x - cx) / size, (f.y - cy) / (size * squash)
        r0, ang0 = np.hypot(x, y), np.arctan2(y, x)
        wob = fbm(rng, f.shape, 2.5, 2.4)
        layers = int(rng.integers(2, 5))
        for j in range(layers):
            s = 1 - 0.72 * j / layers
            t = (ang0 + spin + j * np.pi / petals * 1.05) * petals / (2 * np.pi)
            c = (t % 1 - 0.5) * 2
            shape = (1 - 0.75 * np.abs(c) ** between(rng, 1.8, 3.2)) * s * (1 + 0.035 * wob)
            q = r0 / np.maximum(shape, 0.05)
            cover = smooth(1 + 1.5 * f.px / (size * s), 1 - 1.5 * f.px / (size * s), q)
            vein = 1 + 0.07 * np.sin(c * 26 + 3 * wob) * smooth(0.2, 0.7, q)
            side = np.cos(ang0 - la) * 0.22 + c * 0.18 * np.sign(np.cos(la))
            shade = (0.35 + 0.55 * q) * (0.8 + side) * vein * (1.0 - 0.35 * np.abs(c) ** 3)
            body = mix(rgb(tint) * 0.8, rgb(tint) * 0.55 + 0.35, smooth(0.5, 1.05, q))
            # The layer above darkens the one below near its edge.
            drop = blur(cover, 5) * (0.55 if j else 0.3)
            img = mix(img, img * 0.25, np.clip(drop - cover * 0, 0, 1))
            img = mix(img, body * np.clip(shade, 0.02, 2)[..., None], cover)
        heart = smooth(0.20, 0.12, r0 + 0.012 * fbm(rng, f.shape, 16, 1.3))
        dots = np.clip(0.75 + 0.35 * fbm(rng, f.shape, 30, 1.2) - 1.5 * r0, 0.1, 2)
        img = mix(img, np.array((0.9, 0.50, 0.07), np.float32) * dots[..., None], heart)
    img = img * (0.9 + 0.35 * (f.x * np.cos(la) + f.y * np.sin(la)) / f.hx)[..., None]
    what = f"a {tint} flower" if count == 1 else f"{number(count)} {tint} flowers"
    where = "glowing in the dark" if dark else "in a soft green garden"
    detail = "with layered petals" if count == 1 else ""
    return Scene(
        finish(img, f, rng, 1.3, soft=0.3),
        words(f"{what} {detail} {where}"),
        ("flower", "grass") if not dark else ("flower",),
    )


def glitch(f: Frame, rng: np.random.Generator) -> Scene:
    """Broken video: shifted blocks, split colours, scan lines or plain static."""
    a, b = duo(rng)
    static = chance(rng, 0.25)
    h, w = f.shape
    n = fbm(rng, f.shape, 2, 2.0)
    base = mix(rgb(a) * 0.5, rgb(b) * 0.8, smooth(-1.2, 1.2, n + f.y))
    base = base * np.clip(0.5 + 0.5 * fbm(rng, f.shape, 3, 1.9), 0.02, 2)[..., None]
    blocks = np.zeros(f.shape, np.float32)
    shift = np.zeros(f.shape, np.float32)
    for _ in range(int(rng.integers(25, 70))):
        bw, bh = int(rng.integers(w // 20, w // 3)), int(rng.integers(2, max(3, h // 9)))
        x0, y0 = int(rng.integers(-bw // 2, w)), int(rng.integers(0, h))
        area = (slice(y0, y0 + bh), slice(max(0, x0), x0 + bw))
        shift[area] = rng.normal(0, w * 0.12)
        if rng.random() < 0.35:
            blocks[area] = rng.random()
    img = warp(base, shift, shift * 0)
    mosaic = resize(rng.random((h // 16, w // 16)).astype(np.float32), f.shape)
    cell = np.kron(rng.random((h // 16 + 1, w // 16 + 1)), np.ones((16, 16)))[:h, :w].astype(np.float32)
    hot = (cell > 0.86) & (mosaic > 0.45)
    img = mix(img, mix(rgb(a), rgb(b), cell * 0 + (cell > 0.93)) * 1.2, hot * 0.8)
    img = img + rgb(pick(rng, ["cyan", "magenta", "white", a])) * (blocks * 0.7)[..., None]
    split = int(rng.integers(2, 8))
    img = np.stack([np.roll(img[..., 0], split, 1), img[..., 1], np.roll(img[..., 2], -split, 1)], -1)
    if static:
        snow = np.abs(rng.standard_normal(f.shape, np.float32))
        band = np.clip(0.55 + 0.3 * curve(rng, h, 4, 1.5), 0.1, 1.2)[:, None]
        img = img * 0.25 + (0.35 * snow * band)[..., None] * np.array((0.9, 0.95, 1.05), np.float32)
        caption, tags = f"grey video static with {a} and {b} glitch blocks", ("glitch", "abstract")
    else:
        caption, tags = f"{a} and {b} glitch blocks with digital noise", ("glitch", "abstract")
    scan = 0.82 + 0.18 * np.cos(np.arange(h) * np.pi / 1.5)[:, None]
    return Scene(finish(img * scan[..., None].astype(np.float32), f, rng, 1.1), words(caption), tags)
