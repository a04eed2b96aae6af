"""Night and artificial light: skylines, neon grids, concert stages, rain on glass."""

from __future__ import annotations

import numpy as np

from .fields import (
    Field,
    Frame,
    Outline,
    Scene,
    Stroke,
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
    points,
    polygons,
    ramp,
    rgb,
    sample,
    smooth,
    strokes,
    texture,
    warp,
    words,
)
from .sky import mood_of, reflect, sky


def _row(f: Frame, rng: np.random.Generator, base: float, tall: float, wide: float) -> tuple[Field, Field, Field]:
    """One rank of buildings: coverage, window light and window hue, built column by column."""
    top = np.full(f.width, base, np.float32)
    left, ident = np.zeros(f.width, np.float32), np.zeros(f.width, np.int32)
    x, k = -f.hx - wide, 0
    xs = f.x[0]
    while x < f.hx:
        w = wide * between(rng, 0.5, 1.3)
        k += 1
        bump = np.exp(-(((x + w / 2) / (0.7 * f.hx)) ** 2)) * 0.5 + 0.6
        h = tall * bump * between(rng, 0.35, 1.1)
        on = (xs >= x) & (xs < x + w)
        top[on], left[on], ident[on] = base + h, x, k
        if rng.random() < 0.3:
            mast = np.abs(xs - x - w / 2) < w * 0.16
            top[mast] = np.maximum(top[mast], base + h * between(rng, 1.05, 1.25))
        x += w * between(rng, 0.85, 1.25)
    cover = smooth(-0.7 * f.px, 0.7 * f.px, top[None] - f.y)
    pitch_x, pitch_y = max(wide * 0.11, 2.6 * f.px), max(wide * 0.15, 3.2 * f.px)
    cx, cy = np.floor((f.x - left[None]) / pitch_x), np.floor(f.y / pitch_y)
    fx, fy = (f.x - left[None]) / pitch_x - cx, f.y / pitch_y - cy
    h1 = np.sin(cx * 12.98 + cy * 78.23 + ident[None] * 37.7) * 4375.5
    h1 = h1 - np.floor(h1)
    h2 = np.sin(cx * 3.9 + cy * 1.23 + ident[None] * 11.1) * 1375.5
    busy = 0.12 + 0.4 * (np.sin(ident[None] * 5.1) * 0.5 + 0.5)
    pane = smooth(0.1, 0.3, fx) * smooth(0.95, 0.75, fx) * smooth(0.15, 0.35, fy) * smooth(0.95, 0.75, fy)
    lit = pane * (h1 < busy) * (0.4 + h1 * 1.5) * cover * (f.y > base) * (f.y < top[None] - pitch_y)
    return cover, lit, h2 - np.floor(h2)


