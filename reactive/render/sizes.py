"""Which size the model works at, and which size the clip has."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from reactive.diffusion.compose import canvas_size
from reactive.diffusion.models.model import Model
from reactive.errors import OutputError
from reactive.media.picture import centred_window

_SIZE = re.compile(r"(\d{1,5})[xX×](\d{1,5})", re.ASCII)
_SHAPE = re.compile(r"(\d{1,2}):(\d{1,2})", re.ASCII)
# the clip of a small model is doubled, since players blur small clips
SMALL = 640
LARGEST = 8192


def parse_size(text: str, option: str, *, multiple: int = 2) -> tuple[int, int]:
    """Parse ``1280x720``.

    Raises
    ------
    OutputError
        If it is not a size, not a multiple of `multiple`, or not within 16 to 8192 pixels.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise OutputError(f'"{text}" is not a size', where=option, remedy="write for instance 1280x720")
    width, height = int(match.group(1)), int(match.group(2))
    if not (16 <= width <= LARGEST and 16 <= height <= LARGEST):
        raise OutputError(
            f"{text} is not within 16 to {LARGEST} pixels", where=option, remedy="write for instance 1280x720"
        )
    if width % multiple or height % multiple:
        nearest = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in (width, height))
        raise OutputError(f"{text} is not in steps of {multiple} pixels", where=option, remedy=f"use {nearest}")
    return width, height


def imagine_size(native: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the size, near the model's native number of pixels, whose shape is nearest to that of the clip.

    Parameters
    ----------
    native
        Width and height that the model was made for.
    shape
        Width and height of the clip, or any with its aspect ratio.
    """
    wanted = shape[0] / shape[1]
    for width, height in (native, native[::-1]):
        if abs(math.log(width / height / wanted)) < 0.05:
            return width, height
    step = 64 if native[0] % 64 == 0 and native[1] % 64 == 0 else 16
    area = native[0] * native[1]
    width = max(step, round(math.sqrt(area * wanted) / step) * step)
    height = max(step, round(math.sqrt(area / wanted) / step) * step)
    return width, height


def output_size(imagined: tuple[int, int], *, upscale: int = 1) -> tuple[int, int]:
    """Return the clip's default size: the picture cropped to 16:9 (9:16, 1:1), doubled where it is small.

    Parameters
    ----------
    imagined
        Width and height that the model works at.
    upscale
        How many times as large the cropped picture is made; with 1, a small one is doubled by plain scaling.

    Raises
    ------
    OutputError
        If the larger picture is beyond 8192 pixels.
    """
    width, height = imagined
    for across, down in ((16, 9), (9, 16), (1, 1)):
        if abs(math.log(width / height * down / across)) < 0.15:
            unit = min(width // across, height // down)
            # even numbers on both sides: 4:2:0 halves them
            unit -= unit % 2 if across % 2 or down % 2 else 0
            width, height = unit * across, unit * down
            break
    width, height = width - width % 2, height - height % 2
    if upscale > 1:
        if upscale * max(width, height) > LARGEST:
            raise OutputError(
                f"{upscale} times {width}x{height} is beyond {LARGEST} pixels",
                where="--upscale",
                remedy="use a smaller --imagine-size, or leave --upscale out",
            )
        return upscale * width, upscale * height
    return (2 * width, 2 * height) if max(width, height) < SMALL else (width, height)


def clip_sizes(
    model: Model,
    *,
    size: tuple[int, int] | None,
    imagined: tuple[int, int] | None,
    upscale: int = 1,
    shape: str = "",
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size that a model works at, and that of its finished frames, if one or both are not given.

    `shape`, as ``9:16``, is that of frames without a size.

    Raises
    ------
    OutputError
        If the model can't work at a size, or the finished picture is beyond 8192 pixels.
    """
    wanted = parse_shape(shape) if shape and not size else None
    working = imagined or imagine_size(model.native_size, size or wanted or (16, 9))
    step = model.step
    if any(side % step for side in working):
        raise OutputError(
            f"{working[0]}x{working[1]} is not in steps of {step} pixels",
            where="--imagine-size",
            remedy=f"use {working[0] // step * step}x{working[1] // step * step}",
        )
    if wanted:
        left, top, *_ = centred_window(*working, wanted)
        size = output_size((working[0] - 2 * left, working[1] - 2 * top), upscale=upscale)
    return working, size or output_size(working, upscale=upscale)


def parse_shape(text: str) -> tuple[int, int]:
    """Parse a shape, ``9:16``.

    Raises
    ------
    OutputError
        If it is not a shape, or beyond 4:1.
    """
    match = _SHAPE.fullmatch(text.strip())
    width, height = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not width or not height or max(width, height) > 4 * min(width, height):
        raise OutputError(f'"{text}" is not a shape', where="--also", remedy="write for instance 9:16 or 1:1")
    return width, height


def crop_note(imagined: tuple[int, int], sizes: Sequence[tuple[int, int]], shapes: Sequence[tuple[int, int]]) -> str:
    """Return in a sentence how much of each picture further shapes of a clip keep; empty if there are none.

    Parameters
    ----------
    imagined
        Width and height that the model works at.
    sizes, shapes
        Of the further shapes.
    """
    if not shapes:
        return ""
    kept = []
    for size, shape in zip(sizes, shapes, strict=True):
        _, _, width, height = centred_window(*imagined, size)
        kept.append(f"{100 * width * height / (imagined[0] * imagined[1]):.0f} % of it stays in {shape[0]}:{shape[1]}")
    anew = ",".join(f"{width}:{height}!" for width, height in shapes)
    return f"--also crops the picture: {', '.join(kept)}. --also {anew} imagines it anew in that shape."


def shaped_size(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a clip in another shape: its short side is that of the clip."""
    short = min(size)
    unit = short / min(shape)
    return round(shape[0] * unit / 2) * 2, round(shape[1] * unit / 2) * 2


def composed_size(imagined: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the size of pictures that lie over a ground: the clip's own, or for several shapes one that covers them all.

    Parameters
    ----------
    imagined
        Width and height that the model works at.
    sizes
        The sizes of the clip in its shapes, each a window of the picture.
    """
    if len(sizes) == 1:
        return sizes[0]
    canvases = [canvas_size(imagined, size) for size in sizes]
    return max(canvases)


def shaped_name(out: Path, shape: tuple[int, int]) -> Path:
    """Return the path of a clip's other shape: ``clip.9x16.mp4``."""
    return out.with_name(f"{out.stem}.{shape[0]}x{shape[1]}{out.suffix}")
