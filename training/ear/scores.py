"""Scores for training: notes and their metre, read from MIDI files with a reliable grid. Times are in seconds.

A score can be played at another tempo (`retimed`), in part (`bars_of`) and with other instruments; beats and bars move with
the notes.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reactive.media.midi import parse_midi

DRUMS = 9
# controllers that are kept: bend, volume, pan, expression, pedal
CONTROLS = (7, 10, 11, 64)
NOTE_COLUMNS = 5
# beats of a bar and tempi that the beat tracker supports
SIZES, TEMPI = (2, 3, 4, 5, 6, 7), (38.0, 262.0)


@dataclass(frozen=True)
class Score:
    """A piece.

    Attributes
    ----------
    notes
        float64 [n, 5]: start, length, pitch, velocity 1 to 127, channel; by start.
    controls
        float64 [m, 4]: time, channel, controller (or -1 for a program, -2 for a bend), value; by time.
    beats
        Times, ascending.
    opens
        Indices into `beats` of the downbeats, ascending, int64.
    name
        For messages.
    """

    notes: np.ndarray
    controls: np.ndarray
    beats: np.ndarray
    opens: np.ndarray
    name: str

    @property
    def downbeats(self) -> np.ndarray:
        """Times of the downbeats in seconds."""
        return self.beats[self.opens]

    @property
    def size(self) -> int:
        """The most common number of beats in a bar."""
        return int(np.bincount(np.diff(self.opens)).argmax()) if len(self.opens) > 1 else 4

    @property
    def tempo(self) -> float:
        """The median tempo in beats a minute."""
        return 60.0 / float(np.median(np.diff(self.beats)))


def read_score(path: Path) -> Score:
    """Return the score in a MIDI file.

    Raises
    ------
    ValueError
        If it has too few notes or beats, or an unsupported metre or tempo.
    """
    return score_of(path.read_bytes(), path.stem)


def kept_score(path: Path, folder: Path) -> Score:
    """Return the score in a MIDI file, cached in `folder`: mido takes a tenth of a second a file.

    Raises
    ------
    ValueError
        As `read_score`.
    """
    place = folder / f"{path.parent.name}-{path.stem}.npz"
    if place.exists():
        with np.load(place) as held:
            return Score(held["notes"], held["controls"], held["beats"], held["opens"], path.stem)
    score = read_score(path)
    folder.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as handle:
        np.savez(handle, notes=score.notes, controls=score.controls, beats=score.beats, opens=score.opens)
    partial.replace(place)
    return score


def score_of(data: bytes, name: str) -> Score:
    """Return the score of a MIDI file from its bytes; errors as in `read_score`."""
    import mido

    known = parse_midi(data, where=name)
    notes: list[tuple[float, float, int, int, int]] = []
    controls: list[tuple[float, int, int, int]] = []
    sounding: dict[tuple[int, int], tuple[float, int]] = {}
    now = 0.0
    for message in mido.MidiFile(file=io.BytesIO(data), clip=True):
        now += message.time
        if message.type in ("note_on", "note_off"):
            key = (message.channel, message.note)
            if key in sounding:
                start, velocity = sounding.pop(key)
                notes.append((start, max(now - start, 0.02), message.note, velocity, message.channel))
            if message.type == "note_on" and message.velocity:
                sounding[key] = now, message.velocity
        elif message.type == "program_change":
            controls.append((now, message.channel, -1, message.program))
        elif message.type == "pitchwheel":
            controls.append((now, message.channel, -2, message.pitch))
        elif message.type == "control_change" and message.control in CONTROLS:
            controls.append((now, message.channel, message.control, message.value))
    notes += [(start, 0.5, pitch, velocity, channel) for (channel, pitch), (start, velocity) in sounding.items()]
    table = np.array(sorted(notes), float).reshape(-1, NOTE_COLUMNS)
    if len(table) < 20 or len(known.downbeats) < 3:
        raise ValueError(f"{name}: has too few notes or beats")
    opens = np.searchsorted(known.beats, known.downbeats - 1e-6)
    score = Score(table, np.array(sorted(controls), float).reshape(-1, 4), known.beats, opens, name)
    if score.size not in SIZES or not TEMPI[0] < score.tempo < TEMPI[1]:
        raise ValueError(
            f"{name}: unsupported metre or tempo: {score.size} beats a bar at {score.tempo:.0f} beats a minute"
        )
    return score


def moved(times: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return times mapped from beats `old` to beats `new`; outside of them the tempo of the nearest beats is used."""
    inside = np.interp(times, old, new)
    early = new[0] + (times - old[0]) * (new[1] - new[0]) / (old[1] - old[0])
    late = new[-1] + (times - old[-1]) * (new[-1] - new[-2]) / (old[-1] - old[-2])
    result: np.ndarray = np.where(times < old[0], early, np.where(times > old[-1], late, inside))
    return result


