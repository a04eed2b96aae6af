"""Space and light: nebulae and galaxies, planets, glowing orbs."""

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
    pick,
    points,
    ramp,
    rgb,
    sample,
    smooth,
    swirl,
    texture,
    warp,
    words,
)

NAMES = ["blue", "violet", "magenta", "pink", "teal", "orange", "red", "gold", "cyan"]


def _stars(f: Frame, rng: np.random.Generator, n: int) -> Field:
    """Coloured stars with a few bright ones that glow."""
    small = points(f, rng, n, 2.2, 0.45)
    big = points(f, rng, 14, 1.2, 0.7)
    warm = smooth(-1, 1, fbm(rng, f.shape, 40, 1.0))
    tone = mix(np.array((0.75, 0.85, 1.15), np.float32), np.array((1.15, 0.95, 0.75), np.float32), warm)
    return tone * (np.minimum(small * 0.6, 1.6) + np.minimum(big, 3) + blur(big, 2.5) * 1.5)[..., None]


def nebula(f: Frame, rng: np.random.Generator) -> Scene:
    """Glowing gas with dark dust lanes, a spiral galaxy or a star field."""
    form = pick(rng, ["nebula", "nebula", "galaxy", "milky way"])
    a, b = (str(s) for s in rng.permutation(NAMES)[:2])
    img = flat(f, (0.004, 0.005, 0.011))
    if form == "galaxy":
        turn, tilt = between(rng, 0, np.pi), between(rng, 0.35, 0.95)
        cx, cy = between(rng, -0.3, 0.3) * f.hx, between(rng, -0.2, 0.2) * f.hy
        x, y = f.x - cx, f.y - cy
        u = x * np.cos(turn) + y * np.sin(turn)
        v = (-x * np.sin(turn) + y * np.cos(turn)) / tilt
        r, ang = np.hypot(u, v) + 1e-3, np.arctan2(v, u)
        size, arms = between(rng, 0.55, 0.95), int(rng.integers(2, 5))
        tile = texture(rng, 4, 1.7)
        wind = ang + between(rng, 2.0, 3.4) * pick(rng, [-1, 1]) * np.log(r + 0.05)
        n = sample(tile, np.cos(wind) * 0.15 + u * 0.3, np.sin(wind) * 0.15 + v * 0.3)
        arm = (0.5 + 0.5 * np.cos(arms * wind + 0.5 * n)) ** 1.6
        disk = np.exp(-r / (size * 0.42))
        dusty = smooth(0.2, 1.5, sample(tile, u * 0.5 + 0.3, v * 0.5) + 0.8 * np.cos(arms * wind + 1.2))
        gas = disk * (0.15 + 1.1 * arm * np.clip(0.8 + 0.45 * n, 0, 2)) * (1 - 0.6 * dusty)
        img = img + mix(rgb(a), np.array((0.6, 0.7, 1.0), np.float32), 0.35) * (gas * 1.1)[..., None]
        knots = points(f, rng, 900, 2.0, 0.5) * disk * arm
        img = img + rgb(b) * (knots * 1.5)[..., None]
        img = (
            img + np.array((1.6, 1.15, 0.7), np.float32) * (1.2 * np.exp(-r / (size * 0.10)) + 0.3 * disk**2)[..., None]
        )
        tags: tuple[str, ...]
        caption, tags = f"a {a} spiral galaxy with a bright core and stars", ("nebula", "stars")
    else:
        dx, dy = swirl(rng, f.shape, 2, between(rng, 0.02, 0.12), 6)
        n1 = warp(fbm(rng, f.shape, 1.6, 2.0), dx, dy)
        n2 = warp(fbm(rng, f.shape, 1.6, 2.3), dy, dx)
        lane = np.abs(warp(fbm(rng, f.shape, 1.6, 2.0), dx, -dy))
        if form == "milky way":
            tilt = between(rng, -0.9, 0.9)
            across = (f.y - tilt * f.x) / np.hypot(1, tilt)
            body = np.exp(-((across / between(rng, 0.3, 0.5)) ** 2))
            gas = body * np.clip(0.65 + 0.3 * n1, 0, 2)
            caption, tags = f"the milky way with {a} and {b} light", ("stars", "nebula", "night")
        else:
            gas = np.clip(0.30 + 0.42 * n1, 0, 2) ** 1.5
            caption, tags = f"a glowing {a} and {b} nebula with stars", ("nebula", "stars")
        tone = mix(rgb(a), rgb(b), smooth(-0.9, 0.9, n2))
        dark = smooth(0.6, 0.0, lane) * 0.6
        img = img + tone * (gas * (1 - dark) * 0.95)[..., None]
        core = np.clip(gas - 0.75, 0, 2) * (1 - 0.6 * dark)
        img = img + np.array((1.0, 0.85, 0.8), np.float32) * (core * 0.9)[..., None]
        img = img + tone * 0.10 * blur(gas, 12)[..., None]
    img = img + _stars(f, rng, int(420 * f.hx * f.hy)) * 0.8
    return Scene(finish(img, f, rng, 1.15), words(caption), tags)


