"""Read standard MIDI files: notes, markers, and the metrical grid that their tempo map spells out. Times in seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

from reactive.errors import MediaError
from reactive.media.letters import names
from reactive.media.safe import regular_file
from reactive.media.smf import META, MidiFile, read_events

MAX_FILE_BYTES = 16 << 20
DRUM_CHANNEL = 9
# the standard's defaults: 120 beats a minute, 4/4
DEFAULT_TEMPO = 500_000
MAX_BEATS = 200_000
_TRACK_NAME, _MARKER, _CUE, _TEMPO, _SIGNATURE = 0x03, 0x06, 0x07, 0x51, 0x58
# frames a second by their code in a division: 29 is 30 drop-frame
_FILM = {24: 24.0, 25: 25.0, 29: 30_000 / 1001, 30: 30.0}


@dataclass(frozen=True)
class Midi:
    """The contents of a MIDI file.

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
        Beats of the bar that each downbeat begins, int64, as long as `downbeats`.
    tracks
        The track of each note, int64 [n].
    names
        The tracks' names by their numbers.
    cut
        Whether the file ends before its last track does.
    """

    notes: np.ndarray
    markers: tuple[tuple[float, str], ...]
    beats: np.ndarray
    downbeats: np.ndarray
    beats_per_bar: np.ndarray
    tracks: np.ndarray
    names: dict[int, str] = field(default_factory=dict)
    cut: bool = False


def read_midi(path: str | os.PathLike[str]) -> Midi:
    """Read a MIDI file, also inside a RIFF (.rmi).

    Raises
    ------
    MediaError
        If it is not a MIDI file, or is larger than 16 MiB.
    """
    checked = regular_file(path)
    if checked.stat().st_size > MAX_FILE_BYTES:
        raise MediaError("is too large for a MIDI file (over 16 MiB)", where=str(path), remedy="export fewer tracks")
    return parse_midi(checked.read_bytes(), where=str(path))


def parse_midi(data: bytes, *, where: str = "MIDI") -> Midi:
    """Parse the bytes of a MIDI file; `where` names them in errors, which are those of `read_midi`."""
    try:
        file = read_events(data)
    except ValueError:
        raise MediaError("is not a MIDI file that can be read", where=where, remedy="export it again") from None
    metas = [event for event in file.events if event.status == META]
    tempos = [
        (event.tick, int.from_bytes(event.data, "big"))
        for event in metas
        if event.kind == _TEMPO and len(event.data) == 3
    ]
    clock, ticks = _clock(file, tempos, where)
    struck = [event for event in file.events if event.status >> 4 == 0x9 and event.data[1] & 0x7F]
    notes = [
        (clock.seconds(event.tick), event.data[0] & 0x7F, (event.data[1] & 0x7F) / 127, event.status & 0xF)
        for event in struck
    ]
    told = [event for event in metas if event.kind in (_MARKER, _CUE, _TRACK_NAME)]
    texts = list(zip(told, names(event.data for event in told), strict=True))
    markers = tuple((clock.seconds(event.tick), text) for event, text in texts if event.kind != _TRACK_NAME)
    last = max((event.tick for event in file.events if event.status >> 4 in (0x8, 0x9)), default=0)
    signatures = [
        (event.tick, event.data[0], 1 << min(event.data[1], 6))
        for event in metas
        if event.kind == _SIGNATURE and len(event.data) >= 2 and event.data[0]
    ]
    beat_ticks, bar_ticks, sizes = _grid(signatures, ticks, last)
    return Midi(
        notes=np.array(notes, float).reshape(-1, 4),
        markers=markers,
        beats=np.array([clock.seconds(tick) for tick in beat_ticks]),
        downbeats=np.array([clock.seconds(tick) for tick in bar_ticks]),
        beats_per_bar=np.array(sizes, np.int64),
        tracks=np.array([event.track for event in struck], np.int64),
        names={event.track: text for event, text in reversed(texts) if event.kind == _TRACK_NAME},
        cut=file.cut,
    )


def _clock(file: MidiFile, tempos: list[tuple[int, int]], where: str) -> tuple[_Clock, int]:
    """Return the conversion from ticks to seconds, and the ticks of a quarter."""
    if not file.division & 0x8000:
        if not file.division:
            raise MediaError("is not a MIDI file that can be read", where=where, remedy="export it again")
        return _Clock(tempos, file.division), file.division
    # film time: ticks are parts of a frame, independent of the tempo
    rate, parts = _FILM.get(256 - (file.division >> 8), 0.0), file.division & 0xFF
    if not rate or not parts:
        raise MediaError("counts time in unknown film frames", where=where, remedy="export it with ticks per beat")
    ticks = max(round(rate * parts * DEFAULT_TEMPO / 1e6), 1)
    clock = _Clock([], ticks)
    clock.lengths = [1 / (rate * parts)]
    return clock, ticks


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
        for number in range(min(int(np.ceil((end - start) / step)), MAX_BEATS - len(beats))):
            beats.append(start + number * step)
            if number % per_bar == 0:
                bars.append(start + number * step)
                sizes.append(per_bar)
    return beats, bars, sizes
