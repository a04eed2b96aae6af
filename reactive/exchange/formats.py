"""The export formats, by name or file suffix, and the function that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reactive.errors import OutputError
from reactive.files import write_bytes
from reactive.timeline.timeline import Timeline

FORMATS = ("deforum", "parseq", "csv", "otio", "midi", "srt")
_SUFFIXES = {
    ".deforum.json": "deforum",
    ".deforum.txt": "deforum",
    ".txt": "deforum",
    ".parseq.json": "parseq",
    ".csv": "csv",
    ".otio": "otio",
    ".mid": "midi",
    ".midi": "midi",
    ".srt": "srt",
}


def format_of(path: Path, name: str | None = None) -> str:
    """Return the named format, or that of a file's suffix.

    Raises
    ------
    OutputError
        If the suffix is not known.
    """
    if name:
        return name
    for suffix, kind in _SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise OutputError(
        "has no suffix of a known format", where=str(path), remedy=f"add --format with one of {', '.join(FORMATS)}"
    )


def export_timeline(
    timeline: Timeline,
    path: Path,
    *,
    kind: str,
    song: str = "",
    clip: str = "",
    tempo: float = 120.0,
    sections: Sequence[tuple[float, float, str]] = (),
) -> None:
    """Write a timeline for another tool; the file appears only when it is complete.

    Parameters
    ----------
    timeline
        The timeline to write.
    path
        The file.
    kind
        One of `FORMATS`.
    song, clip
        The song's file and that of the rendered clip, as paths relative to the file's folder; only `otio` names them.
    tempo
        Beats a minute, which MIDI and Parseq state.
    sections
        The song's sections as (start, end, label), in seconds.

    Raises
    ------
    ReactiveError
        If a package is missing, or the file can't be written.
    """
    data = _bytes(timeline, kind, song, clip, tempo, sections)
    try:
        write_bytes(path, data)
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place"
        ) from None


def _bytes(
    timeline: Timeline, kind: str, song: str, clip: str, tempo: float, sections: Sequence[tuple[float, float, str]]
) -> bytes:
    if kind == "midi":
        from reactive.exchange.midi import midi_bytes

        return midi_bytes(timeline, tempo=tempo)
    if kind == "deforum":
        from reactive.exchange.deforum import deforum_text

        text = deforum_text(timeline)
    elif kind == "parseq":
        from reactive.exchange.parseq import parseq_text

        text = parseq_text(timeline, tempo=tempo)
    elif kind == "otio":
        from reactive.exchange.otio import otio_text

        text = otio_text(timeline, song=song, clip=clip, sections=sections)
    elif kind == "srt":
        from reactive.exchange.subtitles import srt_text

        text = srt_text(timeline)
    else:
        from reactive.exchange.table import csv_text

        text = csv_text(timeline)
    return text.encode("utf-8")
