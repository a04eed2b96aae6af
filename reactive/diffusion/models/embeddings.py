"""This machine's cache of embedded prompts: a file each, named by a hash of the text and all that embeds it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from reactive.diffusion.models.families import Conditioning
from reactive.files import cache_root, replacing

# 60 prompts a clip; the largest encoders' embeddings are 4 MB
MOST = 4000
_trimmed: set[Path] = set()


def read_embedding(key: str) -> Conditioning | None:
    """Return a cached embedding, None if there is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        parts = load_file(_folder() / f"{key}.safetensors")
    except (OSError, SafetensorError):
        return None
    return Conditioning(parts["tokens"], parts.get("pooled"), parts.get("mask")) if "tokens" in parts else None


def write_embedding(key: str, embedded: Conditioning) -> None:
    """Cache an embedding, if the cache can be written; the oldest leave where there are very many."""
    from safetensors.torch import save_file

    parts = {"tokens": embedded.tokens, "pooled": embedded.pooled, "mask": embedded.mask}
    file = _folder() / f"{key}.safetensors"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            save_file({name: part.contiguous().cpu() for name, part in parts.items() if part is not None}, partial)
        if file.parent not in _trimmed:
            _trimmed.add(file.parent)
            trim(file.parent)
    except OSError:
        return


def trim(folder: Path, most: int = MOST) -> None:
    """Remove the oldest embeddings of a folder until at most `most` are left."""
    files = list(folder.glob("*.safetensors"))
    if len(files) <= most:
        return
    ages = {file: file.stat().st_mtime for file in files}
    for file in sorted(files, key=lambda file: ages[file])[: len(files) - most]:
        with suppress(OSError):
            file.unlink()


def _folder() -> Path:
    return cache_root() / "texts"