def city(f: Frame, rng: np.random.Generator) -> Scene:
    """A lit skyline in depth, with haze and sometimes reflections."""
    mood = mood_of(rng, "night night blue dusk sunset night")
    water = chance(rng, 0.5)
    base = between(rng, -0.35, -0.1) * f.hy if water else between(rng, -0.95, -0.6) * f.hy
    img = sky(f, rng, mood, base, (between(rng, -1, 1) * f.hx, base + 0.15), between(rng, 0.2, 0.7)) * 0.5
    tint = pick(rng, ["orange", "pink", "teal", "blue", "violet"])
    air = rgb(tint) * 0.05 + rgb(mood.horizon) * 0.25
    img = img + rgb(tint) * (0.14 * np.exp(-np.maximum(f.y - base, 0) / 0.35))[..., None]
    warm = chance(rng, 0.65)
    hot, cold = ((1.0, 0.55, 0.2), (1.0, 0.8, 0.5)) if warm else ((0.5, 0.75, 1.0), (0.85, 0.9, 1.0))
    scale = between(rng, 0.75, 1.4)
    ranks = 4
    for k in range(ranks):
        t = k / (ranks - 1)
        tall = scale * (1.15 - 0.45 * t) * between(rng, 0.8, 1.1)
        cover, lit, hue = _row(f, rng, base - 0.02 * k, tall, (0.10 + 0.12 * t) * scale)
        wall = mix(air * 0.6, np.array((0.010, 0.012, 0.018), np.float32), 0.35 + 0.6 * t)
        up = smooth(0.0, 0.9, f.y - base)
        img = mix(img, mix(air * 0.6 + wall * 0.4, wall, 0.4 + 0.6 * smooth(0, 0.4, up)), cover)
        light = mix(rgb(hot), rgb(cold), smooth(0.3, 0.9, hue))
        img = img + light * (lit * (0.12 + 0.75 * t**1.5))[..., None]
        bank = np.exp(-np.maximum(f.y - base, 0) / 0.22) * 0.2
        img = mix(img, air * 1.1, bank * (f.y > base))
    if water:
        img = reflect(f, rng, img, base, 0.8, np.array((0.004, 0.007, 0.012), np.float32))
        place = "reflected in water"
    else:
        low = smooth(base + 0.15, base - 0.25, f.y)
        img = mix(img, np.array((0.006, 0.007, 0.010), np.float32), low)
        glow = points(f, rng, 260, 1.6, 0.8) * low
        img = img + rgb("gold") * (glow * 0.7)[..., None] + rgb(tint) * (blur(glow, 3) * 0.8)[..., None]
        place = pick(rng, ["with tall lit towers", "with glowing windows"])
    foggy = chance(rng, 0.3)
    if foggy:
        n = fbm(rng, f.shape, 2, 2.2, (1, 2))
        img = mix(img, air * 1.5, np.clip(0.45 + 0.25 * n, 0, 0.85) * smooth(-0.2, 0.7, f.y - base))
    light_word = "warm" if warm else "cold blue"
    extra = "in fog" if foggy else ""
    caption = words(f"a {light_word} city skyline {place} {extra} {mood.light}")
    return Scene(finish(img, f, rng, 1.4, bloom=0.5), caption, ("city", "night", "water" if water else "tower"))


