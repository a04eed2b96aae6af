"""Make composed notes and MIDI files heard: fluidsynth with any General MIDI soundfont, or drums synthesised by formula.

Audio is float32 mono at 22050 Hz.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import RATE
from reactive.audio.train.compose import DRUMS, Note, Piece

TICKS = 480
# one second is two beats of the default tempo
TICKS_A_SECOND = 2 * TICKS


def to_midi(piece: Piece, *, drums: bool = True) -> bytes:
    """Return a piece as a MIDI file at the default tempo; without its drum channel if so wanted."""
    return midi_of([note for note in piece.notes if drums or note[4] != DRUMS], piece.programs)


def midi_of(notes: list[Note], programs: dict[int, int]) -> bytes:
    """Return notes, in seconds, as a MIDI file at the default tempo; `programs` by channel."""
    import mido

    events = []
    for start, length, pitch, velocity, channel in notes:
        events.append((round(start * TICKS_A_SECOND), 1, pitch, velocity, channel))
        events.append((round((start + length) * TICKS_A_SECOND), 0, pitch, 0, channel))
    track = mido.MidiTrack(
        mido.Message("program_change", channel=channel, program=program) for channel, program in programs.items()
    )
    now = 0
    for tick, on, pitch, velocity, channel in sorted(events):
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=velocity, channel=channel, time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def varied(data: bytes, rng: np.random.Generator) -> tuple[bytes, float]:
    """Return a MIDI file transposed, slowed or hastened, some programs exchanged, some channels left out; and its pace."""
    import mido

    file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    shift = int(rng.integers(-5, 7))
    pace = float(np.exp(rng.uniform(-0.25, 0.25)))
    used = sorted({m.channel for t in file.tracks for m in t if m.type == "note_on"})
    tuned = [channel for channel in used if channel != DRUMS]
    silent = {channel for channel in tuned if rng.random() < 0.15} if len(tuned) > 2 else set()
    if DRUMS in used and tuned and rng.random() < 0.1:
        silent = {DRUMS}
    exchanged = {channel: int(rng.integers(112)) for channel in tuned if rng.random() < 0.2}
    for track in file.tracks:
        for number, m in enumerate(track):
            if m.type == "note_on" and m.channel in silent:
                track[number] = m.copy(velocity=0)
            elif m.type in ("note_on", "note_off") and m.channel != DRUMS:
                track[number] = m.copy(note=int(np.clip(m.note + shift, 0, 127)))
            elif m.type == "program_change" and m.channel in exchanged:
                track[number] = m.copy(program=exchanged[m.channel])
            elif m.type == "set_tempo":
                track[number] = m.copy(tempo=int(np.clip(m.tempo * pace, 1, (1 << 24) - 1)))
    first = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(500_000 * pace))])
    file.tracks.insert(0, first)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue(), pace


def synthesize(data: bytes, soundfont: Path, *, rate: int = RATE, reverb: bool = True) -> np.ndarray:
    """Render a MIDI file by fluidsynth to float32 mono."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        score.write_bytes(data)
        command = ["fluidsynth", "-ni", "-q", "-F", str(sound), "-r", str(rate), "-g", "0.4"]
        command += ["-o", "synth.dynamic-sample-loading=1", "-R", str(int(reverb)), "-C", str(int(reverb))]
        subprocess.run([*command, str(soundfont), str(score)], check=True, capture_output=True, timeout=300)
        with wave.open(str(sound)) as handle:
            samples = np.frombuffer(handle.readframes(handle.getnframes()), "<i2").reshape(-1, handle.getnchannels())
    return (samples.mean(axis=1) / 32768).astype(np.float32)


def electric_drums(piece: Piece, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Render a piece's drums by formula: swept sines, ringing tones and noise, drawn anew for each piece."""
    kit: dict[int, np.ndarray] = {}
    mix = np.zeros(samples, np.float32)
    style = rng.uniform(0, 1, 8)
    for start, _, pitch, velocity, channel in piece.notes:
        if channel != DRUMS:
            continue
        if pitch not in kit:
            kit[pitch] = _drum(pitch, style, rng)
        first = round(start * RATE)
        part = mix[first : first + len(kit[pitch])]
        part += kit[pitch][: len(part)] * (velocity / 127) ** 1.5
    return mix


def _drum(pitch: int, style: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(round(0.5 * RATE)) / RATE
    noise = rng.standard_normal(len(t))
    bright = np.diff(noise, n=2, prepend=[0.0, 0.0]) / 2.4
    if pitch in (35, 36):
        base, depth, fall, ring = 40 + 25 * style[0], 60 + 250 * style[1], 0.01 + 0.04 * style[2], 0.06 + 0.2 * style[3]
        phase = 2 * np.pi * np.cumsum(base + depth * np.exp(-t / fall)) / RATE
        sound = np.sin(phase) * np.exp(-t / ring) + 0.3 * style[4] * bright * np.exp(-t / 0.003)
    elif pitch in (38, 40, 37, 39):
        tone = np.sin(2 * np.pi * (160 + 80 * style[1]) * t) * np.exp(-t / 0.06)
        body = noise if style[2] < 0.5 else bright
        sound = 0.5 * style[3] * tone + 0.6 * body * np.exp(-t / (0.03 + 0.12 * style[4]))
        if pitch == 39:
            sound += 0.4 * body * sum(np.exp(-np.abs(t - late) / 0.004) for late in (0.0, 0.012, 0.022))
    elif pitch in (41, 43, 45, 47, 48, 50):
        sound = np.sin(2 * np.pi * np.cumsum((60 + 5 * (pitch - 40)) * (1 + 0.5 * np.exp(-t / 0.03))) / RATE) * np.exp(
            -t / 0.15
        )
    else:
        long = 0.25 if pitch in (46, 49, 51) else 0.015 + 0.05 * style[5]
        sound = 0.4 * bright * np.exp(-t / long)
    return (0.5 * sound).astype(np.float32)


def spoiled(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound as it might come out of a mixing desk: tilted, filtered, driven, noisy."""
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    octaves = np.log2(np.maximum(frequency, 20) / 600)
    gain = rng.normal(0, 1.5) * octaves
    for _ in range(int(rng.integers(0, 4))):
        gain += rng.normal(0, 5) * np.exp(-0.5 * ((octaves - rng.uniform(-4, 4)) / rng.uniform(0.3, 1.2)) ** 2)
    if rng.random() < 0.1:
        gain -= 24 / (1 + np.exp(-(octaves - rng.uniform(1.5, 3.5)) * 8))
    if rng.random() < 0.1:
        gain -= 24 / (1 + np.exp((octaves + rng.uniform(1.5, 3.5)) * 8))
    sound = np.fft.irfft(spectrum * 10 ** (np.clip(gain, -36, 18) / 20), len(sound))
    sound = sound / max(float(np.abs(sound).max()), 1e-6)
    if rng.random() < 0.5:
        # a limiter of sorts: pumping and saturation of loud masters
        sound = np.tanh(sound * rng.uniform(1, 5))
    if rng.random() < 0.3:
        sound = sound + rng.standard_normal(len(sound)) * 10 ** rng.uniform(-4, -1.7)
    return (0.5 * sound).astype(np.float32)
