"""TIFF files with more than 8 bits a channel or signed samples: integers and floats, planar, BigTIFF, WhiteIsZero.

Pillow reads some of them wrongly and refuses others. Here it only decompresses, each file as if its bytes were one wide grey
picture; byte order, predictors, channels and colour spaces are handled in this file.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from reactive.errors import MediaError

# in pixels: floats take up to 16 bytes a pixel
_MAX_PIXELS = 25_000_000
# float pictures with a maximum up to this are taken as HDR with white at 1; above, as integers stored as floats
_MAX_HDR = 16.0
# tags of TIFF 6.0
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _MEANING, _FILL, _OFFSETS = 256, 257, 258, 259, 262, 266, 273
_ORIENTATION, _CHANNELS, _ROWS, _COUNTS, _PLANES, _PREDICTOR = 274, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA, _SAMPLE, _PROFILE = 322, 323, 324, 325, 338, 339, 34675
_WHITE_IS_ZERO, _GREY, _COLOURS, _INKS = 0, 1, 2, 5
_SEPARATE = 2
_BY_NEIGHBOURS, _BY_FLOATS = 2, 3
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
# kinds of extra samples that are alpha
_ALPHA = (1, 2)
# compressions that do not depend on the sample format: none, LZW, Deflate (both numbers), PackBits, LZMA, Zstandard
_LOSSLESS = (1, 5, 8, 32946, 32773, 34925, 50000)
_BIT_DEPTHS = (16, 32, 64)
# a larger share of negative samples is no noise around black
_FEW_NEGATIVE = 0.01
# samples converted to 8 bits at a time, to bound the memory of the float64 in between
_BLOCK_SAMPLES = 4_000_000
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(path: Path) -> bool:
    """Return whether a file has the signature of a TIFF or BigTIFF."""
    with path.open("rb") as raw:
        return raw.read(4) in _SIGNATURES


def read_deep_tiff(path: Path) -> Image.Image | None:
    """Return a TIFF as an 8-bit picture; None if Pillow reads it correctly itself or it is very large.

    Raises
    ------
    MediaError
        If it holds floats or signed numbers that can't be read, or too many of them.
    """
    tags = tiff_tags(path)
    bits, sample = _first(tags.get(_BITS)), _first(tags.get(_SAMPLE), _UNSIGNED)
    # 4 is "undefined" (TIFF 6.0, section 19)
    sample = _UNSIGNED if sample == _UNDEFINED else sample
    pixels = int(_first(tags.get(_WIDTH))) * int(_first(tags.get(_HEIGHT)))
    if bits < 8 or (bits == 8 and sample != _SIGNED) or pixels < 1:
        return None
    if pixels > _MAX_PIXELS:
        if sample != _UNSIGNED:
            kind = "floats" if sample == _FLOAT else "signed integers"
            remedy = "save it with 16 unsigned bits a channel"
            raise MediaError(f"is a TIFF of {pixels:,} pixels of {kind}", where=str(path), remedy=remedy)
        return None
    channels = max(_first(tags.get(_CHANNELS), 1), 1)
    meaning = _first(tags.get(_MEANING), _GREY)
    plain = (
        bits in (8, *_BIT_DEPTHS)
        and _first(tags.get(_COMPRESSION), 1) in _LOSSLESS
        and channels * pixels <= 4 * _MAX_PIXELS
    )
    if plain and meaning in (_WHITE_IS_ZERO, _GREY, _COLOURS, _INKS):
        found = _samples(path, tags)
    else:
        found = _odd_greys(path) if bits < min(_BIT_DEPTHS) else None
    if found is None:
        # Pillow reads other 16-bit files correctly
        if sample != _UNSIGNED or bits not in (12, 16) or _first(tags.get(_PLANES), 1) == _SEPARATE:
            raise MediaError(
                f"is a TIFF of {bits} bits, packed in a way that can't be read",
                where=str(path),
                remedy="save it with 16 bits, or without compression",
            )
        return None
    made = _picture(eight_bits(found), meaning, tags)
    if orientation := tags.get(_ORIENTATION):
        made.getexif()[_ORIENTATION] = orientation
    # the tone curve of a profile does not apply to floats
    if sample != _FLOAT and isinstance(profile := tags.get(_PROFILE), bytes):
        made.info["icc_profile"] = profile
    return made


def eight_bits(picture: np.ndarray) -> np.ndarray:
    """Return a picture of any number type as uint8, scaled by its range; NaN becomes black.

    The full scale of integers is the largest value of their type, or 65535 if a wider type holds no larger value; it begins at
    their least value if many are negative. That of floats is 1 (brighter values are clipped), or 255 or 65535 where integers
    were stored as floats.
    """
    floats = picture.dtype.kind == "f"
    low = 0.0
    top = float(np.max(picture, initial=0, where=np.isfinite(picture) if floats else True))
    if floats:
        full = next(
            (limit for limit, most in ((1.0, _MAX_HDR), (255.0, 255.0), (65535.0, 65535.0)) if top <= most), top
        )
    else:
        full = float(np.iinfo(picture.dtype).max)
        full = 65535.0 if full > 65535 and top <= 65535 else full
        if picture.dtype.kind == "i" and np.count_nonzero(picture < 0) > _FEW_NEGATIVE * picture.size:
            low = float(np.iinfo(picture.dtype).min)
            full = -low
    small = np.empty(picture.shape, np.uint8)
    step = max(_BLOCK_SAMPLES // max(picture[0].size, 1), 1) if len(picture) else 1
    for first in range(0, len(picture), step):
        part: Any = picture[first : first + step]
        if floats:
            part = np.nan_to_num(part.astype(np.float64), posinf=full, neginf=0.0)
        small[first : first + step] = np.clip((part - low) * (255 / (full - low)), 0, 255).round()
    return small


def _picture(small: np.ndarray, meaning: int, tags: Any) -> Image.Image:
    """Return 8-bit samples [height, width, channels] as a picture; `meaning` is the tag PhotometricInterpretation."""
    colours = {_COLOURS: 3, _INKS: 4}.get(meaning, 1)
    if meaning == _WHITE_IS_ZERO:
        small[..., :1] = 255 - small[..., :1]
    if small.shape[2] < colours:
        colours = 1
    has_alpha = small.shape[2] > colours and colours < 4 and _first(tags.get(_EXTRA)) in _ALPHA
    small = np.ascontiguousarray(small[..., : colours + has_alpha])
    return Image.fromarray(small[..., 0] if small.shape[2] == 1 else small, mode="CMYK" if colours == 4 else None)


def _samples(path: Path, tags: Any) -> np.ndarray | None:
    """Return the samples of a TIFF, [height, width, channels] of their own type; None if they can't be decoded."""
    data = np.fromfile(path, np.uint8)
    channels, height, width = (max(_first(tags.get(tag), 1), 1) for tag in (_CHANNELS, _HEIGHT, _WIDTH))
    if _first(tags.get(_PLANES), 1) != _SEPARATE or channels == 1:
        found = _unpacked(data, tags, channels, 0, 1)
        return None if found is None else found[:height, :width]
    planes = [_unpacked(data, tags, 1, number, channels) for number in range(channels)]
    decoded = [plane[:height, :width] for plane in planes if plane is not None]
    return np.concatenate(decoded, axis=2) if len(decoded) == channels else None


