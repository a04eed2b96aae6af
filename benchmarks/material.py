"""The inputs of the acceptance clip, the same on every machine: a synthesised song, six photographs and two videos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.first_light import BARS, RATE, ROOT, compose
from reactive.preset.library import find_preset

# fast enough for 250 prompts of two beats each in 4 min 26 s
TEMPO = 174
BEAT = 60 / TEMPO
# semitones by which each round of the song is transposed
KEYS = (0, 3, -2, 5, 0, -4, 2, -5)
PHOTOS = 6
PHOTO_SIZE = (1500, 1000)
# width, height, frames a second, seconds: 16:9 and 4:3, neither at the clip's frame rate
FILMS = ((1280, 720, Fraction(25), 12), (640, 480, Fraction(30000, 1001), 10))


@dataclass(frozen=True)
class Material:
    """The files of a clip."""

    song: Path
    preset: Path
    photos: tuple[Path, ...]
    videos: tuple[Path, ...]

    def options(self) -> list[str]:
        """Return the options of `reactive run` for tempo, preset, photographs and videos."""
        sources = [("--photo", photo) for photo in self.photos] + [("--video", video) for video in self.videos]
        return [
            "--bpm",
            str(TEMPO),
            "--preset",
            str(self.preset),
            *(word for option, path in sources for word in (option, str(path))),
        ]


def make_material(folder: Path, *, seconds: float) -> Material:
    """Write a song of `seconds`, the preset, the photographs and the videos into a folder."""
    song = folder / "acceptance.wav"
    soundfile.write(song, long_song(seconds), RATE, subtype="PCM_16")
    photos = []
    for number in range(PHOTOS):
        path = folder / f"photo-{number + 1}.jpg"
        Image.fromarray(photograph(number, PHOTO_SIZE)).save(path, quality=90)
        photos.append(path)
    videos = []
    for number, (width, height, fps, length) in enumerate(FILMS):
        path = folder / f"video-{number + 1}.mp4"
        write_film(path, number, (width, height), fps, round(length * fps))
        videos.append(path)
    return Material(song, acceptance_preset(folder / "acceptance.toml"), tuple(photos), tuple(videos))


def acceptance_preset(path: Path) -> Path:
    """Write a variant of loop-destroy with a new prompt every two beats and new photographs and videos on bars."""
    text = find_preset("loop-destroy").read_text(encoding="utf-8")
    for original, changed in (
        ('title = "Loop, destroy"', 'title = "Acceptance"'),
        ('every = "2 bars"', 'every = "2 beats"'),
        ('every = "1 bar"', 'every = "2 beats"'),
        ('over = "1 bar"', 'over = "1 beat"'),
        ("bars = [8, 24]", "bars = [4, 8]"),
        ("bars = [8, 16]", "bars = [4, 8]"),
        ("bars = [4, 16]", "bars = [4, 8]"),
        ('mode = "photo"\n', 'mode = "photo"\nsource = { every = "1 bar" }\n'),
    ):
        if original not in text:
            raise ValueError(f"loop-destroy has changed: it has no {original}")
        text = text.replace(original, changed)
    path.write_text(text, encoding="utf-8")
    return path


def long_song(seconds: float) -> np.ndarray:
    """Return a song, float32 [samples, 2]: the bundled song at TEMPO, repeated in different keys."""
    rounds = math.ceil(seconds / (BARS * 4 * BEAT))
    roots = [ROOT * 2 ** (KEYS[number % len(KEYS)] / 12) for number in range(rounds)]
    parts = [compose(7 + number, root=root, beat_length=BEAT) for number, root in enumerate(roots)]
    return np.concatenate(parts)[: round(seconds * RATE)].astype(np.float32)


def photograph(number: int, size: tuple[int, int]) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3]: sky, ground and a figure off the centre, blurred and with grain."""
    width, height = size
    rng = np.random.default_rng(100 + number)
    top, bottom, ground, figure = rng.integers(20, 235, (4, 3))
    share = np.linspace(0, 1, height)[:, None, None]
    sky = np.broadcast_to(top * (1 - share) + bottom * share, (height, width, 3))
    picture = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    line = height * (0.55 + 0.2 * rng.random())
    hills = [(x, line + 0.06 * height * math.sin(5 * x / width + number)) for x in range(0, width + 1, 20)]
    draw.polygon([*hills, (width, height), (0, height)], fill=tuple(ground.tolist()))
    x, tall = width * (0.25 + 0.5 * rng.random()), height * (0.3 + 0.2 * rng.random())
    draw.ellipse((x - tall / 8, line - tall, x + tall / 8, line - tall * 0.75), fill=tuple(figure.tolist()))
    draw.rectangle((x - tall / 7, line - tall * 0.75, x + tall / 7, line + tall * 0.2), fill=tuple(figure.tolist()))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(width / 500)), np.float32)
    return (blurred + rng.normal(0, 5, blurred.shape)).clip(0, 255).astype(np.uint8)


def write_film(path: Path, number: int, size: tuple[int, int], fps: Fraction, frames: int) -> None:
    """Write a video of discs that circle in front of a moving sky."""
    width, height = size
    sky = photograph(50 + number, (2 * width, height))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in range(frames):
            left = round(width * (0.5 - 0.5 * math.cos(2 * math.pi * frame / frames)))
            picture = Image.fromarray(sky[:, left : left + width])
            draw = ImageDraw.Draw(picture)
            for disc in range(3):
                angle = 2 * math.pi * (frame / (20 + 9 * disc) + disc / 3)
                x, y = width / 2 + width / 4 * math.cos(angle), height / 2 + height / 4 * math.sin(angle)
                radius = height / (8 + 4 * disc)
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250 - 80 * disc, 90 * disc, 60))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())
