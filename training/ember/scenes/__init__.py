"""Procedural scenes: pictures with exact captions, drawn from nothing but numbers."""

from __future__ import annotations

from . import city, fire, fluid, fractals, land, objects, passage, pattern, ruin, space, weather, woods
from .fields import Scene, make_frame, make_rng

_RENDERERS = {
    "mountains": land.mountains,
    "dunes": land.dunes,
    "dust": land.dust,
    "glacier": land.glacier,
    "aurora": weather.aurora,
    "lightning": weather.lightning,
    "volcano": weather.volcano,
    "sea": weather.sea,
    "fire": fire.fire,
    "explosion": fire.explosion,
    "smoke": fluid.smoke,
    "ink": fluid.ink,
    "nebula": space.nebula,
    "planet": space.planet,
    "orb": space.orb,
    "fractal": fractals.fractal,
    "mandala": pattern.mandala,
    "caustics": pattern.caustics,
    "flower": pattern.flower,
    "glitch": pattern.glitch,
    "ruins": ruin.ruins,
    "collapse": ruin.collapse,
    "cathedral": ruin.cathedral,
    "tunnel": passage.tunnel,
    "bridge": passage.bridge,
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
