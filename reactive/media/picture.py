"""Read a photograph: any format that Pillow reads safely, by its contents and not by its name, turned upright, as sRGB."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from reactive.errors import MediaError, install_line
from reactive.media.bands import reduced_by_bands
from reactive.media.quiet import silent_stderr
from reactive.media.safe import regular_file
from reactive.media.tiff import eight_bits, is_tiff, read_deep_tiff

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
MAX_PIXELS = 250_000_000
# no clip needs more pixels: larger pictures are read at a half, a third ... of their size
LARGE = 50_000_000
# large PNG and WebP files up to this many bytes are read by FFmpeg, with three bytes a pixel or less; Pillow needs four
_IN_MEMORY = 150_000_000
_FFMPEG_READS = ("1", "L", "LA", "P", "RGB", "RGBA")
_REDUCED = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F")
# brands of the ISO base media format whose pictures are HEIC (ISO/IEC 23008-12, B.4)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
BLACK = (0, 0, 0)
# very large pictures are decoded once, while little else is in memory: before a model is
_read_before: dict[tuple[str, int, int, tuple[int, int, int]], np.ndarray] = {}
_MOST_KEPT = 32
# Pillow's own limit is a global one
_limit = threading.Lock()


def check_picture(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the width and height in a photograph's header, without decoding it.

    Raises
    ------
    MediaError
        If it is not a picture of a known format, or claims more than 250 million pixels.
    """
    with opened(path) as image:
        return image.width, image.height


def read_picture(path: str | os.PathLike[str], *, background: tuple[int, int, int] = BLACK) -> np.ndarray:
    """Return a photograph as uint8 [height, width, 3] sRGB, turned upright by its EXIF orientation.

    An embedded colour profile is used, 16 bits and floats become 8 bits by their own range, and transparent parts show
    `background` (red, green, blue). Beyond 50 million pixels it is made smaller by a whole number while it is read.

    Raises
    ------
    MediaError
        If it is not a picture of a known format, is damaged, or claims more than 250 million pixels.
    """
    with opened(path) as image:
        if image.width * image.height <= LARGE:
            return np.asarray(_srgb(ImageOps.exif_transpose(image), background))
        status = os.stat(path)
        key = os.path.abspath(path), status.st_size, status.st_mtime_ns, background
        if (kept := _read_before.get(key)) is None:
            kept = _on_disk(np.asarray(_srgb(ImageOps.exif_transpose(_reduced(image, Path(path))), background)))
            while len(_read_before) >= _MOST_KEPT:
                _read_before.pop(next(iter(_read_before)))
            _read_before[key] = kept
        return kept


def _on_disk(picture: np.ndarray) -> np.ndarray:
    """Return a picture that lies in a file without a name and takes no memory."""
    try:
        with tempfile.TemporaryFile() as file:
            picture.tofile(file)
            file.flush()
            return np.memmap(file, np.uint8, "r", shape=picture.shape)
    except OSError:
        # a full disk
        return picture


