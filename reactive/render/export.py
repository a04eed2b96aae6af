"""Files to post, made from a finished clip without rendering it again: poster, thumbnail, loop, set loudness, signature."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.errors import OutputError
from reactive.files import name_beside
from reactive.media.film import open_film
from reactive.media.safe import regular_file
from reactive.media.tags import XMP, read_tags
from reactive.media.video import rgb_frames
from reactive.render.credits import clip_credits
from reactive.render.depth_matte import clip_depths
from reactive.render.loops import export_loop, parse_bars
from reactive.render.outputs import check_output
from reactive.score.best import Loop, best_frame, best_loop, closed, scan_clip
from reactive.timeline.clock import frame_time, frames_in
from reactive.video.codec import container_format
from reactive.video.credentials import AUTHORITY, CERTIFICATE, KEY, Identity, check_signable, load_identity, sign_clip
from reactive.video.fitted import fit_size
from reactive.video.matte import check_matte, with_matte
from reactive.video.neutral import with_loudness
from reactive.video.sequence import write_sequence
from reactive.video.stills import LOOPS, fit_within, picture_format, write_loop, write_picture
from reactive.video.thumbnail import titled

THUMBNAIL, TITLED_THUMBNAIL, LOOP_SIDE = 320, 1280, 480
# a loop's frames a second at most: more only makes it larger
LOOP_RATE = 15
FADE_SECONDS = Fraction(1, 3)
TARGETS = (-40.0, -5.0)
LUMINANCE, DEPTH = "luminance", "depth"


@dataclass(frozen=True)
class ExportOptions:
    """What is to be made; None where it is not wanted. `loudness` is in LUFS and goes with `output`.

    `certificates` and `key` sign `output` (PEM files); `authority` is the address of a time-stamping authority. `credits`
    lists the photographs of the library that the clip shows, by its recipe. `max_size` is in bytes and `loop` names bars of
    the clip; either goes with `output` alone, and so does `alpha`, a matte by ``luminance``, or by the ``depth`` of photographs,
    which needs the `song` and looks for the photographs in `places` too. `frames` is a folder for every frame as
    ``png`` or ``exr``. `title` is written on the thumbnail and the poster.
    """

    poster: Path | None = None
    thumbnail: Path | None = None
    gif: Path | None = None
    webp: Path | None = None
    output: Path | None = None
    loudness: float | None = None
    certificates: Path | None = None
    key: Path | None = None
    authority: str | None = None
    credits: bool = False
    loop: str | None = None
    max_size: int | None = None
    frames: Path | None = None
    frames_as: str = "png"
    alpha: str = ""
    song: Path | None = None
    places: tuple[Path, ...] = ()
    title: str = ""

    def paths(self) -> list[Path]:
        """Return the files that will be written."""
        every = (self.poster, self.thumbnail, self.gif, self.webp, self.output)
        return [path for path in every if path is not None]


def export_clip(clip: str | os.PathLike[str], wanted: ExportOptions, *, overwrite: bool = False) -> dict[str, object]:
    """Make what is wanted from a finished clip; return what was made as plain data for JSON.

    Raises
    ------
    ReactiveError
        If the clip can't be read, or something can't be written.

    Examples
    --------
    >>> import reactive
    >>> from pathlib import Path
    >>> made = reactive.export_clip("clip.mp4", reactive.ExportOptions(thumbnail=Path("small.jpg")))
    >>> Path("small.jpg").is_file()
    True
    """
    clip = Path(clip)
    regular_file(clip)
    _check(clip, wanted, overwrite)
    identity = load_identity(wanted.certificates, wanted.key) if wanted.certificates and wanted.key else None
    made: dict[str, object] = {}
    if wanted.credits:
        made["credits"] = [
            {
                "name": one.name,
                "caption": one.caption,
                "author": one.author,
                "licence": one.licence,
                "source": one.source,
            }
            for one in clip_credits(clip)
        ]
    if wanted.poster or wanted.thumbnail or wanted.gif or wanted.webp:
        scan = scan_clip(clip)
        if wanted.poster or wanted.thumbnail:
            frame = best_frame(scan)
            picture = next(_frames(clip, frame, frame + 1))
            longest = THUMBNAIL
            if wanted.title:
                # letters need room: the size that video sites ask for
                picture, longest = titled(picture, wanted.title), TITLED_THUMBNAIL
            mark = read_tags(clip).get(XMP, "")
            if wanted.poster:
                size = write_picture(wanted.poster, picture, xmp=mark)
                made["poster"] = {"path": str(wanted.poster), "frame": frame, "size": "x".join(map(str, size))}
            if wanted.thumbnail:
                size = write_picture(wanted.thumbnail, picture, longest=longest, xmp=mark)
                made["thumbnail"] = {"path": str(wanted.thumbnail), "frame": frame, "size": "x".join(map(str, size))}
        if wanted.gif or wanted.webp:
            loop = best_loop(scan)
            pictures, fps = loop_pictures(clip, loop, scan.fps)
            for name, path in (("gif", wanted.gif), ("webp", wanted.webp)):
                if path:
                    write_loop(path, list(pictures), fps=fps)
                    made[name] = {
                        "path": str(path),
                        "first": loop.start,
                        "frames": len(pictures),
                        "duration": round(float(frame_time(len(pictures), fps)), 3),
                        "fps": str(fps),
                    }
    if wanted.frames:
        count = write_sequence(clip, wanted.frames, wanted.frames_as, overwrite=overwrite)
        made["frames"] = {"path": str(wanted.frames), "count": count, "kind": wanted.frames_as}
    if wanted.alpha and wanted.output:
        made["output"] = {
            "path": str(wanted.output),
            "frames": _with_alpha(clip, wanted.output, wanted),
            "alpha": wanted.alpha,
        }
    elif wanted.loop and wanted.output:
        made["loop"] = export_loop(clip, wanted.loop, wanted.output)
    elif wanted.max_size and wanted.output:
        fitted = fit_size(clip, wanted.output, wanted.max_size)
        made["output"] = {
            "path": str(wanted.output),
            "bytes": fitted.after,
            "bytes_before": fitted.before,
            "passes": fitted.passes,
            "video_kbit_per_s": fitted.rate // 1000,
        }
    elif wanted.output:
        made |= _rewritten(clip, wanted.output, wanted, identity)
    return made


def _with_alpha(clip: Path, out: Path, wanted: ExportOptions) -> int:
    """Write the clip with transparency; return its number of frames."""
    if wanted.alpha != DEPTH:
        return with_matte(clip, out)
    if wanted.song is None:
        raise OutputError("needs the song of the clip", where="--alpha-by depth", remedy="name it with --song")
    film = open_film(clip)
    size, frames = (film.width, film.height), len(film.times)
    with clip_depths(clip, wanted.song, size=size, frames=frames, places=wanted.places) as mattes:
        return with_matte(clip, out, mattes)


def _rewritten(clip: Path, out: Path, wanted: ExportOptions, identity: Identity | None) -> dict[str, object]:
    """Write the clip with another loudness, signed, or both; return what was made."""
    made: dict[str, object] = {}
    source, between = clip, out.with_name(name_beside(f".{out.stem}", f".{os.getpid()}.louder{out.suffix}"))
    try:
        if wanted.loudness is not None:
            # a signature comes last, since it covers the whole file
            source = between if identity else out
            before, after = with_loudness(clip, source, target=wanted.loudness)
            made["output"] = {
                "path": str(out),
                "loudness": _finite(after.integrated),
                "true_peak": _finite(after.true_peak),
                "loudness_before": _finite(before.integrated),
                "true_peak_before": _finite(before.true_peak),
            }
        if identity:
            sign_clip(source, out, identity, title=clip.stem, authority=wanted.authority)
            made["signed"] = {"path": str(out), "by": identity.name, "algorithm": identity.algorithm}
    finally:
        between.unlink(missing_ok=True)
    return made


def _check(clip: Path, wanted: ExportOptions, overwrite: bool) -> None:
    paths = wanted.paths()
    if (wanted.certificates is None) != (wanted.key is None):
        raise OutputError(f"{CERTIFICATE} and {KEY} go together", where=str(clip), remedy="name both PEM files")
    if wanted.authority and not wanted.certificates:
        raise OutputError("is asked only when a clip is signed", where=AUTHORITY, remedy=f"add {CERTIFICATE}")
    every = (("--loop", wanted.loop), ("--max-size", wanted.max_size), ("--alpha", wanted.alpha))
    alone = [option for option, value in every if value]
    if len(alone) > 1 or (alone and (wanted.loudness is not None or wanted.certificates)):
        raise OutputError("goes with no other way to write -o", where=alone[0], remedy="export what it made once more")
    if (wanted.output is None) != (wanted.loudness is None and wanted.certificates is None and not alone):
        raise OutputError(
            f"-o goes with --loop, --max-size, --alpha, --loudness or {CERTIFICATE}",
            where=str(clip),
            remedy="write --loudness -14 -o OUT.mp4",
        )
    if wanted.title and not (wanted.thumbnail or wanted.poster):
        raise OutputError("is written on a thumbnail or poster", where="--title", remedy="add --thumbnail FILE")
    if not paths and not wanted.credits and not wanted.frames:
        raise OutputError(
            "nothing is asked for",
            where=str(clip),
            remedy="name a --poster, --gif, --webp, --thumbnail, --frames or --loop",
        )
    if wanted.alpha and wanted.output:
        check_matte(wanted.output)
    if wanted.loudness is not None and not TARGETS[0] <= wanted.loudness <= TARGETS[1]:
        raise OutputError(
            f"{wanted.loudness:g} LUFS is not between {TARGETS[0]:g} and {TARGETS[1]:g}",
            where="--loudness",
            remedy="-14 is what most platforms play at",
        )
    for path in paths:
        check_output(path, [clip], overwrite)
        if paths.count(path) > 1:
            raise OutputError("is asked for twice", where=str(path), remedy="give each a name of its own")
    if wanted.max_size and wanted.output:
        container_format(wanted.output, "h264")
    if wanted.loop and wanted.output:
        parse_bars(wanted.loop)
        picture_format(wanted.output, {".mp4": "MP4"})
    if wanted.output and wanted.certificates:
        check_signable(clip, wanted.output)
    for still in (wanted.poster, wanted.thumbnail):
        if still:
            picture_format(still)
    for loop, suffix in ((wanted.gif, ".gif"), (wanted.webp, ".webp")):
        if loop:
            picture_format(loop, {suffix: LOOPS[suffix]})


def loop_pictures(clip: Path, loop: Loop, fps: Fraction) -> tuple[np.ndarray, Fraction]:
    """Return a loop's pictures, uint8 [n, height, width, 3], made to close on itself, and their rate."""
    every = max(1, -(-fps.numerator // (fps.denominator * LOOP_RATE)))
    length = (loop.stop - loop.start) // every * every
    fade = min(
        int(frames_in(float(FADE_SECONDS), fps)) // every * every,
        loop.start // every * every,
        length // 2 // every * every,
    )
    chosen = [
        picture
        for number, picture in enumerate(_frames(clip, loop.start - fade, loop.start + length, longest=LOOP_SIDE))
        if number % every == 0
    ]
    pictures = np.stack(chosen)
    count = fade // every
    return closed(pictures[count:], pictures[:count]), fps / every


def _frames(clip: Path, first: int, stop: int, *, longest: int | None = None) -> Iterator[np.ndarray]:
    size: tuple[int, int] | None = None
    if longest is not None:
        shape = next(rgb_frames(clip))[0].shape
        size = fit_within((shape[1], shape[0]), longest)
    for number, (picture, _) in enumerate(rgb_frames(clip, size=size)):
        if number >= stop:
            return
        if number >= first:
            yield picture


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
