"""Find the weights of stems, lyrics and depth maps. Only ``reactive models pull`` downloads."""

from __future__ import annotations

from pathlib import Path

from reactive.diffusion.models.catalogue import find_entry
from reactive.diffusion.models.locate import cached_files
from reactive.errors import ModelError


def find_weights(name: str, kind: str) -> Path:
    """Return the folder of a model for stems, lyrics or depth, by short name or by path; nothing is downloaded.

    Parameters
    ----------
    kind
        ``stems``, ``lyrics`` or ``depth``.

    Raises
    ------
    ModelError
        If it is missing, or is for something else.
    """
    if Path(name).is_dir():
        return Path(name)
    entry = find_entry(name)
    if entry is None:
        raise ModelError(
            "there is no such model",
            where=f"--model {name}",
            remedy="use a name of `reactive models list`, or a folder",
        )
    if entry.kind != kind:
        raise ModelError(f"is for {entry.kind}, not for {kind}", where=f"--model {name}", remedy="choose another")
    return cached_files(entry)
