"""Stone architecture traced in depth: ruins, a collapsing tower, a cathedral, a bridge, tunnels."""

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
    mix,
    pick,
    rgb,
    sample,
    shafts,
    smooth,
    texture,
    words,
)
from .land import reflect
from .march import box, march, soften, stain, sunlight
from .sky import Mood, fog_bank, mood_of, sky


def _stone(rng: np.random.Generator) -> Field:
    return rgb(pick(rng, [(0.36, 0.32, 0.27), (0.30, 0.30, 0.30), (0.42, 0.34, 0.24), (0.27, 0.29, 0.28), (0.38, 0.27, 0.22)]))


def _lit(mood: Mood, albedo: Field, sun: Field, shade: Field, up: Field) -> Field:
    ambient = (rgb(mood.zenith) * 0.8 + rgb(mood.horizon) * 0.5) * 0.75
    return albedo * (rgb(mood.sun) * (mood.power * 1.5 * sun)[..., None] + ambient * (shade * (0.65 + 0.35 * up))[..., None])


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
            return np.minimum(np.where(top > 2.6, np.minimum(d, np.maximum(box(qx, y - top, qz, 0.5, 0.16, 0.5), -9)), d), beam) * 0.85
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
            win = np.maximum(np.maximum(np.abs(((ang * 1.4 + seed) % 1) - 0.5) - 0.09, np.abs((y + 0.4) % 1.5 - 0.75) - 0.33), 1 - r)
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
        albedo = mix(albedo, np.float32((0.09, 0.14, 0.04)), smooth(0.5, 0.9, h.n[1]) * smooth(-1.2, 0.4, marks) * 0.85)
    img = _lit(mood, albedo, lit, h.shade, h.n[1])
    air = rgb(mood.horizon) * 0.75 + rgb(mood.zenith) * 0.2
    density = between(rng, 0.015, 0.11)
    img = mix(img, air, 1 - np.exp(-density * np.maximum(h.t - 2, 0)))
    img = soften(mix(back, img, h.solid), h.t)
    foggy = density > 0.06
    if foggy:
        img = mix(img, air, fog_bank(f, rng, between(rng, -0.7, -0.3), 0.4) * smooth(3, 9, h.t) * 0.7)
    what = {"columns": "ruined temple columns", "arches": "broken stone arches", "walls": "crumbling house walls", "tower": "two ruined towers" if count == 2 else "a ruined stone tower"}[form]
    extra = "in fog" if foggy else "with moss" if green else "and rubble"
    tags = ("ruins", "fog") if foggy else ("ruins", "grass") if green else ("ruins", "rock")
    return Scene(finish(img, f, rng, 1.15), words(f"{what} {extra} {mood.light}"), tags + (("tower",) if form == "tower" else ()))


