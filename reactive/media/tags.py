"""Metadata that a clip carries in its file: boxes of MP4 and MOV, tags of Matroska.

FFmpeg drops unknown keys from MP4, so XMP and the recipe are written as boxes of type ``uuid`` after all others, which
players skip. The identifier of XMP's box is a standard that other tools read (XMP specification, part 3, 2020).
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Mapping
from pathlib import Path

from reactive.errors import MediaError
from reactive.media.safe import open_container, regular_file

XMP, RECIPE = "XMP", "RECIPE"
_IDENTIFIERS = {
    XMP: uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes,
    RECIPE: uuid.UUID("6f0f2b0e-7d0a-4a57-9d8e-9d6d8ee1c3a2").bytes,
}
MAX_TAG = 4_000_000
MAX_BOXES = 100_000
# size, type, identifier
_HEAD = 24


def append_boxes(path: Path, tags: Mapping[str, str]) -> None:
    """Append the texts XMP and RECIPE to an MP4 or MOV file as boxes; other names are ignored."""
    with path.open("ab") as handle:
        for name, identifier in _IDENTIFIERS.items():
            if name in tags:
                text = tags[name].encode("utf-8")
                handle.write(struct.pack(">I4s", _HEAD + len(text), b"uuid") + identifier + text)


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return a clip's texts XMP and RECIPE, as far as it has them.

    Raises
    ------
    MediaError
        If it is not a clip, or a text is larger than 4 MB or not UTF-8.
    """
    checked = regular_file(path)
    with checked.open("rb") as handle:
        is_boxes = handle.read(12)[4:8] == b"ftyp"
    found: dict[str, bytes] = _boxes(checked) if is_boxes else {}
    if not is_boxes:
        with open_container(checked) as container:
            found = {
                name: text.encode("utf-8", "replace")
                for name, text in container.metadata.items()
                if name in _IDENTIFIERS and len(text) <= MAX_TAG
            }
    try:
        return {name: text.decode("utf-8") for name, text in found.items()}
    except UnicodeDecodeError:
        raise MediaError("carries a tag that is not UTF-8", where=str(path)) from None


def _boxes(path: Path) -> dict[str, bytes]:
    names = {identifier: name for name, identifier in _IDENTIFIERS.items()}
    found: dict[str, bytes] = {}
    with path.open("rb") as handle:
        end, position = os.fstat(handle.fileno()).st_size, 0
        for _ in range(MAX_BOXES):
            handle.seek(position)
            head = handle.read(32)
            if len(head) < 8:
                break
            size, kind = struct.unpack(">I4s", head[:8])
            before = 8
            if size == 1 and len(head) >= 16:
                size, before = int.from_bytes(head[8:16], "big"), 16
            size = size or end - position
            if size < before or position + size > end:
                break
            name = names.get(head[before : before + 16]) if kind == b"uuid" else None
            if name is not None and size >= before + 16:
                length = size - before - 16
                if length > MAX_TAG:
                    raise MediaError(f"carries a tag of {length:,} bytes", where=str(path), remedy="do not trust it")
                handle.seek(position + before + 16)
                found[name] = handle.read(length)
            position += size
    return found
