"""Stone architecture traced in depth: ruins, a collapsing tower, a cathedral."""

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
    polygons,
    rgb,
    shafts,
    smooth,
    texture,
    words,
)
from .march import box, march, soften, stain, sunlight
from .sky import Mood, fog_bank, mood_of, sky


def _stone(rng: np.random.Generator) -> Field:
    return rgb(
        pick(
            rng,
            [
                (0.36, 0.32, 0.27),
                (0.30, 0.30, 0.30),
                (0.42, 0.34, 0.24),
                (0.27, 0.29, 0.28),
                (0.38, 0.27, 0.22),
            ],
        )
    )


def _lit(mood: Mood, albedo: Field, sun: Field, shade: Field, up: Field) -> Field:
    ambient = (rgb(mood.zenith) * 0.8 + rgb(mood.horizon) * 0.5) * 0.75
    return albedo * (
        rgb(mood.sun) * (mood.power * 1.5 * sun)[..., None] + ambient * (shade * (0.65 + 0.35 * up))[..., None]
    )


def ruins(f: Frame, rng: np.random.Generator) -> Scene:
    """Broken colonnade, arches or a roofless tower on rubble."""
    form = pick(rng, ["columns", "arches", "tower", "walls"])
    mood = mood_of(rng, "sunrise golden sunset overcast dusk blue teal pink red")
    seed, tops = between(rng, 0, 6), rng.uniform(0.5, 3.4, (9, 9)).astype(np.float32)
    width, reach = between(rng, 1.5, 2.4), between(rng, 1.0, 1.5)
    count = 2 if form == "tower" and chance(rng, 0.35) else 1
    cut = texture(rng, 5, 1.7, 128)

    def crumble(a: Field, b: Field) -> Field:
        return np.sin(a * 2.1 + seed) * np.cos(b * 1.7 + seed) * 0.5 + np.sin(a * 5.3 + b * 4.1) * 0.2

    def soil(x: Field, y: Field, z: Field) -> Field:
        return y - 0.10 * crumble(x * 0.8, z * 0.8) - 0.05 * np.abs(np.sin(x * 3.1 + z) * np.sin(z * 3.7 - x))

    def blocks(x: Field, y: Field, z: Field) -> Field:
        cx, cz = np.round(x / 1.1), np.round(z / 1.1)
        s = np.clip(np.sin(cx * 12.9 + cz * 7.3 + seed) * 0.28, 0.0, 0.3)
        qx, qz = x - cx * 1.1, z - cz * 1.1
        r = np.cos(cx * 3 + cz)
        return np.maximum(box(qx + r * qz * 0.5, y - 0.05 + 0.3 * r * qx, qz - r * qx * 0.5, s, s * 0.8, s), y - 0.5)

    def solid(x: Field, y: Field, z: Field) -> Field:
        if form == "columns":
            cx, cz = np.clip(np.round(x / width), -3, 3), np.clip(np.round(z / 2.2), 0, 4)
            qx, qz = x - cx * width, z - cz * 2.2
            top = tops[cx.astype(np.int32) + 3, cz.astype(np.int32)]
            d = np.maximum(np.hypot(qx, qz) - 0.34 + 0.02 * y, y - top - 0.5 * qx)
            d = np.minimum(d, np.maximum(box(qx, y, qz, 0.5, 0.22, 0.5), -y))
            beam = box(x - width, y - 3.0, z - 2.2, width * 0.9, 0.22, 0.45)
            return (
                np.minimum(
                    np.where(top > 2.6, np.minimum(d, np.maximum(box(qx, y - top, qz, 0.5, 0.16, 0.5), -9)), d),
                    beam,
                )
                * 0.85
            )
        if form == "arches":
            cx = np.clip(np.round(x / (width * 1.4)), -2, 2)
            qx = x - cx * width * 1.4
            hole = np.minimum(np.hypot(qx, np.maximum(y - 1.7, 0)) - 0.62 * width, 9)
            wall = box(x, y, z - 3.0, width * 3.5, 4.4, 0.4)
            edge = y - 3.3 - crumble(x * 0.7, z) * 1.3
            return np.maximum(np.maximum(wall, edge), -hole) * 0.8
        if form == "tower":
            qx = np.abs(x) - 2.6 if count == 2 else x
            r = np.hypot(qx, z - 4.0)
            ang = np.arctan2(z - 4.0, qx)
            edge = y - 4.0 - 1.2 * np.sin(ang * 2 + seed) - 0.5 * np.sin(ang * 5 + seed) - 0.25 * np.sin(ang * 11)
            win = np.maximum(
                np.maximum(np.abs(((ang * 1.4 + seed) % 1) - 0.5) - 0.09, np.abs((y + 0.4) % 1.5 - 0.75) - 0.33),
                1 - r,
            )
            return np.maximum(np.maximum(np.maximum(r - reach - 0.25, reach - 0.1 - r), edge), -win) * 0.62
        q = x * 0.92 + z * 0.39
        w = z * 0.92 - x * 0.39
        a = np.maximum(box(q + 2, y, w - 3.2, 2.6, 4, 0.3), y - 2.0 - crumble(q, w) * 1.6)
        b = np.maximum(box(q - 2.2, y, w - 5.2, 0.3, 4, 2.4), y - 2.2 - crumble(w, q) * 1.5)
        c = np.maximum(box(q, y, w - 8.5, 4.5, 5, 0.3), y - 3.2 - crumble(q * 0.7, w) * 1.4)
        holes = np.maximum(np.abs(q % 1.6 - 0.8) - 0.3, np.abs(y - 1.5) - 0.5)
        return np.maximum(np.minimum(np.minimum(a, b), c), -holes) * 0.75

    def sdf(x: Field, y: Field, z: Field) -> Field:
        return np.minimum(np.minimum(solid(x, y, z), soil(x, y, z)), blocks(x, y, z) * 0.6)

    high = between(rng, 0.5, 1.9)
    side = between(rng, -1.8, 1.8)
    eye = (side, high, between(rng, -5.0, -2.6) - (2.0 if form == "tower" else 0))
    look = (side * 0.2, between(rng, 1.3, 2.1), 4.0)
    h = march(f, sdf, eye, look, between(rng, 1.1, 1.5), 30)
    horizon = -0.12
    light = (between(rng, -1, 1), between(rng, 0.3, 0.8), between(rng, -0.9, 0.6))
    sunpos = (light[0] * f.hx * 0.8, horizon + between(rng, 0.2, 0.6))
    back = sky(f, rng, mood, horizon, sunpos, between(rng, 0.3, 0.8), disc=0.05 if chance(rng, 0.2) else 0)
    lit = sunlight(h, sdf, light)
    marks = stain(h, cut, 0.25) + 0.6 * stain(h, cut, 0.9)
    albedo = _stone(rng) * np.clip(0.85 + 0.2 * marks, 0.3, 1.5)[..., None]
    green = chance(rng, 0.4)
    if green:
        albedo = mix(
            albedo, np.array((0.09, 0.14, 0.04), np.float32), smooth(0.5, 0.9, h.n[1]) * smooth(-1.2, 0.4, marks) * 0.85
        )
    img = _lit(mood, albedo, lit, h.shade, h.n[1])
    air = rgb(mood.horizon) * 0.75 + rgb(mood.zenith) * 0.2
    density = between(rng, 0.015, 0.11)
    img = mix(img, air, 1 - np.exp(-density * np.maximum(h.t - 2, 0)))
    img = soften(mix(back, img, h.solid), h.t)
    foggy = density > 0.06
    if foggy:
        img = mix(img, air, fog_bank(f, rng, between(rng, -0.7, -0.3), 0.4) * smooth(3, 9, h.t) * 0.7)
    what = {
        "columns": "ruined temple columns",
        "arches": "broken stone arches",
        "walls": "crumbling house walls",
        "tower": "two ruined towers" if count == 2 else "a ruined stone tower",
    }[form]
    extra = "in fog" if foggy else "with moss" if green else "and rubble"
    tags = ("ruins", "fog") if foggy else ("ruins", "grass") if green else ("ruins", "rock")
    return Scene(
        finish(img, f, rng, 1.15),
        words(f"{what} {extra} {mood.light}"),
        tags + (("tower",) if form == "tower" else ()),
    )