def collapse(f: Frame, rng: np.random.Generator) -> Scene:
    """A leaning tower breaking apart in clouds of dust."""
    mood = mood_of(rng, "overcast dusk red golden blue sunset teal")
    lean = between(rng, 0.08, 0.32) * pick(rng, [-1, 1])
    wide, tall = between(rng, 0.7, 1.15), between(rng, 4.5, 6.5)
    crack, gap = between(rng, 0.35, 0.6) * tall, between(rng, 0.15, 0.6)
    seed = between(rng, 0, 6)
    round_ = chance(rng, 0.4)

    def tower(x: Field, y: Field, z: Field) -> Field:
        upper = y > crack
        tilt = np.where(upper, lean * 1.6, lean * 0.4)
        qx = x - tilt * np.maximum(y - np.where(upper, crack * 0.75, 0), 0)
        rough = 0.14 * np.sin(qx * 5 + seed) * np.sin(z * 5) + 0.10 * np.sin(qx * 11 + z * 7)
        q = np.hypot(qx, z) - wide if round_ else box(qx, z, z, wide, wide, wide)
        win = np.maximum(np.abs(qx % 0.5 - 0.25) - 0.12, np.abs(y % 0.8 - 0.4) - 0.2)
        win = np.maximum(win, -(q + 0.18))
        body = np.maximum(np.maximum(q, -win), y - tall - rough * 4 - qx * np.sign(lean) * 0.8)
        slit = np.abs(y - crack - gap * 0.5 - qx * 0.5 - rough * 2.5) - gap * 0.5
        return np.maximum(body, -slit) * 0.6

    def sdf(x: Field, y: Field, z: Field) -> Field:
        cell = 0.62
        cx, cy, cz = np.round(x / cell), np.round(y / cell), np.round(z / cell)
        hash_ = np.sin(cx * 12.9 + cy * 78.2 + cz * 37.7 + seed) * 43.0
        hash_ = hash_ - np.floor(hash_)
        qx, qy, qz = x - cx * cell, y - cy * cell, z - cz * cell
        # Debris lives in a band on the side the tower falls to.
        live = np.abs(x - np.sign(lean) * (wide + 0.4)) + 0.3 * np.abs(y - crack) + np.abs(z) * 0.7
        s = np.clip((hash_ - 0.62) * 0.55, 0, 0.2) * (live < 2.2)
        bits = box(qx + qy * (hash_ - 0.5) * 2, qy - qx * (hash_ - 0.5) * 2, qz, s, s * 0.8, s * 0.9)
        bits = np.where(s > 0.02, np.minimum(bits * 0.7, 0.3), 0.3)
        ground = y + 0.05 * np.sin(x * 2 + seed) * np.sin(z * 1.7)
        return np.minimum(np.minimum(tower(x, y, z), ground), bits)

    eye = (between(rng, -2, 2), between(rng, 0.5, 3.0), between(rng, -11, -8))
    h = march(f, sdf, eye, (between(rng, -0.8, 0.8), tall * 0.48, 0.0), 1.5 * min(1.0, f.hy), 45, steps=40, pace=0.8)
    light = (between(rng, -1, 1), 0.6, between(rng, -0.9, 0.3))
    back = sky(f, rng, mood, -0.6, (light[0] * f.hx, between(rng, -0.2, 0.4)), 0.75)
    tile = texture(rng, 5, 1.8)
    marks = stain(h, tile, 0.2)
    albedo = _stone(rng) * np.clip(0.75 + 0.18 * marks, 0.2, 1.5)[..., None]
    img = _lit(mood, albedo, sunlight(h, sdf, light), h.shade, h.n[1])
    air = rgb(mood.horizon) * 0.7 + np.float32((0.12, 0.09, 0.06))
    img = mix(img, air, 1 - np.exp(-0.035 * np.maximum(h.t - 7, 0)))
    img = soften(mix(back, img, h.solid), h.t)
    # Dust: billows at the foot, and a trail behind the falling half.
    n, big = fbm(rng, f.shape, 4, 1.8), fbm(rng, f.shape, 2, 2.2)
    foot = smooth(0.1, -0.75, f.y + 0.22 * big + 0.10 * n - 0.2 * np.exp(-((f.x / 0.6) ** 2)))
    trail = np.exp(-np.hypot((f.x - np.sign(lean) * 0.35) * 1.3, f.y - 0.05) / 0.33) * smooth(-0.8, 0.9, n + 0.4)
    gy, gx = np.gradient(blur(n, 1.2))
    relief = np.clip(0.75 + 1.4 * (gy - gx * np.sign(light[0])), 0.3, 1.4)
    img = mix(img, air * 0.85 * relief[..., None], np.clip(foot * 0.92 + trail * 0.75, 0, 0.95))
    burning = chance(rng, 0.3)
    if burning:
        spot = np.exp(-np.hypot(f.x, (f.y + 0.25) * 1.2) / 0.35) * np.clip(0.6 + 0.5 * n, 0, 2)
        img = img + np.float32((1.2, 0.34, 0.06)) * spot[..., None]
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
        rib = 0.12 * smooth(0.16, 0.05, hz) + 0.05 * smooth(0.3, 0.2, hz)
        aisle_z = bay * 0.62 - np.hypot(np.abs(qz) + bay * 0.18, np.maximum(y - spring * 0.55, 0))
        opening = np.minimum(aisle_z, half * 2.2 - ax)
        room = np.maximum(vault - rib, np.minimum(opening, ax - half * 0.5))
        pillar = np.hypot(ax - half, np.abs(qz) - bay * 0.5) - 0.30 - 0.08 * smooth(0.35, 0.1, y) - 0.06 * (np.abs(y - spring * 0.9) < 0.12)
        d = np.minimum(room, pillar)
        d = np.minimum(d, y)
        return np.minimum(d, 30 - z) * 0.75

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
    window = (pz > 29.5) & (np.abs(px) < half * 0.55) & (py > 1.2) & (np.hypot(px, np.maximum(py - spring, 0)) < half * 0.6)
    glass = 0.6 + 0.4 * np.sin(px * 9) * np.sin(py * 9)
    img = mix(img, mix(rgb(tint) * 2.5, rgb(second) * 2.0, glass) + 0.3, blur(window.astype(np.float32), 0.6))
    awin = (np.abs(px) > half * 2.05) & (np.abs(wz) < bay * 0.28) & (py > 0.8)
    img = mix(img, mix(rgb(tint) * 1.6, rgb(second) * 1.4, 0.5 + 0.5 * np.sin(py * 7 + pz * 5)), awin * 0.9)
    air = rgb(tint) * 0.20 + 0.05
    dense = between(rng, 0.015, 0.05)
    img = mix(img, air, 1 - np.exp(-dense * h.t))
    img = soften(img, h.t)
    slits = np.clip(fbm(rng, f.shape, 6, 1.4), 0, 3) * np.exp(-(((f.x - side * f.hx * 0.75) / 0.4) ** 2)) * smooth(-0.2, 0.5, f.y)
    rays = shafts(slits.astype(np.float32), f, side * (f.hx + 0.7), f.hy + 0.6, 0.65)
    img = img + (rgb(tint) * 0.7 + 0.15) * (rays * between(rng, 0.4, 1.3))[..., None]
    return Scene(
        finish(img, f, rng, 2.4, bloom=0.4), words(f"inside a tall cathedral with {tint} light on stone columns"), ("cathedral", "interior", "light")
    )


