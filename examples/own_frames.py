"""Frames that a program draws, fed in like a film: a light that circles once in four seconds.

python examples/own_frames.py song.wav clip.mp4
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

import reactive

PRESET = Path(__file__).with_suffix(".toml")


class CirclingLight:
    """A `reactive.MovingSource`: it is asked for the picture at a time of the song, in the size that the model works at."""

    RATE = 24

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self.x, self.y = np.meshgrid(np.linspace(-width / height, width / height, width), np.linspace(-1, 1, height))

    def number_at(self, seconds: Fraction) -> int:
        return round(seconds * self.RATE)

    def at(self, seconds: Fraction) -> np.ndarray:
        return self.picture(self.number_at(seconds))

    def picture(self, number: int) -> np.ndarray:
        angle = 2 * np.pi * number / (4 * self.RATE)
        distance = np.hypot(self.x - 0.6 * np.cos(angle), self.y - 0.6 * np.sin(angle))
        light = np.exp(-((distance / 0.35) ** 2))
        return np.round(light[..., None] * (255, 190, 120)).astype(np.uint8)

    def close(self) -> None:
        pass


def main(song: str, out: str, *, model: str = "ember", duration: float | None = 8.0, **size: tuple[int, int]) -> Path:
    loaded = reactive.load_model(model)
    light = CirclingLight(size.get("imagine_size", loaded.native_size))
    track = reactive.open_track(song)
    timeline = reactive.decide(reactive.analyze(track), PRESET, fps=24, videos=[light])
    frames = reactive.imagine(timeline, loaded, videos=[light], duration=duration, **size)
    return reactive.write_video(frames, out, sound=track)


if __name__ == "__main__":
    print(main(*sys.argv[1:3]))
