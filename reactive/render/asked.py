"""What was asked for, as a hash: whether a clip is already there, and whether a job may go on."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactive.errors import OutputError
from reactive.preset.lyrics import Line
from reactive.preset.schema import Preset
from reactive.render.job import Job, entries_of
from reactive.render.journal import read_journal
from reactive.render.keys import differences, digest, hash_path, plain
from reactive.render.plan import Plan
from reactive.timeline.timeline import Timeline

if TYPE_CHECKING:
    from reactive.render.run import Clip, Settings

TIMELINE = "timeline.npz"
# settings that do not change the clip, and those that stand in another part of the request
_ASIDE = ("overwrite", "job", "mixed", "preset", "model")
# settings that do not change the timeline; all others are thought to
_RENDERING = (
    "size", "imagine_size", "steps", "start", "duration", "device", "batch", "threads", "codec", "speed", "crf", "also",
    "segment", "flash_safe", "recipe", "loras", "vae", "guidance", "dtype", "negative",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request: the song's hash, settings, preset, words, the model's hash, and what bits rest on here."""

    song: str
    settings: Settings
    preset: Preset | None
    lines: tuple[Line, ...]
    model: str
    environment: dict[str, Any]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def wish(self) -> dict[str, Any]:
        """The request without the environment, as plain data."""
        chosen = {
            f.name: plain(getattr(self.settings, f.name))
            for f in dataclasses.fields(self.settings)
            if f.name not in _ASIDE
        }
        preset = self.preset.model_dump(mode="json") if self.preset is not None else None
        names = [file.name for file in (*self.settings.photos, *self.settings.videos)]
        lines = [str(line) for line in self.lines]
        return {
            "song": self.song, "settings": chosen, "preset": preset, "lines": lines, "names": names, "model": self.model,
        }  # fmt: skip

    @cached_property
    def key(self) -> str:
        """The hash of the whole request."""
        return digest([self.wish, self.environment])

    @cached_property
    def timeline_key(self) -> str:
        """The hash of what decides the timeline."""
        aside = set(_RENDERING) - ({"duration"} if self.settings.telling else set())
        settings = {name: value for name, value in self.wish["settings"].items() if name not in aside}
        return digest([self.wish | {"settings": settings, "model": None}, self.environment])

    def manifest(self, song: str | os.PathLike[str], out: Path, plan: Plan) -> dict[str, Any]:
        """Return what a job folder says of itself: enough to go on with it, and what its exactness rests on."""
        settings = {
            f.name: _told(getattr(self.settings, f.name))
            for f in dataclasses.fields(self.settings)
            if f.name not in ("job", "mixed")
        }
        return {
            "request": self.key,
            "wish": digest(self.wish),
            "song": str(Path(song).absolute()),
            "out": str(out.absolute()),
            "settings": settings,
            "hashes": {"song": self.song, "model": self.model, "preset": digest(self.wish["preset"])},
            "environment": self.environment,
            "frames": plan.last - plan.first,
            "segments": len(plan.segments),
            "shots": len(plan.shots),
        }

    def going_on(self, job: Job) -> Asked:
        """Return the request as a job can go on with it.

        Raises
        ------
        OutputError
            If the job was begun with other versions, on another device or with other threads, and that was not allowed.
        """
        before, done = job.last("manifest"), job.last("done")
        begun = any(name.startswith("segments") for name in job.entries)
        if not begun or before is None or before["wish"] != digest(self.wish):
            return self
        told = differences(before["environment"], self.environment)
        if not told or (done is not None and done["request"] == before["request"]):
            return self
        if not self.settings.mixed:
            raise OutputError(
                f"was begun elsewhere: here it is {told}", where=str(job.folder),
                remedy="go on there, or pass --mixed (pieces then agree to within rounding, feedback only in kind), or "
                "remove it and begin anew",
            )  # fmt: skip
        note = f"pieces of two environments ({told}): walk and photo frames agree to within rounding, feedback in kind"
        return replace(self, environment=before["environment"], notes=(note,))


