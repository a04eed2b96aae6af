"""The interface of outputs: a sink of finished frames at a fixed size and rate, each with its time in the song.

To add one, write a class with `send` and `close` in a module of its own, and name it in `KINDS`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from reactive.errors import OutputError, install_line

DEFAULT_NAME = "reactive"
LONGEST_NAME = 100


class Sink(Protocol):
    """Passes frames to another program. Its class is called with an `OutputFormat` and opens at once."""

    def send(self, frame: np.ndarray, seconds: float) -> None:
        """Show a frame, uint8 RGB [height, width, 3], contiguous; `seconds` is its time in the song."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(frozen=True)
class OutputFormat:
    """The arguments of a sink: its name for other programs, width and height in pixels, and frames a second."""

    name: str
    size: tuple[int, int]
    fps: Fraction


@dataclass(frozen=True)
class Kind:
    """A kind of output: module and class, the library it needs, the extra that brings it, and its operating system."""

    label: str
    module: str
    attribute: str
    library: str
    extra: str
    platform: str = ""


KINDS: dict[str, Kind] = {
    "ndi": Kind("NDI", "reactive.live.outputs.ndi", "NdiSink", "cyndilib", "ndi"),
    "camera": Kind("virtual camera", "reactive.live.outputs.camera", "CameraSink", "pyvirtualcam", "camera"),
    "syphon": Kind("Syphon", "reactive.live.outputs.syphon", "SyphonSink", "syphon", "syphon", "darwin"),
    "spout": Kind("Spout", "reactive.live.outputs.spout", "SpoutSink", "SpoutGL", "spout", "win32"),
}
SYSTEMS = {"darwin": "macOS", "win32": "Windows"}


@dataclass(frozen=True)
class OutputSpec:
    """A requested output.

    Attributes
    ----------
    kind
        A key of `KINDS`.
    name
        Its name in other programs; for a virtual camera its device. Empty: the default.
    size
        Width and height in pixels; None for the clip's own.
    """

    kind: str
    name: str = ""
    size: tuple[int, int] | None = None


def parse_output(text: str, size: tuple[int, int] | None = None) -> OutputSpec:
    """Parse ``ndi``, or ``ndi=NAME``.

    Raises
    ------
    OutputError
        If it is not a kind of output.
    """
    kind, _, name = text.partition("=")
    if kind not in KINDS:
        raise OutputError(
            f'"{kind[:40]}" is no output',
            where="--output",
            remedy=f"there are {', '.join(KINDS)}; a name follows as ndi=NAME",
        )
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise OutputError(
            "is no name", where=f"--output {kind}=...", remedy=f"use at most {LONGEST_NAME} plain characters"
        )
    return OutputSpec(kind, name.strip(), size)


def check_available(spec: OutputSpec) -> None:
    """Check that an output's library is installed and this is its operating system, before anything slow begins.

    Raises
    ------
    OutputError
        If not.
    """
    kind = KINDS[spec.kind]
    if kind.platform and sys.platform != kind.platform:
        raise OutputError(
            f"{kind.label} is only on {SYSTEMS[kind.platform]}",
            where=f"--output {spec.kind}",
            remedy="use ndi or camera",
        )
    if kind.library not in sys.modules and importlib.util.find_spec(kind.library) is None:
        raise OutputError(
            f"{kind.label} needs {kind.library}",
            where=f"--output {spec.kind}",
            remedy=f"install it with `{install_line(f'[{kind.extra}]')}`",
        )


def open_sink(spec: OutputSpec, size: tuple[int, int], fps: Fraction) -> Sink:
    """Open an output.

    Parameters
    ----------
    size
        The clip's size, if the output has none of its own.

    Raises
    ------
    OutputError
        If it can't be opened; the message has the library's own.
    """
    check_available(spec)
    kind = KINDS[spec.kind]
    wanted = OutputFormat(spec.name or DEFAULT_NAME, spec.size or size, fps)
    if spec.kind == "camera":
        # its name is a device; without one the library finds one
        wanted = OutputFormat(spec.name, wanted.size, fps)
    make = getattr(importlib.import_module(kind.module), kind.attribute)
    try:
        sink: Sink = make(wanted)
    except OutputError:
        raise
    except Exception as problem:
        # each library raises its own errors
        said = " ".join(str(problem).split())[:200].rstrip(".") or type(problem).__name__
        raise OutputError(
            f"{kind.label} can't be opened ({said})", where=f"--output {spec.kind}", remedy=REMEDIES[spec.kind]
        ) from None
    return sink


REMEDIES = {
    "ndi": "see whether this machine has a network",
    "camera": "install OBS, or on Linux load v4l2loopback",
    "syphon": "see whether this machine has Metal",
    "spout": "see whether this machine has a graphics card with OpenGL",
}