def neon(f: Frame, rng: np.random.Generator) -> Scene:
    """A glowing floor grid with a striped sun, or bent neon tubes on a wall."""
    a, b = (
        str(s) for s in rng.permutation(["magenta", "cyan", "violet", "orange", "blue", "pink", "green", "red"])[:2]
    )
    if chance(rng, 0.35):
        wall = np.clip(0.5 + 0.15 * fbm(rng, f.shape, 20, 1.2), 0.1, 1)
        brick = smooth(0.0, 0.06, np.abs((f.y * 5) % 1 - 0.5)) * smooth(
            0, 0.03, np.abs((f.x * 2.5 + np.floor(f.y * 5 + 0.5) * 0.5) % 1 - 0.5)
        )
        img = flat(f, (0.02, 0.02, 0.025)) * (wall * (0.4 + 0.6 * brick))[..., None]
        count = int(rng.integers(2, 5))
        form = pick(rng, ["circles", "triangles", "waves"])
        surface = (wall * (0.4 + 0.6 * brick))[..., None]
        for k in range(count):
            cx, cy, r = (
                between(rng, -0.6, 0.6) * f.hx,
                between(rng, -0.4, 0.4) * f.hy,
                between(rng, 0.25, 0.65),
            )
            t = np.linspace(0, 2 * np.pi, 90)
            if form == "circles":
                px, py = cx + r * np.cos(t), cy + r * np.sin(t)
            elif form == "triangles":
                t = np.linspace(0, 3, 4) * 2 * np.pi / 3 + between(rng, 0, 2)
                px, py = cx + r * np.cos(t), cy + r * np.sin(t)
            else:
                px = np.linspace(-f.hx * 1.1, f.hx * 1.1, 120)
                py = cy + 0.25 * np.sin(px * between(rng, 2, 5) + cx * 9)
            line = strokes(f, [(list(zip(px.tolist(), py.tolist(), strict=True)), 0.026, 1.0)])
            c = rgb(a if k % 2 == 0 else b)
            img = (
                img
                + (c * 2.2 + 0.5) * line[..., None]
                + c * surface * (blur(line, 4) * 3 + blur(line, 18) * 5)[..., None]
            )
        caption = f"{number(count)} {a} and {b} neon {form} on a brick wall"
        return Scene(finish(img, f, rng, 1.2, bloom=0.5), words(caption), ("neon", "light", "night"))
    line_y = between(rng, -0.25, 0.15) * f.hy
    up = np.clip((f.y - line_y) / (f.hy - line_y), 0, 1)
    img = ramp(up, [(0, rgb(a) * 0.55), (0.25, rgb("violet") * 0.16), (1, (0.006, 0.005, 0.025))])
    img = img + (points(f, rng, 200) * smooth(0.1, 0.7, up))[..., None] * 0.6
    sun = chance(rng, 0.7)
    if sun:
        sx, r = between(rng, -0.3, 0.3) * f.hx, between(rng, 0.3, 0.55)
        sy = line_y + r * between(rng, 0.25, 0.9)
        d = np.hypot(f.x - sx, f.y - sy)
        v = (f.y - sy) / r
        stripe = 1 - smooth(0.0, 0.12, 0.14 - v * 0.42 - np.abs((v * 4.2) % 1 - 0.5) * 1.0) * (v < 0.25)
        body = smooth(r + f.px, r - f.px, d) * np.clip(stripe, 0, 1)
        img = mix(img, ramp(v, [(-1, rgb("magenta") * 1.3), (0.1, rgb("orange") * 1.5), (1, rgb("gold") * 2)]), body)
        img = img + rgb("pink") * (0.5 * np.exp(-np.maximum(d - r, 0) / 0.22))[..., None]
    ridge = line_y + np.abs(curve(rng, f.width, 4, 1.4)) * between(rng, 0.05, 0.22)
    if chance(rng, 0.6):
        img = mix(img, rgb("violet") * 0.03, smooth(-f.px, f.px, ridge[None] - f.y))
        img = img + rgb(b) * (0.9 * np.exp(-(((ridge[None] - f.y) / (1.5 * f.px)) ** 2)))[..., None]
    depth = 1 / np.maximum(line_y - f.y, 0.008)
    u, v = f.x * depth * between(rng, 0.7, 1.4), depth * between(rng, 0.8, 1.5) + rng.random()
    au, av = np.clip(depth * f.px * 1.4, 0.02, 0.5), np.clip(depth * depth * f.px * 1.6, 0.02, 0.5)
    du, dv = np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)
    gu = smooth(0.02 + au, 0.0, 0.5 - du) * np.clip(0.06 / au, 0.1, 1)
    gv = smooth(0.02 + av, 0.0, 0.5 - dv) * np.clip(0.06 / av, 0.1, 1)
    near = np.clip(gu + gv, 0, 1.2)
    far = np.exp(-(line_y - f.y) / 0.13)
    floor = rgb("violet") * 0.02 + rgb(b) * (near * 1.6)[..., None] + rgb(a) * (far * 0.6)[..., None]
    img = mix(img, floor, smooth(-0.5 * f.px, 0.5 * f.px, line_y - f.y))
    img = img + rgb(a) * (0.5 * np.exp(-np.abs(f.y - line_y) / 0.05))[..., None]
    what = "a striped sun above" if sun else f"{a} glow above"
    caption = words(f"{what} a {b} neon grid horizon at night")
    return Scene(finish(img, f, rng, 1.1, bloom=0.55), caption, ("neon", "light", "night"))


