"""The language of a preset's modulations: numbers, signals, + - * /, and the functions of `vocabulary`.

    expression = term (("+" | "-") term)*
    term       = factor (("*" | "/") factor)*
    factor     = "-" factor | number | name | name "(" expression ("," expression)* ")" | "(" expression ")"

A text is parsed to a small tree; Python never evaluates it. Length, depth and size are limited, so an
untrusted preset can't use much time or memory.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from reactive.errors import PresetError
from reactive.preset.vocabulary import FUNCTIONS, MACRO, OWN, SIGNALS

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_NODES = 400
LARGEST = 1e6
# limits of constants, so that no expression is expensive
CONSTANTS = {"seconds": (0.001, 600.0), "bars": (1 / 64, 4096.0), "exponent": (0.01, 100.0)}
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_][\w.]*)|(.))", re.DOTALL)


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Signal:
    """A named curve."""

    name: str


@dataclass(frozen=True)
class Operation:
    """Two operands and one of + - * /."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function with its curves and its constants (defaults filled in)."""

    function: str
    curves: tuple[Node, ...]
    constants: tuple[float, ...]


Node = Number | Signal | Operation | Call


def parse(text: str, *, forbidden: Set[str] = frozenset(), macros: Set[str] | None = None) -> Node:
    """Parse an expression.

    Parameters
    ----------
    text
        The expression, at most 2000 characters.
    forbidden
        Signals that exist but are not known where this expression is evaluated.
    macros
        Names of the preset's macros, read as ``macro.NAME``; None accepts any name.

    Raises
    ------
    PresetError
        If it can't be parsed, names something unknown, or is too large; `where` is left to the caller.
    """
    if len(text) > MAX_LENGTH:
        raise PresetError(f"the expression has {len(text)} characters, more than {MAX_LENGTH}", remedy="shorten it")
    return _Parser(text, forbidden, macros).parse()


def signals_of(node: Node) -> Iterator[str]:
    """Yield the names of all signals that an expression reads."""
    if isinstance(node, Signal):
        yield node.name
    elif isinstance(node, Operation):
        yield from signals_of(node.left)
        yield from signals_of(node.right)
    elif isinstance(node, Call):
        for curve in node.curves:
            yield from signals_of(curve)


