"""Render posters and moving pictures of the bundled presets: ``python -m training.make_posters [--moving] [NAME ...]``.

Each is made by the command line with ember from the bundled song. A poster has four frames of its clip, spread over its phases;
a moving picture (with ``--moving``, these alone) shows the seconds around the drop.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from click.testing import CliRunner
from PIL import Image

from reactive import load_timeline
from reactive.cli import main
from reactive.preset.library import names, shipped_folder

SONG = Path(__file__).resolve().parents[1] / "reactive" / "data" / "first-light.ogg"
FPS = "2"
LIMIT = 60_000
MOVING_SECONDS, MOVING_FPS, MOVING_SIZE, MOVING_LIMIT = "3", 10, "256x144", 220_000


def command(*arguments: str) -> None:
    """Run the command line; stop at its first error."""
    done = CliRunner().invoke(main, list(arguments))
    if done.exit_code:
        raise SystemExit(done.output)


def moments(path: Path) -> list[int]:
    """Return four frames of a timeline: the middles of prompts, at least one in each phase, spread over the song."""
    timeline = load_timeline(path)
    prompt, phase = timeline.columns["prompt_to"], timeline.columns["phase"]
    edges = [0, *(np.flatnonzero((np.diff(prompt) != 0) | (np.diff(phase) != 0)) + 1).tolist(), timeline.frames]
    stretches = sorted(zip(edges, edges[1:], strict=False), key=lambda pair: pair[0] - pair[1])
    chosen: dict[int, list[int]] = {}
    for start, stop in stretches:
        chosen.setdefault(int(phase[start]), []).append((2 * start + 3 * stop) // 5)
    picked: list[int] = []
    while len(picked) < 4:
        picked += [frames.pop(0) for frames in chosen.values() if frames][: 4 - len(picked)]
        if not any(chosen.values()):
            break
    return sorted((picked * 4)[:4])


def poster(name: str, target: Path) -> None:
    """Render the poster of one preset to `target`."""
    with tempfile.TemporaryDirectory() as work:
        timeline, clip = Path(work) / "t.json", Path(work) / "clip.mp4"
        options = ["--preset", name, "--fps", FPS]
        command("timeline", str(SONG), *options, "-o", str(timeline))
        command("run", str(SONG), *options, "-o", str(clip), "--threads", "1", "--crf", "10")
        wanted = moments(timeline)
        with av.open(str(clip)) as container:
            frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    sheet = Image.new("RGB", (960, 540))
    for number, frame in enumerate(wanted):
        tile = frames[frame].resize((480, 270), Image.Resampling.LANCZOS)
        sheet.paste(tile, (480 * (number % 2), 270 * (number // 2)))
    for quality in (88, 80, 70, 60, 50, 40, 34, 28, 24, 20):
        sheet.save(target, quality=quality, optimize=True)
        if target.stat().st_size <= LIMIT:
            return


def moving(name: str, target: Path) -> None:
    """Render the moving picture of one preset to `target`, an animated WebP."""
    with tempfile.TemporaryDirectory() as work:
        clip = Path(work) / "clip.mp4"
        small = [
            "--fps",
            str(MOVING_FPS),
            "--duration",
            MOVING_SECONDS,
            "--size",
            MOVING_SIZE,
            "--imagine-size",
            MOVING_SIZE,
        ]
        command("try", str(SONG), "--preset", name, *small, "-o", str(clip))
        with av.open(str(clip)) as container:
            frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    for quality in (75, 65, 55, 45, 38, 30):
        save: dict[str, Any] = {"quality": quality, "duration": round(1000 / MOVING_FPS), "loop": 0, "method": 5}
        frames[0].save(target, save_all=True, append_images=frames[1:], **save)
        if target.stat().st_size <= MOVING_LIMIT:
            return


if __name__ == "__main__":
    given = [name for name in sys.argv[1:] if name != "--moving"]
    for preset in given or names():
        folder = shipped_folder() / preset
        if "--moving" in sys.argv[1:]:
            moving(preset, folder / "moving.webp")
        else:
            poster(preset, folder / "poster.jpg")
