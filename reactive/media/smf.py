"""The events of a standard MIDI file, also inside a RIFF (.rmi). Of a truncated file, the complete events are read.

Not read by mido, which rejects a file for one unusual event (a key signature of 8 flats, a time signature of 3 bytes)
and does not return the raw bytes of a track's name. Source: Standard MIDI Files 1.0 (MMA RP-001).
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENTS = 2_000_000
# number of data bytes of channel messages, by the upper four bits of the status byte
_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
_SYSTEM = {0xF1: 1, 0xF2: 2, 0xF3: 1}
META = 0xFF


@dataclass(frozen=True)
class Event:
    """An event: tick from the start, track, status byte, type if it is a meta event (else 0), data."""

    tick: int
    track: int
    status: int
    kind: int
    data: bytes


@dataclass(frozen=True)
class MidiFile:
    """Events sorted by tick and track; the header's time division; whether the file is truncated."""

    events: tuple[Event, ...]
    division: int
    cut: bool


def read_events(data: bytes) -> MidiFile:
    """Return the events of a MIDI file from its bytes.

    Raises
    ------
    ValueError
        If it is not a MIDI file, or has no track.
    """
    # it may lie inside a RIFF, or behind the 128 bytes of a MacBinary header
    start = data.find(b"MThd", 0, 256 if data[:4] != b"RIFF" else 4096)
    if start < 0 or len(data) < start + 14:
        raise ValueError("is not a MIDI file")
    size = int.from_bytes(data[start + 4 : start + 8], "big")
    division = int.from_bytes(data[start + 12 : start + 14], "big")
    position = start + 8 + max(size, 6)
    found: list[Event] = []
    number, cut = 0, False
    while position + 8 <= len(data):
        name, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        if name == b"MTrk" and not length:
            # from a recorder that was switched off: read up to the next track
            following = data.find(b"MTrk", position + 8)
            length = (following if following > 0 else len(data)) - position - 8
        body = data[position + 8 : position + 8 + length]
        if name == b"MTrk":
            is_complete = _read_track(body, number, found)
            cut |= not is_complete or len(body) < length
            number += 1
        position += 8 + length
    if not number:
        raise ValueError("is a MIDI file without a track")
    found.sort(key=lambda event: (event.tick, event.track))
    return MidiFile(tuple(found), division, cut)


def _read_track(body: bytes, number: int, found: list[Event]) -> bool:
    """Append a track's events to `found`; return whether the track could be read to its end."""
    position = tick = status = 0
    while position < len(body) and len(found) < MAX_EVENTS:
        delta, position = _variable(body, position)
        tick += delta
        if position >= len(body):
            return False
        if body[position] >= 0x80:
            status = body[position]
            position += 1
        if status == META:
            kind = body[position] if position < len(body) else 0x2F
            length, position = _variable(body, position + 1)
            data = body[position : position + length]
        elif status in (0xF0, 0xF7):
            length, position = _variable(body, position)
            kind, data = 0, b""
        else:
            length = _LENGTHS.get(status >> 4, _SYSTEM.get(status, 0))
            kind, data = 0, body[position : position + length]
            if not length and status < 0xF0:
                # data bytes without a status byte before them
                return False
        position += length
        if position > len(body):
            return False
        found.append(Event(tick, number, status, kind, data))
        if status == META and kind == 0x2F:
            return True
    return True


def _variable(body: bytes, position: int) -> tuple[int, int]:
    """Return a variable-length number (7 bits a byte) and the position after it."""
    value = 0
    for _ in range(4):
        if position >= len(body):
            break
        byte = body[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, position
