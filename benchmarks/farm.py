"""Calculate the machines for many clips a day: processors, disk and network, from measured and stated rates.

    python -m benchmarks farm [--clips 1000] [--minutes 4] [--size 1280x720] [--fps 24] [--rate PICTURES_A_SECOND_OF_A_GPU ...]

Measured on this machine in seconds of one core: analysis, encoding, hashing, flash check, and a segment's bytes a pixel.
`--rate` states the speed of a GPU (several values give a table): `reactive run --json` prints it as frames_per_s.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import SONG, line, render
from reactive import analyze, open_track, score_flashes
from reactive.render.sizes import parse_size
from reactive.render.store.cache_keys import hash_path
from reactive.render.store.journal import flush_to_disk
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder

DAY = 86_400
# share of the time in which a machine renders: the rest is maintenance and gaps between songs
UTILISATION = 0.7


@dataclass(frozen=True)
class Rates:
    """Speed of one core, and size of a clip.

    `analyze` seconds of work a second of song, `encode` and `score` frames a second, `hash` bytes a second, `pixel` bytes a pixel.
    """

    analyze: float
    encode: float
    score: float
    hash: float
    pixel: float


@dataclass(frozen=True)
class Need:
    """Requirements of a number of clips a day.

    `frames` a second around the clock, `gpus`, `cores`, bytes of a `clip`, bytes a second to and from the shared disk.
    """

    frames: float
    gpus: int
    cores: float
    clip: float
    traffic: float


def plan(rates: Rates, *, clips: int, seconds: float, size: tuple[int, int], fps: float, rate: float) -> Need:
    """Return the requirements of `clips` clips of `seconds` each a day, if a GPU finishes `rate` frames a second."""
    frames = clips * seconds * fps / DAY
    clip = size[0] * size[1] * rates.pixel * seconds * fps
    cores = (
        frames / rates.encode
        + frames / rates.score
        + clips * seconds * rates.analyze / DAY
        + 3 * clips * clip / rates.hash / DAY
    )
    # a segment is written, read to be joined, written as part of the clip, and read twice: for hash and flash check
    return Need(frames, math.ceil(frames / (rate * UTILISATION)), cores / UTILISATION, clip, 5 * clips * clip / DAY)


def measured(size: tuple[int, int], folder: Path) -> Rates:
    """Measure on a real clip of ember scaled to the size, in processor time, which other load hardly changes."""
    torch.set_num_threads(1)
    track = open_track(SONG)
    began = time.process_time()
    analyze(track)
    analysis = (time.process_time() - began) / track.duration
    done = render(folder, "--duration", "4", "--start", "8", "--threads", "1", "--size", f"{size[0]}x{size[1]}")
    clip = Path(str(done["output"]))
    pictures = _decoded(clip)
    codec = video_codec("h264", speed="veryfast", crf=18)
    began = time.process_time()
    with SegmentEncoder(folder / "piece.mkv", size=size, fps=Fraction(24), codec=codec) as encoder:
        for picture in pictures:
            encoder.write(picture)
    encode = len(pictures) / (time.process_time() - began)
    pixel = (folder / "piece.mkv").stat().st_size / (len(pictures) * size[0] * size[1])
    began = time.process_time()
    score_flashes(clip)
    score = len(pictures) / (time.process_time() - began)
    big = folder / "big"
    with big.open("wb") as handle:
        handle.write(os.urandom(64 << 20))
        flush_to_disk(handle)
    began = time.process_time()
    hash_path(big)
    return Rates(analysis, encode, score, (64 << 20) / (time.process_time() - began), pixel)


def _decoded(clip: Path) -> Sequence[np.ndarray]:
    import av

    with av.open(str(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks farm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=float, default=24.0)
    parser.add_argument("--pixel", type=float, help="bytes a pixel of your clips; default: those of ember's clips")
    parser.add_argument("--rate", type=float, nargs="*", default=[10.0, 25.0, 50.0, 100.0])
    options = parser.parse_args(arguments)
    size = parse_size(options.size, "--size")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as temporary:
        rates = measured(size, Path(temporary))
    if options.pixel:
        rates = replace(rates, pixel=options.pixel)
    line("hearing", 60 * rates.analyze, "s of a core a minute of song")
    line("encoding", rates.encode, f"frames/s of a core at {options.size}")
    line("checking flashes", rates.score, "frames/s of a core")
    line("hashing", rates.hash / 1e6, "MB/s of a core", digits=0)
    line("a piece", rates.pixel, "bytes a pixel", digits=3)
    print(f"{options.clips} clips a day of {options.minutes:g} min, {options.size} at {options.fps:g} frames/s:")
    for rate in options.rate:
        need = plan(rates, clips=options.clips, seconds=60 * options.minutes, size=size, fps=options.fps, rate=rate)
        print(
            f"  {rate:g} frames/s a GPU: {need.frames:.1f} frames/s, {need.gpus} GPUs, {need.cores:.1f} cores, a clip of "
            f"{need.clip / 1e6:.0f} MB, {need.clip * options.clips / 1e9:.0f} GB a day, {need.traffic / 1e6:.0f} MB/s"
        )