def _told(value: Any) -> Any:
    """Return a setting as JSON that `settings_from` reads; files by their full names."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_told(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def settings_from(data: dict[str, Any], kind: type[Settings]) -> Settings:
    """Return the settings that a manifest tells; those not known here are left out."""
    chosen: dict[str, Any] = {}
    for f in dataclasses.fields(kind):
        if f.name in data:
            value = data[f.name]
            told = str(f.type)
            if value is not None and "Path" in told:
                value = tuple(Path(part) for part in value) if told.startswith("tuple") else Path(value)
            elif value is not None and told.startswith("Fraction"):
                value = Fraction(value)
            elif isinstance(value, list):
                value = tuple(value)
            chosen[f.name] = value
    return kind(**chosen)


def made_here(folder: Path, asked: Asked, out: Path) -> bool:
    """Return whether `out` is the very clip that this request made, by its hash in the job's journal."""
    records, _ = read_journal(folder / "journal")
    noted = [r["clip"] for r in records if "clip" in r and r["clip"]["name"] == out.name]
    if not out.is_file() or not noted or noted[-1]["request"] != asked.key:
        return False
    return out.stat().st_size == noted[-1]["bytes"] and hash_path(out) == noted[-1]["sha256"]


def finished_clip(folder: Path, asked: Asked, outs: list[Path]) -> Clip | None:
    """Return the clip if this very request has been finished and what it wrote is still there, unchanged."""
    records, _ = read_journal(folder / "journal")
    done = [record["done"] for record in records if "done" in record]
    if not done or done[-1]["request"] != asked.key or not all(made_here(folder, asked, out) for out in outs):
        return None
    from reactive.render.run import Clip

    return Clip.restored(done[-1]["clip"], outs=outs, job=folder)


def note_clip(job: Job, asked: Asked, out: Path, whole: Path) -> None:
    """Write to the journal which clip is about to take its name."""
    record = {"name": out.name, "request": asked.key, "sha256": hash_path(whole), "bytes": whole.stat().st_size}
    job.journal.append({"clip": record})


@dataclass(frozen=True)
class Decided:
    """A timeline, whether the song is silent and has a beat, and where an excerpt begins, in seconds."""

    timeline: Timeline
    silent: bool
    steady: bool
    start: float


def keep_timeline(job: Job, key: str, decided: Decided) -> None:
    """Keep what was decided, to the last bit, so that going on needs no hearing."""
    timeline = decided.timeline
    head = {f.name: _tagged(getattr(timeline, f.name)) for f in dataclasses.fields(timeline) if f.name != "columns"}
    told = {"key": key, "silent": decided.silent, "steady": decided.steady, "start": decided.start, "head": head}
    try:
        text = json.dumps(told)
    except TypeError:
        # what can't be told exactly is decided anew
        return
    data = io.BytesIO()
    arrays: dict[str, Any] = {"head": np.frombuffer(text.encode(), np.uint8), **timeline.columns}
    np.savez(data, **arrays)
    job.keep(TIMELINE, data.getvalue())


def kept_timeline(job: Job, key: str) -> Decided | None:
    """Return what was kept for a key."""
    if not job.good(TIMELINE):
        return None
    with np.load(job.folder / TIMELINE, allow_pickle=False) as data:
        told = json.loads(data["head"].tobytes())
        if told["key"] != key:
            return None
        columns = {name: data[name] for name in data.files if name != "head"}
    fields = {name: _untagged(value) for name, value in told["head"].items()}
    return Decided(Timeline(**fields, columns=columns), told["silent"], told["steady"], told["start"])


def _tagged(value: Any) -> Any:
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [_tagged(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": {name: _tagged(part) for name, part in value.items()}}
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        kind, held = next(iter(value.items()))
        if kind == "fraction":
            return Fraction(held)
        if kind == "tuple":
            return tuple(_untagged(part) for part in held)
        return {name: _untagged(part) for name, part in held.items()}
    return value


def segments_done(folder: Path) -> int:
    """Return how many segments a job's journal tells of."""
    records, _ = read_journal(folder / "journal")
    return sum(name.startswith("segments") for name in entries_of(records))