def stage(f: Frame, rng: np.random.Generator) -> Scene:
    """A crowd in silhouette before stage beams and haze."""
    a, b = (
        str(s)
        for s in rng.permutation(["blue", "magenta", "orange", "red", "green", "cyan", "violet", "gold", "white"])[:2]
    )
    floor = between(rng, -0.45, -0.15) * f.hy
    fog = np.clip(0.75 + 0.2 * fbm(rng, f.shape, 2.0, 2.6, (1, 1.5)), 0.05, 2)
    img = flat(f, rgb(a) * 0.015 + 0.004)
    count = int(rng.integers(4, 11))
    top = between(rng, 0.6, 1.05) * f.hy
    fan = between(rng, 0.2, 1.1)
    beams = np.zeros((*f.shape, 3), np.float32)
    lamp = np.zeros((*f.shape, 3), np.float32)
    for k in range(count):
        x0 = (k / (count - 1) - 0.5) * 1.9 * f.hx
        lean = fan * (k / (count - 1) - 0.5) * pick(rng, [-2, 2, 2]) + between(rng, -0.2, 0.2)
        down = np.maximum(top - f.y, 0)
        off = (f.x - x0 - lean * down) / (0.025 + 0.11 * down)
        beam = np.exp(-off * off) * np.exp(-down * 0.55) * (f.y < top)
        c = rgb(a if k % 2 == 0 else b)
        beams += c * (beam * fog * between(rng, 0.4, 1.0))[..., None]
        d = np.hypot(f.x - x0, f.y - top)
        lamp += (c + 0.5) * (2.5 * np.exp(-((d / 0.03) ** 2)) + 0.3 * np.exp(-d / 0.10))[..., None]
    glow = np.exp(-np.hypot(f.x / 1.3, f.y - floor - 0.15) / 0.4) * fog
    img = img + beams + lamp + (rgb(b) * 0.7 + rgb(a) * 0.3) * (glow * 0.9)[..., None]
    truss = np.exp(-(((f.y - top - 0.05) / 0.02) ** 4))
    img = img * (1 - 0.8 * truss)[..., None]
    band = chance(rng, 0.6)
    if band:
        shapes: list[Outline] = []
        arms: list[Stroke] = []
        n = int(rng.integers(1, 4))
        for k in range(n):
            x, s = (k - (n - 1) / 2) * 0.5 + between(rng, -0.08, 0.08), 0.20
            outline, lifted = _person(x, floor + 0.26, s, rng, raised=chance(rng, 0.4))
            shapes, arms = shapes + outline, arms + lifted
        cover = np.maximum(polygons(f, shapes), strokes(f, arms))
        img = mix(img, rgb(a) * 0.01, cover * smooth(floor - 0.2, floor, f.y))
        img = mix(img, rgb(a) * 0.012, smooth(0.012, -0.012, f.y - floor - 0.0))
    for rank in range(4):
        y0, s = floor - 0.10 - 0.16 * rank, 0.10 + 0.055 * rank
        shapes, arms = [], []
        x = -f.hx - s
        while x < f.hx + s:
            outline, lifted = _person(x, y0 + between(rng, -0.05, 0.05), s, rng, raised=chance(rng, 0.25))
            shapes, arms = shapes + outline, arms + lifted
            x += s * between(rng, 0.75, 1.15)
        cover = np.maximum(polygons(f, shapes), strokes(f, arms))
        rim = np.clip(cover - blur(np.roll(cover, 2, 0), 0.7), 0, 1) * max(0.0, 0.16 - 0.05 * rank)
        tone = (rgb(a) * 0.035 + rgb(b) * 0.03) * (1 - rank / 4) ** 2.5
        img = mix(img, tone + 0.002, cover) + rgb(b) * rim[..., None]
    who = "a crowd before a stage" if not band else "a concert crowd and performers"
    return Scene(
        finish(img, f, rng, 1.2, bloom=0.5),
        words(f"{who} under {a} and {b} light beams"),
        ("stage", "people", "light", "night"),
    )


def _person(x: float, y: float, s: float, rng: np.random.Generator, raised: bool) -> tuple[list[Outline], list[Stroke]]:
    """Outline polygons (head, neck and shoulders) and arm strokes of one figure, head centred at (x, y)."""
    t = np.linspace(0, 2 * np.pi, 14)
    head = list(zip((x + 0.19 * s * np.cos(t)).tolist(), (y + 0.25 * s * np.sin(t)).tolist(), strict=True))
    side = [(0.08, -0.15), (0.10, -0.30), (0.34, -0.38), (0.45, -0.52), (0.48, -1.9)]
    body = [(x + u * s, y + v * s) for u, v in side] + [(x - u * s, y + v * s) for u, v in reversed(side)]
    arms: list[Stroke] = []
    if raised:
        for turn in (-1, 1) if rng.random() < 0.5 else (pick(rng, [-1, 1]),):
            e = between(rng, -0.1, 0.45) * turn
            elbow = (x + turn * s * 0.52 + e * s * 0.3, y + 0.02 * s)
            hand = (elbow[0] + e * s * 0.4, y + s * between(rng, 0.45, 0.8))
            arms.append(([(x + turn * s * 0.38, y - s * 0.5), elbow, hand], s * 0.13, 1.0))
    return [head, body], arms


