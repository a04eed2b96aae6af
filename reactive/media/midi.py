"""Read standard MIDI files: notes, markers, and the metrical grid that their tempo map spells out. Times in seconds.

Needs `mido` (extra ``midi``). Only the bytes of a checked regular file are handed to it.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactive.errors import MediaError
from reactive.media.safe import regular_file

LARGEST = 16 << 20
DRUM_CHANNEL = 9
# the standard's defaults, where a file says nothing: 120 beats a minute, 4/4
DEFAULT_TEMPO = 500_000
MOST_BEATS = 200_000


@dataclass(frozen=True)
class Midi:
    """What a MIDI file says.

    Attributes
    ----------
    notes
        float64 [n, 4]: start in seconds, pitch 0 to 127, velocity in (0, 1], channel 0 to 15; by start.
    markers
        Times in seconds and their texts, rising.
    beats, downbeats
        The grid from tick 0 to the last note, in seconds. A beat is the unit of the time signature, or three of them
        in 6/8, 9/8 and 12/8.
    beats_per_bar
        Of the bar that each downbeat begins, int64, as long as `downbeats`.
    """

    notes: np.ndarray
    markers: tuple[tuple[float, str], ...]
    beats: np.ndarray
    downbeats: np.ndarray
    beats_per_bar: np.ndarray


def read_midi(path: str | os.PathLike[str]) -> Midi:
    """Read a MIDI file.

    Raises
    ------
    MediaError
        If it is no MIDI file, is larger than 16 MiB, or `mido` is not installed.
    """
    checked = regular_file(path)
    if checked.stat().st_size > LARGEST:
        raise MediaError("is too large for a MIDI file (over 16 MiB)", where=str(path), remedy="export fewer tracks")
    return parse_midi(checked.read_bytes(), where=str(path))


def parse_midi(data: bytes, *, where: str = "MIDI") -> Midi:
    """Return what the bytes of a MIDI file say; `where` names them in errors, which are those of `read_midi`."""
    try:
        import mido
    except ImportError:
        raise MediaError(
            "needs the package mido to be read", where=where, remedy='install it: pip install "reactive-clip[midi]"'
        ) from None
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        events = sorted(
            ((tick, number, message) for number, track in enumerate(file.tracks) for tick, message in _absolute(track)),
            key=lambda event: event[:2],
        )
        ticks = file.ticks_per_beat
    # mido lets whatever a damaged byte causes through
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError):
        raise MediaError("is not a MIDI file that can be read", where=where, remedy="export it again") from None
    if not 0 < ticks < 0x8000:
        raise MediaError("counts time in film frames", where=where, remedy="export it with ticks per beat") from None
    clock = _Clock([(tick, m.tempo) for tick, _, m in events if m.type == "set_tempo"], ticks)
    notes = [
        (clock.seconds(tick), m.note, m.velocity / 127, m.channel)
        for tick, _, m in events
        if m.type == "note_on" and m.velocity > 0
    ]
    markers = tuple(
        (clock.seconds(tick), m.text.strip()) for tick, _, m in events if m.type in ("marker", "cue_marker")
    )
    last = max((tick for tick, _, m in events if m.type in ("note_on", "note_off")), default=0)
    signatures = [(tick, m.numerator, m.denominator) for tick, _, m in events if m.type == "time_signature"]
    beat_ticks, bar_ticks, sizes = _grid(signatures, ticks, last)
    return Midi(
        notes=np.array(notes, float).reshape(-1, 4),
        markers=markers,
        beats=np.array([clock.seconds(tick) for tick in beat_ticks]),
        downbeats=np.array([clock.seconds(tick) for tick in bar_ticks]),
        beats_per_bar=np.array(sizes, np.int64),
    )


def _absolute(track: Any) -> list[tuple[int, Any]]:
    tick, found = 0, []
    for message in track:
        tick += message.time
        found.append((tick, message))
    return found


class _Clock:
    """Ticks to seconds by a tempo map."""

    def __init__(self, changes: list[tuple[int, int]], ticks_per_beat: int) -> None:
        self.ticks, self.starts, self.lengths = [0], [0.0], [DEFAULT_TEMPO / 1e6 / ticks_per_beat]
        for tick, tempo in changes:
            self.starts.append(self.seconds(tick))
            self.ticks.append(tick)
            self.lengths.append(max(tempo, 1) / 1e6 / ticks_per_beat)

    def seconds(self, tick: float) -> float:
        last = int(np.searchsorted(self.ticks, tick, side="right")) - 1
        return self.starts[last] + (tick - self.ticks[last]) * self.lengths[last]


def _grid(signatures: list[tuple[int, int, int]], ticks: int, last: int) -> tuple[list[float], list[float], list[int]]:
    """Return the ticks of beats and bars up to `last`, and the beats of each bar."""
    if not signatures or signatures[0][0] > 0:
        signatures = [(0, 4, 4), *signatures]
    beats: list[float] = []
    bars: list[float] = []
    sizes: list[int] = []
    ends = [start for start, _, _ in signatures[1:]] + [last + 1]
    for (start, count, unit), end in zip(signatures, ends, strict=True):
        compound = unit >= 8 and count % 3 == 0 and count > 3
        per_bar = max(count // 3 if compound else count, 1)
        step = ticks * 4 / max(unit, 1) * (3 if compound else 1)
        for number in range(min(int(np.ceil((end - start) / step)), MOST_BEATS - len(beats))):
            beats.append(start + number * step)
            if number % per_bar == 0:
                bars.append(start + number * step)
                sizes.append(per_bar)
    return beats, bars, sizes
