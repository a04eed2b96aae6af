"""Check a safetensors file by its header, without loading it: 8 bytes of length, a JSON object, then raw numbers.

Files of another format under that name, for instance pickles, are refused before a library opens them.
Source: the format's description in the safetensors project.
"""

from __future__ import annotations

import json
import os
from typing import Any

from reactive.errors import MediaError
from reactive.media.safe import regular_file

# far above any LoRA; the library's own limit is 100 MB
MAX_HEADER = 16_000_000
MAX_TENSORS = 100_000
MAX_AXES = 16
# bits per number
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}
_REMEDY = "save it again as safetensors; pickles can run code and are not read"


def check_tensors(path: str | os.PathLike[str]) -> int:
    """Return how many tensors a safetensors file holds, after checking that its header describes it exactly.

    Raises
    ------
    MediaError
        If it is of another format, its header is too large, or header and data don't match.
    """
    checked = regular_file(path)
    with checked.open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise MediaError("is not safetensors, or its header is too large", where=str(path), remedy=_REMEDY)
        try:
            header = json.loads(handle.read(length).decode("utf-8"))
        except (ValueError, RecursionError):
            raise MediaError("is not safetensors: its header is not JSON", where=str(path), remedy=_REMEDY) from None
    fault = _fault(header, size - 8 - length)
    if fault:
        raise MediaError(f"is not safetensors: {fault}", where=str(path), remedy=_REMEDY)
    return len(header.keys() - {"__metadata__"})


def _fault(header: Any, size: int) -> str | None:
    """Return what is wrong with a header that describes `size` bytes, or None."""
    if not isinstance(header, dict):
        return "its header is not a JSON object"
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        return "its metadata are not texts"
    if not 1 <= len(header) <= MAX_TENSORS:
        return f"it holds {len(header)} tensors"
    spans: list[tuple[int, int]] = []
    for tensor in header.values():
        span = _span(tensor)
        if span is None:
            return "a tensor is described wrongly"
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        # without gaps and overlaps no other data can be hidden in the file
        if start != end:
            return "its tensors overlap or leave holes"
        end = stop
    return None if end == size else f"its header describes {end} bytes and {size} are there"


def _span(tensor: Any) -> tuple[int, int] | None:
    """Return the byte range of a tensor, or None if its description is wrong."""
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        return None
    bits, shape, offsets = _BITS.get(str(tensor["dtype"])), tensor["shape"], tensor["data_offsets"]
    is_well_formed = (
        isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and len(shape) <= MAX_AXES
    )
    if (
        bits is None
        or not is_well_formed
        or not all(type(number) is int and 0 <= number < 1 << 62 for number in shape + offsets)
    ):
        return None
    count = 1
    for side in shape:
        count *= side
    return (offsets[0], offsets[1]) if count * bits == 8 * (offsets[1] - offsets[0]) else None
