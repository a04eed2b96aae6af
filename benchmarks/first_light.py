"""Synthesise the bundled song with numpy and scipy: "First Light", 26 s, 120 beats a minute.

    python -m benchmarks.first_light reactive/data/first-light.ogg

Thirteen bars: four build up (pad, hats, a riser), four follow the drop (kick, clap, bass, arpeggio), three are broken
(distorted bass, irregular drums), two have only the pad. Beat k lies at exactly k / 2 seconds, downbeats at multiples of
2 seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, fftconvolve, sosfilt

RATE = 44_100
BEAT = 0.5
BARS = 13
# A minor, F, C, G, as semitones above A2
CHORDS = ((0, 3, 7, 12), (-4, 0, 3, 8), (3, 7, 10, 15), (-2, 2, 5, 10))
ROOT = 110.0


def kick() -> np.ndarray:
    """Return a kick drum: a sine that falls from 170 to 48 Hz."""
    t = np.arange(int(0.35 * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(48 + 122 * np.exp(-t / 0.03)) / RATE
    click = np.exp(-t / 0.002) * 0.4
    return np.tanh(1.6 * (np.sin(phase) * np.exp(-t / 0.13) + click))


def noise_hit(rng: np.random.Generator, *, length: float, decay: float, low: float, high: float) -> np.ndarray:
    """Return filtered noise that dies away: hats and claps."""
    t = np.arange(int(length * RATE)) / RATE
    band = butter(4, [low, high], "bandpass", fs=RATE, output="sos")
    return sosfilt(band, rng.standard_normal(len(t))) * np.exp(-t / decay)


def saw(frequency: float, seconds: float, *, voices: int = 1, rng: np.random.Generator) -> np.ndarray:
    """Return a saw of a few slightly detuned voices."""
    t = np.arange(int(seconds * RATE)) / RATE
    total = np.zeros(len(t))
    for voice in range(voices):
        detuned = frequency * 2 ** ((voice - (voices - 1) / 2) * 0.08 / 12)
        total += 2 * np.mod(t * detuned + rng.random(), 1) - 1
    return total / voices


def swept(sound: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return a sound filtered by a low pass whose cutoff moves from `start` to `stop` Hz."""
    pieces, state = [], None
    parts = np.array_split(sound, 64)
    for i, part in enumerate(parts):
        cutoff = start * (stop / start) ** (i / (len(parts) - 1))
        sos = butter(2, cutoff, "lowpass", fs=RATE, output="sos")
        state = np.zeros((len(sos), 2)) if state is None else state
        filtered, state = sosfilt(sos, part, zi=state)
        pieces.append(filtered)
    return np.concatenate(pieces)