def parts_of(node: Node) -> int:
    """Return how many numbers, signals, operations and calls an expression is made of."""
    if isinstance(node, Operation):
        return 1 + parts_of(node.left) + parts_of(node.right)
    return 1 + sum(parts_of(curve) for curve in node.curves) if isinstance(node, Call) else 1


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str, forbidden: Set[str], macros: Set[str] | None) -> None:
        self.text = text
        self.forbidden = forbidden
        self.macros = macros
        self.tokens = [(m.group(1), m.group(2), m.group(3), m.start(m.lastindex or 0)) for m in _TOKEN.finditer(text)]
        self.tokens = [token for token in self.tokens if any(part and part.strip() for part in token[:3])]
        self.index = 0
        self.nodes = 0

    def parse(self) -> Node:
        if not self.tokens:
            raise PresetError("the expression is empty", remedy='write a number or a signal, for instance "0.2 + rms"')
        node = self.expression(0)
        if self.index < len(self.tokens):
            raise self.unexpected()
        return node

    def expression(self, depth: int) -> Node:
        node = self.term(depth)
        while (operator := self.symbol()) in ("+", "-"):
            self.index += 1
            node = self.made(Operation(str(operator), node, self.term(depth)))
        return node

    def term(self, depth: int) -> Node:
        node = self.factor(depth)
        while (operator := self.symbol()) in ("*", "/"):
            self.index += 1
            node = self.made(Operation(str(operator), node, self.factor(depth)))
        return node

    def factor(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise PresetError(f"the expression is nested deeper than {MAX_DEPTH}", remedy="write it more simply")
        if self.index >= len(self.tokens):
            raise PresetError(f'the expression "{self.text}" ends too early', remedy="complete it")
        number, name, symbol, _ = self.tokens[self.index]
        if number is not None:
            self.index += 1
            value = float(number)
            if not math.isfinite(value):
                raise PresetError(f"the number {number} is too large", remedy="use a finite number")
            return self.made(Number(value))
        if name is not None:
            self.index += 1
            return self.call(name, depth) if self.symbol() == "(" else self.signal(name)
        if symbol == "-":
            self.index += 1
            return self.made(Operation("-", Number(0.0), self.factor(depth + 1)))
        if symbol == "(":
            self.index += 1
            node = self.expression(depth + 1)
            self.expect(")")
            return node
        raise self.unexpected()

    def signal(self, name: str) -> Node:
        if name.startswith(MACRO):
            return self.macro(name)
        if name not in SIGNALS and not name.startswith(OWN):
            raise PresetError(f'unknown signal "{name}"', remedy=closest_name(name, [*SIGNALS, *FUNCTIONS]))
        if name in self.forbidden:
            raise PresetError(f'the signal "{name}" is not known yet here', remedy="use a signal of the song itself")
        return self.made(Signal(name))

    def macro(self, name: str) -> Node:
        if self.macros is not None and name.removeprefix(MACRO) not in self.macros:
            if not self.macros:
                raise PresetError(f'unknown macro "{name}"', remedy="add a [[macro]] with this name")
            raise PresetError(
                f'unknown macro "{name}"', remedy=closest_name(name, [MACRO + known for known in self.macros])
            )
        return self.made(Signal(name))

    def call(self, name: str, depth: int) -> Node:
        function = FUNCTIONS.get(name)
        if function is None:
            raise PresetError(f'unknown function "{name}"', remedy=closest_name(name, [*FUNCTIONS, *SIGNALS]))
        self.expect("(")
        arguments: list[Node] = []
        while self.symbol() != ")":
            arguments.append(self.expression(depth + 1))
            if self.symbol() == ",":
                self.index += 1
            elif self.symbol() != ")":
                raise self.unexpected()
        self.expect(")")
        fewest, most = function.curves
        constants = len(function.constants)
        if not fewest <= len(arguments) <= most + constants:
            raise PresetError(f"{name}() takes {usage(name)}, not {len(arguments)} arguments", remedy=function.meaning)
        split = most if constants else len(arguments)
        given = [self.constant(name, argument) for argument in arguments[split:]]
        filled = tuple(given) + function.defaults[len(given) :]
        self.check_constants(name, filled)
        return self.made(Call(name, tuple(arguments[:split]), filled))

    def check_constants(self, name: str, values: tuple[float, ...]) -> None:
        for constant, value in zip(FUNCTIONS[name].constants, values, strict=True):
            low, high = CONSTANTS.get(constant, (-LARGEST, LARGEST))
            if not low <= value <= high:
                raise PresetError(
                    f"{name}() needs {constant} from {low:g} to {high:g}, not {value:g}", remedy=f"it is {usage(name)}"
                )

    def constant(self, function: str, node: Node) -> float:
        value = fold(node)
        if value is None:
            raise PresetError(f"{usage(function)} wants a plain number after its curve", remedy="write a number there")
        return value

    def made(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise PresetError(f"the expression has more than {MAX_NODES} parts", remedy="write it more simply")
        return node

    def symbol(self) -> str | None:
        return self.tokens[self.index][2] if self.index < len(self.tokens) else None

    def expect(self, symbol: str) -> None:
        if self.symbol() != symbol:
            if self.index >= len(self.tokens):
                raise PresetError(f'"{symbol}" is missing at the end of "{self.text}"', remedy=f'add "{symbol}"')
            raise self.unexpected()
        self.index += 1

    def unexpected(self) -> PresetError:
        if self.index >= len(self.tokens):
            return PresetError(f'the expression "{self.text}" ends too early', remedy="complete it")
        number, name, symbol, position = self.tokens[self.index]
        return PresetError(
            f'unexpected "{number or name or symbol}" at character {position + 1} of "{self.text}"',
            remedy="expressions hold numbers, signals, + - * /, functions and brackets",
        )


def fold(node: Node) -> float | None:
    """Return the value of an expression that holds no signal and no function, else None."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Operation):
        left, right = fold(node.left), fold(node.right)
        if left is None or right is None:
            return None
        if node.operator == "/":
            return left / right if right else 0.0
        return {"+": left + right, "-": left - right, "*": left * right}[node.operator]
    return None


def usage(name: str) -> str:
    """Return a function's signature, for instance ``decay(curve, seconds)``."""
    function = FUNCTIONS[name]
    curves = ["curve"] * function.curves[0] + (["..."] if function.curves[1] > function.curves[0] else [])
    return f"{name}({', '.join([*curves, *function.constants])})"


def closest_name(name: str, known: list[str]) -> str:
    """Return a remedy that suggests the nearest known names."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?".rstrip("?")
    return f"known are {', '.join(sorted(known))}"
