"""The expression language: what it accepts, what it refuses, and its size limit."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.errors import PresetError
from reactive.preset.expression import Call, Number, Operation, Signal, fold, parse, signals_of
from reactive.preset.vocabulary import FUNCTIONS, SIGNALS


def test_precedence_and_brackets() -> None:
    assert fold(parse("1 + 2 * 3 - 4 / 2")) == 5
    assert fold(parse("(1 + 2) * -3")) == -9
    assert fold(parse("1 / 0")) == 0
    assert fold(parse("2e-1 + .5")) == pytest.approx(0.7)


def test_the_tree_names_signals_and_fills_defaults() -> None:
    tree = parse("0.1 + decay(onset.low)")
    assert tree == Operation("+", Number(0.1), Call("decay", (Signal("onset.low"),), (0.2,)))
    assert list(signals_of(tree)) == ["onset.low"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deccay(kick)", "did you mean decay"),
        ("kik + 1", "did you mean kick"),
        ("1 +", "ends too early"),
        ("(1", '")" is missing'),
        ("1 $ 2", "unexpected"),
        ("1 2", "unexpected"),
        ("", "empty"),
        ("decay()", "takes decay"),
        ("decay(kick, rms)", "plain number"),
        ("decay(kick, 0)", "seconds from 0.001 to 600"),
        ("wander(1e-300)", "bars from"),
        ("smooth(rms, 1e308*10)", "seconds from"),
        ("gate(rms, 1e308*10)", "threshold from"),
        ("__import__('os')", "unknown function"),
        ("rms.real", "unknown signal"),
        ("1e999", "too large"),
        ("(" * 10_000 + "1" + ")" * 10_000, "more than"),
        ("-" * 1000 + "1", "nested deeper"),
        ("+".join(["1"] * 900), "parts"),
    ],
)
def test_invalid_expressions_are_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(PresetError) as caught:
        parse(text)
    assert words in str(caught.value).lower()


def test_signals_that_are_unavailable_there_are_refused() -> None:
    with pytest.raises(PresetError, match="not known yet"):
        parse("loop.progress", forbidden={"loop.progress"})


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused_with_a_message(text: str) -> None:
    with contextlib.suppress(PresetError):
        parse(text)


@given(
    st.recursive(
        st.one_of(
            st.sampled_from(sorted(SIGNALS)), st.floats(0, 100, allow_nan=False).map(lambda value: f"{value:.3f}")
        ),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            inner.map(lambda text: f"ease({text})"),
            inner.map(lambda text: f"decay({text}, 0.3)"),
        ),
        max_leaves=12,
    )
)
def test_expressions_built_by_the_grammar_parse(text: str) -> None:
    parse(text)


def test_every_function_has_a_description() -> None:
    for name, function in FUNCTIONS.items():
        assert function.meaning, name
        assert len(function.constants) == len(function.defaults)
