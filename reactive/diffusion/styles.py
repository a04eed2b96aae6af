"""Reference pictures of a timeline: their files, read and encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reactive.diffusion.models.adapter import StyleBank
from reactive.diffusion.models.model import Model
from reactive.errors import MediaError
from reactive.media.picture import BLACK, read_picture
from reactive.timeline.styles import STYLES
from reactive.timeline.timeline import Timeline


def style_files(timeline: Timeline, given: Sequence[Path], folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files of a timeline's reference pictures, in its order; none if none of them ever counts.

    Parameters
    ----------
    given
        Files that a person named.
    folders
        Folders of presets or timelines; the first with the file counts.

    Raises
    ------
    MediaError
        If a file is not there.
    """
    if not has_styles(timeline):
        return ()
    named = {path.name: path for path in given}
    files = []
    for name in timeline.styles:
        beside = (folder / name for folder in folders)
        path = named.get(name) or next((path for path in beside if path.is_file()), None)
        if path is None:
            raise MediaError(
                "is not beside the preset", where=name, remedy="put the picture there, or name it with --style"
            )
        files.append(path)
    return tuple(files)


def has_styles(timeline: Timeline) -> bool:
    """Return whether a reference picture counts in any frame."""
    return any(timeline.columns[name].any() for name in STYLES)


def load_styles(model: Model, files: Sequence[Path], *, background: tuple[int, int, int] = BLACK) -> StyleBank | None:
    """Read and encode reference pictures; None if there are none.

    Raises
    ------
    MediaError
        If one can't be read.
    ModelError
        If the model has no adapter.
    """
    return StyleBank(model, [read_picture(file, background=background) for file in files]) if files else None
