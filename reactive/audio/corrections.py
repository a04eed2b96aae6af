"""Corrections of the grid: tempo, offset, half or double tempo, the "one", the metre, or all beats from a file.

Corrections are kept beside the song as ``<song>.reactive.json`` (in the user's data folder where that can't be written)
with the song's hashes; they are applied to an analysis and never change the song. Those of another song are not applied, and
are renamed before this song's are written.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import math
import os
import stat
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis, metre_of
from reactive.audio.levels import SURE
from reactive.audio.onset import Onsets
from reactive.audio.parts import check_names, name_sections
from reactive.audio.rhythm import BEATS_PER_BAR, typical_tempo
from reactive.audio.structure import Section
from reactive.errors import GridError
from reactive.files import name_beside, write_text
from reactive.jsonfile import parse_json

SLOWEST, FASTEST = 20.0, 400.0
MAX_OFFSET_MS = 10_000.0
MAX_BEATS = 200_000
MAX_FILE_BYTES = 8 << 20
SUFFIX = ".reactive.json"
MOST_ASIDE = 50


@dataclass(frozen=True)
class Corrections:
    """Corrections of the grid; None and False mean no correction.

    Attributes
    ----------
    bpm
        Steady tempo in beats a minute; its phase is taken from the onsets.
    offset_ms
        By how many ms the grid is moved later.
    half, double
        Keep every second beat only, or add one between any two.
    downbeat
        The number, from 1, of a beat that is a "one".
    meter
        As ``3/4``, all through the song.
    beats, downbeats
        Beat times in seconds that replace the analysed ones, and which of them are "ones" (may be empty).
    sections
        Names of sections, by letter or number: ``C=chorus``, ``3=drop``.
    """

    bpm: float | None = None
    offset_ms: float | None = None
    half: bool = False
    double: bool = False
    downbeat: int | None = None
    meter: str | None = None
    beats: tuple[float, ...] | None = None
    downbeats: tuple[float, ...] | None = None
    sections: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check every value; GridError names the one that is not possible."""
        if self.bpm is not None and not SLOWEST <= self.bpm <= FASTEST:
            raise GridError(f"{self.bpm:g} is no tempo", where="--bpm", remedy="give 20 to 400 beats a minute")
        if self.offset_ms is not None and not abs(self.offset_ms) <= MAX_OFFSET_MS:
            raise GridError(f"{self.offset_ms:g} is too far", where="--offset-ms", remedy="give -10000 to 10000 ms")
        if self.half and self.double:
            raise GridError("half and double tempo at once", where="--half --double", remedy="give one of them")
        if self.downbeat is not None and not 1 <= self.downbeat <= MAX_BEATS:
            raise GridError(f"there is no beat {self.downbeat}", where="--downbeat", remedy="count beats from 1")
        if self.meter is not None:
            bar_size(self.meter)
        if self.sections is not None:
            object.__setattr__(self, "sections", check_names(self.sections))

    def __bool__(self) -> bool:
        """Whether there is any correction."""
        return any(getattr(self, item.name) not in (None, False) for item in fields(self))


NO_CORRECTIONS = Corrections()


def bar_size(meter: str) -> int:
    """Return the beats of a bar of ``3/4`` or ``6/8``; 6/8, 9/8 and 12/8 are counted in two, three and four.

    Raises
    ------
    GridError
        If it is not a metre.
    """
    upper, _, lower = meter.partition("/")
    if not (upper.isdecimal() and lower in ("2", "4", "8", "16") and 1 <= int(upper) <= 32):
        raise GridError(f'"{meter}" is no metre', where="--meter", remedy="write it as 3/4, 4/4, 5/4 or 6/8")
    count = int(upper)
    return count // 3 if lower in ("8", "16") and count % 3 == 0 and count > 3 else count


