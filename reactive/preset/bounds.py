"""Find expressions that are always clipped at a limit, whatever the song, by interval arithmetic.

Every signal is in [0, 1], so the range of an expression follows from its parts. The range found
is never narrower than the true one, so an expression that is reported is always clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from reactive.preset.expression import LARGEST, Call, Node, Number, Operation, Signal, parse
from reactive.preset.schema import Phase, Preset

Range = tuple[float, float]
# the limits of these curves in a timeline; all others have the limits of any expression
LIMITS: dict[str, Range] = {
    "walk": (0.0, 20.0),
    "strength": (0.0, 1.0),
    "lens.zoom": (0.5, 8.0),
    "camera.zoom": (0.05, 20.0),
    "camera.flow": (0.0, 1.0),
    "lens.tilt": (-45.0, 45.0),
    "lens.turn": (-45.0, 45.0),
    "colour.strength": (0.0, 1.0),
    "colour.tint": (-1.0, 1.0),
    "colour.temperature": (-1.0, 1.0),
    "colour.saturation": (0.0, 4.0),
    "colour.contrast": (0.0, 4.0),
    "colour.brightness": (-1.0, 1.0),
    "ground.detail": (0.0, 1.0),
    "ground.colour": (0.0, 1.0),
    "ground.light": (0.0, 2.0),
    "ground.zoom": (1.0, 4.0),
    "ground.x": (-0.3, 0.3),
    "ground.y": (-0.3, 0.3),
    "ground.push": (-1.0, 1.0),
    "ground.drift": (-1.0, 1.0),
    "ground.parallax": (-1.0, 1.0),
    "ground.double": (0.0, 1.0),
    "style_picture.weight": (0.0, 2.0),
    "control.weight": (0.0, 2.0),
    "lora.strength": (-4.0, 4.0),
    "film.rate": (-8.0, 8.0),
    "film.jump": (-600.0, 600.0),
}
EVERYWHERE = (-LARGEST, LARGEST)
_UNIT = (0.0, 1.0)


def held_expressions(preset: Preset) -> list[str]:
    """Return a sentence for each expression that is always clipped at a limit, or always divides by 0."""
    said: dict[str, None] = {}
    for key, name, text in _expressions(preset):
        node = parse(text)
        if divides_by_zero(node):
            said[f'{key} = "{text}" divides by 0, which gives 0'] = None
        low, high = bounds(node)
        least, most = LIMITS.get(name, EVERYWHERE)
        if high < least or low > most:
            limit = least if high < least else most
            said[f'{key} = "{text}" is always held at {limit:g}: it never lies within {least:g} to {most:g}'] = None
    return list(said)


def _expressions(preset: Preset) -> Iterator[tuple[str, str, str]]:
    """Yield each expression's key, the curve that it makes, and its text."""
    holders: list[tuple[str, Preset | Phase]] = [("", preset)]
    holders += [(f"{phase.name}: ", phase) for phase in preset.phase]
    for head, holder in holders:
        for name, text in (("walk", holder.walk), ("strength", holder.strength)):
            if text is not None:
                yield head + name, name, text
        for picture in holder.style_picture or ():
            yield f"{head}style_picture.weight", "style_picture.weight", picture.weight
        for control in holder.control or ():
            yield f"{head}control.weight", "control.weight", control.weight
        for lora in holder.lora or ():
            yield f"{head}lora.strength", "lora.strength", lora.strength
        for table, part in (
            ("lens", holder.lens),
            ("camera", holder.camera),
            ("ground", holder.ground),
            ("colour", holder.colour),
            ("film", holder.film),
        ):
            for field in type(part).model_fields if part else ():
                if table in ("lens", "camera") or f"{table}.{field}" in LIMITS:
                    yield f"{head}{table}.{field}", f"{table}.{field}", getattr(part, field)


def bounds(node: Node) -> Range:
    """Return the least and the greatest value that an expression can take."""
    if isinstance(node, Number):
        return node.value, node.value
    if isinstance(node, Signal):
        return _UNIT
    if isinstance(node, Operation):
        return _operation(node.operator, bounds(node.left), bounds(node.right))
    return _call(node, [bounds(curve) for curve in node.curves])


def divides_by_zero(node: Node) -> bool:
    """Return whether a division within an expression has a divisor that is always 0."""
    if isinstance(node, Operation):
        here = node.operator == "/" and bounds(node.right) == (0.0, 0.0)
        return here or divides_by_zero(node.left) or divides_by_zero(node.right)
    return isinstance(node, Call) and any(map(divides_by_zero, node.curves))


def _operation(operator: str, left: Range, right: Range) -> Range:
    if operator == "+":
        return left[0] + right[0], left[1] + right[1]
    if operator == "-":
        return left[0] - right[1], left[1] - right[0]
    if operator == "*":
        return _hull([_times(a, b) for a, b in product(left, right)])
    if right == (0.0, 0.0):
        return 0.0, 0.0
    if right[0] <= 0 <= right[1]:
        # a divisor near 0 can give any value; at 0 the result is 0
        return (0.0, 0.0) if left == (0.0, 0.0) else (-math.inf, math.inf)
    return _hull([a / b for a, b in product(left, right)])


def _times(a: float, b: float) -> float:
    return 0.0 if 0.0 in (a, b) else a * b


def _hull(values: list[float]) -> Range:
    if any(map(math.isnan, values)):
        return -math.inf, math.inf
    return min(values), max(values)


def _call(node: Call, curves: list[Range]) -> Range:
    name, constants = node.function, node.constants
    lows, highs = [low for low, _ in curves], [high for _, high in curves]
    if name == "min":
        return min(lows), min(highs)
    if name == "max":
        return max(lows), max(highs)
    if name == "abs":
        low, high = curves[0]
        return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    if name == "sqrt":
        return math.sqrt(max(lows[0], 0.0)), math.sqrt(max(highs[0], 0.0))
    if name == "clamp":
        least, most = constants[0], max(constants)
        return min(max(lows[0], least), most), min(max(highs[0], least), most)
    if name == "mix":
        return min(lows[:2]), max(highs[:2])
    if name == "pow":
        return _power(max(lows[0], 0.0), constants[0]), _power(max(highs[0], 0.0), constants[0])
    if name == "smooth":
        return curves[0]
    if name in ("decay", "swell"):
        # a tail decays to 0
        return min(0.0, lows[0]), max(0.0, highs[0])
    return _UNIT


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf
