"""Create a new preset as a commented copy of another."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path

from reactive.errors import PresetError
from reactive.preset.library import PRESET_FILE, open_preset
from reactive.preset.schema import check_preset

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
GUIDE = """\
#:schema preset.schema.json
# {title}, begun from {source}.
#
# Change anything and look: `reactive preset check {name} song.wav` says in words what it will do to a song, and
# `reactive preset try {name} song.wav` renders twelve seconds around the drop. The whole language is on the page
# README.md beside the presets that ship; `reactive preset schema > preset.schema.json` lets editors complete the keys.
#
# More that a preset can say (take off the # to use it):
#   style = "wide shot, film grain"              words added to every prompt
#   negative = "text, people"                    what all prompts keep away from, for models that use guidance
#   [words]                                      lists for gaps: "a {{material}} cathedral"
#   material = ["glass", "ice", "copper"]
#   [[macro]]                                    a knob that expressions read as macro.storm
#   name = "storm"
#   [[pin]]                                      a prompt held at one place of the song
#   at = "drop 1"
#   prompt = "a white sun bursting"
#
# In a [[phase]]: order = "sequence" or "ladder"; how = "cut", "fade" or "slerp"; a prompt may be a table,
# {{ text = "a red door", weight = 2, negative = "blue" }}.
"""


def new_preset(name: str, *, source: str, folder: Path) -> Path:
    """Write a new preset as a commented copy of another; return its file.

    Parameters
    ----------
    name
        Small letters, digits and hyphens; also the name of the preset's folder.
    source
        Name or path of the preset to begin from.
    folder
        Where the preset's folder is made.

    Raises
    ------
    PresetError
        If the name is not valid, the folder exists already, the source can't be found or read, or nothing can be written there.
    """
    if not _NAME.fullmatch(name):
        raise PresetError(
            f'"{name}" is no name for a preset', remedy="use small letters, digits and hyphens, for instance my-preset"
        )
    target = folder / name
    if target.exists():
        raise PresetError("exists already", where=str(target), remedy="choose another name")
    file = open_preset(source, option="--from")
    base = file.preset
    text = _begun(name, file.text, f'"{base.title}" ({base.licence or "no licence given"}, {base.author or "unnamed"})')
    # check that the new preset can be read
    check_preset(tomllib.loads(text), where=str(target / PRESET_FILE))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as work:
            made = Path(work) / name
            made.mkdir()
            (made / PRESET_FILE).write_text(text, encoding="utf-8")
            os.rename(made, target)
    except OSError as problem:
        raise PresetError(
            f"can't be written ({problem.strerror})", where=str(target), remedy="choose another folder with --folder"
        ) from None
    return target / PRESET_FILE


def _begun(name: str, text: str, source: str) -> str:
    """Return a preset's text under a new title, without the author's name, below a guide."""
    title = name.replace("-", " ").capitalize()
    for key, value in (("title", title), ("author", "")):
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        pattern = re.compile(rf"^{key}\s*=\s*[\"'][^\n]*$", re.MULTILINE)
        if found := pattern.search(text):
            text = text[: found.start()] + line + text[found.end() :]
    return GUIDE.format(title=title, source=source.replace("\n", " "), name=name) + "\n" + text
