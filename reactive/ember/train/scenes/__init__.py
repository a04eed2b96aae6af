"""Procedural scenes: pictures with exact captions, drawn from nothing but numbers."""

from __future__ import annotations

from . import city, fire, land, objects, pattern, ruin, space, woods
from .fields import Scene, make_frame, make_rng

_RENDERERS = {
    "mountains": land.mountains,
    "dunes": land.dunes,
    "dust": land.dust,
    "glacier": land.glacier,
    "aurora": land.aurora,
    "lightning": land.lightning,
    "volcano": land.volcano,
    "sea": land.sea,
    "fire": fire.fire,
    "explosion": fire.explosion,
    "smoke": fire.smoke,
    "ink": fire.ink,
    "nebula": space.nebula,
    "planet": space.planet,
    "orb": space.orb,
    "fractal": pattern.fractal,
    "mandala": pattern.mandala,
    "caustics": pattern.caustics,
    "flower": pattern.flower,
    "glitch": pattern.glitch,
    "ruins": ruin.ruins,
    "collapse": ruin.collapse,
    "cathedral": ruin.cathedral,
    "tunnel": ruin.tunnel,
    "bridge": ruin.bridge,
    "city": city.city,
    "neon": city.neon,
    "stage": city.stage,
    "rain": city.rain,
    "forest": woods.forest,
    "waterfall": woods.waterfall,
    "crystal": objects.crystal,
    "machine": objects.machine,
}
KINDS: tuple[str, ...] = tuple(_RENDERERS)


def render(kind: str, *, seed: int, width: int, height: int) -> Scene:
    """Draw one scene; the same arguments always give the same picture and caption."""
    return _RENDERERS[kind](make_frame(width, height), make_rng(kind, seed, width, height))


__all__ = ["KINDS", "Scene", "render"]
