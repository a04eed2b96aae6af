"""Formulas of Deforum's schedules: arithmetic of the frame ``t``, the last frame ``max_f`` and the seed ``s``.

    formula    = all ("or" all)*                 all        = negated ("and" negated)*
    negated    = "not" negated | compared
    compared   = bits (("<" | "<=" | ">" | ">=" | "==" | "!=") bits)?
    bits       = both ("|" both)*                both       = sum ("&" sum)*
    sum        = product (("+" | "-") product)*
    product    = signed (("*" | "/" | "//" | "%") signed)*
    signed     = ("-" | "+" | "~") signed | power
    power      = value ("**" signed)?
    value      = number | name | name "(" formula ("," formula)* ")" | "(" formula ")"

Where that leaves two comparisons in a row, as in ``t>=10 & t<20``, ``&`` and ``|`` bind more loosely than comparisons.

Formulas are parsed here and never evaluated as Python code. The names are those of numexpr, which Deforum uses, and of
Python's ``math``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_PARTS = 400
_MOST_BITS = 2.0**53
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


def _whole(*curves: Curve) -> list[np.ndarray]:
    """Return values as integers whose bits can be combined; comparisons alone stay true or false."""
    if all(curve.dtype == bool for curve in curves):
        return list(curves)
    curves = tuple(curve.astype(np.float64) for curve in curves)
    if any(
        not (np.isfinite(curve) & (np.abs(curve) < _MOST_BITS) & (curve == np.round(curve))).all() for curve in curves
    ):
        raise ValueError("uses the bits of numbers that are not whole")
    return [curve.astype(np.int64) for curve in curves]


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
    "&": lambda a, b: np.bitwise_and(*_whole(a, b)),
    "|": lambda a, b: np.bitwise_or(*_whole(a, b)),
    "and": lambda a, b: (a != 0) & (b != 0),
    "or": lambda a, b: (a != 0) | (b != 0),
}
_COMPARED = ("<", "<=", ">", ">=", "==", "!=")
# what keeps true and false apart from numbers
_LOGICAL = (*_COMPARED, "&", "|", "and", "or")
_CALCULATED = (("+", "-"), ("*", "/", "//", "%"))
_LEVELS = (("or",), ("and",), ("not",), _COMPARED, ("|",), ("&",), *_CALCULATED)
# what people write who take & for "and"
_LOOSE_LEVELS = (("or", "|"), ("and", "&"), ("not",), _COMPARED, *_CALCULATED)
_WORDS = ("or", "and", "not")
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
    try:
        part = _Reader(text, known.keys(), _LEVELS).read()
    except _InARow:
        part = _Reader(text, known.keys(), _LOOSE_LEVELS).read()
    with np.errstate(all="ignore"):
        values = np.asarray(part(known), np.float64)
    if not np.isfinite(values).all():
        raise ValueError("has no finite value somewhere")
    return values


def _inverted(inner: _Part) -> _Part:
    """Return what ``~`` makes of a comparison (its opposite) or of whole numbers (their bits turned over)."""

    return lambda names: np.asarray(~_whole(np.asarray(inner(names)))[0])


class _InARow(ValueError):
    """Two comparisons in a row."""


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, names: Container[str], levels: Sequence[tuple[str, ...]]) -> None:
        self.names = names
        self.levels = levels
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
        return sign or (name if name in _WORDS else "")

    def level(self, number: int, depth: int) -> _Part:
        """Return the operations of a level of precedence, starting with the lowest."""
        if number == len(self.levels):
            return self.signed(depth)
        signs = self.levels[number]
        if signs == ("not",):
            return self.negated(number, depth)
        part = self.level(number + 1, depth)
        while (sign := self.sign()) and sign in signs:
            self.at += 1
            part = self.two(sign, part, self.level(number + 1, depth))
            if signs is _COMPARED and self.sign() in _COMPARED:
                raise _InARow("has three numbers compared in a row")
        return part

    def negated(self, number: int, depth: int) -> _Part:
        if self.sign() != "not":
            return self.level(number + 1, depth)
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH}")
        self.at += 1
        inner = self.negated(number, depth + 1)
        return lambda names: inner(names) == 0

    def signed(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH}")
        sign = self.sign()
        if sign in ("-", "+", "~"):
            self.at += 1
            inner = self.signed(depth + 1)
            if sign == "+":
                return inner
            return (lambda names: -np.asarray(inner(names), np.float64)) if sign == "-" else _inverted(inner)
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
            if plain not in self.names:
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
        if sign in _LOGICAL:
            return lambda names: np.asarray(function(left(names), right(names)))
        return lambda names: np.asarray(
            function(np.asarray(left(names), np.float64), np.asarray(right(names), np.float64)), np.float64
        )

    def expect(self, sign: str) -> None:
        if self.sign() != sign:
            raise ValueError("is a formula whose brackets don't match")
        self.at += 1

    def count(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise ValueError(f"has more than {MAX_PARTS} parts")