def merge_corrections(saved: Corrections, given: Corrections) -> Corrections:
    """Return the saved corrections, replaced by the given ones; other beats have other numbers, so a saved "one" goes with them."""
    said = {item.name: getattr(given, item.name) for item in fields(given)}
    new = {name: value for name, value in said.items() if value not in (None, False)}
    if given.half or given.double:
        new |= {"half": given.half, "double": given.double}
    if given.beats is not None:
        new["downbeats"] = given.downbeats
    tempo = given.half or given.double
    counted_anew = (
        given.bpm not in (None, saved.bpm)
        or given.beats not in (None, saved.beats)
        or (tempo and (given.half, given.double) != (saved.half, saved.double))
    )
    if given.downbeat is None and counted_anew:
        new["downbeat"] = None
    if given.sections:
        # of two names for one section the later one counts
        new["sections"] = (*(saved.sections or ()), *given.sections)
    return replace(saved, **new)


def apply_corrections(analysis: Analysis, corrections: Corrections) -> Analysis:
    """Return the analysis with its grid corrected: beats, downbeats, tempo, metre, section starts on bars, and their names.

    Raises
    ------
    GridError
        If a correction needs beats and the song has none.
    """
    if corrections.sections:
        analysis = name_sections(analysis, corrections.sections)[0]
    if not replace(corrections, sections=None):
        return analysis
    beats, downbeats = analysis.beats, analysis.downbeats
    if corrections.beats is not None:
        beats = np.array(corrections.beats)
        downbeats = np.array(corrections.downbeats or ())
    if corrections.bpm is not None:
        beats = steady_beats(corrections.bpm, analysis.onsets["all"], analysis.duration)
        downbeats = _nearest(beats, downbeats[:1]) if len(downbeats) else beats[:1]
    if len(beats) < 2:
        raise GridError("no beat was heard to correct", where=analysis.sha256[:12], remedy="give --bpm or --beats")
    given = corrections.beats is not None and len(downbeats) > 1
    anchor = int(np.abs(beats - downbeats[0]).argmin()) if len(downbeats) else 0
    size = int(analysis.beats_per_bar[0]) if len(analysis.beats_per_bar) else BEATS_PER_BAR
    sizes_known = len(analysis.beats_per_bar) and corrections.beats is None
    common = int(np.bincount(analysis.beats_per_bar).argmax()) if sizes_known else size
    if corrections.half:
        beats, anchor = beats[anchor % 2 :: 2], anchor // 2
    elif corrections.double:
        beats = np.sort(np.concatenate([beats, (beats[1:] + beats[:-1]) / 2]))
        anchor *= 2
    recount = (
        corrections.meter
        or corrections.downbeat
        or corrections.half
        or corrections.double
        or corrections.bpm
        or (corrections.beats is not None and not given)
    )
    if corrections.meter:
        common = bar_size(corrections.meter)
    if corrections.downbeat:
        anchor = corrections.downbeat - 1
        if anchor >= len(beats):
            raise GridError(
                f"there is no beat {corrections.downbeat}", where="--downbeat", remedy=f"the last is {len(beats)}"
            )
    if recount:
        downbeats = beats[anchor % common :: common]
    shift = (corrections.offset_ms or 0.0) / 1000
    beats, downbeats = (_inside(marks + shift, analysis.duration) for marks in (beats, downbeats))
    if len(beats) < 2:
        raise GridError("leaves no beats in the song", where="--offset-ms", remedy="shift by less")
    sizes = bar_sizes(beats, downbeats)
    return replace(
        analysis,
        beats=beats,
        downbeats=downbeats,
        beats_per_bar=sizes,
        tempo=typical_tempo(beats),
        metre=corrections.meter or metre_of(sizes),
        sections=_on_bars(analysis.sections, downbeats),
        confidence=1.0,
        corrected=True,
        doubt=SURE,
    )


def steady_beats(bpm: float, onsets: Onsets, duration: float) -> np.ndarray:
    """Return beats at a steady tempo with the phase that fits the onsets best: most strength within some 20 ms."""
    period = 60 / bpm
    phases = np.arange(0, period, 0.002)
    if not len(onsets.times):
        return np.arange(0, duration, period)
    offset = np.mod(onsets.times[None] - phases[:, None] + period / 2, period) - period / 2
    fit = (np.exp(-0.5 * (offset / 0.02) ** 2) * onsets.strengths).sum(axis=1)
    return np.arange(phases[int(fit.argmax())], duration, period)