def centred_window(width: int, height: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the largest centred window that has the shape of `size`."""
    wanted = Fraction(*size)
    if Fraction(width, height) > wanted:
        across = max(1, round(height * wanted))
        return (width - across) // 2, 0, across, height
    down = max(1, round(width / wanted))
    return 0, (height - down) // 2, width, down


def read_transparent(path: str | os.PathLike[str]) -> np.ndarray:
    """Return a drawing, for instance a logo, as uint8 [height, width, 4]: sRGB and opacity.

    Raises
    ------
    MediaError
        As `read_picture` does.
    """
    with opened(path) as image:
        return np.asarray(_shallow(ImageOps.exif_transpose(_reduced(image, Path(path)))).convert("RGBA"))


def parse_colour(text: str, *, where: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of ``white``, ``#ff8800`` or another colour of CSS.

    Raises
    ------
    MediaError
        If it is not a colour.
    """
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise MediaError(
            f'"{text}" is not a colour', where=where, remedy="write for instance white or #ff8800"
        ) from None
    return red, green, blue


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Yield a picture whose header was read and whose size was checked; errors in its file become a `MediaError`."""
    checked = regular_file(path)
    heic = _is_heic(checked)
    if heic:
        _register_heic(path)
    try:
        with warnings.catch_warnings(), silent_stderr() if is_tiff(checked) else nullcontext():
            warnings.simplefilter("ignore")
            with _open(checked) as image:
                if not 1 <= image.width * image.height <= MAX_PIXELS:
                    raise MediaError(
                        f"has {image.width}x{image.height} pixels", where=str(path), remedy="scale it down first"
                    )
                deep = read_deep_tiff(checked) if image.format == "TIFF" else None
                yield image if deep is None else deep
    except UnidentifiedImageError:
        raise MediaError(
            "is a HEIC picture that can't be read" if heic else "is not a picture that can be read",
            where=str(path),
            remedy="save it as JPEG, PNG or WebP",
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, KeyError, RuntimeError) as problem:
        # Pillow's own plugins raise all of these for damaged files
        said = " ".join(str(problem).split())
        raise MediaError(f"is a damaged picture ({said})", where=str(path), remedy="save it again") from None


def _open(path: Path) -> Image.Image:
    with _limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            # only the header is read here, and the size is checked next
            return Image.open(path, formats=FORMATS if "HEIF" in Image.OPEN else FORMATS[:-1])
        except UnidentifiedImageError:
            deep = read_deep_tiff(path) if is_tiff(path) else None
            if deep is None:
                raise
            return deep
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _is_heic(path: Path) -> bool:
    with path.open("rb") as raw:
        head = raw.read(64)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC and b"avif" not in head[8:40]


def _register_heic(path: str | os.PathLike[str]) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise MediaError(
            "is a HEIC picture, which needs pillow-heif",
            where=str(path),
            remedy=f"install it with `{install_line('pillow-heif')}`, or save the picture as JPEG",
        ) from None
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()


def _reduced(image: Image.Image, path: Path) -> Image.Image:
    """Return a picture, smaller by a whole number if it is very large."""
    pixels = image.width * image.height
    factor = 1
    while pixels // (factor * factor) > LARGE:
        factor += 1
    if factor == 1:
        return image
    size = image.width // factor, image.height // factor
    if image.format == "PNG" and image.mode in _FFMPEG_READS and path.stat().st_size <= _IN_MEMORY:
        return _reduced_by_ffmpeg(image, path, "png", size)
    if image.format == "WEBP" and path.stat().st_size <= _IN_MEMORY and not getattr(image, "is_animated", False):
        return _reduced_by_ffmpeg(image, path, "webp", size)
    # JPEG is decoded at a half, a quarter or an eighth at once
    image.draft(None, size)
    step = max(image.width // size[0], 1)
    orientation = image.getexif().get(0x0112)
    profile = image.info.get("icc_profile")
    if image.mode in _REDUCED:
        made = image if step == 1 else reduced_by_bands(image, path, step) or image.reduce(step)
    else:
        # palettes and 16 bits can't be averaged directly, and converting first would take four times the memory
        made = image.resize(size, Image.Resampling.NEAREST)
    if orientation:
        made.getexif()[0x0112] = orientation
    if profile:
        made.info["icc_profile"] = profile
    return made


def _reduced_by_ffmpeg(image: Image.Image, path: Path, codec: str, size: tuple[int, int]) -> Image.Image:
    import av
    import av.error
    from av.video.reformatter import Interpolation

    context: Any = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    try:
        frames = [*context.decode(av.Packet(path.read_bytes())), *context.decode(None)]
    except (av.error.FFmpegError, ValueError) as problem:
        raise ValueError(str(problem)) from None
    if not frames:
        raise ValueError("nothing can be decoded")
    pixel_format = "rgba" if image.has_transparency_data else "rgb24"
    small = frames.pop().reformat(width=size[0], height=size[1], format=pixel_format, interpolation=Interpolation.AREA)
    # the decoder holds on to the large picture
    context = None
    pixels = small.to_ndarray()
    del small
    made = Image.fromarray(pixels)
    made.info.update({name: image.info[name] for name in ("icc_profile", "exif") if name in image.info})
    return made


def _shallow(image: Image.Image) -> Image.Image:
    """Return a picture with 8 bits a channel; 16 bits and floats of grey, which Pillow would clip, by their own range."""
    if not image.mode.startswith(("I", "F")):
        return image
    return Image.fromarray(eight_bits(np.asarray(image)))


def _srgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Return a picture as 8-bit sRGB, over a colour where it is transparent."""
    profile = image.info.get("icc_profile")
    firm: Image.Image | None = None
    if image.mode.startswith(("I", "F")):
        image, profile = _shallow(image), None
    elif image.has_transparency_data:
        seen = image.convert("RGBA")
        image, firm = seen.convert("RGB"), seen.getchannel("A")
    image = _by_profile(image, profile)
    if firm is None:
        return image
    under = Image.new("RGB", image.size, background)
    under.paste(image, mask=firm)
    return under


def _by_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            # a damaged profile is ignored
            return image.convert("RGB")
    return image.convert("RGB")
