"""Store analyses in the user's cache folder, so that a song is analysed once.

One `.npz` a song, named by the hash of its bytes and the version of the analysis: arrays and one JSON text, nothing pickled.
A file that can't be read is ignored, and errors of writing are too.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis, analyze
from reactive.audio.levels import Doubt
from reactive.audio.onset import Onsets
from reactive.audio.structure import Moment, Section
from reactive.files import cache_root, hash_file, replacing
from reactive.media.safe import regular_file
from reactive.media.sound import Track, open_track

# increases with every change of the analysis
VERSION = 12
MAX_SONGS = 64
_ARRAYS = ("beats", "downbeats", "beats_per_bar", "fine", "chroma")
_PLAIN = (
    "sha256",
    "file_sha256",
    "duration",
    "sample_rate",
    "channels",
    "tempo",
    "silent",
    "metre",
    "confidence",
    "key",
)
# a kept analysis that is missing, cut short, or of another version
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def cache_folder() -> Path:
    """Return where analyses are kept: the folder that ``REACTIVE_CACHE`` names, or the user's cache folder."""
    return cache_root() / "heard"


def hear_once(path: str | os.PathLike[str]) -> tuple[Track, Analysis]:
    """Return a song and its analysis, from the cache if it is there.

    Raises
    ------
    MediaError
        As `open_track`.
    """
    checked = regular_file(path)
    digest = hash_file(checked)
    kept = _kept_file(digest)
    try:
        return _load(kept, checked)
    except _UNREADABLE:
        track = open_track(checked)
        analysis = analyze(track)
    # a file that changed meanwhile does not have this hash
    if track.file_sha256 == digest:
        _save(kept, track, analysis)
    return track, analysis


def known_track(path: str | os.PathLike[str]) -> Track:
    """Return a song as `open_track` does, without decoding it if it was heard before.

    Raises
    ------
    MediaError
        As `open_track`.
    """
    checked = regular_file(path)
    try:
        with _kept_file(hash_file(checked)).open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _track(json.loads(str(held["plain"])), checked)
    except _UNREADABLE:
        return open_track(checked)


def _kept_file(digest: str) -> Path:
    return cache_folder() / f"{digest}-{VERSION}.npz"


def _track(plain: dict[str, Any], path: Path) -> Track:
    lists = {name: tuple(value) for name, value in plain["track"].items() if isinstance(value, list)}
    return Track(path=path, **plain["track"] | lists)


def _load(kept: Path, path: Path) -> tuple[Track, Analysis]:
    # numpy leaves a damaged file open
    with kept.open("rb") as file, np.load(file, allow_pickle=False) as held:
        plain: dict[str, Any] = json.loads(str(held["plain"]))
        return _track(plain, path), Analysis(
            **{name: plain[name] for name in _PLAIN},
            **{name: held[name] for name in _ARRAYS},
            onsets={
                name: Onsets(held[f"onsets/{name}/times"], held[f"onsets/{name}/strengths"]) for name in plain["onsets"]
            },
            envelopes={name: held[f"envelopes/{name}"] for name in plain["envelopes"]},
            sections=tuple(Section(**section) for section in plain["sections"]),
            moments=tuple(Moment(**moment) for moment in plain["moments"]),
            doubt=Doubt(**plain["doubt"]),
        )


def _save(kept: Path, track: Track, analysis: Analysis) -> None:
    arrays = {name: getattr(analysis, name) for name in _ARRAYS}
    for name, onsets in analysis.onsets.items():
        arrays[f"onsets/{name}/times"], arrays[f"onsets/{name}/strengths"] = onsets.times, onsets.strengths
    arrays |= {f"envelopes/{name}": curve for name, curve in analysis.envelopes.items()}
    plain = {name: getattr(analysis, name) for name in _PLAIN} | {
        "onsets": list(analysis.onsets),
        "envelopes": list(analysis.envelopes),
        "sections": [asdict(section) for section in analysis.sections],
        "moments": [asdict(moment) for moment in analysis.moments],
        "doubt": asdict(analysis.doubt),
        "track": {item.name: getattr(track, item.name) for item in fields(track) if item.name != "path"},
    }
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as handle:
            np.savez(handle, plain=np.array(json.dumps(plain)), **arrays)
        _prune(kept.parent)
    except OSError:
        # a full or read-only disk only means that the song is analysed again
        return


def _prune(folder: Path) -> None:
    songs = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    for old in songs[:-MAX_SONGS]:
        old.unlink(missing_ok=True)