def tunnel(f: Frame, rng: np.random.Generator) -> Scene:
    """A long corridor with rings or strips of light, seen down its axis."""
    form = pick(rng, ["round", "square", "round", "arched"])
    tint, second = (str(s) for s in rng.permutation(["cyan", "blue", "orange", "magenta", "green", "violet", "red", "gold", "white"])[:2])
    cx, cy, roll = between(rng, -0.35, 0.35), between(rng, -0.2, 0.25), between(rng, -0.2, 0.2)
    x, y = f.x - cx, f.y - cy
    x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
    if form == "round":
        r = np.hypot(x, y)
    elif form == "square":
        r = np.maximum(np.abs(x) * 0.75, np.abs(y))
    else:
        r = np.maximum(np.hypot(x * 0.85, np.maximum(y, 0)), np.maximum(np.abs(x) * 0.85, -y * 1.1))
    z = 1.0 / np.maximum(r, 0.012)
    ang = np.arctan2(y, x) / (2 * np.pi)
    tile = texture(rng, 5, 1.7)
    tex = sample(tile, ang * 2, z * 0.12) + 0.5 * sample(tile, ang * 4 + 0.3, z * 0.3)
    pitch = between(rng, 0.7, 1.5)
    phase = (z * pitch + rng.random()) % 1
    # Light pools around each lamp ring and fades between.
    near = np.minimum(phase, 1 - phase)
    aa = np.clip(0.25 * f.px * z * z * pitch, 0.02, 0.5)
    ring = smooth(0.07 + aa, 0.04, near) * np.clip(0.1 / aa, 0, 1)
    pool = np.exp(-near * 5)
    wall = np.clip(0.10 + 0.035 * tex, 0.01, 1)
    joints = smooth(0.05, 0.0, np.abs((ang * 12) % 1 - 0.5)) * (form != "round")
    wall = wall * (1 - 0.4 * joints)
    fade = np.exp(-z * 0.06)
    img = mix(rgb(tint), rgb(second), smooth(-0.2, 0.5, y) * 0.6) * (wall * (0.25 + 2.6 * pool))[..., None]
    style = pick(rng, ["rings", "strips", "dark"])
    if style == "rings":
        img = img + (rgb(tint) * 1.6 + 0.25) * ring[..., None]
        caption = f"a {form} tunnel with {tint} rings of light"
    elif style == "strips":
        pos = np.abs((ang + 0.25) % 0.25 - 0.125) if form == "round" else np.minimum(np.abs(np.abs(x) - 0.4 * r), 9) / (r + 0.1)
        strip = smooth(0.05, 0.015, pos) * (0.3 + 0.7 * smooth(0.45, 0.25, near))
        img = img + (rgb(second) * 1.8 + 0.2) * strip[..., None]
        caption = f"a {form} corridor with {second} strips of light"
    else:
        img = img * 0.55
        caption = f"a dark {form} tunnel with {tint} light at the end"
    img = img * fade[..., None] + rgb(tint) * (0.6 * (1 - fade) ** 1.3)[..., None]
    if form != "round":
        wet = smooth(0.1, -0.4, y) * (np.abs(y) > 0.5 * np.abs(x))
        img = img + img[::-1] * (0.35 * wet)[..., None]
    img = img + (rgb(tint) * 0.8 + 0.5) * (2.2 * np.exp(-r / 0.07) + 0.25 * np.exp(-r / 0.35))[..., None]
    fog = np.clip(0.5 + 0.4 * fbm(rng, f.shape, 2.5, 2.0), 0, 2)
    img = img + rgb(tint) * (0.05 * fog)[..., None]
    return Scene(finish(img, f, rng, 1.1, bloom=0.4), words(caption), ("tunnel", "light", "interior"))


