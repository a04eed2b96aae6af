"""Titles, a logo and the song's words over a finished clip: a pass over its pieces, before it is joined.

What is drawn depends on the frame's number alone. A piece with nothing over it is left as it is, bit for bit; any other
is encoded again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import ImageFont

from reactive.errors import MediaError
from reactive.media.fonts import font_for
from reactive.media.picture import read_transparent
from reactive.media.safe import read_bytes
from reactive.media.video import rgb_pairs
from reactive.preset.schema import Overlay
from reactive.score.flash import GRID
from reactive.timeline.captions import Caption
from reactive.timeline.clock import frames_in, nearest_frame
from reactive.video.codec import Codec
from reactive.video.lettering import Font
from reactive.video.overlay import Patch, lay_over, logo_patch, text_patch
from reactive.video.segment import SegmentEncoder

MAX_FONT = 50_000_000
FADE_SECONDS = 0.3


@dataclass(frozen=True)
class OverlayMark:
    """A patch over the frames [start, stop) of the song, faded in and out over `fade` frames."""

    patch: Patch
    start: int
    stop: int
    fade: float

    def share(self, frame: int) -> float:
        """Return how much of it shows on a frame, 0 to 1."""
        if not self.start <= frame < self.stop:
            return 0.0
        inside = min(frame - self.start + 1, self.stop - frame)
        return min(1.0, inside / (self.fade + 1))


def make_marks(
    overlay: Overlay,
    captions: Sequence[Caption],
    *,
    font: Path | None,
    logo: Path | None,
    fps: Fraction,
    frames: int,
    size: tuple[int, int],
) -> list[OverlayMark]:
    """Draw an overlay's texts and logo for pictures of a size.

    Raises
    ------
    MediaError
        If the font or the logo can't be read.
    """
    fade = frames_in(FADE_SECONDS, fps)
    marks = []
    for caption in captions:
        patch = text_patch(
            caption.text,
            place=caption.place,
            size=caption.size,
            font=load_font(font, max(6, round(caption.size * size[1])), text=caption.text),
            colour=overlay.colour,
            picture=size,
        )
        start, stop = nearest_frame(caption.start, fps), nearest_frame(caption.end, fps)
        marks.append(OverlayMark(patch, start, min(max(stop, start + 1), frames), fade))
    if logo:
        patch = logo_patch(
            read_transparent(logo),
            place=overlay.logo_place,
            size=overlay.logo_size,
            strength=overlay.logo_strength,
            picture=size,
        )
        marks.insert(0, OverlayMark(patch, 0, frames, 0.0))
    return marks


def load_font(path: Path | None, height: int, *, text: str = "") -> Font:
    """Return a font at a height in pixels: that of a TTF or OTF file, else a plain one that has the letters of a text.

    Raises
    ------
    MediaError
        If the file is not a font.
    """
    if path is None:
        return ImageFont.truetype(str(font_for(text)), height)
    try:
        return ImageFont.truetype(io.BytesIO(read_bytes(path, limit=MAX_FONT)), height)
    except OSError:
        raise MediaError("is not a font", where=str(path), remedy="name a TTF or OTF file") from None


def overlay_pieces(
    pieces: Sequence[tuple[Path, int]],
    marks: Sequence[OverlayMark],
    *,
    first: int,
    fps: Fraction,
    size: tuple[int, int],
    codec: Codec,
) -> list[tuple[Path, int]]:
    """Return the pieces of a clip with marks laid over them; those that are encoded again are written beside the old ones.

    Parameters
    ----------
    pieces
        Files of `SegmentEncoder` in the order of the song, each with its number of frames.
    first
        The song's frame that the first piece begins with.

    Raises
    ------
    OutputError
        If a piece can't be written.
    """
    done: list[tuple[Path, int]] = []
    for path, frames in pieces:
        here = [mark for mark in marks if mark.start < first + frames and mark.stop > first]
        if here:
            replacement = path.with_name(f"{path.stem}.over{path.suffix}")
            with SegmentEncoder(replacement, size=size, fps=fps, codec=codec) as encoder:
                for picture in _marked(path, here, first):
                    encoder.write(picture)
            done.append((replacement, frames))
        else:
            done.append((path, frames))
        first += frames
    return done


def _marked(path: Path, marks: Sequence[OverlayMark], first: int) -> Iterator[np.ndarray]:
    for frame, (picture, _) in enumerate(rgb_pairs(path, size=GRID), first):
        shown = np.array(picture)
        for mark in marks:
            if (share := mark.share(frame)) > 0:
                lay_over(shown, mark.patch, share)
        yield shown
