"""Compose grooves by rule: drums, bass, chords and a melody in a metre with exactly known beats and bars.

Everything is composed in beats and converted to seconds by a tempo curve at the end, so swing, human timing and tempo
changes do not affect the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KICK, SNARE, CLAP, SIDE, CLOSED, OPEN, PEDAL, RIDE, CRASH, SHAKER = 36, 38, 39, 37, 42, 46, 44, 51, 49, 70
TOMS = (50, 47, 45, 43)
DRUMS = 9
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 3, 5, 7, 10))
# General MIDI programs (from 0) by part
BASSES = (32, 33, 34, 35, 36, 37, 38, 39, 43, 58)
CHORDS = (0, 1, 2, 4, 5, 6, 11, 16, 17, 19, 21, *range(24, 31), 46, 48, 50, 51, 61, 62, 63, 80, 81, *range(88, 91), 95)
LEADS = (0, 11, 12, 22, 25, 26, 29, 30, 40, 52, 54, 56, 59, 65, 66, 68, 71, 73, 75, 79, 80, 81, 82, 84, 87, 104)


@dataclass(frozen=True)
class Metre:
    """Beats of a bar and parts of a beat: (4, 2) is 4/4 in quavers, (2, 3) is 6/8."""

    beats: int
    parts: int


# start and length in seconds (or beats, while composing), pitch, velocity 1 to 127, channel
Note = tuple[float, float, int, int, int]


@dataclass
class Piece:
    """A composed excerpt: its notes, programs by channel, truth in seconds."""

    notes: list[Note]
    programs: dict[int, int]
    beats: np.ndarray
    downbeats: np.ndarray
    metre: Metre
    style: str
    # notes and times in beats, used while composing
    raw: list[Note] = field(default_factory=list)


# Patterns of one 4/4 bar on a grid of sixteenths; x hit, o soft hit, - rest. Each: kick, snare, hat.
STYLES: dict[str, tuple[tuple[float, float], list[tuple[str, str, str]]]] = {
    "house": (
        (112, 140),
        [
            ("x---x---x---x---", "----x-------x---", "--x---x---x---x-"),
            ("x---x---x---x---", "----x-------x--o", "x-x-x-x-x-x-x-x-"),
            ("x---x---x---x-x-", "----------------", "--x---x---x---x-"),
            ("x---x---x---x---", "----x--x-x--x---", "xoxoxoxoxoxoxoxo"),
        ],
    ),
    "rock": (
        (80, 190),
        [
            ("x-------x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-----x-x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x--x----x-x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-----x-x-----", "----x-------x---", "x---x---x---x---"),
            ("x-----x---x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
        ],
    ),
    "halftime": (
        (110, 170),
        [
            ("x---------------", "--------x-------", "x-x-x-x-x-x-x-x-"),
            ("x-----x---------", "--------x-------", "x---x---x---x---"),
            ("x--x--x-------x-", "--------x-------", "x-xxx-xxx-xxx-xx"),
            ("x---------x-----", "--------x-----o-", "x-x-x-xxx-x-x-x-"),
        ],
    ),
    "punk": (
        (150, 225),
        [
            ("x---x---x---x---", "--x---x---x---x-", "x-x-x-x-x-x-x-x-"),
            ("x-------x-x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-x-x-x-x-x-x-", "----x-------x---", "x---x---x---x---"),
            ("xxxxxxxxxxxxxxxx", "----x-------x---", "x---x---x---x---"),
        ],
    ),
    "metal": (
        (120, 220),
        [
            ("xxxxxxxxxxxxxxxx", "----x-------x---", "x---x---x---x---"),
            ("x-x-x-x-x-x-x-x-", "--x---x---x---x-", "x-x-x-x-x-x-x-x-"),
            ("x-xxx-xxx-xxx-xx", "----x-------x---", "x---x---x---x---"),
            ("x--x--x--x--x-x-", "--------x-------", "x---x---x---x---"),
            ("xxxxxxxx--------", "----x-------x-x-", "x-x-x-x-x-x-x-x-"),
            ("x---x---x---x---", "-x-x-x-x-x-x-x-x", "x-x-x-x-x-x-x-x-"),
        ],
    ),
    "score": (
        (80, 190),
        [
            ("x---------------", "------------x-x-", "----------------"),
            ("x-------x-----x-", "x--xx-x-x--xx-x-", "----------------"),
            ("x---x---x---x---", "x-xxx-xxx-xxx-xx", "----------------"),
            ("--------x-------", "----------------", "x-------x-------"),
        ],
    ),
    "funk": (
        (85, 118),
        [
            ("x--x--x---x--x--", "----x--o-o--x--o", "xoxoxoxoxoxoxoxo"),
            ("x-x----x--x-----", "----x--o-o-ox---", "x-xxx-xxx-xxx-xx"),
            ("x---------x--x--", "----x--o----x--o", "xxxxxxxxxxxxxxxx"),
        ],
    ),
    "breaks": (
        (125, 182),
        [
            ("x---------x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-------x-----", "----x--o-o--x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-------xx----", "----x--o-o--x--o", "xxx-xxx-xxx-xxx-"),
            ("x-----x---x-----", "----x-------x--o", "--x---x---x---x-"),
        ],
    ),
    "hiphop": (
        (68, 105),
        [
            ("x------x--x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x----x--x----x", "----x-------x---", "xxxxxxxxxxxxxxxx"),
            ("x-----xx--x-----", "----x-------x---", "x---x---x---x---"),
        ],
    ),
    "reggae": (
        (65, 95),
        [
            ("--------x-------", "--------x-------", "x-x-x-x-x-x-x-x-"),
            ("x-------x-------", "--------x-------", "--x---x---x---x-"),
        ],
    ),
    "latin": (
        (85, 125),
        [
            ("x---x---x---x---", "---x--x----x--x-", "x-x-x-x-x-x-x-x-"),
            ("x-----x-x-----x-", "x--x--x---x-x---", "xoxoxoxoxoxoxoxo"),
        ],
    ),
    "jazz": (
        (90, 225),
        [
            ("----------------", "----------------", "x---x-x-x---x-x-"),
            ("o---o---o---o---", "-----------o----", "x---x-x-x---x-x-"),
        ],
    ),
    "march": (
        (90, 135),
        [
            ("x-------x-------", "----x-xx----x-x-", "----------------"),
            ("x---x---x---x---", "--xx--x---xx--xx", "----------------"),
        ],
    ),
    "sparse": (
        (60, 150),
        [
            ("x---------------", "----------------", "----------------"),
            ("x-------x-------", "----------------", "x---x---x---x---"),
        ],
    ),
    "tribal": (
        (85, 140),
        [
            ("x--x--x-x--x--x-", "------------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-x-xxx-x-x-xx", "----------------", "----------------"),
        ],
    ),
}
# metres other than 4/4: kick, snare, hat on (beats x parts) slots
OTHERS: dict[tuple[int, int], list[tuple[str, str, str]]] = {
    (3, 2): [
        ("x-----", "--x-x-", "x-x-x-"),
        ("x-----", "----x-", "x-xxxx"),
        ("x---x-", "--x---", "x-x-x-"),
        ("x-----", "------", "--x-x-"),
        ("x--x--", "----x-", "xxxxxx"),
    ],
    (3, 4): [("x-----------", "----x---x---", "x-x-x-x-x-x-"), ("x-----x-----", "--------x---", "xoxoxoxoxoxo")],
    (2, 3): [
        ("x-----", "---x--", "xxxxxx"),
        ("x----x", "---x--", "xxxxxx"),
        ("x-x---", "---x--", "x-xx-x"),
        ("x-----", "---x-o", "x--x--"),
    ],
    (4, 3): [
        ("x-----x-----", "---x-----x--", "xxxxxxxxxxxx"),
        ("x--x--x--x--", "---x-----x--", "x-xx-xx-xx-x"),
        ("x----xx-----", "---x-----x--", "x-xx-xx-xx-x"),
        ("x-----------", "------x-----", "xxxxxxxxxxxx"),
    ],
    (5, 2): [
        ("x-----x---", "---x----x-", "x-x-x-x-x-"),
        ("x-x---x---", "----x---x-", "xxxxxxxxxx"),
        ("x---x-x---", "--x-----x-", "x-x-x-x-x-"),
    ],
    (7, 2): [
        ("x---x---x-----", "--x---x-----x-", "x-x-x-x-x-x-x-"),
        ("x-----x---x---", "----x---x---x-", "xxxxxxxxxxxxxx"),
    ],
    (6, 2): [("x-----x-----", "----x-----x-", "x-x-x-x-x-x-"), ("x---x-x---x-", "--x-----x---", "x-x-x-x-x-x-")],
}
METRES = (
    ((4, 4), 0.64),
    ((4, 3), 0.12),
    ((3, 2), 0.09),
    ((3, 4), 0.03),
    ((2, 3), 0.06),
    ((5, 2), 0.03),
    ((7, 2), 0.025),
    ((6, 2), 0.025),
)


def compose(rng: np.random.Generator, seconds: float) -> Piece:
    """Return a groove of at least `seconds` seconds."""
    shapes, weights = zip(*METRES, strict=True)
    metre = Metre(*shapes[rng.choice(len(shapes), p=np.array(weights) / sum(weights))])
    if (metre.beats, metre.parts) == (4, 4):
        style = str(rng.choice(list(STYLES)))
        span, patterns = STYLES[style]
    else:
        style = f"{metre.beats}x{metre.parts}"
        span, patterns = (
            {3: (60, 120), 2: (70, 170), 4: (75, 190)}[min(metre.parts, 4)],
            OTHERS[metre.beats, metre.parts],
        )
    tempo = float(np.exp(rng.uniform(*np.log(span))) * np.exp(rng.normal(0, 0.06)))
    bars = int(np.ceil(seconds * tempo / 60 / metre.beats)) + 2
    piece = Piece([], {}, np.zeros(0), np.zeros(0), metre, style)
    swing = _swing(rng, style, metre)
    drumless = rng.random() < 0.18
    sections = _sections(rng, bars)
    if not drumless:
        _drums(rng, piece, patterns, sections, swing)
    if style not in ("tribal",) or rng.random() < 0.7:
        _harmony(rng, piece, bars, swing, sections, must=drumless)
    return _timed(rng, piece, bars, tempo, tight=not drumless)


def _swing(rng: np.random.Generator, style: str, metre: Metre) -> float:
    """Return the position of the offbeat in a beat: 0.5 straight, 2/3 triplets."""
    if metre.parts == 3:
        return 0.5
    if style == "jazz":
        return float(rng.uniform(0.58, 0.68))
    return float(rng.uniform(0.54, 0.67)) if rng.random() < 0.2 else 0.5


def _sections(rng: np.random.Generator, bars: int) -> list[dict[str, float]]:
    """Return for each bar which parts play (drums, kick, snare, hat, bass, chords, lead; 0 or 1), and where fills are."""
    plan: list[dict[str, float]] = []
    while len(plan) < bars:
        length = int(rng.choice([2, 4, 4, 8]))
        full = rng.random() < 0.65
        on = {
            "kick": 1.0 if full else float(rng.random() < 0.5),
            "snare": 1.0 if full else float(rng.random() < 0.5),
            "hat": 1.0 if full and rng.random() < 0.9 else float(rng.random() < 0.5),
            "bass": float(rng.random() < 0.85),
            "chords": float(rng.random() < 0.85),
            "lead": float(rng.random() < 0.5),
            "fill": float(rng.random() < 0.4),
            "crash": float(rng.random() < 0.4),
            "pattern": float(rng.random()),
        }
        plan += [on | {"first": float(bar == 0), "last": float(bar == length - 1)} for bar in range(length)]
    return plan[:bars]


def _slot(beat: float, swing: float) -> float:
    """Apply swing to a position between beats; beats themselves stay."""
    beat_index, inside = divmod(beat, 1.0)
    return beat_index + (inside * swing / 0.5 if inside < 0.5 else swing + (inside - 0.5) * (1 - swing) / 0.5)


def _drums(
    rng: np.random.Generator,
    piece: Piece,
    patterns: list[tuple[str, str, str]],
    sections: list[dict[str, float]],
    swing: float,
) -> None:
    metre = piece.metre
    snare = int(rng.choice([SNARE, SNARE, SNARE, 40, CLAP, SIDE]))
    hat = int(rng.choice([CLOSED, CLOSED, CLOSED, RIDE, SHAKER, OPEN, PEDAL, 69, 54]))
    levels = {KICK: rng.uniform(85, 125), snare: rng.uniform(75, 125), hat: rng.uniform(35, 110)}
    own = _invented(rng, metre) if rng.random() < 0.25 else None
    accent = rng.uniform(0, 0.35)
    for bar, on in enumerate(sections):
        selected = own or patterns[int(on["pattern"] * len(patterns))]
        if rng.random() < 0.12:
            selected = patterns[rng.integers(len(patterns))]
        slots = len(selected[0])
        filling = on["last"] and on["fill"]
        fill_from = slots - (slots // metre.beats) * int(rng.integers(1, min(3, metre.beats) + 1)) if filling else slots
        for role, line, key in (("kick", selected[0], KICK), ("snare", selected[1], snare), ("hat", selected[2], hat)):
            if not on[role]:
                continue
            for slot, mark in enumerate(line):
                played = mark != "-" and rng.random() < 0.97
                if role == "kick" and mark == "-" and rng.random() < 0.02:
                    played = True
                if not played or (slot >= fill_from and role != "kick"):
                    continue
                beat = slot * metre.beats / slots
                level = levels[key] * (0.45 if mark == "o" else 1.0) * (1 + accent * (beat % 1 == 0) - accent / 2)
                number = OPEN if key == CLOSED and role == "hat" and rng.random() < 0.04 else key
                _add(piece, bar * metre.beats + _slot(beat, swing), 0.1, number, level * rng.uniform(0.88, 1.08), DRUMS)
        if filling:
            voices = [snare, *TOMS] if rng.random() < 0.6 else [snare]
            for slot in range(fill_from, slots):
                if rng.random() < 0.75:
                    voice = voices[
                        min(int((slot - fill_from) / max(slots - fill_from, 1) * len(voices)), len(voices) - 1)
                    ]
                    beat = bar * metre.beats + _slot(slot * metre.beats / slots, swing)
                    _add(piece, beat, 0.1, voice, rng.uniform(70, 120), DRUMS)
        if on["first"] and on["crash"] and on["kick"]:
            _add(piece, bar * metre.beats, 0.1, CRASH, rng.uniform(80, 120), DRUMS)
        if rng.random() < 0.03:
            # an additional random hit
            _add(
                piece,
                bar * metre.beats + rng.uniform(0, metre.beats),
                0.1,
                int(rng.choice(TOMS)),
                rng.uniform(50, 110),
                DRUMS,
            )


def _invented(rng: np.random.Generator, metre: Metre) -> tuple[str, str, str]:
    """Return a random pattern with hits more likely on strong positions, with or without a backbeat."""
    slots = metre.beats * metre.parts
    lines = []
    for density in (rng.uniform(0.1, 0.35), rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.9)):
        strong = np.array([3.0 if s == 0 else 2.0 if s % metre.parts == 0 else 0.7 for s in range(slots)])
        lines.append("".join("x" if rng.random() < density * strong[s] else "-" for s in range(slots)))
    kick = "x" + lines[0][1:] if rng.random() < 0.85 else lines[0]
    return kick, "-" + lines[1][1:], lines[2]


def _harmony(
    rng: np.random.Generator, piece: Piece, bars: int, swing: float, sections: list[dict[str, float]], *, must: bool
) -> None:
    metre = piece.metre
    scale = SCALES[rng.integers(len(SCALES))]
    key = int(rng.integers(12))
    loop = int(rng.choice([1, 2, 4, 4, 4, 8]))
    roots = [int(rng.integers(len(scale))) for _ in range(loop)]
    roots[0] = 0 if rng.random() < 0.7 else roots[0]
    rate = int(rng.choice([1, 1, 1, 1, 2]))
    per_bar = 2 if metre.beats % 2 == 0 and rng.random() < 0.15 else 1
    piece.programs = {
        0: int(rng.choice(BASSES)),
        1: int(rng.choice(CHORDS)),
        2: int(rng.choice(LEADS)),
        3: int(rng.choice(CHORDS)),
    }
    chips = rng.random() < 0.08
    if chips:
        # voices of a game console
        piece.programs = {0: 38, 1: 80, 2: 80, 3: 81}
    heavy = piece.style in ("metal", "punk") and rng.random() < 0.8
    if heavy:
        piece.programs |= {0: 34, 1: int(rng.choice([29, 30]))}
    bass_line = _rhythm(rng, metre, rng.uniform(0.15, 0.8))
    comp_line = bass_line if heavy and rng.random() < 0.6 else _rhythm(rng, metre, rng.uniform(0.05, 0.7))
    arpeggio = rng.random() < (0.7 if chips else 0.05 if heavy else 0.3)
    early = 1 / metre.parts if rng.random() < 0.15 else 0.0
    pad = rng.random() < 0.4
    levels = rng.uniform(45, 110, 3)
    turns = bars * per_bar
    for turn in range(turns):
        bar = turn // per_bar
        on = sections[bar]
        root = roots[(turn // rate) % loop]
        chord = [
            60 + key - 6 + scale[(root + step) % len(scale)] + 12 * ((root + step) // len(scale)) for step in (0, 2, 4)
        ]
        if heavy:
            # root, fifth and octave
            chord = [chord[0] - 12, chord[0] - 5, chord[0]]
        start = turn * metre.beats / per_bar
        length = metre.beats / per_bar
        base = 36 + (key + scale[root % len(scale)]) % 12
        if on["bass"] or must:
            for slot, hit in enumerate(bass_line):
                beat = slot / metre.parts
                if hit and beat < length:
                    pitch = base + int(rng.choice([0, 0, 0, 0, 7, 12, 5])) if slot else base
                    _add(
                        piece,
                        start + _slot(beat, swing),
                        rng.uniform(0.3, 0.95),
                        pitch,
                        levels[0] * rng.uniform(0.85, 1.1),
                        0,
                    )
        if on["chords"] or must:
            for slot, hit in enumerate(comp_line):
                beat = slot / metre.parts
                if beat >= length:
                    continue
                if arpeggio:
                    pitch = chord[slot % 3] + 12 * int(slot % 4 == 3)
                    _add(piece, start + _slot(beat, swing), 0.6, pitch, levels[1] * rng.uniform(0.8, 1.1), 1)
                elif hit:
                    at = max(start + _slot(beat, swing) - (early if slot == 0 else 0.0), 0.0)
                    for pitch in chord:
                        _add(piece, at, rng.uniform(0.2, 0.9), pitch, levels[1] * rng.uniform(0.85, 1.1), 1)
        if pad and (on["chords"] or must):
            for pitch in chord:
                _add(piece, start, length, pitch - 12, 60, 3)
        if on["lead"] and rng.random() < 0.85:
            _tune(rng, piece, start, length, [p - 60 for p in chord], scale, key, swing, levels[2])


def _rhythm(rng: np.random.Generator, metre: Metre, density: float) -> list[bool]:
    slots = metre.beats * metre.parts
    line = []
    for slot in range(slots):
        strong = 1.0 if slot == 0 else 0.6 if slot % metre.parts == 0 else 0.35
        line.append(bool(rng.random() < min(1.0, density * 2 * strong)))
    if rng.random() < 0.85:
        line[0] = True
    return line


def _tune(
    rng: np.random.Generator,
    piece: Piece,
    start: float,
    length: float,
    chord: list[int],
    scale: tuple[int, ...],
    key: int,
    swing: float,
    level: float,
) -> None:
    beat = 0.0
    step = int(rng.integers(7))
    while beat < length:
        parts = piece.metre.parts
        long = float(rng.choice([1, 1, 2, 3, parts, parts, 2 * parts])) / parts
        if rng.random() < 0.8:
            pitch = 60 + key + scale[step % len(scale)] + 12 * (step // len(scale) % 2)
            _add(piece, start + _slot(beat, swing), long * 0.9, pitch, level * rng.uniform(0.7, 1.1), 2)
        step = int(np.clip(step + rng.integers(-2, 3), 0, 13))
        beat += long


def _add(piece: Piece, beat: float, length: float, pitch: int, velocity: float, channel: int) -> None:
    piece.raw.append((beat, length, int(np.clip(pitch, 0, 127)), int(np.clip(velocity, 1, 127)), channel))


def _timed(rng: np.random.Generator, piece: Piece, bars: int, tempo: float, *, tight: bool) -> Piece:
    """Convert beats to seconds: steady, drifting, or with one tempo change; human timing is added."""
    count = bars * piece.metre.beats + 1
    pace = np.full(count, 60 / tempo)
    kind = rng.random()
    if kind < 0.25:
        drift = np.cumsum(rng.normal(0, 0.006 if tight else 0.015, count))
        pace = pace * np.exp(drift - drift.mean())
    elif kind < 0.35:
        at = int(rng.integers(1, bars)) * piece.metre.beats
        pace[at:] *= np.exp(rng.uniform(-0.3, 0.3))
    elif kind < 0.40:
        pace = pace * np.exp(rng.uniform(-0.2, 0.2) * np.linspace(-1, 1, count))
    marks = np.concatenate([[0.0], np.cumsum(pace)[:-1]]) + rng.uniform(0, 1.5)
    human = abs(rng.normal(0, 0.006))
    positions = np.arange(count)
    for beat, length, pitch, velocity, channel in piece.raw:
        if beat < count - 1:
            start = float(np.interp(beat, positions, marks) + rng.normal(0, human))
            end = float(np.interp(min(beat + length, count - 1), positions, marks))
            piece.notes.append((max(start, 0.0), max(end - start, 0.04), pitch, velocity, channel))
    piece.raw.clear()
    first = min((note[0] for note in piece.notes), default=0.0) - 0.07
    last = max((note[0] for note in piece.notes), default=0.0) + 0.07
    sounding = (marks >= first) & (marks <= last)
    piece.beats = marks[sounding]
    piece.downbeats = marks[:: piece.metre.beats][sounding[:: piece.metre.beats]]
    return piece