def bridge(f: Frame, rng: np.random.Generator) -> Scene:
    """A stone arch or suspension bridge over water or mist."""
    mood = mood_of(rng, "sunrise sunset golden overcast dusk blue teal night pink")
    line = between(rng, -0.45, -0.15) * f.hy
    sun = (between(rng, -0.8, 0.8) * f.hx, line + between(rng, 0.1, 0.5))
    img = sky(f, rng, mood, line, sun, between(rng, 0.3, 0.8), disc=0.05 if mood.tag == "sunset" else 0)
    air = rgb(mood.horizon) * 0.75 + rgb(mood.zenith) * 0.25
    for k in range(3):
        ridge = line + 0.28 - 0.08 * k + 0.07 * curve(rng, f.width, 3, 2.0)[None]
        img = mix(img, mix(air, rgb(mood.zenith) * 0.35, 0.2 + 0.25 * k), smooth(-f.px, f.px, ridge - f.y))
    stone = chance(rng, 0.45)
    far, near = between(rng, 0.15, 0.4), between(rng, 0.5, 0.9)
    flip = pick(rng, [-1, 1])
    x = f.x * flip / f.hx
    # Perspective along the deck: depth runs from near (one side) to far (other side).
    s = far + (near - far) * np.clip(x * 0.5 + 0.5, 0, 1)
    along = np.log(s / far) / np.log(near / far) * between(rng, 2.0, 4.0)
    v = (f.y - line) / s
    cell = along % 1 - 0.5
    aa = f.px / s * 1.2
    deck = smooth(aa.max(), -aa.max(), np.abs(v - 0.52) - 0.07)
    if stone:
        arch = np.hypot(cell * 2.2, np.maximum(v, 0) * 1.55)
        body = smooth(-0.02, 0.02, arch - 0.68) * smooth(0.6, 0.57, v) * smooth(-0.03, 0.0, v)
        cover = np.maximum(body, deck)
    else:
        tower = smooth(0.075, 0.05, np.abs(cell)) * smooth(1.62, 1.58, v) * (1 - smooth(0.05, 0.04, np.abs(cell)) * (np.abs(v % 0.42 - 0.21) < 0.14) * (v > 0.6))
        sag = 0.66 + 3.6 * (np.abs(np.abs(cell) - 0.5) * 1.0 - 0.0) ** 2
        sag = np.where(np.abs(cell) <= 0.5, sag, 9)
        cable = smooth(0.035, 0.012, np.abs(v - sag))
        hang = smooth(0.18, 0.08, np.abs((along * 16) % 1 - 0.5)) * (v > 0.55) * (v < sag) * 0.6
        cover = np.maximum(np.maximum(tower * (v > -0.05), deck), np.maximum(cable, hang))
    cover = cover * smooth(line - 0.01, line + 0.01, f.y)
    tint = (np.float32((0.16, 0.13, 0.10)) if stone else rgb(pick(rng, [(0.25, 0.05, 0.03), (0.05, 0.055, 0.065), (0.10, 0.11, 0.12)])))
    marks = 1 + 0.18 * fbm(rng, f.shape, 14, 1.4)
    shade = 0.55 + 0.5 * smooth(0.0, 1.2, v) + (0.4 * deck if mood.power > 0.7 else 0)
    body_colour = tint * (marks * shade)[..., None] * (rgb(mood.sun) * mood.power + rgb(mood.horizon))
    body_colour = mix(body_colour, air, 0.65 * smooth(near, far, s))
    img = mix(img, body_colour, cover)
    lamps = mood.power < 0.65 and chance(rng, 0.8)
    if lamps:
        spot = smooth(0.16, 0.05, np.abs((along * 6) % 1 - 0.5)) * smooth(0.05, 0.02, np.abs(v - 0.66))
        img = img + rgb("gold") * (3.0 * spot + 2.0 * blur(spot, 3))[..., None]
    img = reflect(f, rng, img, line, 0.7, np.float32((0.006, 0.010, 0.014)))
    misty = chance(rng, 0.5)
    if misty:
        band = np.exp(-(((f.y - line - 0.05 * fbm(rng, f.shape, 2, 2.2, (1, 3))) / 0.16) ** 2))
        img = mix(img, air, band * 0.75)
    kind = "stone arch" if stone else "suspension"
    extra = "in mist" if misty else "with lamps" if lamps else "over a river"
    gain = 2.0 if mood.stars else 1.1
    return Scene(finish(img, f, rng, gain), words(f"a {kind} bridge {extra} {mood.light}"), ("bridge", "fog" if misty else "river", "water", mood.tag))
