"""Very large TIFF and BMP files made smaller band by band: each band of rows is a small file of its own, and no more is in memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

from reactive.media.tiff import tiff_integers, tiff_tags

# rows of a band, at least, and bytes that it takes, at most: a strip that is packed as one can't be divided
_ROWS, _LARGEST_BAND = 192, 100_000_000
# tags of TIFF 6.0
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS = 256, 257, 258, 259, 273
_CHANNELS, _ROWS_A_STRIP, _COUNTS, _PLANES = 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
# how numbers are packed and what they mean: predictor, fill order, extra samples, JPEG's tables and its colours ...
_SAME = (_BITS, _COMPRESSION, 262, 266, _CHANNELS, 317, 338, 339, 347, 530, 531)
_PLAIN = 1


def reduced_by_bands(image: Image.Image, path: Path, step: int) -> Image.Image | None:
    """Return an opened picture at one `step`-th of its width and height, averaged; None if its file can't be read in bands.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If a band is damaged, as Pillow raises them.
    """
    kinds = {"TIFF": _tiff_bands, "BMP": _bmp_bands}
    bands = kinds[image.format](image, path, step) if image.format in kinds else None
    if bands is None:
        return None
    made = Image.new(image.mode, (-(-image.width // step), -(-image.height // step)))
    for top, band in bands:
        made.paste(band.reduce(step), (0, top // step))
    return made


def _bmp_bands(image: Image.Image, path: Path, step: int) -> Iterator[tuple[int, Image.Image]] | None:
    """Return bands and their first rows; the file's last row is often the picture's first."""
    # where Pillow's own reader of the format finds the pixels
    tiles: Any = getattr(image, "tile", [])
    if len(tiles) != 1 or tiles[0][0] != "raw":
        return None
    _, _, offset, (raw_mode, stride, direction) = tiles[0]
    height, width, mode = image.height, image.width, image.mode
    rows = -(-_ROWS // step) * step

    def read() -> Iterator[tuple[int, Image.Image]]:
        with path.open("rb") as file:
            for top in range(0, height, rows):
                count = min(rows, height - top)
                file.seek(offset + stride * (top if direction > 0 else height - top - count))
                data = file.read(stride * count)
                yield top, Image.frombytes(mode, (width, count), data, "raw", raw_mode, stride, direction)

    return read()


def _tiff_bands(image: Image.Image, path: Path, step: int) -> Iterator[tuple[int, Image.Image]] | None:
    """Return bands and their first rows: some strips, or rows of tiles, as a TIFF of their own."""
    tags = tiff_tags(path)
    tiled = _TILE_WIDTH in tags
    width, height, channels = (max(tiff_integers(tags.get(tag, 1))[0], 1) for tag in (_WIDTH, _HEIGHT, _CHANNELS))
    bits, planes = tiff_integers(tags.get(_BITS)), tiff_integers(tags.get(_PLANES, 1))
    offsets, counts = (
        tiff_integers(tags.get(tag)) for tag in ((_TILE_OFFSETS, _TILE_COUNTS) if tiled else (_OFFSETS, _COUNTS))
    )
    if (set(bits), planes) != ({8}, [1]) or len(offsets) != len(counts) or not offsets:
        return None
    each = tiff_integers(tags.get(_TILE_HEIGHT if tiled else _ROWS_A_STRIP, height))[0]
    across = -(-width // max(tiff_integers(tags.get(_TILE_WIDTH, width))[0], 1)) if tiled else 1
    if not tiled and tiff_integers(tags.get(_COMPRESSION, 1)) == [_PLAIN]:
        # rows one behind the other may be divided anywhere
        line = width * channels
        offsets = [
            first + line * row for first, count in zip(offsets, counts, strict=True) for row in range(count // line)
        ]
        each, counts = 1, [line] * len(offsets)
    together = step * max(-(-_ROWS // (step * max(each, 1))), 1)
    if each < 1 or len(offsets) < across * -(-height // each) or together * each * width * channels > _LARGEST_BAND:
        return None
    same = {tag: tags[tag] for tag in (*_SAME, *((_TILE_WIDTH, _TILE_HEIGHT) if tiled else ())) if tag in tags}

    def read() -> Iterator[tuple[int, Image.Image]]:
        with path.open("rb") as file:
            order = ">" if file.read(2) == b"MM" else "<"
            for first in range(0, -(-height // each), together):
                top = first * each
                parts = []
                for number in range(first * across, min((first + together) * across, len(offsets))):
                    file.seek(offsets[number])
                    parts.append(file.read(counts[number]))
                size = {_WIDTH: width, _HEIGHT: min(together * each, height - top)}
                rows = {} if tiled else {_ROWS_A_STRIP: each}
                small = _small_tiff(order, {**same, **size, **rows}, parts, tiled=tiled)
                with TiffImagePlugin.TiffImageFile(io.BytesIO(small)) as band:
                    yield top, band.copy()

    return read()


def _small_tiff(order: str, tags: dict[int, Any], parts: list[bytes], *, tiled: bool) -> bytes:
    """Return a TIFF of these tags and parts."""
    places, at = [], 8
    for part in parts:
        places.append(at)
        at += len(part)
    all_tags: dict[int, Any] = {
        **tags,
        (_TILE_OFFSETS if tiled else _OFFSETS): tuple(places),
        (_TILE_COUNTS if tiled else _COUNTS): tuple(map(len, parts)),
    }
    padding = bytes(at % 2)
    at += len(padding)
    behind = at + 2 + 12 * len(all_tags) + 4
    table, extra = b"", b""
    for tag, value in sorted(all_tags.items()):
        # numbers as four bytes each (4), anything else as it is (7)
        numbers = tiff_integers(value)
        packed = value if isinstance(value, bytes) else struct.pack(f"{order}{len(numbers)}I", *numbers)
        inside = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", behind + len(extra))
        count = len(packed) if isinstance(value, bytes) else len(numbers)
        table += struct.pack(f"{order}HHI", tag, 7 if isinstance(value, bytes) else 4, count) + inside
        extra += b"" if len(packed) <= 4 else packed + bytes(len(packed) % 2)
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, at)
    return b"".join([head, *parts, padding, struct.pack(f"{order}H", len(all_tags)), table, bytes(4), extra])
