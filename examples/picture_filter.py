"""Finished frames changed on their way into the video: each keeps a trace of those before it, as an old screen does.

python examples/picture_filter.py song.wav clip.mp4
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import reactive


class Afterglow:
    """What was bright fades slowly; a function without a memory would do as well."""

    def __init__(self, keep: float = 0.85) -> None:
        self.keep = keep
        self.glow: np.ndarray | None = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame, uint8 [3, height, width], over what glows of the earlier ones."""
        before = np.zeros(frame.shape, np.float32) if self.glow is None else self.glow
        self.glow = np.maximum(frame, self.keep * before)
        return np.round(self.glow).astype(np.uint8)


def main(song: str, out: str, *, model: str = "ember", duration: float | None = 8.0, **size: tuple[int, int]) -> Path:
    track = reactive.open_track(song)
    timeline = reactive.decide(reactive.analyze(track), "warehouse", fps=24)
    frames = reactive.imagine(timeline, reactive.load_model(model), duration=duration, **size)
    # `map` keeps what the frames know of themselves: their rate, and where in the song they are
    return reactive.write_video(frames.map(Afterglow()), out, sound=track)


if __name__ == "__main__":
    print(main(*sys.argv[1:3]))
