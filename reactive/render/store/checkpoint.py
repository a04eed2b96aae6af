"""The checkpoint of a feedback segment in progress: the pictures of its ticks, so that an interrupted run loses none of them.

Lanes move forward together, so many segments are open at once. Each tick's picture is appended as it is imagined, with a
checksum; reading stops at a record that was cut short or changed. The file is removed when its segment is finished.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

_HEAD = struct.Struct("<II")


def append_tick(path: Path, tick: int, picture: torch.Tensor, *, anew: bool) -> None:
    """Add a tick's picture, uint8 [3, height, width], to a checkpoint; `anew` begins a new one.

    Raises
    ------
    OSError
        If the disk is full or fails.
    """
    data = picture.contiguous().cpu().numpy().tobytes()
    with path.open("wb" if anew else "ab") as handle:
        handle.write(_HEAD.pack(tick, zlib.crc32(data)) + data)


def read_checkpoint(path: Path, first: int, shape: tuple[int, int, int]) -> Iterator[torch.Tensor]:
    """Yield the pictures of the ticks from `first` on, up to the first record that is missing or damaged.

    The rest is cut off, so that new records can be appended.
    """
    size = shape[0] * shape[1] * shape[2]
    try:
        handle = path.open("rb+")
    except OSError:
        return
    with handle:
        whole = 0
        while len(head := handle.read(_HEAD.size)) == _HEAD.size:
            tick, checksum = _HEAD.unpack(head)
            data = handle.read(size)
            if tick != first or len(data) != size or zlib.crc32(data) != checksum:
                break
            first += 1
            whole = handle.tell()
            yield torch.from_numpy(np.frombuffer(data, np.uint8).reshape(shape).copy())
        handle.truncate(whole)


def state_bytes(picture: torch.Tensor) -> bytes:
    """Return a picture, uint8 [3, height, width], as the bytes of a state: its height and width, then its values."""
    return struct.pack("<II", *picture.shape[1:]) + picture.contiguous().cpu().numpy().tobytes()


def read_state(path: Path) -> torch.Tensor:
    """Return the picture, uint8 [3, height, width], that `state_bytes` wrote."""
    data = path.read_bytes()
    height, width = struct.unpack("<II", data[:8])
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=8).reshape(3, height, width).copy())
