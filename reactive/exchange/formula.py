"""Formulas of Deforum's schedules: arithmetic of the frame ``t``, the last frame ``max_f`` and the seed ``s``.

    formula    = either ("|" either)*            either     = compared ("&" compared)*
    compared   = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)?
    sum        = product (("+" | "-") product)*
    product    = signed (("*" | "/" | "//" | "%") signed)*
    signed     = ("-" | "+" | "~" | "not") signed | power
    power      = value ("**" signed)?
    value      = number | name | name "(" formula ("," formula)* ")" | "(" formula ")"

Formulas are parsed here and never evaluated as Python code. The names are those of numexpr, which Deforum uses, and of
Python's ``math``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import numpy as np

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_PARTS = 400
_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_][\w.]*)|(\*\*|//|<=|>=|==|!=|\S))"
)

Curve = np.ndarray
_Part = Callable[[Mapping[str, Curve]], Curve]

_PLAIN: dict[str, Callable[..., Curve]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "fabs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "trunc": np.trunc,
    "sign": np.sign,
    "int": np.trunc,
    "float": np.asarray,
    "radians": np.radians,
    "degrees": np.degrees,
}


def _where(test: Curve, yes: Curve, no: Curve) -> Curve:
    return np.asarray(np.where(test != 0, yes, no))


# minimum and maximum number of arguments, and the function
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Curve]]] = {
    name: (1, 1, function) for name, function in _PLAIN.items()
}
_FUNCTIONS |= {
    "arctan2": (2, 2, np.arctan2),
    "atan2": (2, 2, np.arctan2),
    "pow": (2, 2, np.power),
    "fmod": (2, 2, np.fmod),
    "mod": (2, 2, np.mod),
    "where": (3, 3, _where),
    "min": (1, 16, lambda *curves: np.minimum.reduce(np.broadcast_arrays(*curves))),
    "max": (1, 16, lambda *curves: np.maximum.reduce(np.broadcast_arrays(*curves))),
    "clip": (3, 3, lambda value, low, high: np.minimum(np.maximum(value, low), high)),
}
_OPERATORS: dict[str, Callable[[Curve, Curve], Curve]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "&": lambda a, b: (a != 0) & (b != 0),
    "|": lambda a, b: (a != 0) | (b != 0),
}
_LEVELS = (("|", "or"), ("&", "and"), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "//", "%"))
_WORDS = {"or": "|", "and": "&"}
_CONSTANTS = {"pi": math.pi, "tau": math.tau, "e": math.e}


def compute(text: str, names: Mapping[str, Curve | float]) -> Curve:
    """Return a formula's values, float64, as long as the longest array that it uses.

    Parameters
    ----------
    text
        The formula, at most 2000 characters.
    names
        The values of ``t`` and other names.

    Raises
    ------
    ValueError
        If it is not a formula, reads an unknown name, is too large, or has no finite value somewhere.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters, more than {MAX_LENGTH}")
    known = {name: np.asarray(value, np.float64) for name, value in {**_CONSTANTS, **names}.items()}
    part = _Reader(text, known.keys()).read()
    with np.errstate(all="ignore"):
        values = np.asarray(part(known), np.float64)
    if not np.isfinite(values).all():
        raise ValueError("has no finite value somewhere")
    return values


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, names: object) -> None:
        self.names = names
        self.tokens = [(m[1], m[2], m[3]) for m in _TOKEN.finditer(text)]
        self.at = 0
        self.parts = 0

    def read(self) -> _Part:
        part = self.level(0, 0)
        if self.at < len(self.tokens):
            raise ValueError("is no formula that is known here")
        return part

    def sign(self) -> str:
        """Return the next operator, "" if there is none."""
        if self.at >= len(self.tokens):
            return ""
        _, name, sign = self.tokens[self.at]
        return sign or _WORDS.get(name or "", "")

    def level(self, number: int, depth: int) -> _Part:
        """Return the operations of a level of precedence, starting with the lowest."""
        if number == len(_LEVELS):
            return self.signed(depth)
        part = self.level(number + 1, depth)
        while (sign := self.sign()) and sign in _LEVELS[number]:
            self.at += 1
            part = self.two(sign, part, self.level(number + 1, depth))
        return part

    def signed(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH}")
        sign = self.sign()
        if sign in ("-", "+", "~") or (self.at < len(self.tokens) and self.tokens[self.at][1] == "not"):
            self.at += 1
            inner = self.signed(depth + 1)
            if sign == "+":
                return inner
            return (lambda names: -inner(names)) if sign == "-" else (lambda names: inner(names) == 0)
        part = self.value(depth)
        if self.sign() == "**":
            self.at += 1
            return self.two("**", part, self.signed(depth + 1))
        return part

    def value(self, depth: int) -> _Part:
        if self.at >= len(self.tokens):
            raise ValueError("is a formula that ends too early")
        number, name, sign = self.tokens[self.at]
        self.at += 1
        self.count()
        if number is not None:
            constant = np.float64(number)
            return lambda names: np.asarray(constant)
        if name is not None:
            plain = name.rpartition(".")[2] if name.startswith(("np.", "math.", "numpy.")) else name
            if self.sign() == "(":
                return self.call(plain, depth)
            if plain not in self.names:  # type: ignore[operator]
                raise ValueError(f"uses the unknown name {name[:40]}")
            return lambda names: names[plain]
        if sign == "(":
            part = self.level(0, depth + 1)
            self.expect(")")
            return part
        raise ValueError("is no formula that is known here")

    def call(self, name: str, depth: int) -> _Part:
        if name not in _FUNCTIONS:
            raise ValueError(f"calls the unknown function {name[:40]}()")
        minimum, maximum, function = _FUNCTIONS[name]
        self.expect("(")
        parts = [self.level(0, depth + 1)]
        while self.sign() == ",":
            self.at += 1
            parts.append(self.level(0, depth + 1))
        self.expect(")")
        if not minimum <= len(parts) <= maximum:
            raise ValueError(f"gives {name}() {len(parts)} values")
        return lambda names: function(*(np.asarray(part(names), np.float64) for part in parts))

    def two(self, sign: str, left: _Part, right: _Part) -> _Part:
        self.count()
        function = _OPERATORS[sign]
        return lambda names: np.asarray(function(left(names), right(names)), np.float64)

    def expect(self, sign: str) -> None:
        if self.sign() != sign:
            raise ValueError("is a formula whose brackets don't match")
        self.at += 1

    def count(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise ValueError(f"has more than {MAX_PARTS} parts")
