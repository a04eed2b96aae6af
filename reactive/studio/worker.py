"""The process that renders a project's queue: ``python -m reactive.studio.worker FOLDER``. One at a time for a folder.

It does not depend on a page or a server. However it ends, its finished parts stay in the job folder, and the next one continues.
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
from reactive.studio import renders
from reactive.studio.project import render_settings, song_of
from reactive.studio.renders import Render

# seconds between writes of progress and checks for a stop
TELL_SECONDS = 0.25
NICE = 5


class StopError(BaseException):
    """The page paused or cancelled the render. Not an Exception, so that no code handles it as an error."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


def work(folder: Path) -> None:
    """Render the queue, oldest first, until it is empty; do nothing if another process does."""
    try:
        with FileLock(folder / renders.FOLDER / renders.LOCK, timeout=0):
            while waiting := [one for one in renders.list_renders(folder) if one.state in renders.WAITING]:
                # a render that a killed process left comes first
                waiting.sort(key=lambda one: (one.state != "running", one.id))
                _render(folder, waiting[0])
    except (Timeout, StopError):
        return


def _render(folder: Path, render: Render) -> None:
    number = render.id
    renders.set_state(folder, number, "running")
    teller = _Teller(folder, number)
    try:
        result = _make(folder, render, teller)
    except StopError as stop:
        kinds: dict[str, renders.State] = {"pause": "paused", "wait": "queued"}
        renders.set_state(folder, number, kinds.get(stop.how, "cancelled"))
        if stop.how == "wait":
            raise
    except Exception as problem:
        known = foreseen(problem)
        if known is None:
            traceback.print_exc()
        told = str(known) if known else f"the program failed ({type(problem).__name__}); renders/.worker.log says where"
        renders.set_state(folder, number, "failed", problem=told)
    else:
        renders.set_state(folder, number, "done", result=result, problem="")
    finally:
        renders.stop_file(folder, number).unlink(missing_ok=True)
        renders.progress_file(folder, number).unlink(missing_ok=True)


def _make(folder: Path, render: Render, teller: _Teller) -> dict[str, Any]:
    """Render a clip, judge it, and draw its poster."""
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
    clip = make_clip(song_of(folder, render.project), out, settings, progress=teller)
    if clip.frames > clip.reused and not clip.already:
        renders.note_rate(renders.rate_key(render.project), (clip.frames - clip.reused) / max(clip.render_s, 1e-3))
    teller("judging", 0, 1)
    result: dict[str, Any] = {"clip": clip.to_dict(), "files": [path.name for path in (clip.output, *clip.also)]}
    with contextlib.suppress(Exception):
        result["score"] = score_clip(out).to_dict()
    result["flashes"] = clip.flashes.sentence()
    result["safe"] = clip.flashes.passes
    _draw_poster(out, renders.poster_file(folder, render.id), clip.frames)
    return result


def _draw_poster(clip: Path, poster: Path, frames: int) -> None:
    from itertools import islice

    from reactive.media.video import rgb_frames
    from reactive.video.stills import write_picture

    middle = frames // 3
    for picture, _ in islice(rgb_frames(clip), middle, middle + 1):
        write_picture(poster, picture, longest=640)


class _Teller:
    """Writes a render's progress, and stops it on request."""

    def __init__(self, folder: Path, number: str) -> None:
        self.progress = renders.progress_file(folder, number)
        self.stop = renders.stop_file(folder, number)
        self.stage = ""
        self.first = 0
        self.began = self.told = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.began, self.first, self.told = stage, now, done, 0.0
        if self.stop.exists():
            how = self.stop.read_text(encoding="utf-8", errors="replace").strip()
            raise StopError(how or "pause")
        if now - self.told < TELL_SECONDS and done < total:
            return
        self.told = now
        passed = now - self.began
        rate = (done - self.first) / passed if passed > 0.5 and done > self.first else 0.0
        data = {"stage": stage, "done": done, "total": total, "rate": round(rate, 3)}
        write_text(self.progress, json.dumps(data))


def main() -> None:
    """Render the queue of the folder that the command line names."""
    # threads wait briefly, since an encoder needs the processors too; the page's server has priority
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICE)
    work(Path(sys.argv[1]).absolute())


if __name__ == "__main__":
    main()
