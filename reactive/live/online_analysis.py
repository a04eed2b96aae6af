"""Signals of music that is still being played: those of `timeline.signals` that a stream can have.

Frame k holds what was known by ``(k + 1) / fps`` seconds of the stream, so nothing depends on what comes later. The last
seconds are kept, so that a preset's expressions are evaluated as they are for a song, and their last value is now. Signals
that need a whole song (`build`, `song.progress`, `section.index`) stay at 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from reactive.audio.causal import SILENCE, OnlineAnalyzer, OnlineRow
from reactive.preset.vocabulary import SIGNALS
from reactive.timeline.clock import frame_length, frame_time, frames_in
from reactive.timeline.evaluate import Scope
from reactive.timeline.signals import NAMES

# seconds that expressions can look back
MEMORY_SECONDS = 8.0
HITS = {"all": "onset", "low": "onset.low", "mid": "onset.mid", "high": "onset.high"}
ROLES = {"kick": "onset.low", "snare": "onset.mid", "hat": "onset.high"}
LOUDNESS_SECONDS, ENERGY_SECONDS, SECTION_SECONDS = 0.5, 2.0, 8.0
# the bass was away if its level was below the first for this many seconds; its return above the second is a drop
AWAY, BACK, AWAY_SECONDS = 0.25, 0.6, 3.0


class LiveSignals:
    """The signals of a stream, frame by frame.

    Parameters
    ----------
    sample_rate
        Sample rate of the blocks.
    fps
        Frames a second.
    """

    def __init__(self, sample_rate: int, fps: Fraction) -> None:
        self.fps = fps
        self.analyzer = OnlineAnalyzer(sample_rate)
        self.frames = 0
        self.now: OnlineRow | None = None
        self.names = list(SIGNALS)
        self._index = {name: row for row, name in enumerate(self.names)}
        length = int(frames_in(MEMORY_SECONDS, fps))
        self._curves = np.zeros((len(self.names), length))
        self._bars = np.zeros(length)
        self._beats = np.zeros(length)
        self._hits: dict[str, float] = {}
        self._slow = {"loudness": 0.0, "energy.level": 0.0, "section.energy": 0.0, "bass": 0.0}
        self._away = 0.0
        self.silent_frames = 0
        # set by the conductor: progress of phases and rounds, and whether one begins
        self.conductor_values: dict[str, float] = {}

    def steps(self, block: np.ndarray) -> Iterator[int]:
        """Yield the frames that a block completes, one by one, each while its signals are the newest."""
        for row in self.analyzer.feed(block):
            while row.known_at > float(frame_time(self.frames + 1, self.fps)):
                self._complete()
                yield self.frames - 1
            self._take(row)

    def scope(self, macros: dict[str, float]) -> Scope:
        """Return what expressions are evaluated against; their last value is that of the newest frame."""
        signals = {name: self._curves[row] for name, row in self._index.items()}
        flat = {name: np.full(len(self._bars), value) for name, value in macros.items()}
        return Scope(signals | flat, self._bars, self.fps)

    @property
    def beats(self) -> float:
        """How many beats have passed at the newest frame."""
        return float(self._beats[-1])

    @property
    def bars(self) -> float:
        """How many bars have passed at the newest frame."""
        return float(self._bars[-1])

    def value(self, name: str) -> float:
        """Return a signal at the newest frame."""
        return float(self._curves[self._index[name], -1])

    def _take(self, row: OnlineRow) -> None:
        """Add a row of the spectrum; hits wait until the frame is complete."""
        before = self.now
        for onset in row.onsets:
            name = HITS[onset.band]
            self._hits[name] = max(self._hits.get(name, 0.0), onset.strength)
        if before is not None and row.position.heard:
            for name, was, is_now in (
                ("beat", before.position.beats, row.position.beats),
                ("bar", before.position.bars, row.position.bars),
            ):
                if np.floor(is_now) > np.floor(was):
                    self._hits[name] = 1.0
        self.now = row

    def _complete(self) -> None:
        """Complete the newest frame."""
        row = self.now
        self._curves = np.roll(self._curves, -1, axis=1)
        self._bars, self._beats = np.roll(self._bars, -1), np.roll(self._beats, -1)
        column = dict.fromkeys(self.names, 0.0)
        if row is not None:
            silent = row.power < SILENCE
            self.silent_frames = self.silent_frames + 1 if silent else 0
            column |= row.levels | self._hits | self._drawn_out(row.levels)
            column |= {role: column[band] for role, band in ROLES.items()}
            column |= dict(zip((f"pitch.{name}" for name in NAMES), row.chroma.tolist(), strict=True))
            column["phase.beat"], column["phase.bar"] = row.position.beats % 1.0, row.position.bars % 1.0
            column["silence"] = float(silent)
            self._beats[-1], self._bars[-1] = row.position.beats, row.position.bars
        column |= self.conductor_values
        self.conductor_values = {}
        self._curves[:, -1] = [min(max(column[name], 0.0), 1.0) for name in self.names]
        self._hits = {}
        self.frames += 1

    def _drawn_out(self, levels: dict[str, float]) -> dict[str, float]:
        """Return the levels that are averaged over seconds, and whether the bass has come back."""
        length = frame_length(self.fps)
        for name, source, seconds in (
            ("loudness", "rms", LOUDNESS_SECONDS),
            ("energy.level", "rms", ENERGY_SECONDS),
            ("section.energy", "rms", SECTION_SECONDS),
            ("bass", "low", LOUDNESS_SECONDS),
        ):
            self._slow[name] += (levels[source] - self._slow[name]) * (1 - float(np.exp(-length / seconds)))
        bass = self._slow["bass"]
        found = {name: self._slow[name] for name in ("loudness", "energy.level", "section.energy")}
        found["drop"] = float(self._away >= AWAY_SECONDS and bass > BACK)
        # far below the loud passages and without bass is a break
        found["break"] = max(0.0, 1 - self._slow["energy.level"] / 0.4) if self._away >= AWAY_SECONDS else 0.0
        if bass < AWAY and self.frames > 0:
            self._away += length
        elif bass > BACK:
            self._away = 0.0
        return found
