"""Mix clicks over a song, so that a musician can hear the grid: high on each "one", low on every other beat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reactive.audio.grid import Grid
from reactive.errors import OutputError
from reactive.files import replacing
from reactive.media.sound import Track, heard_blocks, write_wav

ONE_HZ, BEAT_HZ = 1760.0, 1174.66
CLICK_SECONDS = 0.04
SONG_GAIN, CLICK_GAIN = 0.6, 0.4


def write_click(track: Track, grid: Grid, path: Path) -> None:
    """Write the song with its grid clicked over it as a 16-bit WAV of the song's rate, surround folded to stereo.

    Raises
    ------
    OutputError
        If the name does not end in .wav or can't be written; nothing half-written stays.
    """
    if path.suffix.lower() != ".wav":
        raise OutputError(f'can\'t write a "{path.suffix}" file', where=str(path), remedy="name it .wav")
    try:
        with replacing(path) as partial:
            write_wav(partial, mixed(track, grid), track.sample_rate, min(track.channels, 2))
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place"
        ) from None


def mixed(track: Track, grid: Grid) -> Iterator[np.ndarray]:
    """Yield the song's blocks with clicks mixed in, float32 [n, 1 or 2] in [-1, 1]."""
    rate = track.sample_rate
    ones = set(np.round(grid.bars * rate).astype(int).tolist())
    starts = np.unique(np.concatenate([np.round(grid.beats * rate), np.round(grid.bars * rate)]).astype(int))
    sounds = {one: _click(ONE_HZ if one else BEAT_HZ, rate) for one in (True, False)}
    length = len(sounds[True])
    position = 0
    for block in heard_blocks(track):
        out = block * SONG_GAIN
        first, last = np.searchsorted(starts, (position - length, position + len(block)))
        for start in starts[first:last].tolist():
            sound = sounds[start in ones]
            begin, stop = max(start - position, 0), min(start - position + length, len(block))
            if stop > begin:
                out[begin:stop] += sound[begin + position - start : stop + position - start, None]
        position += len(block)
        yield np.clip(out, -1, 1)


def _click(frequency: float, rate: int) -> np.ndarray:
    t = np.arange(round(CLICK_SECONDS * rate)) / rate
    sound: np.ndarray = CLICK_GAIN * np.sin(2 * np.pi * frequency * t) * np.exp(-t / 0.01)
    return sound.astype(np.float32)