def _unpacked(data: np.ndarray, tags: Any, channels: int, plane: int, planes: int) -> np.ndarray | None:
    """Return one of several planes, or all channels interleaved if there is one; the width is rounded up to whole tiles."""
    tiled = _TILE_WIDTH in tags
    width, bits = _first(tags.get(_WIDTH)), _first(tags.get(_BITS))
    across = max(_first(tags.get(_TILE_WIDTH), width), 1)
    width = -(-width // across) * across
    own_tags: dict[int, list[int]] = {}
    for tag in (_TILE_OFFSETS, _TILE_COUNTS) if tiled else (_OFFSETS, _COUNTS):
        values = tiff_integers(tags.get(tag))
        count = len(values) // planes
        own_tags[tag] = values[count * plane : count * (plane + 1)]
        if not own_tags[tag]:
            return None
    for tag in (_HEIGHT, _COMPRESSION, _FILL, _ROWS, _TILE_HEIGHT):
        if tag in tags:
            own_tags[tag] = [_first(tags[tag])]
    size = bits // 8
    own_tags |= {_WIDTH: [width * channels * size], _BITS: [8], _MEANING: [_GREY], _CHANNELS: [1]}
    if tiled:
        own_tags[_TILE_WIDTH] = [across * channels * size]
    big = bytes(data[:2]) == b"MM"
    stored = _bytes(_rewritten(data, own_tags, big=big))
    if stored is None:
        return None
    kind = {_FLOAT: "f", _SIGNED: "i"}.get(_first(tags.get(_SAMPLE), _UNSIGNED), "u")
    found = stored.view(f"{'>' if big else '<'}u{size}").astype(f"u{size}")
    rows = found.reshape(len(found), -1, across, channels)
    predictor = _first(tags.get(_PREDICTOR), 1)
    if predictor == _BY_NEIGHBOURS:
        rows = np.cumsum(rows, axis=2, dtype=rows.dtype)
    elif predictor == _BY_FLOATS:
        rows = _summed_bytes(rows, big=big)
    return rows.view(f"{kind}{size}").reshape(len(found), -1, channels)


def _summed_bytes(rows: np.ndarray, *, big: bool) -> np.ndarray:
    """Undo the floating point predictor: byte differences, each row's most significant bytes first (Adobe TIFF Tech Note 3)."""
    size, shape = rows.dtype.itemsize, rows.shape
    stored = rows.astype(rows.dtype.newbyteorder(">" if big else "<")).view(np.uint8)
    stored = stored.reshape(*shape[:2], -1, shape[3])
    summed = np.cumsum(stored, axis=2, dtype=np.uint8).reshape(*shape[:2], size, -1)
    return np.ascontiguousarray(np.moveaxis(summed, 2, 3)).view(f">u{size}").astype(f"u{size}").reshape(shape)


def _rewritten(data: np.ndarray, tags: dict[int, list[int]], *, big: bool) -> np.ndarray:
    """Return a TIFF's bytes with a new tag table appended that replaces the old one; a BigTIFF becomes a TIFF."""
    order = ">" if big else "<"
    at = len(data) + len(data) % 2
    table, extra = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *(value & 0xFFFFFFFF for value in values))
        place = packed if len(packed) == 4 else struct.pack(f"{order}I", behind + len(extra))
        extra += b"" if len(packed) == 4 else packed
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + place
    head = (b"MM" if big else b"II") + struct.pack(f"{order}HI", 42, at)
    tail = bytes(at - len(data)) + struct.pack(f"{order}H", len(tags)) + table + bytes(4) + extra
    rewritten = np.concatenate([data, np.frombuffer(tail, np.uint8)])
    rewritten[:8] = np.frombuffer(head, np.uint8)
    return rewritten