def bar_sizes(beats: np.ndarray, downbeats: np.ndarray) -> np.ndarray:
    """Return the beats from each downbeat to the next, int64; the last bar is as long as the one before it."""
    if not len(downbeats):
        return np.zeros(0, np.int64)
    at = np.searchsorted(beats, downbeats - 1e-4)
    sizes = np.diff(at)
    last = sizes[-1] if len(sizes) else min(BEATS_PER_BAR, len(beats))
    return np.maximum(np.append(sizes, last), 1).astype(np.int64)


def _inside(marks: np.ndarray, duration: float) -> np.ndarray:
    return marks[(marks >= 0) & (marks < duration)]


def _nearest(beats: np.ndarray, marks: np.ndarray) -> np.ndarray:
    return beats[np.abs(beats[None] - marks[:, None]).argmin(axis=1)]


def _on_bars(sections: tuple[Section, ...], downbeats: np.ndarray) -> tuple[Section, ...]:
    """Move section starts onto the nearest bar line within half a bar."""
    if len(downbeats) < 2:
        return sections
    reach = float(np.median(np.diff(downbeats))) / 2
    edges = [0.0]
    for section in sections[1:]:
        bar = float(downbeats[np.abs(downbeats - section.start).argmin()])
        edges.append(bar if abs(bar - section.start) <= reach else section.start)
    edges.append(sections[-1].end)
    if any(b <= a for a, b in zip(edges, edges[1:], strict=False)):
        return sections
    return tuple(replace(s, start=a, end=b) for s, a, b in zip(sections, edges, edges[1:], strict=False))


def corrections_path(song: Path) -> Path:
    """Return the path of a song's corrections."""
    return song.with_name(name_beside(song.name, SUFFIX))


def _set_aside(song: Path, mark: str) -> Path:
    """Return the path to which the grid of another song of this name is moved."""
    return song.with_name(name_beside(song.name, f".{mark[:12]}{SUFFIX}"))


def _saved_apart(digest: str) -> Path:
    import platformdirs

    folder = os.environ.get("REACTIVE_DATA") or platformdirs.user_data_dir("reactive", appauthor=False)
    return Path(folder) / "grids" / f"{digest}{SUFFIX}"


def _places(song: Path, digests: tuple[str, ...]) -> list[Path]:
    """Return the paths at which a song's grid may be; some may have another song's."""
    aside = [_set_aside(song, digest) for digest in digests if digest]
    aside += sorted(song.parent.glob(f"{glob.escape(song.name)}.*{SUFFIX}"))[:MOST_ASIDE]
    return [corrections_path(song), *aside, *(_saved_apart(digest) for digest in digests if digest)]


def load_corrections(song: Path, digest: str, older: str = "") -> tuple[Corrections, str]:
    """Return the corrections saved for a song, and a sentence about a file that is not applied (usually empty).

    Parameters
    ----------
    digest, older
        The hash of the song's sound, and that of its file's bytes, by which it is recognised too.
    """
    note, beside = "", corrections_path(song)
    for path in _places(song, (digest, older)):
        try:
            data = _contents(path)
            if not _belongs(data, (digest, older)):
                if path == beside:
                    note = f"{path.name} was made for another song of this name and is not applied."
                continue
            return _read(data["grid"]), ""
        except FileNotFoundError:
            continue
        except (*_SPOILT, GridError):
            note = note or f"{path.name} can't be read and is not applied."
    return NO_CORRECTIONS, note


def grid_file(song: Path, digest: str, older: str = "") -> Path | None:
    """Return the file with a song's grid; None if there is none."""
    for path in _places(song, (digest, older)):
        try:
            if _belongs(_contents(path), (digest, older)):
                return path
        except (FileNotFoundError, *_SPOILT):
            continue
    return None


_SPOILT = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def _contents(path: Path) -> Any:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
        raise ValueError("no small file")
    return parse_json(path.read_bytes())


