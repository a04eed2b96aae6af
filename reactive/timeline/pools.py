"""Choose prompts: each phase's pool in its order, with gaps filled, and with the negative of each.

The result depends on the preset, the seed and the number of earlier calls; each list of words has its own shuffle, so
a change in one pool does not affect the others.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import count

import numpy as np

from reactive.preset.schema import Phase, Preset, PromptEntry
from reactive.preset.template import LINE, Gap, fill, is_plain


class Pools:
    """Chooses each phase's prompts, every one before any comes again, across rounds of the loop.

    Attributes
    ----------
    prompts, negatives, grounds, palettes
        All texts by number, the negative of each, its ground (None for none), and its own
        palette, if it has one.
    """

    def __init__(self, preset: Preset, seed: int, parts: Set[str] = frozenset()) -> None:
        self.preset = preset
        # the names of the song's parts: a prompt for parts that it does not have may come anywhere
        self.parts = parts
        self.seed = seed % 2**63
        self.prompts: list[str] = []
        self.negatives: list[str] = []
        self.palettes: list[tuple[str, ...]] = []
        self.grounds: list[str | None] = []
        self.numbers: dict[tuple[int, int], int] = {}
        self.made: dict[tuple[str, str, str | None, tuple[str, ...]], int] = {}
        self.bags: dict[str, Iterator[int]] = {}
        self.rung: dict[int, int] = {}
        # plain prompts get numbers at the start, so that an edited timeline can use any of them
        for number, phase in enumerate(preset.phase):
            for place, entry in enumerate(phase.prompts):
                if is_plain(entry.text):
                    self.numbers[number, place] = self._add(
                        fill_plain(entry.text), _negative(preset, phase, entry), entry.ground, entry.palette
                    )
        self.orders: dict[tuple[int, tuple[int, ...]], Iterator[int]] = {}

    def next(self, phase: int, height: float = 0.0, part: str = "") -> int:
        """Return the number of the phase's next prompt.

        Parameters
        ----------
        phase
            The number of the phase.
        height
            The current height on a ladder, 0..1.
        part
            The name of the part of the song: only prompts for it come there, if there are any, and none for other parts.
        """
        chosen = self.preset.phase[phase]
        places = self.places(phase, part)
        place = self._climb(phase, places, height) if chosen.order == "ladder" else self._turn(phase, places)
        if (phase, place) in self.numbers:
            return self.numbers[phase, place]
        entry = chosen.prompts[place]
        return self._filled(
            entry.text,
            _negative(self.preset, chosen, entry),
            chosen.words,
            f"{chosen.name}/{place}",
            ground=entry.ground,
            palette=entry.palette,
        )

    def places(self, phase: int, part: str) -> tuple[int, ...]:
        """Return the indices in a phase's pool that may come in a part of the song."""
        wanted = [self.parts & set(entry.parts) for entry in self.preset.phase[phase].prompts]
        named = tuple(place for place, names in enumerate(wanted) if part in names)
        plain = tuple(place for place, names in enumerate(wanted) if not names)
        return named or plain or tuple(range(len(wanted)))

    def take(self, template: str, negative: str = "", line: str | None = None, ground: str | None = None) -> int:
        """Return the number of a prompt outside the pools: a pin's, or one made from a line of the song's words."""
        return self._filled(template, _joined(self.preset.negative, negative), {}, template, line, ground=ground)

    def _add(self, text: str, negative: str, ground: str | None, palette: tuple[str, ...] = ()) -> int:
        self.prompts.append(_joined(text, self.preset.style))
        self.negatives.append(negative)
        self.grounds.append(ground)
        self.palettes.append(palette)
        return len(self.prompts) - 1

    def _filled(
        self,
        template: str,
        negative: str,
        words: Mapping[str, Sequence[str]],
        owner: str,
        line: str | None = None,
        *,
        ground: str | None = None,
        palette: tuple[str, ...] = (),
    ) -> int:
        def draw(number: int, gap: Gap) -> str:
            if gap.name == LINE and line is not None:
                return line
            if gap.choices:
                return self._word(f"{owner}/{number}", gap.choices)
            if gap.name in words:
                return self._word(f"{owner.partition('/')[0]}/{gap.name}", words[gap.name])
            if gap.name in self.preset.words:
                return self._word(gap.name, self.preset.words[gap.name])
            return self._variable(gap.name)

        text = fill(template, draw)
        key = (text, negative, ground, palette)
        if key not in self.made:
            self.made[key] = self._add(text, negative, ground, palette)
        return self.made[key]

    def _word(self, bag: str, words: Sequence[str]) -> str:
        if bag not in self.bags:
            self.bags[bag] = _drawn(len(words), [self.seed, _key(bag)])
        return words[next(self.bags[bag])]

    def _variable(self, name: str) -> str:
        values = self.preset.variables[name]
        return values[int(np.random.Generator(np.random.Philox(key=[self.seed, _key(name)])).integers(len(values)))]

    def _turn(self, phase: int, places: tuple[int, ...]) -> int:
        """Return the next of some indices of a phase's pool; each set of indices has its own shuffle."""
        key = (phase, places)
        if key not in self.orders:
            weights = [self.preset.phase[phase].prompts[place].weight for place in places]
            shuffle = self.preset.phase[phase].order != "sequence"
            self.orders[key] = _shuffled(weights, [self.seed, phase]) if shuffle else _in_turn(weights)
        return places[next(self.orders[key])]

    def _climb(self, phase: int, places: tuple[int, ...], height: float) -> int:
        weights = np.array([self.preset.phase[phase].prompts[place].weight for place in places])
        edges = np.cumsum(weights) / weights.sum()
        rung = min(int(np.searchsorted(edges, height, side="right")), len(weights) - 1)
        if places[rung] == self.rung.get(phase) and len(weights) > 1:
            # the same height again: take a neighbour, so that a switch is always visible
            middle = edges[rung] - weights[rung] / weights.sum() / 2
            step = 1 if height >= middle else -1
            rung = rung + step if 0 <= rung + step < len(weights) else rung - step
        self.rung[phase] = places[rung]
        return places[rung]