def retimed(score: Score, beats: np.ndarray) -> Score:
    """Return the score with its beats moved to the times `beats`, as many as it has."""
    notes, controls = score.notes.copy(), score.controls.copy()
    ends = moved(notes[:, 0] + notes[:, 1], score.beats, beats)
    notes[:, 0] = moved(notes[:, 0], score.beats, beats)
    notes[:, 1] = np.maximum(ends - notes[:, 0], 0.02)
    controls[:, 0] = moved(controls[:, 0], score.beats, beats)
    return replace(score, notes=notes, controls=controls, beats=np.asarray(beats, float))


def bars_of(score: Score, first: int, count: int) -> Score:
    """Return some bars of a score, starting at time 0, with the controller values that hold at their start.

    An upbeat of up to half a beat before the first bar is left out, so nothing starts before time 0.
    """
    first = int(np.clip(first, 0, max(len(score.opens) - 2, 0)))
    last = min(first + count, len(score.opens) - 1)
    begin, stop = score.opens[first], score.opens[last]
    start, end = score.beats[begin], score.beats[stop]
    inside = (score.notes[:, 0] >= start - 0.02) & (score.notes[:, 0] < end - 0.02)
    notes = score.notes[inside].copy()
    notes[:, 0] = np.maximum(notes[:, 0] - start, 0.0)
    notes[:, 1] = np.minimum(notes[:, 1], end - start - notes[:, 0] + 0.1)
    controls = score.controls[score.controls[:, 0] < end].copy()
    controls[:, 0] = np.maximum(controls[:, 0] - start, 0.0)
    return replace(
        score,
        notes=notes,
        controls=controls,
        beats=score.beats[begin:stop] - start,
        opens=score.opens[first:last] - begin,
    )


def sounding_part(score: Score) -> Score:
    """Return the score with only the beats between its first and last note."""
    first, last = score.notes[:, 0].min() - 0.07, score.notes[:, 0].max() + 0.07
    kept = np.flatnonzero((score.beats >= first) & (score.beats <= last))
    opens = np.searchsorted(kept, score.opens[np.isin(score.opens, kept)])
    return replace(score, beats=score.beats[kept], opens=opens)


def to_midi(score: Score, *, drums: bool | None = None) -> bytes:
    """Return the score as a MIDI file with one tempo, times to a millisecond, since FluidSynth drifts over tempo changes.

    `drums` True keeps only the drum channel, False only the others, None all.
    """
    import mido

    def wanted(channel: float) -> bool:
        return drums is None or (channel == DRUMS) == drums

    # a beat of half a second has 500 ticks, so a tick is 1 ms; at one time note-offs come first, then controllers, then note-ons
    events: list[tuple[int, int, mido.Message]] = []
    for time, channel, kind, value in score.controls:
        if wanted(channel):
            where = {"channel": int(channel)}
            if kind == -1:
                message = mido.Message("program_change", program=int(value), **where)
            elif kind == -2:
                message = mido.Message("pitchwheel", pitch=int(value), **where)
            else:
                message = mido.Message("control_change", control=int(kind), value=int(value), **where)
            events.append((round(1000 * time), 1, message))
    for start, length, pitch, velocity, channel in score.notes:
        if wanted(channel):
            where = {"channel": int(channel), "note": int(np.clip(pitch, 0, 127))}
            on = mido.Message("note_on", velocity=int(np.clip(velocity, 1, 127)), **where)
            events.append((round(1000 * start), 2, on))
            events.append(
                (max(round(1000 * (start + length)), round(1000 * start) + 5), 0, mido.Message("note_off", **where))
            )
    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    buffer = io.BytesIO()
    mido.MidiFile(ticks_per_beat=500, tracks=[track]).save(file=buffer)
    return buffer.getvalue()


def played_by(notes: list[tuple[float, float, int, int, int]], programs: dict[int, int]) -> bytes:
    """Return notes (start, length, pitch, velocity, channel; in seconds) as a MIDI file; `programs` by channel."""
    controls = np.array([(0.0, channel, -1, program) for channel, program in programs.items()], float).reshape(-1, 4)
    table = np.array(sorted(notes), float).reshape(-1, NOTE_COLUMNS)
    return to_midi(Score(table, controls, np.zeros(0), np.zeros(0, int), ""))
