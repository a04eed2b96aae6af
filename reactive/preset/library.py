"""Find presets: inside the package, beside it in a checkout, among the installed ones, or by path."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from reactive.errors import PresetError
from reactive.preset.installed import PRESET_FILE as PRESET_FILE
from reactive.preset.installed import installed_names, user_presets
from reactive.preset.lyrics import Line, LyricsFile, open_lyrics
from reactive.preset.schema import Preset, parse_preset, read_preset


@dataclass(frozen=True)
class PresetFile:
    """A preset that was read once: its file, its text, and the parsed preset."""

    path: Path
    text: str
    preset: Preset


def shipped_folder() -> Path:
    """Return the folder of the presets that ship: in the wheel inside the package, in a checkout beside it.

    Raises
    ------
    PresetError
        If the installation has none.
    """
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "shipped_presets", package.parent / "presets"
    if inside.is_dir():
        return inside
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise PresetError("the presets that ship are missing", where=str(package), remedy="install reactive-clip again")


def shipped_names() -> list[str]:
    """Return the names of the presets that ship, sorted."""
    return sorted(entry.name for entry in shipped_folder().iterdir() if (entry / PRESET_FILE).is_file())


def names() -> list[str]:
    """Return the names of all presets, sorted: those that ship, and installed ones, which never take a shipped name."""
    return sorted({*shipped_names(), *installed_names()})


def find_preset(name: str, *, option: str = "--preset") -> Path:
    """Return the file of a preset given by name, by folder or by file; errors name the `option`.

    Raises
    ------
    PresetError
        If there is none; near names are suggested.
    """
    path = Path(name)
    if len(name) > 4000 or max(map(len, path.parts), default=0) > 255:
        raise PresetError("is too long for a name", where=option, remedy="use a shorter one")
    if path.suffix == ".toml" or "/" in name or "\\" in name or path.is_dir():
        file = path / PRESET_FILE if path.is_dir() else path
        if not file.is_file():
            raise PresetError("no such preset file", where=str(file), remedy="check the name and the folder")
        return file
    known = names()
    if name in known:
        return (shipped_folder() if name in shipped_names() else user_presets()) / name / PRESET_FILE
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    remedy = f"did you mean {' or '.join(close)}" if close else f"there are {', '.join(known)}"
    raise PresetError(f'unknown preset "{name}"', where=option, remedy=remedy)


def open_preset(name: str, *, option: str = "--preset") -> PresetFile:
    """Find, read and check a preset given by name or path. It is read once, so text and preset belong together.

    Errors name the `option` that gave it.

    Raises
    ------
    PresetError
        If there is none, it can't be read, or it is not valid.
    """
    path = find_preset(name, option=option)
    text = read_preset(path)
    return PresetFile(path, text, parse_preset(text, where=str(path)))


def get_preset(name: str, *, option: str = "--preset") -> Preset:
    """Find, read and check a preset given by name or path; errors name the `option`.

    Raises
    ------
    PresetError
        As `open_preset`.

    Examples
    --------
    >>> import reactive
    >>> preset = reactive.get_preset("loop-destroy")
    >>> [phase.name for phase in preset.phase]
    ['build', 'bloom', 'destroy', 'restart']
    """
    return open_preset(name, option=option).preset


def open_lyrics_of(file: PresetFile, given: Path | None = None) -> LyricsFile | None:
    """Return the song's words: the file that was given, else the one in the preset's folder, else None.

    Raises
    ------
    PresetError
        If the file can't be read as LRC or SRT.
    """
    beside = file.preset.lyrics.file
    path = given or (file.path.parent / beside if beside else None)
    return open_lyrics(path) if path else None


def lyrics_of(file: PresetFile, given: Path | None = None) -> tuple[Line, ...]:
    """Return the lines of the song's words, none if there are none; otherwise as `open_lyrics_of` otherwise."""
    words = open_lyrics_of(file, given)
    return words.lines if words else ()
