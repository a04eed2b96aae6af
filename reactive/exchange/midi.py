"""MIDI cues: cuts, kicks, prompts and phases as notes and markers, for lights and other devices."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np

from reactive.exchange.moments import phase_runs, prompt_runs
from reactive.exchange.packages import require_package
from reactive.timeline.clock import frame_time
from reactive.timeline.timeline import Timeline

TICKS = 960
# General MIDI drums on channel 10: bass drum, snare, crash; phases are held notes from C4 on channel 1
KICK, PROMPT, CUT, PHASES = 36, 38, 49, 60
DRUMS, HELD = 9, 0
LENGTH = Fraction(1, 20)


def midi_bytes(timeline: Timeline, *, tempo: float = 120.0) -> bytes:
    """Return a MIDI file of type 1: tempo and markers, hits (kick 36, prompt 38, cut 49), phases (60 and up).

    Parameters
    ----------
    timeline
        The timeline to write.
    tempo
        Beats a minute stated in the file; times in seconds do not depend on it.

    Raises
    ------
    ReactiveError
        If mido is not installed.
    """
    mido = require_package("mido")
    microseconds = mido.bpm2tempo(min(max(tempo, 20.0), 999.0))
    seconds_a_tick = Fraction(microseconds, 1_000_000 * TICKS)

    def tick(seconds: Fraction) -> int:
        return round(seconds / seconds_a_tick)

    def at(frame: int) -> int:
        return tick(frame_time(frame, timeline.fps))

    marks = [(at(run.start), mido.MetaMessage("marker", text=run.text)) for run in prompt_runs(timeline)]
    hits: list[tuple[int, int, int]] = [(at(run.start), PROMPT, 96) for run in prompt_runs(timeline)]
    hits += [(at(cut), CUT, 112) for cut in timeline.cuts if 0 <= cut < timeline.frames]
    strength = timeline.columns["hit"]
    for frame in np.flatnonzero(strength > 0).tolist():
        hits.append((at(frame), KICK, int(np.clip(round(127 * strength[frame]), 1, 127))))
    notes = []
    for start, note, velocity in hits:
        notes.append((start, mido.Message("note_on", channel=DRUMS, note=note, velocity=velocity)))
        notes.append((start + tick(LENGTH), mido.Message("note_off", channel=DRUMS, note=note)))
    phases = []
    for run in phase_runs(timeline):
        note = PHASES + timeline.phases.index(run.text) % 60
        phases.append((at(run.start), mido.Message("note_on", channel=HELD, note=note, velocity=96)))
        phases.append((at(run.stop), mido.Message("note_off", channel=HELD, note=note)))
    # the standard's texts are Latin-1, but current programs read UTF-8
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS, charset="utf-8")
    head = [(0, mido.MetaMessage("set_tempo", tempo=microseconds)), *marks]
    for name, events in (("reactive: prompts", head), ("reactive: hits", notes), ("reactive: phases", phases)):
        file.tracks.append(_track(mido, name, events))
    text = io.BytesIO()
    file.save(file=text)
    return text.getvalue()


def _track(mido: object, name: str, events: list[tuple[int, object]]) -> object:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])  # type: ignore[attr-defined]
    now = 0
    # at the same time note-offs come before note-ons
    for time, message in sorted(events, key=lambda event: (event[0], getattr(event[1], "type", "") != "note_off")):
        track.append(message.copy(time=time - now))  # type: ignore[attr-defined]
        now = time
    return track
