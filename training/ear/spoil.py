"""Degrade sound: rooms, amplifiers, compressors and codecs. float32 mono at 22050 Hz in and out, same length.

Hiss, clicks and crowd noise are added to the measured excerpts, see `examples`.
"""

from __future__ import annotations

import io

import numpy as np

from reactive.audio.spectrum import RATE


def roomy(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound in a room: exponentially decaying noise of 0.15 to 1.8 s that gets darker, with a short pre-delay."""
    from scipy.signal import lfilter, oaconvolve

    seconds = float(np.exp(rng.uniform(np.log(0.15), np.log(1.8))))
    t = np.arange(round(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds)
    damp = rng.uniform(0.2, 0.8)
    tail = lfilter([1 - damp], [1, -damp], tail)
    tail = np.concatenate([np.zeros(int(rng.uniform(0.001, 0.03) * RATE)), tail / np.linalg.norm(tail)])
    wet = oaconvolve(sound, tail)[: len(sound)]
    # at a wet share of 1 the reverb is as loud as the sound itself
    return (sound + rng.uniform(0.1, 0.9) * wet).astype(np.float32)


def driven(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound through a soft-clipping amplifier, sometimes with a cabinet's low pass."""
    from scipy.signal import butter, sosfilt

    loud = np.percentile(np.abs(sound), 99) + 1e-6
    out = np.tanh(sound / loud * np.exp(rng.uniform(np.log(1.5), np.log(20)))) * loud
    if rng.random() < 0.5:
        out = sosfilt(butter(2, rng.uniform(3000, 7000), fs=RATE, output="sos"), out)
    return np.asarray(out, np.float32)


def compressed(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound through a compressor with attack and release, so that it pumps."""
    from scipy.signal import lfilter

    hop = 64
    count = -(-len(sound) // hop)
    level = np.abs(np.pad(sound, (0, count * hop - len(sound)))).reshape(count, hop).max(axis=1)
    release = np.exp(-hop / RATE / rng.uniform(0.05, 0.4))
    level = np.maximum(level, lfilter([1 - release], [1, -release], level))
    threshold = np.percentile(level, 95) * rng.uniform(0.1, 0.6) + 1e-6
    gain = np.minimum(1.0, (np.maximum(level, 1e-6) / threshold) ** (1 / rng.uniform(1.5, 8) - 1))
    fine = np.interp(np.arange(len(sound)), np.arange(count) * hop, gain)
    return (sound * fine).astype(np.float32)


def through_mp3(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound encoded as MP3 at 24 to 96 kbit/s (mono, 22050 Hz) and decoded, without the codec's delay."""
    import av
    from scipy.signal import fftconvolve

    peak = max(float(np.abs(sound).max(initial=0.0)), 1e-6)
    samples = np.round(sound / peak * 32000).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as out:
        stream = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        stream.bit_rate = int(rng.choice([24_000, 32_000, 48_000, 64_000, 96_000]))
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16p", layout="mono")
        frame.rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    buffer.seek(0)
    with av.open(buffer, "r", format="mp3") as back:
        resampler = av.AudioResampler("flt", "mono", RATE)
        parts = [part.to_ndarray()[0] for frame in back.decode(audio=0) for part in resampler.resample(frame)]
    found = np.concatenate(parts).astype(np.float32)
    # the codec's delay is the offset of best correlation, within 0.1 s
    clip = slice(0, min(len(sound), len(found), 10 * RATE))
    like = fftconvolve(found[clip], sound[clip][::-1])
    middle, max_delay = clip.stop - 1, RATE // 10
    late = int(like[middle - max_delay : middle + max_delay + 1].argmax()) - max_delay
    found = found[late:] if late >= 0 else np.concatenate([np.zeros(-late, np.float32), found])
    return np.pad(found, (0, max(len(sound) - len(found), 0)))[: len(sound)] * np.float32(peak)
