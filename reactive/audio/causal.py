"""Analyse music that is still being played: onsets, levels and the beat, from the past alone.

A song can be scaled by its own loud moments; a stream only by those so far. So levels are
divided by a peak that fades slowly, and an onset is a clear rise above the last half second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from reactive.audio.online_network import OnlineNetwork
from reactive.audio.onset import BANDS, COMPRESSION, attack
from reactive.audio.pulse import MetricalPosition, OnlineBeatTracker
from reactive.audio.spectrum import FRAMES_PER_SECOND, HOP, MELS, RATE, mel_edges
from reactive.audio.streaming import ROW_DELAY, SpectrumRows, StreamingSpectrum

# below this power there is silence: no onset, no level (-60 dBFS)
SILENCE = 1e-6
# seconds in which peaks fade by half
PEAK_HALF_LIFE_SECONDS = 20.0
RISE_ROWS = 2
# how far an onset rises above the mean of the last half second, in units of its spread and of strong onsets
MEDIAN_ROWS = round(0.5 * FRAMES_PER_SECOND)
MIN_SPREADS, MIN_SHARE = 3.6, 0.22
# least seconds between onsets
MIN_ONSET_ROWS = round(0.06 * FRAMES_PER_SECOND)
# an onset is reported one row after its peak
ONSET_DELAY = ROW_DELAY + HOP / RATE
# the rise of the spectrum comes before the attack is in the middle of the window
EARLY = 0.012
FINE_ROWS = round(0.4 * FRAMES_PER_SECOND)


@dataclass(frozen=True)
class OnlineOnset:
    """An onset: its time in the stream in seconds, when it was known, its band, and its strength in [0, 1]."""

    time: float
    known_at: float
    band: str
    strength: float


@dataclass(frozen=True)
class OnlineRow:
    """The analysis of one row of the spectrum.

    Attributes
    ----------
    known_at
        Time in the stream, in seconds, at which this is known.
    levels
        rms, low, mid, high, brightness, flux, harmonic, percussive, sustain.low, sustain.mid, sustain.high in [0, 1].
    chroma
        How strongly each pitch class from C sounds, float [12] in [0, 1].
    onsets
        Those that became known with this row.
    position
        The position in the metre at `known_at`.
    power
        Total power.
    """

    known_at: float
    levels: dict[str, float]
    chroma: np.ndarray
    onsets: tuple[OnlineOnset, ...]
    position: MetricalPosition
    power: float


@dataclass
class FadingPeak:
    """A peak that fades, to divide by; never less than `floor`."""

    floor: float
    value: float = 0.0
    fade: float = 0.5 ** (1 / (PEAK_HALF_LIFE_SECONDS * FRAMES_PER_SECOND))

    def scaled(self, value: float) -> float:
        """Update the peak with a value; return the value as a share of it."""
        self.value = max(value, self.value * self.fade, self.floor)
        return min(max(value / self.value, 0.0), 1.0)


class OnlineAnalyzer:
    """Analyses a stream block by block.

    Parameters
    ----------
    sample_rate
        Sample rate of the blocks.
    network
        Whether the rhythm network listens too; without it beats are followed by onset strength alone.
    """

    # seconds from a sound until it is known: half a window and a row
    latency = ONSET_DELAY

    def __init__(self, sample_rate: int, *, network: bool = True) -> None:
        self.spectrum = StreamingSpectrum(sample_rate)
        self.beat_tracker = OnlineBeatTracker(ROW_DELAY - EARLY)
        self._network = OnlineNetwork() if network else None
        low, high = mel_edges()
        self._slices = dict(
            zip(BANDS, (slice(0, MELS), slice(0, low), slice(low, high), slice(high, MELS)), strict=True)
        )
        self._past = np.zeros((len(BANDS), MEDIAN_ROWS))
        self._strong = {band: FadingPeak(0.3) for band in BANDS}
        # for each band: the last strength, the strength of a possible peak or 0, rows since the last onset
        self._before = dict.fromkeys(BANDS, 0.0)
        self._peak = dict.fromkeys(BANDS, 0.0)
        self._since = dict.fromkeys(BANDS, MIN_ONSET_ROWS)
        self._mels: deque[np.ndarray] = deque([np.zeros(MELS, np.float32)] * 9, maxlen=9)
        self._fine: deque[np.ndarray] = deque(maxlen=FINE_ROWS)
        self._loud = FadingPeak(SILENCE)
        self._beat = FadingPeak(0.15, fade=0.5 ** (1 / (4 * FRAMES_PER_SECOND)))
        names = ("rms", "low", "mid", "high", "harmonic", "percussive", "sustain.low", "sustain.mid", "sustain.high")
        self._peaks = {name: FadingPeak(1e-2 if name == "rms" else 3e-3) for name in names}
        self._bright = [9.0, 11.0]
        self._pitch = FadingPeak(1e-4)

    def feed(self, block: np.ndarray) -> list[OnlineRow]:
        """Add a block, float [n] or [n, channels]; return the rows that it completes."""
        rows = self.spectrum.feed(block)
        return [self._hear(rows, number) for number in range(len(rows))]

    def _hear(self, rows: SpectrumRows, number: int) -> OnlineRow:
        row = rows.first + number
        mel, power = rows.mel[number], float(rows.power[number])
        self._mels.append(mel)
        self._fine.append(rows.fine[number])
        onsets, strengths, clear = self._onsets(row, power)
        # a kick says more about the beat than a hat
        heard = self._beat.scaled(0.5 * max(clear.values()) + 0.5 * clear["low"])
        followed = self._network.feed(mel, rows.chroma[number]) if self._network else None
        if followed is not None:
            # the tracker counts by the rise of the spectrum
            followed = replace(followed, row=followed.row - EARLY * FRAMES_PER_SECOND)
        place = self.beat_tracker.update(heard, strengths["low"], followed)
        levels = self._levels(rows, number) | {"flux": strengths["all"]}
        return OnlineRow(row * HOP / RATE + ROW_DELAY, levels, self._chroma(rows.chroma[number]), onsets, place, power)

    def _onsets(self, row: int, power: float) -> tuple[tuple[OnlineOnset, ...], dict[str, float], dict[str, float]]:
        """Return the onsets whose peak was the row before this one, and each band's strength now, about 0 to 1.

        A strength is 0 if it does not stand out from the last half second.
        """
        self._loud.scaled(float(self._mels[-1].max()))
        scale = np.float32(COMPRESSION / self._loud.value)
        # both rows on the same scale, or a louder passage would look like an onset
        rise = np.maximum(np.log1p(self._mels[-1] * scale) - np.log1p(self._mels[-1 - RISE_ROWS] * scale), 0.0)
        order = np.sort(self._past, axis=1)
        # strong onsets of the last half second do not count for the usual spread
        middle, spread = order[:, MEDIAN_ROWS // 2], order[:, round(0.84 * MEDIAN_ROWS)] - order[:, MEDIAN_ROWS // 2]
        found: list[OnlineOnset] = []
        strengths, clear = dict.fromkeys(BANDS, 0.0), dict.fromkeys(BANDS, 0.0)
        for number, band in enumerate(BANDS):
            strength = float(rise[self._slices[band]].mean())
            above = max(strength - float(middle[number]), 0.0)
            share = self._strong[band].scaled(above)
            self._since[band] += 1
            if self._peak[band] > 0 and strength <= self._before[band] and self._since[band] > MIN_ONSET_ROWS:
                found.append(self._onset(row - 1, band, self._peak[band]))
                self._since[band] = 0
            strengths[band] = share if power > SILENCE else 0.0
            stands_out = power > SILENCE and above > MIN_SPREADS * float(spread[number]) and share > MIN_SHARE
            clear[band] = share if stands_out else 0.0
            self._peak[band] = clear[band] if strength > self._before[band] else 0.0
            self._before[band] = self._past[number, row % MEDIAN_ROWS] = strength
        if found and self._since["all"] > MIN_ONSET_ROWS:
            # an onset that is clear in one band may be weak in the whole
            loudest = max(found, key=lambda onset: onset.strength)
            found.append(replace(loudest, band="all"))
            self._since["all"] = 0
        return tuple(found), strengths, clear

    def _onset(self, row: int, band: str, strength: float) -> OnlineOnset:
        """Return an onset near a row, its time refined if the sound rises clearly."""
        fine = np.concatenate(self._fine)
        # the envelope ends with the newest sample, half a window after the current row
        newest = (row + 1) * HOP / RATE + ROW_DELAY
        begins = newest - len(fine) * (HOP / RATE) / self._fine[0].size
        guess = row * HOP / RATE + EARLY
        refined = begins + float(attack(fine, np.array([guess - begins]))[0])
        return OnlineOnset(refined, newest, band, strength)

    def _levels(self, rows: SpectrumRows, number: int) -> dict[str, float]:
        """Return the levels at a row, each against its own peak so far."""
        bands = np.sqrt(rows.bands[number])
        # sustained sound was there a tenth of a second ago; strokes were not
        lasting = np.median(np.stack(self._mels), axis=0)
        striking = np.maximum(self._mels[-1] - lasting, 0.0)
        held = [float(np.sqrt(lasting[self._slices[band]].sum())) for band in ("low", "mid", "high")]
        values = {
            "rms": float(np.sqrt(rows.power[number])),
            "low": float(bands[0]),
            "mid": float(bands[1]),
            "high": float(bands[2]),
            "harmonic": float(np.sqrt(lasting.sum())),
            "percussive": float(np.sqrt(striking.sum())),
            "sustain.low": held[0],
            "sustain.mid": held[1],
            "sustain.high": held[2],
        }
        levels = {name: self._peaks[name].scaled(value) for name, value in values.items()}
        return levels | {"brightness": self._brightness(float(rows.centroid[number]), levels["rms"])}

    def _brightness(self, centroid: float, level: float) -> float:
        """Return the centroid on a logarithmic scale between the recent darkest and brightest."""
        if level < 0.05 or centroid < 20:
            return 0.0
        octave = float(np.log2(centroid))
        fade = 1 / (PEAK_HALF_LIFE_SECONDS * FRAMES_PER_SECOND)
        low, high = self._bright
        self._bright = [
            min(octave, low + fade * (octave - low)),
            max(octave, high + fade * (octave - high)),
        ]
        return min(max((octave - self._bright[0]) / max(self._bright[1] - self._bright[0], 0.5), 0.0), 1.0)

    def _chroma(self, power: np.ndarray) -> np.ndarray:
        """Return how strongly each pitch class sounds, both registers together, relative to the recent strongest."""
        size = np.sqrt(power[:12] + power[12:])
        self._pitch.scaled(float(size.max()))
        return np.clip(size / self._pitch.value, 0.0, 1.0)
