"""Pools: the order of entries, and how template variables are filled."""

from __future__ import annotations

from typing import Any

import numpy as np

from reactive.preset.schema import Preset, check_preset
from reactive.timeline.pools import Pools


def made(prompts: list[Any], **more: Any) -> Preset:
    phase = {"name": "one", "prompts": prompts, **more.pop("phase", {})}
    return check_preset({"version": 2, "title": "x", "phase": [phase], **more}, where="x")


def drawn(pools: Pools, count: int, height: float = 0.0) -> list[str]:
    return [pools.prompts[pools.next(0, height)] for _ in range(count)]


def test_a_shuffle_uses_all_entries_before_repeating() -> None:
    preset = made([f"sea {i}" for i in range(9)])
    first = drawn(Pools(preset, 1), 18)
    assert sorted(first[:9]) == sorted(first[9:]) == [f"sea {i}" for i in range(9)]
    assert first == drawn(Pools(preset, 1), 18)
    assert first != drawn(Pools(preset, 2), 18)


def test_weights_are_shares_of_a_shuffle() -> None:
    prompts = [{"text": "often", "weight": 3}, {"text": "rare", "weight": 0.5}, "once", "one", "uno"]
    seen = drawn(Pools(made(prompts), 0), 650)
    assert {text: seen.count(text) for text in set(seen)} == {
        "often": 300,
        "rare": 50,
        "once": 100,
        "one": 100,
        "uno": 100,
    }
    assert all(a != b for a, b in zip(seen, seen[1:], strict=False))


def test_a_sequence_keeps_its_order_and_weight_is_repetitions() -> None:
    preset = made(["a", {"text": "b", "weight": 2}, "c"], phase={"order": "sequence"})
    assert drawn(Pools(preset, 5), 9) == ["a", "b", "b", "c", "a", "b", "b", "c", "a"]


def test_a_ladder_is_selected_by_height() -> None:
    preset = made(["calm", "fresh", "wild", "storm"], phase={"order": "ladder"})
    for height, rung in ((0.0, "calm"), (0.3, "fresh"), (0.6, "wild"), (1.0, "storm"), (7.0, "storm"), (-1.0, "calm")):
        assert drawn(Pools(preset, 0), 1, height) == [rung]
    # repeating the same height looks like a step
    again = drawn(Pools(preset, 0), 4, 0.7)
    assert again[0] == "wild"
    assert all(a != b for a, b in zip(again, again[1:], strict=False))


def test_words_are_all_used_before_repeating() -> None:
    preset = made(["{stone} {red|blue} wall"], words={"stone": ["slate", "marble", "chalk"]})
    seen = drawn(Pools(preset, 0), 60)
    stones = [text.split()[0] for text in seen]
    assert all(set(stones[i : i + 3]) == {"slate", "marble", "chalk"} for i in range(0, 60, 3))
    assert len(set(seen)) == 6
    assert all(a != b for a, b in zip(stones, stones[1:], strict=False))


def test_a_phases_word_list_overrides_the_shared_one() -> None:
    preset = made(["{x}"], words={"x": "shared"}, phase={"words": {"x": "own"}})
    assert drawn(Pools(preset, 0), 2) == ["own", "own"]


def test_a_variable_is_one_word_for_the_clip_selected_by_the_seed() -> None:
    cities = [f"city{i}" for i in range(20)]
    preset = made(["{city} by night", "{city} by day"], variables={"city": cities})
    picked = {drawn(Pools(preset, seed), 4)[0].split()[0] for seed in range(12)}
    assert len(picked) > 3
    assert len({text.split()[0] for text in drawn(Pools(preset, 0), 8)}) == 1


def test_style_and_negatives_belong_to_their_prompts() -> None:
    preset = made(
        ["plain", {"text": "{a|b}", "negative": "fog"}],
        style="film grain",
        negative="text",
        phase={"negative": "people"},
    )
    pools = Pools(preset, 0)
    for _ in range(6):
        number = pools.next(0)
        assert pools.prompts[number].endswith(", film grain")
        wanted = "text, people" if pools.prompts[number].startswith("plain") else "text, people, fog"
        assert pools.negatives[number] == wanted
    assert len(pools.prompts) == len(pools.negatives) == 3


def test_a_new_list_does_not_change_the_order_of_others() -> None:
    before = made(["{a} tower", "sea"], words={"a": list("uvwxyz")})
    after = made(["{a} tower", "sea"], words={"a": list("uvwxyz"), "b": ["1", "2"]})
    assert drawn(Pools(before, 3), 20) == drawn(Pools(after, 3), 20)


def test_doubled_braces_are_literal() -> None:
    assert drawn(Pools(made(["a {{b}} c"]), 0), 1) == ["a {b} c"]


def test_indices_of_plain_prompts_do_not_depend_on_use() -> None:
    pools = Pools(made(["a", "{x|y}", "b"]), 0)
    assert pools.prompts == ["a", "b"]
    assert np.unique([pools.next(0) for _ in range(9)]).tolist() == [0, 1, 2, 3]
