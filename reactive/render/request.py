"""A render's request as a hash: it tells whether a clip exists already, and whether a job may go on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactive.diffusion.models.lora import parse_lora
from reactive.errors import OutputError
from reactive.preset.control import split_control
from reactive.preset.lyrics import Line
from reactive.preset.schema import Preset
from reactive.preset.style import split_style
from reactive.render.plan import Plan
from reactive.render.store.cache_keys import differences, digest, hash_path, plain
from reactive.render.store.folders import clips_folder
from reactive.render.store.given import named_in_full, noted_files
from reactive.render.store.job import Job, entries_of
from reactive.render.store.journal import read_journal
from reactive.timeline.loras import split_lora

if TYPE_CHECKING:
    from reactive.render.clip import Clip
    from reactive.render.settings import Settings

# settings that older versions did not have; their defaults are left out, so that older jobs are recognised
_LATER = (
    "controls",
    "control_models",
    "styles",
    "adapter",
    "fit",
    "focus",
    "shape",
    "loop",
    "longest",
    "shortest",
    "loudness",
    "max_size",
    "quant",
    "brightness",
)
# settings that do not change the clip, and those that are in another part of the request
_ASIDE = ("overwrite", "job", "mixed", "ray", "workers", "preset", "model")
# where a job is and who renders it is given again each time
_NOT_STORED = ("job", "mixed", "ray", "workers")


@dataclass(frozen=True)
class RenderRequest:
    """A request: the song's hash, settings, preset, words, the model's hash, and the environment that decides bits.

    `song_file` is the hash of the bytes of the song's file, by which older jobs know it.
    """

    song: str
    settings: Settings
    preset: Preset | None
    lines: tuple[Line, ...]
    model: str
    environment: dict[str, Any]
    notes: tuple[str, ...] = field(default=())
    song_file: str = ""

    @cached_property
    def content(self) -> dict[str, Any]:
        """The request without the environment, as plain data."""
        chosen = {
            name: plain(value)
            for name, value in self.settings.choices().items()
            # a setting that jobs did not have before there was a rule for lanes
            if name not in _ASIDE
            and not (name == "lanes" and self.settings.compute.lanes < 0)
            and not (name in _LATER and not value)
        }
        # the name that the first versions gave it, so that their jobs are recognised
        chosen["wishes"] = hearing = chosen.pop("hearing")
        # a correction that older jobs did not have changes the hash only if it is given
        if hearing["corrections"]["sections"] is None:
            del hearing["corrections"]["sections"]
        # the weights behind these names are part of the model's hash
        if self.settings.model.loras:
            # an expression stands for itself, a number for its value
            told = [(parse_lora(text)[1], split_lora(text)) for text in self.settings.model.loras]
            chosen["loras"] = [[Path(name).name, said] if scale is None else scale for scale, (name, said) in told]
        if self.settings.model.quant:
            chosen["quant"] = Path(self.settings.model.quant).name
        if self.settings.model.vae:
            chosen["vae"] = Path(self.settings.model.vae).name
        if self.settings.model.adapter:
            chosen["adapter"] = Path(self.settings.model.adapter).name
        if self.settings.sources.styles:
            styles = map(split_style, self.settings.sources.styles)
            chosen["styles"] = [[hash_path(Path(name)), Path(name).name, weight] for name, weight in styles]
        if self.settings.model.control_models:
            chosen["control_models"] = [text.partition("=")[0] for text in self.settings.model.control_models]
        if self.settings.sources.controls:
            shapes = map(split_control, self.settings.sources.controls)
            chosen["controls"] = [
                [kind, hash_path(Path(name)) if name else "", Path(name).name, weight] for kind, name, weight in shapes
            ]
        preset = self.preset.model_dump(mode="json") if self.preset is not None else None
        names = [file.name for file in (*self.settings.sources.photos, *self.settings.sources.videos)]
        lines = [str(line) for line in self.lines]
        return {
            "song": self.song,
            "settings": chosen,
            "preset": preset,
            "lines": lines,
            "names": names,
            "model": self.model,
        }

    @cached_property
    def key(self) -> str:
        """The hash of the whole request."""
        return digest([self.content, self.environment])

    def manifest(
        self,
        song: str | os.PathLike[str],
        out: Path,
        plan: Plan,
        chosen: Mapping[str, Any] | None = None,
        *,
        folder: Path,
    ) -> dict[str, Any]:
        """Return the manifest of a job `folder`: enough to resume it, and the environment that decides its bits.

        `chosen` is what was chosen by rule: batch, lanes and number format.
        """
        told = {name: value for name, value in self.settings.to_data().items() if name not in _NOT_STORED}
        # full paths, since the job may be resumed from another folder
        settings = named_in_full(told)
        return {
            "request": self.key,
            "wish": digest(self.content),
            "song": str(Path(song).absolute()),
            "song_bytes": Path(song).stat().st_size,
            "out": str(out.absolute()),
            "settings": settings,
            "folder": str(clips_folder(folder.absolute(), out.absolute())),
            "files": noted_files(settings),
            "hashes": {
                "song": self.song,
                "song_file": self.song_file,
                "model": self.model,
                "preset": digest(self.content["preset"]),
                "grid": digest(self.content["settings"]["wishes"]),
            },
            "environment": self.environment,
            "frames": plan.last - plan.first,
            "segments": len(plan.segments),
            "shots": len(plan.shots),
            **(chosen or {}),
        }

    def resumed(self, job: Job) -> RenderRequest:
        """Return the request as a job can go on with it.

        Raises
        ------
        OutputError
            If the job was begun with other versions, on another device or with other threads, and `mixed` is not set.
        """
        before, done = job.last("manifest"), job.last("done")
        begun = any(name.startswith("segments") for name in job.entries)
        known = [digest(self.content), *([digest({**self.content, "song": self.song_file})] if self.song_file else [])]
        if not begun or before is None or before["wish"] not in known:
            return self
        changed = differences(before["environment"], self.environment)
        if not changed or (done is not None and done["request"] == before["request"]):
            return self
        if not self.settings.compute.mixed:
            raise OutputError(
                f"was begun elsewhere: here it is {changed}",
                where=str(job.folder),
                remedy="go on there, or pass --mixed (pieces then agree to within rounding, feedback only in kind), or "
                "remove it and begin anew",
            )
        note = (
            f"pieces of two environments ({changed}): walk and photo frames agree to within rounding, feedback in kind."
        )
        return replace(self, environment=before["environment"], notes=(note,))


def is_made_by(folder: Path, request: RenderRequest, out: Path) -> bool:
    """Return whether `out` is the very clip that this request made, by its hash in the job's journal."""
    records, _ = read_journal(folder / "journal")
    noted = [r["clip"] for r in records if "clip" in r and r["clip"]["name"] == out.name]
    if not out.is_file() or not noted or noted[-1]["request"] != request.key:
        return False
    return out.stat().st_size == noted[-1]["bytes"] and hash_path(out) == noted[-1]["sha256"]


def finished_clip(folder: Path, request: RenderRequest, outs: list[Path]) -> Clip | None:
    """Return the clip if this very request has been finished and what it wrote is still there, unchanged."""
    records, _ = read_journal(folder / "journal")
    done = [record["done"] for record in records if "done" in record]
    if not done or done[-1]["request"] != request.key or not all(is_made_by(folder, request, out) for out in outs):
        return None
    from reactive.render.clip import Clip

    return Clip.restored(done[-1]["clip"], outs=outs, job=folder)


def record_clip(job: Job, request: RenderRequest, out: Path, whole: Path) -> None:
    """Write to the journal that a complete clip is about to be renamed to its final name."""
    record = {"name": out.name, "request": request.key, "sha256": hash_path(whole), "bytes": whole.stat().st_size}
    job.journal.append({"clip": record})


def segments_done(folder: Path) -> int:
    """Return how many segments a job's journal lists."""
    records, _ = read_journal(folder / "journal")
    return sum(name.startswith("segments") for name in entries_of(records))