def collapse(f: Frame, rng: np.random.Generator) -> Scene:
    """A leaning tower breaking apart in clouds of dust."""
    mood = mood_of(rng, "overcast dusk red golden blue sunset teal")
    lean = between(rng, 0.08, 0.32) * pick(rng, [-1, 1])
    wide, tall = between(rng, 0.7, 1.15), between(rng, 4.5, 6.5)
    crack, gap = between(rng, 0.35, 0.6) * tall, between(rng, 0.15, 0.6)
    seed = between(rng, 0, 6)
    round_ = chance(rng, 0.4)

    def sdf(x: Field, y: Field, z: Field) -> Field:
        upper = y > crack
        bend = np.where(upper, lean * 2.0, 0.0)
        qx = x - lean * 0.35 * y - bend * np.maximum(y - crack * 0.85, 0)
        rough = 0.10 * np.sin(qx * 5 + seed) * np.sin(z * 5) + 0.05 * np.sin(qx * 13 + z * 9)
        q = np.hypot(qx, z) - wide if round_ else np.maximum(np.abs(qx), np.abs(z)) - wide
        win = np.maximum(np.abs(qx % 0.56 - 0.28) - 0.12, np.abs(y % 0.9 - 0.45) - 0.22)
        body = np.maximum(np.maximum(q, np.minimum(-win, q + 0.2)), y - tall - rough * 3 - qx * np.sign(lean) * 0.9)
        slit = np.abs(y - crack - qx * np.sign(lean) * 0.7 - rough * 3) - gap * (0.5 - 0.3 * qx * np.sign(lean))
        return np.minimum(np.maximum(body, -slit) * 0.65, y)

    eye = (between(rng, -2, 2), between(rng, 0.5, 3.0), between(rng, -8.5, -6.5))
    h = march(f, sdf, eye, (between(rng, -0.8, 0.8), tall * 0.48, 0.0), 1.5 * min(1.0, f.hy), 45, steps=21, fine=4)
    light = (between(rng, -1, 1), 0.6, between(rng, -0.9, 0.3))
    back = sky(f, rng, mood, -0.6, (light[0] * f.hx, between(rng, -0.2, 0.4)), 0.45)
    tile = texture(rng, 5, 1.8)
    marks = stain(h, tile, 0.2)
    albedo = _stone(rng) * np.clip(0.75 + 0.18 * marks, 0.2, 1.5)[..., None]
    img = _lit(mood, albedo, sunlight(h, sdf, light), h.shade, h.n[1])
    air = rgb(mood.horizon) * 0.7 + np.array((0.12, 0.09, 0.06), np.float32)
    img = mix(img, air, 1 - np.exp(-0.035 * np.maximum(h.t - 7, 0)))
    img = soften(mix(back, img, h.solid), h.t)
    # Dust: billows at the foot, and a trail behind the falling half.
    n, big = fbm(rng, f.shape, 3, 2.3), fbm(rng, f.shape, 2, 2.6)
    foot = smooth(0.1, -0.75, f.y + 0.12 + 0.22 * big + 0.10 * n - 0.2 * np.exp(-((f.x / 0.6) ** 2)))
    trail = np.exp(-np.hypot((f.x - np.sign(lean) * 0.35) * 1.3, f.y - 0.05) / 0.33) * smooth(-0.8, 0.9, n + 0.4)
    bits = []
    for _ in range(int(rng.integers(25, 60))):
        bx, by = np.sign(lean) * between(rng, -0.1, 0.85), between(rng, -0.75, 0.6)
        r, a0 = 0.010 + 0.055 * rng.random() ** 3, between(rng, 0, 6)
        bits.append([(bx + r * np.cos(a0 + k), by + r * between(rng, 0.6, 1.0) * np.sin(a0 + k)) for k in range(6)])
    chunk = polygons(f, bits)
    img = mix(img, air * 0.22 * (1 + 0.3 * n)[..., None], chunk * 0.9)
    gy, gx = np.gradient(blur(n, 3.0))
    relief = np.clip(0.8 + 1.6 * (gy - gx * np.sign(light[0])), 0.3, 1.4)
    img = mix(img, air * 0.85 * relief[..., None], np.clip(foot * 0.92 + trail * 0.6, 0, 0.95))
    burning = chance(rng, 0.3)
    if burning:
        spot = np.exp(-np.hypot(f.x, (f.y + 0.25) * 1.2) / 0.35) * np.clip(0.6 + 0.5 * n, 0, 2)
        img = img + np.array((1.2, 0.34, 0.06), np.float32) * spot[..., None]
    shape = "round tower" if round_ else "tall building"
    with_ = "dust and fire" if burning else "dust and debris"
    tags = ("collapse", "tower", "dust", "fire") if burning else ("collapse", "tower", "dust", "ruins")
    return Scene(finish(img, f, rng, 1.15), words(f"a collapsing {shape} with {with_} {mood.light}"), tags)