def _belongs(data: Any, digests: tuple[str, ...]) -> bool:
    """Return whether a file's contents belong to a song with one of these hashes."""
    named = (data["song_sha256"], data.get("file_sha256"))
    return any(digest and digest in named for digest in digests)


def _read(data: dict[str, Any]) -> Corrections:
    kinds: dict[str, Any] = {
        "bpm": float,
        "offset_ms": float,
        "half": bool,
        "double": bool,
        "downbeat": int,
        "meter": str,
    }
    values = {name: kind(data[name]) for name, kind in kinds.items() if data.get(name) is not None}
    for name in ("beats", "downbeats"):
        if data.get(name) is not None:
            values[name] = _rising([float(time) for time in data[name]])
    if data.get("sections") is not None:
        values["sections"] = tuple(str(text) for text in data["sections"])
    return Corrections(**values)


def _rising(times: list[float]) -> tuple[float, ...]:
    if len(times) > MAX_BEATS or not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError("times")
    if any(b <= a for a, b in zip(times, times[1:], strict=False)):
        raise ValueError("order")
    return tuple(times)


def saved_in(song: Path, digests: tuple[str, ...], corrections: Corrections) -> Path | None:
    """Return the file that these very corrections of a song are saved in; None if there is none."""
    file = grid_file(song, *digests)
    try:
        return file if file and _read(_contents(file)["grid"]) == corrections else None
    except (FileNotFoundError, *_SPOILT, GridError):
        return None


def kept_outcome(file: Path) -> dict[str, float]:
    """Return what a file of corrections says that they led to: ``tempo`` and ``one``; empty in files of older versions."""
    try:
        return {name: float(value) for name, value in _contents(file).get("gave", {}).items() if value is not None}
    except (FileNotFoundError, *_SPOILT):
        return {}


def save_corrections(
    song: Path, digest: str, corrections: Corrections, older: str = "", *, gave: dict[str, Any] | None = None
) -> Path | None:
    """Save corrections beside the song, or in the user's data folder; empty ones remove the saved ones.

    The grid of another song of this name is renamed first, see `make_room`.

    Parameters
    ----------
    digest, older
        The hash of the song's sound, and that of its file's bytes.
    gave
        What the corrections lead to, as `reactive.audio.fit.outcome` returns it.

    Raises
    ------
    GridError
        If they can't be written in either place.
    """
    digests = (digest, older)
    if not corrections:
        for path in _places(song, digests):
            with contextlib.suppress(FileNotFoundError, *_SPOILT):
                if _belongs(_contents(path), digests):
                    path.unlink()
        return None
    make_room(song, digest, older)
    names = {"song_sha256": digest, **({"file_sha256": older} if older else {})}
    text = (
        json.dumps({"version": 1, **names, "grid": asdict(corrections), **({"gave": gave} if gave else {})}, indent=1)
        + "\n"
    )
    problem: OSError | None = None
    for path in (corrections_path(song), _saved_apart(digest)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
            return path
        except OSError as trouble:
            problem = trouble
    raise GridError(
        f"can't be written ({problem.strerror if problem else 'no place'})",
        where=str(corrections_path(song)),
        remedy="make its folder writable",
    )


def make_room(song: Path, digest: str, older: str = "") -> str:
    """Rename the grid of another song of this name, so that that song still finds it.

    Returns
    -------
    A sentence about it; empty if nothing was renamed.
    """
    beside = corrections_path(song)
    try:
        data = beside.read_bytes() if beside.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError:
        return ""
    try:
        said = parse_json(data)
        if _belongs(said, (digest, older)):
            return ""
        mark = str(said["song_sha256"])
        if not (len(mark) == 64 and mark.isascii() and mark.isalnum()):
            raise ValueError("no hash")
        whose = "is of another song of this name"
    except _SPOILT:
        mark, whose = hashlib.sha256(data).hexdigest(), "can't be read"
    aside = _set_aside(song, mark)
    try:
        os.replace(beside, aside)
    except OSError:
        return ""
    return f"{beside.name} {whose}; it is kept as {aside.name}."
