"""The process that renders a project's queue: ``python -m reactive.studio.worker FOLDER``. At most one runs for a folder.

It depends on neither page nor server. If it is killed, finished segments stay in the job folder, and the next one resumes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reactive.errors import foreseen
from reactive.files import write_text
from reactive.render.rates import key_of_settings, save_rate
from reactive.studio import renders
from reactive.studio.project import render_settings, song_of
from reactive.studio.renders import Render

# seconds between writes of progress and checks for a stop
PROGRESS_SECONDS = 0.25
NICE = 5


class StopError(BaseException):
    """The page paused or cancelled the render. Not an Exception, so that no code handles it as an error."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


def work(folder: Path) -> None:
    """Render the queue, oldest first, until it is empty; do nothing if another process is doing so."""
    try:
        with FileLock(folder / renders.FOLDER / renders.LOCK, timeout=0):
            while waiting := [one for one in renders.list_renders(folder) if one.state in renders.WAITING]:
                # a render interrupted by a killed process comes first
                waiting.sort(key=lambda one: (one.state != "running", one.id))
                _render(folder, waiting[0])
    except (Timeout, StopError):
        return


def _render(folder: Path, render: Render) -> None:
    number = render.id
    renders.set_state(folder, number, "running")
    progress = _ProgressFile(folder, number)
    try:
        result = _make(folder, render, progress)
    except StopError as stop:
        kinds: dict[str, renders.State] = {"pause": "paused", "wait": "queued"}
        renders.set_state(folder, number, kinds.get(stop.how, "cancelled"))
        if stop.how == "wait":
            raise
    except Exception as problem:
        known = foreseen(problem)
        if known is None:
            traceback.print_exc()
        text = str(known) if known else f"the program failed ({type(problem).__name__}); see renders/.worker.log"
        renders.set_state(folder, number, "failed", problem=text)
    else:
        renders.set_state(folder, number, "done", result=result, problem="")
    finally:
        renders.stop_file(folder, number).unlink(missing_ok=True)
        renders.progress_file(folder, number).unlink(missing_ok=True)


def _make(folder: Path, render: Render, progress: _ProgressFile) -> dict[str, Any]:
    """Render a clip, score it, and write its poster."""
    from reactive.audio.corrections import Corrections
    from reactive.audio.hear import HearingOptions
    from reactive.render.run import make_clip
    from reactive.score.sync import score_clip

    corrections: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in render.corrections.items()
    }
    hearing = HearingOptions(corrections=Corrections(**corrections), settled=True)
    out = folder / render.clip
    settings = render_settings(folder, render.project, hearing=hearing, overwrite=True)
    clip = make_clip(song_of(folder, render.project), out, settings, progress=progress)
    if clip.frames > clip.reused and not clip.already:
        save_rate(key_of_settings(settings), (clip.frames - clip.reused) / max(clip.render_s, 1e-3))
    progress("judging", 0, 1)
    result: dict[str, Any] = {"clip": clip.to_dict(), "files": [path.name for path in (clip.output, *clip.also)]}
    with contextlib.suppress(Exception):
        result["score"] = score_clip(out).to_dict()
    result["flashes"] = clip.flashes.sentence()
    result["safe"] = clip.flashes.passes
    _write_poster(out, renders.poster_file(folder, render.id), clip.frames)
    return result


def _write_poster(clip: Path, poster: Path, frames: int) -> None:
    from itertools import islice

    from reactive.media.video import rgb_frames
    from reactive.video.stills import write_picture

    middle = frames // 3
    for picture, _ in islice(rgb_frames(clip), middle, middle + 1):
        write_picture(poster, picture, longest=640)


class _ProgressFile:
    """Writes a render's progress, and stops it on request."""

    def __init__(self, folder: Path, number: str) -> None:
        self.file = renders.progress_file(folder, number)
        self.stop = renders.stop_file(folder, number)
        self.stage = ""
        self.first = 0
        self.began = self.written = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.began, self.first, self.written = stage, now, done, 0.0
        if self.stop.exists():
            how = self.stop.read_text(encoding="utf-8", errors="replace").strip()
            raise StopError(how or "pause")
        if now - self.written < PROGRESS_SECONDS and done < total:
            return
        self.written = now
        passed = now - self.began
        rate = (done - self.first) / passed if passed > 0.5 and done > self.first else 0.0
        data = {"stage": stage, "done": done, "total": total, "rate": round(rate, 3)}
        write_text(self.file, json.dumps(data))


def main() -> None:
    """Render the queue of the folder on the command line."""
    # short spinning, because encoders need the processors too; a low priority favours the page's server
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICE)
    work(Path(sys.argv[1]).absolute())


if __name__ == "__main__":
    main()