def _bytes(data: np.ndarray) -> np.ndarray | None:
    """Return the unpacked bytes of a grey TIFF of 8 bits, [height, width]; None if they can't be unpacked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # not by `Image.open`, which knows a limit of its own
            with TiffImagePlugin.TiffImageFile(io.BytesIO(data.data)) as image:
                return np.array(image)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError):
        return None


def _odd_greys(path: Path) -> np.ndarray | None:
    """Return a grey picture of 10, 12 or 14 bits as OpenCV decodes it, scaled to 16 bits."""
    import cv2

    # OpenCV would print messages about damaged files
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(before)
    return found[..., None] if found is not None and found.dtype == np.uint16 and found.ndim == 2 else None


def tiff_tags(path: Path) -> Any:
    """Return the tags of a TIFF's first picture; empty if they can't be read."""
    try:
        with path.open("rb") as raw:
            head = raw.read(8)
            if head[2:3] == b"+" or head[3:4] == b"+":
                head += raw.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            raw.seek(tags.next or 0, os.SEEK_SET)
            tags.load(raw)
            return dict(tags)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError):
        return {}


def tiff_integers(value: Any) -> list[int]:
    """Return a tag's integers."""
    return [int(item) for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, int)]


def _first(value: Any, default: int = 0) -> int:
    """Return a tag's first integer."""
    return next(iter(tiff_integers(value)), default)