def rain(f: Frame, rng: np.random.Generator) -> Scene:
    """Drops on a window with blurred lights behind."""
    a, b = (str(s) for s in rng.permutation(["orange", "red", "blue", "teal", "gold", "magenta", "green"])[:2])
    night = chance(rng, 0.65)
    if night:
        img = flat(f, (0.012, 0.016, 0.03)) * (1 + 0.5 * smooth(-1, 1, f.y))[..., None]
        for _ in range(int(rng.integers(18, 40))):
            x, y, r = between(rng, -f.hx, f.hx), between(rng, -0.7, 0.5) * f.hy, between(rng, 0.05, 0.17)
            d = np.hypot(f.x - x, f.y - y)
            disc = smooth(r, r * 0.86, d) * (0.7 + 0.3 * smooth(0.5 * r, r, d))
            img = img + rgb(pick(rng, [a, a, b, "white"])) * (disc * between(rng, 0.12, 0.6))[..., None]
        caption, tags = f"rain drops on glass with {a} and {b} city lights", ("rain", "city", "night")
    else:
        tone = np.float32(pick(rng, [(0.35, 0.42, 0.45), (0.25, 0.34, 0.24), (0.45, 0.45, 0.46)]))
        n = blur(fbm(rng, f.shape, 1.5, 3.0), 3)
        img = tone * np.clip(0.6 + 0.14 * n + 0.4 * f.y, 0.05, 2)[..., None]
        caption, tags = "rain drops on a window on a grey day", ("rain", "cloud", "water")
    img = blur(img, 1.5)
    lift = np.zeros(f.shape, np.float32)
    for _ in range(int(rng.integers(90, 170))):
        x, y, r = between(rng, -f.hx, f.hx), between(rng, -f.hy, f.hy), 0.012 + 0.05 * rng.random() ** 2.5
        j0, j1 = int((x - 2 * r + f.hx) / f.px), int((x + 2 * r + f.hx) / f.px) + 1
        i0, i1 = int((f.hy - y - 2 * r) / f.px), int((f.hy - y + 2 * r) / f.px) + 1
        part = np.s_[max(0, i0) : max(0, i1), max(0, j0) : max(0, j1)]
        d2 = ((f.x[part] - x) ** 2 + ((f.y[part] - y) * 0.85) ** 2) / (r * r)
        lift[part] = np.maximum(lift[part], np.sqrt(np.clip(1 - d2, 0, 1)) * r * 16)
    for _ in range(int(rng.integers(3, 9))):
        x, y, r = between(rng, -f.hx, f.hx), between(rng, -0.7, 0.8) * f.hy, between(rng, 0.018, 0.03)
        wob = x + 0.02 * np.sin(f.y * 9 + x * 20)
        trail = np.sqrt(np.clip(1 - ((f.x - wob) / r) ** 2, 0, 1)) * smooth(y - 0.02, y + 0.03, f.y)
        lift = np.maximum(lift, trail * 0.4 * smooth(1.0, -0.2, f.y - y))
    lift = blur(lift, 0.8)
    gy, gx = np.gradient(lift)
    # Drops act as small lenses: they show the scene upside down.
    bent = warp(img, -gx * 110, -gy * 110)
    wet = smooth(0.03, 0.2, lift)
    img = mix(img, bent * 1.15, wet)
    img = (
        img * (1 - 1.2 * np.clip(gy, 0, 0.5) * wet)[..., None]
        + (np.clip(-gy * 0.9 - 0.05, 0, 1) * wet * (0.25 if night else 0.5))[..., None]
    )
    mist = sample(texture(rng, 4, 1.8), f.x * 0.2, f.y * 0.2)
    img = img * (1 + 0.06 * mist)[..., None] + 0.006
    return Scene(
        finish(img, f, rng, 1.5, bloom=0.35),
        words(caption),
        ("water", *tags[1:]) if "water" not in tags else ("water", "cloud", "storm"),
    )