def fill_plain(text: str) -> str:
    """Return the text of a template without gaps."""
    return text.replace("{{", "{").replace("}}", "}")


def plain_texts(preset: Preset) -> tuple[str, ...]:
    """Return the prompts of a preset's pools that any song has, since they have no gaps, and their negatives."""
    entries = [(phase, entry) for phase in preset.phase for entry in phase.prompts if is_plain(entry.text)]
    shown = [_joined(fill_plain(entry.text), preset.style) for _, entry in entries]
    away = [_negative(preset, phase, entry) for phase, entry in entries]
    return tuple(dict.fromkeys(text for text in [*shown, *away] if text))


def _negative(preset: Preset, phase: Phase, entry: PromptEntry) -> str:
    return _joined(preset.negative, phase.negative, entry.negative)


def _joined(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _key(name: str) -> int:
    # from 2**32 on, separate from the numbers of phases
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) | 1 << 32


def _in_turn(weights: Sequence[float]) -> Iterator[int]:
    while True:
        for place, weight in enumerate(weights):
            yield from [place] * max(1, round(weight))


def _shuffled(weights: Sequence[float], key: list[int]) -> Iterator[int]:
    """Yield indices for ever; a round has each one as often as its weight, on average.

    Each round has another order, and none comes again before half of the others, if the weights allow it.
    """
    random = np.random.Generator(np.random.Philox(key=key))
    recent: deque[int] = deque(maxlen=len(weights) // 2)
    for turn in count():
        due = [math.floor((turn + 1) * w + 1e-9) - math.floor(turn * w + 1e-9) for w in weights]
        order = np.repeat(np.arange(len(weights)), due)
        random.shuffle(order)
        places = order.tolist()
        while places:
            # one that makes up half of the rest must come now, or it would come twice in a row at the end
            often = next(
                (p for p in set(places) if 2 * places.count(p) > len(places) and p not in [*recent][-1:]), None
            )
            # otherwise the first that has rested, or the least recent one
            place = often if often is not None else min(places, key=lambda p: _last(recent, p))
            places.remove(place)
            recent.append(place)
            yield place


def _last(recent: Sequence[int], place: int) -> int:
    """Return the position of an index's last occurrence, -1 if there is none."""
    return max((position for position, other in enumerate(recent) if other == place), default=-1)


def _drawn(length: int, key: list[int]) -> Iterator[int]:
    """Yield numbers below `length` for ever, all of them before any comes again, each round in another order."""
    random = np.random.Generator(np.random.Philox(key=key))
    before = -1
    while True:
        order = random.permutation(length).tolist()
        if order[0] == before and length > 1:
            order.append(order.pop(0))
        before = order[-1]
        yield from order