def planet(f: Frame, rng: np.random.Generator) -> Scene:
    """A planet lit from one side: rocky, banded with rings, or with seas and air."""
    kind = pick(rng, ["ringed", "ocean", "rocky", "banded", "icy"])
    tone = pick(rng, ["blue", "orange", "red", "teal", "violet", "gold"]) if kind != "ocean" else "blue"
    big = chance(rng, 0.35)
    r = between(rng, 1.2, 2.2) if big else between(rng, 0.35, 0.72)
    cx = between(rng, -0.5, 0.5) * f.hx
    cy = -f.hy - r + between(rng, 0.7, 1.2) if big else between(rng, -0.25, 0.25) * f.hy
    img = flat(f, (0.004, 0.005, 0.010)) + _stars(f, rng, int(350 * f.hx * f.hy)) * 0.7
    haze = np.clip(0.3 + 0.3 * fbm(rng, f.shape, 1.4, 2.6), 0, 2)
    img = img + rgb(pick(rng, ["violet", "blue", "teal", "red"])) * (0.10 * haze)[..., None]
    x, y = (f.x - cx) / r, (f.y - cy) / r
    d2 = x * x + y * y
    nz = np.sqrt(np.clip(1 - d2, 0, 1))
    la = between(rng, 0.1, np.pi - 0.1) if big else between(rng, 0, 2 * np.pi)
    back = between(rng, -0.25, 0.6)
    lx, ly, lz = np.cos(la) * np.cos(back), np.sin(la) * np.cos(back), np.sin(back)
    tilt = between(rng, -0.6, 0.6)
    u, v = x * np.cos(tilt) + y * np.sin(tilt), -x * np.sin(tilt) + y * np.cos(tilt)
    tile, fine = texture(rng, 3, 1.8), texture(rng, 6, 1.6)
    lon = np.arctan2(u, nz + 1e-3) * 0.16 + rng.random()
    lat = np.arcsin(np.clip(v, -1, 1)) * 0.16
    n = sample(tile, lon * 1.2, lat * 1.2 + rng.random()) + 0.35 * sample(fine, lon * 2, lat * 2)
    base = rgb(tone) * 0.65 + 0.10
    if kind in ("ringed", "banded"):
        band = sample(tile, lat * 0 + 0.37, lat * 3.0 + 0.012 * n) + 0.15 * n
        surface = ramp(band, [(-2, base * 0.35), (0, base), (2, base * 0.5 + 0.45)])
    elif kind == "ocean":
        land = smooth(0.25, 0.45, n)
        soil = ramp(sample(fine, lon * 3, lat * 3), [(-2, (0.06, 0.10, 0.03)), (2, (0.32, 0.25, 0.13))])
        surface = mix(np.array((0.015, 0.07, 0.22), np.float32), soil, land)
        cloud = sample(tile, lon * 1.5 + 0.4 + 0.02 * n, lat * 2.2 + 0.1) + 0.4 * sample(fine, lon * 2.5, lat * 3)
        surface = mix(surface, np.array((0.8, 0.82, 0.85), np.float32), smooth(0.3, 1.5, cloud) * 0.9)
    elif kind == "icy":
        crack = smooth(0.15, 0.0, np.abs(n)) * 0.6
        surface = mix(np.array((0.62, 0.72, 0.82), np.float32), rgb(tone) * 0.4, crack)
    else:
        surface = ramp(n, [(-2, base * 0.25), (0, base * 0.7), (2, base * 0.9 + 0.25)])
        e = 0.004
        slope = sample(fine, (lon + e) * 2, lat * 2) - sample(fine, (lon - e) * 2, lat * 2)
        surface = surface * np.clip(1 - 0.7 * slope * lx, 0.3, 1.7)[..., None]
    lit = smooth(-0.12, 1.0, x * lx + y * ly + nz * lz) * 1.35
    rim = (1 - nz) ** 3
    air = rgb("cyan" if kind == "ocean" else tone) * 0.8 + 0.15
    body = surface * lit[..., None] * 1.3 + air * (rim * lit * 0.9)[..., None]
    cover = smooth(1 + 1.2 * f.px / r, 1 - 1.2 * f.px / r, np.sqrt(d2))
    out = np.maximum(np.sqrt(d2) - 1, 0)
    side = np.clip(0.25 + (x * lx + y * ly), 0, 1.3)
    img = mix(img, body, cover) + air * (0.55 * np.exp(-out * r / 0.05) * side * (1 - cover))[..., None]
    extra = ""
    if kind == "ringed" and not big:
        squash = between(rng, 0.15, 0.4)
        rr = np.hypot(u, v / squash)
        strip = np.clip(0.55 + 0.4 * sample(tile, rr * 0.7, rr * 0 + 0.3), 0, 1.2)
        ring = (
            smooth(1.25, 1.32, rr) * smooth(2.15, 2.0, rr) * strip * (1 - 0.85 * smooth(0.03, 0.0, np.abs(rr - 1.75)))
        )
        front = (v < 0) | (d2 > 1)
        shadow = 1 - 0.9 * ((x * ly - y * lx) ** 2 < 1) * (x * lx + y * ly < 0)
        img = mix(img, (base * 0.5 + 0.3) * blur(shadow.astype(np.float32), 1)[..., None], ring * front * 0.85)
        extra = "with rings"
    if chance(rng, 0.4):
        mr = between(rng, 0.04, 0.1)
        mx, my = between(rng, -0.9, 0.9) * f.hx, between(rng, 0.3, 0.85) * f.hy
        qx, qy = (f.x - mx) / mr, (f.y - my) / mr
        q2 = qx * qx + qy * qy
        ml = smooth(-0.1, 0.9, qx * lx + qy * ly + np.sqrt(np.clip(1 - q2, 0, 1)) * lz)
        grey = 0.55 + 0.12 * fbm(rng, f.shape, 20, 1.6)
        img = mix(img, np.array((1, 0.95, 0.9), np.float32) * (ml * grey)[..., None], smooth(1.1, 0.95, np.sqrt(q2)))
        extra += " and a small moon" if extra else "with a small moon"
    if np.sin(back) < 0.1 and not big and chance(rng, 0.6):
        sx, sy = cx + lx * r * 1.02, cy + ly * r * 1.02
        g = np.hypot(f.x - sx, f.y - sy)
        img = (
            img + np.array((1, 0.85, 0.65), np.float32) * (1.6 * np.exp(-g / 0.07) + 0.3 * np.exp(-g / 0.4))[..., None]
        )
    size = "the curved edge of a" if big else "a"
    word = {
        "ringed": tone,
        "ocean": "blue ocean",
        "rocky": f"rocky {tone}",
        "banded": f"{tone} gas",
        "icy": "icy white",
    }[kind]
    where = "" if big and extra else "in dark space"
    caption = words(f"{size} {word} planet {extra} {where}")
    return Scene(finish(img, f, rng, 1.1), caption, ("planet", "stars"))


