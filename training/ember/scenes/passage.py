"""Ways through: tunnels of light and bridges."""

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
    rgb,
    sample,
    smooth,
    texture,
    words,
)
from .sky import mood_of, reflect, sky


def tunnel(f: Frame, rng: np.random.Generator) -> Scene:
    """A long corridor with rings or strips of light, seen down its axis."""
    form = pick(rng, ["round", "square", "round", "arched"])
    tint, second = (
        str(s)
        for s in rng.permutation(["cyan", "blue", "orange", "magenta", "green", "violet", "red", "gold", "white"])[:2]
    )
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
        pos = (
            np.abs((ang + 0.25) % 0.25 - 0.125)
            if form == "round"
            else np.minimum(np.abs(np.abs(x) - 0.4 * r), 9) / (r + 0.1)
        )
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
        tower = (
            smooth(0.075, 0.05, np.abs(cell))
            * smooth(1.62, 1.58, v)
            * (1 - smooth(0.05, 0.04, np.abs(cell)) * (np.abs(v % 0.42 - 0.21) < 0.14) * (v > 0.6))
        )
        sag = 0.66 + 3.6 * (np.abs(np.abs(cell) - 0.5) * 1.0 - 0.0) ** 2
        sag = np.where(np.abs(cell) <= 0.5, sag, 9)
        cable = smooth(0.035, 0.012, np.abs(v - sag))
        hang = smooth(0.18, 0.08, np.abs((along * 16) % 1 - 0.5)) * (v > 0.55) * (v < sag) * 0.6
        cover = np.maximum(np.maximum(tower * (v > -0.05), deck), np.maximum(cable, hang))
    cover = cover * smooth(line - 0.01, line + 0.01, f.y)
    tint = (
        np.array((0.16, 0.13, 0.10), np.float32)
        if stone
        else rgb(pick(rng, [(0.25, 0.05, 0.03), (0.05, 0.055, 0.065), (0.10, 0.11, 0.12)]))
    )
    marks = 1 + 0.18 * fbm(rng, f.shape, 14, 1.4)
    shade = 0.55 + 0.5 * smooth(0.0, 1.2, v) + (0.4 * deck if mood.power > 0.7 else 0)
    body_colour = tint * (marks * shade)[..., None] * (rgb(mood.sun) * mood.power + rgb(mood.horizon))
    body_colour = mix(body_colour, air, 0.65 * smooth(near, far, s))
    img = mix(img, body_colour, cover)
    lamps = mood.power < 0.65 and "grey" not in mood.light and chance(rng, 0.8)
    if lamps:
        spot = smooth(0.16, 0.05, np.abs((along * 6) % 1 - 0.5)) * smooth(0.05, 0.02, np.abs(v - 0.66))
        img = img + rgb("gold") * (3.0 * spot + 2.0 * blur(spot, 3))[..., None]
    img = reflect(f, rng, img, line, 0.7, np.array((0.006, 0.010, 0.014), np.float32))
    misty = chance(rng, 0.5)
    if misty:
        band = np.exp(-(((f.y - line - 0.05 * fbm(rng, f.shape, 2, 2.2, (1, 3))) / 0.16) ** 2))
        img = mix(img, air, band * 0.75)
    kind = "stone arch" if stone else "suspension"
    extra = "in mist" if misty else "with lamps" if lamps else "over a river"
    gain = 2.0 if mood.stars else 1.1
    return Scene(
        finish(img, f, rng, gain),
        words(f"a {kind} bridge {extra} {mood.light}"),
        ("bridge", "fog" if misty else "river", "water", mood.tag),
    )
