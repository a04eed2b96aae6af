"""A curve of your own beside those of the music: here a slow tide, which could as well be a dancer's pulse or the weather.

python examples/own_signals.py song.wav clip.mp4
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import reactive

PRESET = Path(__file__).with_suffix(".toml")


def tide(seconds: np.ndarray) -> np.ndarray:
    """Return the height of the water, 0 to 1, at times of the song."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * seconds / 12)


def main(song: str, out: str, *, model: str = "ember", duration: float | None = 8.0, **size: tuple[int, int]) -> Path:
    track = reactive.open_track(song)
    timeline = reactive.decide(reactive.analyze(track), PRESET, fps=24, signals={"stem.tide": tide})
    frames = reactive.imagine(timeline, reactive.load_model(model), duration=duration, **size)
    return reactive.write_video(frames, out, sound=track)


if __name__ == "__main__":
    print(main(*sys.argv[1:3]))