def compose(seed: int = 7, *, root: float = ROOT, beat_length: float = BEAT) -> np.ndarray:
    """Return the song, float64 [samples, 2], with the key's A at `root` Hz and `beat_length` seconds a beat."""
    rng = np.random.default_rng(seed)
    length = int(BARS * 4 * beat_length * RATE)
    drums, music, wet = (np.zeros((length, 2)) for _ in range(3))

    def add(track: np.ndarray, sound: np.ndarray, beat: float, gain: float, pan: float = 0.0) -> None:
        first = round(beat * beat_length * RATE)
        piece = sound[: length - first]
        sides = np.array([np.cos((pan + 1) * np.pi / 4), np.sin((pan + 1) * np.pi / 4)]) * np.sqrt(2)
        track[first : first + len(piece)] += gain * piece[:, None] * sides

    drum = kick()
    kicks = [b for bar in range(4, 8) for b in range(bar * 4, bar * 4 + 4)]
    kicks += [bar * 4 + step for bar in range(8, 11) for step in (0, 0.75, 1, 2, 2.75, 3, 3.5)] + [44]
    for beat in kicks:
        add(drums, drum, beat, 0.85)
    for bar in range(4, 11):
        for beat in (1, 3) if bar < 8 else (0.5, 1, 2.5, 3, 3.75):
            clap = noise_hit(rng, length=0.25, decay=0.06, low=900, high=5000)
            add(drums, clap, bar * 4 + beat, 0.5)
            add(wet, clap, bar * 4 + beat, 0.2)
    for bar in range(BARS - 1):
        steps = (
            ()
            if bar in (0, 11)
            else (0.5, 1.5, 2.5, 3.5)
            if bar == 1
            else tuple(np.arange(0, 4, 0.5 if bar < 8 else 0.25))
        )
        for step in steps:
            hat = noise_hit(rng, length=0.09, decay=0.02 if step % 1 else 0.012, low=7000, high=16000)
            add(drums, hat, bar * 4 + step, 0.45, pan=0.25)
    # a snare roll that gets denser towards the drop
    for step in [*np.arange(12, 14, 0.5), *np.arange(14, 15, 0.25), *np.arange(15, 16, 0.125)]:
        add(drums, noise_hit(rng, length=0.12, decay=0.035, low=400, high=6000), step, 0.1 + 0.25 * (step - 12) / 4)

    for bar in range(BARS):
        chord = CHORDS[bar % 4]
        opening = (
            (300 + 250 * bar, 500 + 300 * bar)
            if bar < 4
            else (900, 2600)
            if bar < 8
            else (2600, 1200)
            if bar < 11
            else (700, 300)
        )
        for note in chord:
            pad = saw(root * 2 ** (note / 12), 4 * beat_length, voices=3, rng=rng)
            fade = np.minimum(1, np.minimum(np.arange(len(pad)), np.arange(len(pad))[::-1]) / (0.05 * RATE))
            voice = swept(pad, *opening) * fade
            add(music, voice, bar * 4, 0.05 + 0.01 * min(bar, 4), pan=(note % 5 - 2) / 3)
            add(wet, voice, bar * 4, 0.05)
        if 4 <= bar < 11:
            for step in range(8):
                note = saw(root / 2 * 2 ** (chord[0] / 12), 0.24, voices=2, rng=rng)
                envelope = np.exp(-np.arange(len(note)) / RATE / 0.16)
                bass = swept(note * envelope, 900, 200) if bar < 8 else np.tanh(6 * swept(note * envelope, 400, 2500))
                add(music, bass, bar * 4 + step / 2, (0.38 if step % 2 else 0.2) * (1.0 if bar < 8 else 0.7))
        if 2 <= bar < 11:
            for step in range(16):
                pitch = root * 4 * 2 ** (chord[(step * 3) % 4] / 12)
                t = np.arange(int(0.2 * RATE)) / RATE
                pluck = np.sin(
                    2 * np.pi * pitch * t + 1.5 * np.sin(4 * np.pi * pitch * t) * np.exp(-t / 0.05)
                ) * np.exp(-t / 0.07)
                add(music, pluck, bar * 4 + step / 4, 0.06 if bar < 4 else 0.1, pan=0.6 * np.sin(step))
                add(wet, pluck, bar * 4 + step / 4, 0.05)
    riser = (
        swept(rng.standard_normal(int(8 * beat_length * RATE)), 200, 9000)
        * np.linspace(0, 1, int(8 * beat_length * RATE)) ** 2
    )
    add(music, riser, 8, 0.12)
    crash = noise_hit(rng, length=2.5, decay=0.8, low=3000, high=15000)
    for beat in (16, 32, 44):
        add(drums, crash, beat, 0.25)
        add(wet, crash, beat, 0.1)

    # the music ducks under each kick
    duck = np.ones(length)
    for beat in kicks:
        first = round(beat * beat_length * RATE)
        t = np.arange(min(int(0.3 * RATE), length - first)) / RATE
        duck[first : first + len(t)] = np.minimum(duck[first : first + len(t)], 1 - 0.75 * np.exp(-t / 0.09))
    t = np.arange(int(1.8 * RATE)) / RATE
    room = rng.standard_normal((len(t), 2)) * np.exp(-t / 0.35)[:, None] * 0.02
    space = np.stack([fftconvolve(wet[:, side], room[:, side])[:length] for side in (0, 1)], axis=1)
    mix = drums + (music + space) * duck[:, None]
    mix *= np.minimum(1, (length - np.arange(length)) / (2.5 * RATE))[:, None]
    return 0.89 * np.tanh(mix / np.percentile(np.abs(mix), 99.9))


def main() -> None:
    """Write the song to the path given."""
    out = Path(sys.argv[1])
    song = compose().astype(np.float32)
    with soundfile.SoundFile(out, "w", RATE, 2, format="OGG", subtype="VORBIS") as handle:
        # libsndfile's Vorbis encoder fails on large blocks
        for first in range(0, len(song), 8192):
            handle.write(song[first : first + 8192])
    print(f"{out}: {len(song) / RATE:.1f} s")


if __name__ == "__main__":
    main()
