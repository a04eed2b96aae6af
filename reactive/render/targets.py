"""Places that clips are made for, `--for reels`: size, frame rate, length, loudness and file size of each, from ``targets.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reactive.errors import OutputError

TABLE = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True)
class Target:
    """A place that clips are made for.

    Attributes
    ----------
    name, about
        As ``--for`` takes it, and in words.
    size
        Width and height in pixels; the model works in the same shape.
    fps
        Frames a second.
    source
        The public page that the limits come from.
    shortest, longest
        Seconds; None: no limit.
    loudness
        LUFS; None: as the song is.
    max_size
        Bytes of the file; None: no limit.
    loop
        Which bars loop, as `Output.loop` has it; empty: no loop.
    codec
        As `Encoding.codec` has it.
    """

    name: str
    about: str
    size: tuple[int, int]
    fps: str
    source: str
    shortest: float | None = None
    longest: float | None = None
    loudness: float | None = None
    max_size: int | None = None
    loop: str = ""
    codec: str = "h264"

    def choices(self) -> dict[str, Any]:
        """Return what is set, by the plain names of `Settings.of`."""
        names = ("size", "fps", "codec", "loudness", "max_size", "loop", "longest", "shortest")
        return {name: getattr(self, name) for name in names}


@cache
def targets() -> dict[str, Target]:
    """Return all places by name, in the table's order."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Target(name=name, **entry | {"size": tuple(entry["size"])}) for name, entry in table.items()}


def parse_targets(text: str) -> list[Target]:
    """Return the places that a text names: ``youtube,reels``.

    Raises
    ------
    OutputError
        If one is not known.
    """
    found = {}
    for name in (part.strip().lower() for part in text.split(",")):
        if name not in targets():
            raise OutputError(f'"{name[:40]}" is not known', where="--for", remedy=f"use {', '.join(targets())}")
        found[name] = targets()[name]
    return list(found.values())


def check_length(target: Target, duration: float | None) -> None:
    """Check a length in seconds that was asked for.

    Raises
    ------
    OutputError
        If the place does not take it.
    """
    if duration is None:
        return
    if target.longest is not None and duration > target.longest:
        raise OutputError(
            f"{duration:g} s is longer than {target.name} takes",
            where="--duration",
            remedy=f"use at most {target.longest:g}",
        )
    if target.shortest is not None and duration < target.shortest:
        raise OutputError(
            f"{duration:g} s is shorter than {target.name} takes",
            where="--duration",
            remedy=f"use at least {target.shortest:g}",
        )


def target_path(out: Path, target: Target, suffix: str) -> Path:
    """Return the path of the clip for a place: ``clip.reels.mp4``."""
    return out.with_name(f"{out.stem}.{target.name}{suffix}")
