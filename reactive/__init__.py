"""reactive: a song goes in, a finished clip comes out whose pictures move with the music.

The public names, imported where they are first used, so that ``import reactive`` costs nothing. A clip takes five of them:

    track = reactive.open_track("song.wav")
    timeline = reactive.decide(reactive.analyze(track), "loop-destroy", fps=24)
    frames = reactive.imagine(timeline, reactive.load_model("ember"))
    reactive.write_video(frames, "clip.mp4", sound=track)

What editors and type checkers complete stands in ``__init__.pyi``, which names the same.
"""

from __future__ import annotations

# first of all, before anything that takes time to load
from reactive.early import answer_early

answer_early()

# as typing has it, which is not loaded for this
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "open_track": "reactive.media.sound",
    "Track": "reactive.media.sound",
    "analyze": "reactive.audio.analysis",
    "Analysis": "reactive.audio.analysis",
    "grid_of": "reactive.audio.grid",
    "decide": "reactive.render.decide",
    "get_preset": "reactive.preset.library",
    "load_preset": "reactive.preset.schema",
    "Preset": "reactive.preset.schema",
    "build_timeline": "reactive.timeline.timeline",
    "Timeline": "reactive.timeline.timeline",
    "load_timeline": "reactive.timeline.file",
    "save_timeline": "reactive.timeline.file",
    "load_model": "reactive.diffusion.models.load",
    "Model": "reactive.diffusion.models.model",
    "MovingSource": "reactive.diffusion.scene",
    "imagine": "reactive.render.imagine",
    "Frames": "reactive.render.imagine",
    "write_video": "reactive.render.write",
    "make_clip": "reactive.render.run",
    "Settings": "reactive.render.settings",
    "score_clip": "reactive.score.sync",
    "score_flashes": "reactive.score.flash",
    "export_clip": "reactive.render.export",
    "ExportOptions": "reactive.render.export",
    "ReactiveError": "reactive.errors",
}
__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'reactive' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return the public names, also those that nothing has used yet."""
    return sorted({*globals(), *__all__})