def orb(f: Frame, rng: np.random.Generator) -> Scene:
    """One glowing sphere in fog, over water or over a dark floor."""
    tint = pick(rng, ["white", "gold", "orange", "blue", "cyan", "green", "violet", "magenta", "red"])
    colour = rgb(tint)
    place = pick(rng, ["in dark fog", "above still dark water", "above a stone floor", "in drifting smoke"])
    cx, cy, r = between(rng, -0.45, 0.45) * f.hx, between(rng, -0.1, 0.4) * f.hy, between(rng, 0.13, 0.4)
    d = np.hypot(f.x - cx, f.y - cy)
    img = flat(f, colour * 0.01 + 0.006)
    n = fbm(rng, f.shape, 2.0, 2.5)
    fog = np.clip(0.8 + 0.25 * n, 0.05, 2.5)
    img = img + colour * (0.8 * fog * np.exp(-np.maximum(d - r, 0) / 0.35))[..., None]
    img = img + colour * (0.10 * fog / (0.3 + d * d))[..., None]
    if "floor" in place or "water" in place:
        line = cy - r - between(rng, 0.05, 0.35)
        depth = 1 / (np.maximum(line + 0.25 - f.y, 0.03))
        below = smooth(0.15, -0.05, f.y - line)
        tile = texture(rng, 5, 1.8)
        gx, gz = (f.x - cx) * depth, depth * 1.2
        if "water" in place:
            ripple = sample(tile, gx * 0.05, gz * 0.5)
            my = 2 * line - f.y + 0.06 * ripple
            dm = np.hypot(f.x - cx + 0.03 * ripple, my - cy)
            floor = (
                colour * (1.8 * smooth(r + 0.04, r - 0.06, dm) + 0.7 * np.exp(-np.maximum(dm - r, 0) / 0.25))[..., None]
            )
            floor = floor * np.clip(0.7 + 0.25 * ripple, 0.1, 1.4)[..., None] + 0.004
        else:
            tone = 0.16 + 0.05 * sample(tile, gx * 0.2, gz * 0.2)
            joint = np.minimum(np.abs((gx * 1.1) % 1 - 0.5), np.abs((gz * 1.1) % 1 - 0.5))
            tone = tone * (0.45 + 0.55 * smooth(0.0, 0.06, joint))
            floor = colour * (tone * 3.0 / (0.5 + gx * gx * 0.5 + (gz - 3.5) ** 2 * 0.3))[..., None] + 0.003
        img = mix(img, floor, below)
    nz = np.sqrt(np.clip(1 - (d / r) ** 2, 0, 1))
    grain = sample(texture(rng, 4, 1.8), (f.x - cx) / r * 0.2, (f.y - cy) / r * 0.2)
    form = pick(rng, ["glowing", "glass", "glowing"])
    if form == "glass":
        inner = np.exp(-((d / (0.55 * r)) ** 2)) * 2.5 + 0.25 * (1 - nz) ** 2 * 3 + 0.15
        shine = np.exp(-((np.hypot(f.x - cx + 0.4 * r, f.y - cy - 0.45 * r) / (0.14 * r)) ** 2)) * 1.5
        ball = colour * (inner * (1 + 0.25 * grain))[..., None] + shine[..., None]
    else:
        ball = (colour * 1.3 + 0.7) * (1.1 + 1.3 * nz + 0.35 * grain)[..., None]
    img = mix(img, ball, smooth(r + f.px, r - f.px, d))
    if "smoke" in place:
        veil = smooth(0.3, 1.6, warp(fbm(rng, f.shape, 2, 2.5), *swirl(rng, f.shape, 3, 0.2))) * 0.75
        img = mix(img, colour * (0.35 * np.exp(-d / 0.5))[..., None] + 0.015, veil)
    return Scene(
        finish(img, f, rng, 1.0, bloom=0.4),
        words(f"a {form} {tint} sphere {place}"),
        ("orb", "light", "fog" if "fog" in place else "abstract"),
    )
