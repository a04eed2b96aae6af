"""Escape-time and flame fractals."""

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
    finish,
    flat,
    mix,
    pick,
    ramp,
    rgb,
    smooth,
    words,
)
from .pattern import duo


def fractal(f: Frame, rng: np.random.Generator) -> Scene:
    """Julia sets, Mandelbrot close-ups with smooth shading, and flame fractals."""
    form = pick(rng, ["julia", "julia", "mandelbrot", "flame", "flame"])
    a, b = duo(rng)
    if form == "flame":
        return _flame(f, rng, a, b)
    turn = between(rng, 0, 2 * np.pi)
    if form == "julia":
        t = between(rng, 0, 2 * np.pi)
        # Points just outside the main cardioid give connected, filigree sets.
        c0 = 0.5 * np.exp(1j * t) - 0.25 * np.exp(2j * t)
        c = complex(c0 * between(rng, 1.01, 1.07))
        zoom, centre = between(rng, 0.5, 1.3), complex(between(rng, -0.3, 0.3), between(rng, -0.3, 0.3))
    else:
        spots = [
            -0.7436 + 0.1318j,
            -0.1592 + 1.0317j,
            0.2725 + 0.0060j,
            -1.2500 + 0.0200j,
            -0.7480 + 0.0700j,
            0.3607 + 0.1000j,
        ]
        zoom, centre, c = 0.7 * 10 ** -between(rng, 0.6, 2.3), complex(pick(rng, spots)), 0j
    z = ((f.x + 1j * f.y) * np.exp(1j * turn) * zoom + centre).astype(np.complex64).ravel()
    k = z.copy() if form == "mandelbrot" else np.full_like(z, c)
    if form == "mandelbrot":
        z = np.zeros_like(z)
    count, trap = np.full(z.shape, 90.0, np.float32), np.full(z.shape, 9.0, np.float32)
    live = np.arange(z.size)
    zl, kl = z, k
    for i in range(90):
        zl = zl * zl + kl
        m2 = zl.real**2 + zl.imag**2
        trap[live] = np.minimum(trap[live], np.abs(zl.real * 0.6 + zl.imag * 0.8))
        gone = m2 > 64
        if gone.any():
            count[live[gone]] = i + 1 - np.log2(np.log2(m2[gone]) / 6)
            keep = ~gone
            live, zl, kl = live[keep], zl[keep], kl[keep]
        if not live.size:
            break
    count, trap = count.reshape(f.shape), trap.reshape(f.shape)
    inside = blur((count >= 90).astype(np.float32), 0.6)
    v = np.log1p(np.maximum(count - count.min(), 0))
    v = blur(v / (v.max() + 1e-6), 0.5)
    base = rgb(a) * 0.03 + 0.004
    img = ramp(
        v,
        [
            (0, base),
            (0.35, rgb(a) * 0.35),
            (0.65, rgb(a) * 0.6 + rgb(b) * 0.5),
            (0.9, rgb(b) * 1.3 + 0.3),
            (1, (2, 1.9, 1.7)),
        ],
    )
    band = 0.5 + 0.5 * np.sin(v * 26)
    img = img * (0.7 + 0.5 * band)[..., None]
    core = ramp(np.exp(-5 * trap), [(0, (0.004, 0.005, 0.01)), (0.6, rgb(b) * 0.15), (1, rgb(b) * 0.9 + 0.1)])
    img = mix(img, core, inside)
    gy, gx = np.gradient(v)
    img = img * (1 + np.clip(9 * (gy - gx), -0.6, 0.9))[..., None]
    name = "julia" if form == "julia" else "mandelbrot"
    return Scene(finish(img, f, rng, 1.1, soft=0.35), words(f"a {a} and {b} {name} fractal"), ("fractal", "abstract"))


def _flame(f: Frame, rng: np.random.Generator, a: str, b: str) -> Scene:
    """Iterated nonlinear maps with log density colouring."""
    n, maps = 15000, int(rng.integers(2, 5))
    m = rng.uniform(-1.1, 1.1, (maps, 2, 3)).astype(np.float32)
    for i in range(maps):
        # Bounded singular values keep the orbit from collapsing or flying off.
        u, s, vt = np.linalg.svd(m[i, :, :2])
        m[i, :, :2] = (u * np.clip(s, 0.35, 0.92)) @ vt
    style = [int(v) for v in rng.integers(0, 5, maps)]
    p = rng.uniform(-1, 1, (2, n)).astype(np.float32)
    tone = rng.random(n).astype(np.float32)
    h, w = f.shape
    fold = int(rng.integers(2, 7)) if chance(rng, 0.4) else 1
    pts, tones = [], []
    for it in range(42):
        choice = rng.integers(0, maps, n)
        q = np.empty_like(p)
        for i in range(maps):
            sel = choice == i
            x, y = m[i, :, :2] @ p[:, sel] + m[i, :, 2:]
            r2 = x * x + y * y + 1e-3
            if style[i] == 1:
                x, y = np.sin(x * 1.6), np.sin(y * 1.6)
            elif style[i] == 2:
                s, c = np.sin(r2), np.cos(r2)
                x, y = x * s - y * c, x * c + y * s
            elif style[i] == 3:
                r = np.sqrt(r2)
                x, y = (x - y) * (x + y) / r, 2 * x * y / r
            elif style[i] == 4:
                x, y = x * 1.4 / (0.6 + r2), y * 1.4 / (0.6 + r2)
            q[0, sel], q[1, sel] = x, y
            tone[sel] = 0.5 * tone[sel] + 0.5 * i / max(1, maps - 1)
        p = np.nan_to_num(q)
        if it > 6:
            pts.append(p.copy())
            tones.append(tone.copy())
    xy, tn = np.concatenate(pts, 1), np.concatenate(tones)
    mid = np.median(xy, 1, keepdims=True)
    spread = np.percentile(np.abs(xy - mid), 93)
    xy = (xy - (0 if fold > 1 else mid)) / (spread + 1e-6) * 0.72
    ang = 2 * np.pi * rng.integers(0, fold, xy.shape[1]) / fold
    c, s = np.cos(ang), np.sin(ang)
    x, y = xy[0] * c - xy[1] * s, xy[0] * s + xy[1] * c
    ix, iy = ((x + f.hx) / f.px).astype(np.int32), ((f.hy - y) / f.px).astype(np.int32)
    ok = (ix >= 0) & (ix < w) & (iy >= 0) & (iy < h)
    at = iy[ok] * w + ix[ok]
    hits: Field = np.bincount(at, minlength=h * w).reshape(h, w).astype(np.float32)
    hue: Field = np.bincount(at, weights=tn[ok], minlength=h * w).reshape(h, w).astype(np.float32)
    wide_hits, wide_hue = ndimage.gaussian_filter(hits, 1.6), ndimage.gaussian_filter(hue, 1.6)
    fine = ndimage.gaussian_filter(hits, 0.55)
    level = np.log1p(0.5 * fine + 0.7 * wide_hits)
    level = level / (np.percentile(level, 99.7) + 1e-6)
    t = wide_hue / (wide_hits + 1e-3)
    colour = mix(rgb(a), rgb(b), smooth(0.2, 0.8, t))
    img = (
        flat(f, (0.003, 0.004, 0.009))
        + colour * (1.5 * level**1.8)[..., None]
        + (0.8 * np.maximum(level - 0.7, 0))[..., None]
    )
    return Scene(
        finish(img, f, rng, 1.1, bloom=0.35),
        words(f"a {a} and {b} flame fractal on black"),
        ("fractal", "light", "abstract"),
    )
