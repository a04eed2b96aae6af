"""The result of a render: the finished clip, and how long each stage took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from reactive.score.flash import Flashes, Kind
from reactive.timeline.clock import format_fps


@dataclass(frozen=True)
class Clip:
    """A finished clip and how long each stage took, in seconds."""

    output: Path
    frames: int
    pictures: int
    fps: Fraction
    duration: float
    size: tuple[int, int]
    imagine_size: tuple[int, int]
    prompts_used: int
    photos_shown: int
    model: str
    device: str
    batch: int
    threads: int
    silent: bool
    steady: bool
    flashes: Flashes
    held_back: int
    analysis_s: float
    load_s: float
    render_s: float
    wall_s: float
    also: tuple[Path, ...] = ()
    reused: int = 0
    job: Path | None = None
    job_bytes: int = 0
    notes: tuple[str, ...] = ()
    already: bool = False

    def stored(self) -> dict[str, Any]:
        """Return all that `restored` needs, as plain data."""
        return {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("output", "also", "job", "already")
        } | {"fps": format_fps(self.fps), "flashes": asdict(self.flashes)}

    @classmethod
    def restored(cls, data: dict[str, Any], *, outs: Sequence[Path], job: Path) -> Clip:
        """Return a clip that an earlier run finished."""
        kinds = {
            name: Kind(**kind | {"stretches": tuple(map(tuple, kind["stretches"]))})
            for name, kind in data["flashes"].items()
        }
        told: dict[str, Any] = {name: tuple(data[name]) for name in ("size", "imagine_size", "notes")}
        told |= {"fps": Fraction(data["fps"]), "flashes": Flashes(**kinds)}
        return cls(**data | told, output=outs[0], also=tuple(outs[1:]), job=job, already=True)

    def to_dict(self) -> dict[str, object]:
        """Return the summary as plain data for JSON."""
        return {
            "output": str(self.output),
            "frames": self.frames,
            "pictures": self.pictures,
            "fps": format_fps(self.fps),
            "duration": round(self.duration, 6),
            "size": "x".join(map(str, self.size)),
            "imagine_size": "x".join(map(str, self.imagine_size)),
            "prompts_used": self.prompts_used,
            "photos_shown": self.photos_shown,
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "threads": self.threads,
            "silent": self.silent,
            "beat": self.steady,
            "flashes": self.flashes.to_dict(),
            "held_back": self.held_back,
            "analysis_s": round(self.analysis_s, 3),
            "load_s": round(self.load_s, 3),
            "render_s": round(self.render_s, 3),
            "wall_s": round(self.wall_s, 3),
            "frames_per_s": round((self.frames - self.reused) / self.render_s, 3) if self.render_s > 0 else 0.0,
            "also": [str(path) for path in self.also],
            "reused": self.reused,
            "job": str(self.job) if self.job else None,
            "job_bytes": self.job_bytes,
            "notes": list(self.notes),
            "already": self.already,
        }
