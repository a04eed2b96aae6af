"""Malicious bundles: zip files built byte by byte, with every field under control."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRESET = """version = 2
title = "Tide"
description = "Waves"
author = "A band"
licence = "CC0-1.0"
[[phase]]
name = "one"
prompts = ["a grey sea"]
"""


@dataclass
class Part:
    """A zip entry; fields that are None are derived from the data."""

    name: str | bytes
    data: bytes
    deflate: bool = False
    flags: int = 0x800
    method: int | None = None
    mode: int = 0o100644
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    listed: dict[str, int] = field(default_factory=dict)


def zip_bytes(parts: list[Part], *, count: int | None = None, comment: bytes = b"", before: bytes = b"") -> bytes:
    """Return a zip file made of parts."""
    body, listing = bytearray(before), bytearray()
    for part in parts:
        name = part.name.encode() if isinstance(part.name, str) else part.name
        method = part.method if part.method is not None else 8 if part.deflate else 0
        raw = part.data
        if part.deflate:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            raw = packer.compress(part.data) + packer.flush()
        crc = zlib.crc32(part.data) if part.crc is None else part.crc
        packed = len(raw) if part.packed is None else part.packed
        size = len(part.data) if part.size is None else part.size
        offset = len(body) if part.offset is None else part.offset
        local = part.local_name or name
        body += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, part.flags, method, 0, 33, crc, packed, size, len(local), 0)
        body += local + raw
        values = {"crc": crc, "packed": packed, "size": size} | part.listed
        listing += (
            struct.pack(
                "<4s6H3L5H2L",
                b"PK\x01\x02",
                0x0314,
                20,
                part.flags,
                method,
                0,
                33,
                values["crc"],
                values["packed"],
                values["size"],
                len(name),
                0,
                0,
                0,
                0,
                part.mode << 16,
                offset,
            )
            + name
        )
    number = len(parts) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(listing), len(body), len(comment))
    return bytes(body + listing) + end + comment


def manifest_of(files: dict[str, bytes], /, **changes: Any) -> bytes:
    """Return a manifest for files, with changes."""
    notes = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    facts = {
        "format": "reactive-bundle",
        "version": 1,
        "name": "tide",
        "title": "Tide",
        "description": "Waves",
        "author": "A band",
        "licence": "CC0-1.0",
        "model": "",
        "reactive": "0.1.0",
        "files": notes,
    }
    return json.dumps(facts | changes).encode()


def bundle_bytes(files: dict[str, bytes] | None = None, /, *extra: Part, **changes: Any) -> bytes:
    """Return a bundle of a small preset, with additional files and with entries that its manifest does not list."""
    every = {"preset.toml": PRESET.encode(), **(files or {})}
    parts = [Part("manifest.json", manifest_of(every, **changes)), *(Part(name, data) for name, data in every.items())]
    return zip_bytes([*parts, *extra])


def tree(folder: Path) -> list[str]:
    """Return all paths in a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def tensors(header: bytes, data: bytes = b"") -> bytes:
    """Return a safetensors file made of a header and its data."""
    return struct.pack("<Q", len(header)) + header + data
