"""A small distance-field ray marcher: solid shapes with sun, sky light, contact shade and fog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .fields import Field, Frame, blur, sample, smooth

Sdf = Callable[[Field, Field, Field], Field]
Vec = tuple[float, float, float]


@dataclass(frozen=True)
class Hit:
    """What every pixel sees: distance, whether it is solid, position, normal and the ray."""

    t: Field
    solid: Field
    p: tuple[Field, Field, Field]
    n: tuple[Field, Field, Field]
    ray: tuple[Field, Field, Field]
    shade: Field


def unit(v: Vec) -> Vec:
    """Normalised vector."""
    a = np.asarray(v, float)
    a = a / np.linalg.norm(a)
    return float(a[0]), float(a[1]), float(a[2])


def _rays(x: Field, y: Field, eye: Vec, look: Vec, focal: float) -> tuple[Field, Field, Field]:
    fwd = np.array(unit((look[0] - eye[0], look[1] - eye[1], look[2] - eye[2])))
    right = np.array(unit(tuple(np.cross((0, 1, 0), fwd))))
    up = np.cross(fwd, right)
    inv = 1 / np.sqrt(x * x + y * y + focal * focal)
    out = [((x * right[i] + y * up[i] + focal * fwd[i]) * inv).astype(np.float32) for i in range(3)]
    return out[0], out[1], out[2]


def march(
    f: Frame,
    sdf: Sdf,
    eye: Vec,
    look: Vec,
    focal: float = 1.5,
    far: float = 40.0,
    steps: int = 34,
    pace: float = 0.9,
    fine: int = 7,
) -> Hit:
    """Trace every pixel; a half-size pass finds safe starting distances for the full one."""
    rx, ry, rz = _rays(f.x[::2, ::2], f.y[::2, ::2], eye, look, focal)
    t = np.full(rx.shape, 0.05, np.float32)
    for _ in range(steps):
        d = sdf(eye[0] + rx * t, eye[1] + ry * t, eye[2] + rz * t)
        t = np.minimum(t + np.maximum(d, 0.0) * pace, far)
    t = ndimage.minimum_filter(t, 3)
    t = np.repeat(np.repeat(t, 2, 0), 2, 1)[: f.height, : f.width] * 0.985
    rx, ry, rz = _rays(f.x, f.y, eye, look, focal)
    for _ in range(fine):
        d = sdf(eye[0] + rx * t, eye[1] + ry * t, eye[2] + rz * t)
        t = np.minimum(t + d * pace, far)
    px, py, pz = eye[0] + rx * t, eye[1] + ry * t, eye[2] + rz * t
    e = np.float32(0.004) * np.maximum(t, 1)
    d = sdf(px, py, pz)
    nx, ny, nz = sdf(px + e, py, pz) - d, sdf(px, py + e, pz) - d, sdf(px, py, pz + e) - d
    norm = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    wide = np.clip(sdf(px + nx * 0.3, py + ny * 0.3, pz + nz * 0.3) / 0.3, 0, 1)
    solid = (t < far * 0.98).astype(np.float32)
    return Hit(t, solid, (px, py, pz), (nx, ny, nz), (rx, ry, rz), 0.2 + 0.8 * wide)


def sunlight(h: Hit, sdf: Sdf, light: Vec, reach: float = 6.0, taps: int = 9, hard: float = 7.0) -> Field:
    """Lambert term with a soft shadow, the shadow at half size since it is soft anyway."""
    lx, ly, lz = unit(light)
    lit = np.clip(h.n[0] * lx + h.n[1] * ly + h.n[2] * lz, 0, 1)
    px, py, pz = (c[::2, ::2] + n[::2, ::2] * 0.05 for c, n in zip(h.p, h.n, strict=True))
    open_ = np.ones(px.shape, np.float32)
    for s in np.geomspace(0.12, reach, taps):
        open_ = np.minimum(open_, np.clip(0.5 + hard * sdf(px + lx * s, py + ly * s, pz + lz * s) / s, 0, 1))
    big = np.repeat(np.repeat(open_, 2, 0), 2, 1)[: h.t.shape[0], : h.t.shape[1]]
    return lit * blur(big, 0.8)


def stain(h: Hit, tile: Field, scale: float = 0.2) -> Field:
    """Read a noise tile on surfaces, using the plane each one faces most."""
    ax, ay = np.abs(h.n[0]), np.abs(h.n[1])
    u = np.where(ax > 0.6, h.p[2], h.p[0])
    v = np.where(ay > 0.6, h.p[2], h.p[1])
    return sample(tile, u * scale, v * scale)


def soften(img: Field, t: Field) -> Field:
    """Blur only across depth edges: cheap antialiasing for traced shapes."""
    step = ndimage.maximum_filter(t, 3) - ndimage.minimum_filter(t, 3)
    edge = smooth(0.03, 0.12, step / (t + 0.2))[..., None]
    return img + (blur(img, 0.75) - img) * blur(edge, 0.5)


def box(x: Field, y: Field, z: Field, hx: Field | float, hy: Field | float, hz: Field | float) -> Field:
    """Distance bound of a centred box."""
    return np.maximum(np.maximum(np.abs(x) - hx, np.abs(y) - hy), np.abs(z) - hz)