def cathedral(f: Frame, rng: np.random.Generator) -> Scene:
    """A vaulted nave with side aisles, windows and a bright far end."""
    bay, half, spring = between(rng, 2.0, 3.0), between(rng, 1.5, 2.2), between(rng, 2.4, 3.8)

    def sdf(x: Field, y: Field, z: Field) -> Field:
        qz = z - np.round(z / bay) * bay
        ax = np.abs(x)
        # Pointed vault: two arcs whose centres sit on the opposite sides.
        vault = half * 1.5 - np.hypot(ax + half * 0.5, np.maximum(y - spring, 0))
        hz = bay * 0.5 - np.abs(qz)
        rib = 0.14 * smooth(0.18, 0.06, hz)
        arch = bay * 0.62 - np.hypot(np.abs(qz) + bay * 0.2, np.maximum(y - spring * 0.5, 0))
        wall = np.maximum(np.abs(ax - half - 0.2) - 0.22, arch)
        # Free space is the nave or the lower side aisles; the arcade wall stands between them.
        nave = vault - rib
        aisle = np.minimum(np.minimum(half * 2.2 - ax, spring * 1.05 - y), ax - half * 0.5)
        room = np.maximum(nave, aisle)
        shaft = np.hypot(ax - half, hz) - 0.20 - 0.10 * smooth(0.4, 0.1, y)
        d = np.minimum(np.minimum(room, wall), np.maximum(shaft, y - spring * 1.3))
        return np.minimum(np.minimum(d, y), 30 - z) * 0.8

    off = between(rng, -0.6, 0.6)
    eye = (off, between(rng, 0.6, 2.2), 0.4)
    look = (off * -0.3, between(rng, 1.9, 2.9), 9.0)
    h = march(f, sdf, eye, look, between(rng, 0.85, 1.3), 32, steps=42)
    tint = pick(rng, ["gold", "blue", "orange", "violet", "teal", "red", "white"])
    second = pick(rng, ["blue", "gold", "magenta", "orange"])
    stone = rgb(pick(rng, [(0.35, 0.30, 0.25), (0.30, 0.30, 0.32), (0.40, 0.34, 0.25)]))
    tile = texture(rng, 5, 1.9)
    px, py, pz = h.p
    albedo = stone * np.clip(0.85 + 0.15 * stain(h, tile, 0.3), 0.3, 1.4)[..., None]
    tiles = np.minimum(np.abs(px * 1.2 % 1 - 0.5), np.abs(pz * 1.2 % 1 - 0.5))
    albedo = albedo * (1 - 0.5 * smooth(0.04, 0.0, tiles) * (py < 0.02))[..., None]
    side = pick(rng, [-1, 1])
    # Light enters through tall windows of one aisle and from the far end.
    wz = pz - np.round(pz / bay) * bay
    beam_y = py + side * px * 0.8 - 1.4
    beam = smooth(0.55, 0.35, np.abs(wz)) * smooth(1.4, 0.7, np.abs(beam_y))
    direct = np.clip(h.n[0] * side * 0.75 + h.n[1] * 0.6, 0, 1) * beam
    end = np.clip(0.25 + 0.75 * h.n[2] * -1, 0, 1) * np.exp(-(30 - pz) / 16)
    ambient = rgb("blue") * 0.04 + stone * 0.10
    img = albedo * (ambient * h.shade[..., None] * 1.2)
    img = img + albedo * rgb(tint) * (direct * 2.6 + (0.30 * end + 0.05) * h.shade)[..., None]
    window = (
        (pz > 29.5) & (np.abs(px) < half * 0.55) & (py > 1.2) & (np.hypot(px, np.maximum(py - spring, 0)) < half * 0.6)
    )
    glass = 0.6 + 0.4 * np.sin(px * 9) * np.sin(py * 9)
    img = mix(img, mix(rgb(tint) * 2.5, rgb(second) * 2.0, glass) + 0.3, blur(window.astype(np.float32), 0.6))
    awin = (np.abs(px) > half * 2.05) & (np.abs(wz) < bay * 0.28) & (py > 0.8)
    img = mix(img, mix(rgb(tint) * 1.6, rgb(second) * 1.4, 0.5 + 0.5 * np.sin(py * 7 + pz * 5)), awin * 0.9)
    air = rgb(tint) * 0.20 + 0.05
    dense = between(rng, 0.015, 0.05)
    img = mix(img, air, 1 - np.exp(-dense * h.t))
    img = soften(img, h.t)
    slits = (
        np.clip(fbm(rng, f.shape, 6, 1.4), 0, 3)
        * np.exp(-(((f.x - side * f.hx * 0.75) / 0.4) ** 2))
        * smooth(-0.2, 0.5, f.y)
    )
    rays = shafts(slits.astype(np.float32), f, side * (f.hx + 0.7), f.hy + 0.6, 0.65)
    img = img + (rgb(tint) * 0.7 + 0.15) * (rays * between(rng, 0.4, 1.3))[..., None]
    return Scene(
        finish(img, f, rng, 2.4, bloom=0.4, soft=0.5),
        words(f"inside a tall cathedral with {tint} light on stone arches"),
        ("cathedral", "interior", "light"),
    )
