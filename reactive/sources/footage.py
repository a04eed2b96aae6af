"""Films before they are cut: those in a folder, and how much moves in them, measured once and cached.

Movement is the mean change of brightness between samples, eight a second. In a long film only parts are
measured, spread over it, so that an hour of footage takes no longer than three minutes of it.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.errors import MediaError
from reactive.files import cache_root, replacing
from reactive.media.film import Film
from reactive.media.video import FilmReader, open_film

FILMS = (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".3gp", ".wmv")
MOST = 500
LOOKS_A_SECOND = 8
# seconds of a film that are measured at most, in parts of this many seconds
LOOKED_AT_SECONDS, STRETCH_SECONDS = 180.0, 6.0
_SMALL = 64
_VERSION = 1


def films_in(folder: Path) -> tuple[Path, ...]:
    """Return the films of a folder by name; hidden and other files are left out.

    Raises
    ------
    MediaError
        If it is not a folder that can be read, or has no film or more than 500.
    """
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in FILMS and not path.name.startswith(".") and path.is_file()
        )
    except OSError as problem:
        raise MediaError(
            f"is not a folder that can be read ({problem.strerror})", where=str(folder), remedy="name a folder"
        ) from None
    if not found:
        raise MediaError("holds no film", where=str(folder), remedy=f"put {', '.join(FILMS[:4])} files into it")
    if len(found) > MOST:
        raise MediaError(
            f"holds {len(found):,} films, more than {MOST}", where=str(folder), remedy="choose the best of them"
        )
    return tuple(found)


def movement_of(path: Path) -> tuple[float, np.ndarray]:
    """Return a film's length in seconds and how much moves in it.

    The result is kept in the user's cache folder, by the film's measured times and its size on disk.

    Returns
    -------
    Seconds, and float32 [looks], eight a second: mean change of brightness, 0 to 1; nan where it was not measured.

    Raises
    ------
    MediaError
        If the file can't be read as a film.
    """
    film = open_film(path)
    seconds = float(film.duration)
    kept = cache_root() / "films" / f"{_key(film)}-{_VERSION}.npy"
    try:
        found = np.load(kept, allow_pickle=False)
        if found.dtype == np.float32 and found.ndim == 1:
            return seconds, found
    except (OSError, ValueError, EOFError):
        pass
    found = _look(film, seconds)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as part, part.open("wb") as handle:
            np.save(handle, found)
    except OSError:
        # without a writable cache it is measured each time
        pass
    return seconds, found


def _key(film: Film) -> str:
    digest = hashlib.sha256(film.times.tobytes())
    digest.update(f"{film.path.stat().st_size} {film.width} {film.height} {film.time_base}".encode())
    with film.path.open("rb") as handle:
        digest.update(handle.read(1 << 20))
    return digest.hexdigest()


def _look(film: Film, seconds: float) -> np.ndarray:
    scale = _SMALL / max(film.width, film.height)
    reader = FilmReader(film, width=max(2, round(film.width * scale)), height=max(2, round(film.height * scale)))
    count = max(1, int(seconds * LOOKS_A_SECOND))
    looked_at: np.ndarray = np.ones(count, bool)
    if seconds > LOOKED_AT_SECONDS:
        stretches = int(LOOKED_AT_SECONDS / STRETCH_SECONDS)
        begins = np.linspace(0, seconds - STRETCH_SECONDS, stretches)
        at = np.arange(count) / LOOKS_A_SECOND
        looked_at = np.any((at >= begins[:, None]) & (at < begins[:, None] + STRETCH_SECONDS), axis=0)
    movement = np.full(count, np.nan, np.float32)
    before: np.ndarray | None = None
    try:
        for look in range(count):
            if not looked_at[look]:
                before = None
                continue
            number = film.nearest(Fraction(look, LOOKS_A_SECOND))
            picture = reader.picture(number).astype(np.float32).mean(axis=2)
            if before is not None:
                movement[look] = np.abs(picture - before).mean() / 255
            before = picture
    finally:
        reader.close()
    # the first sample of a part has none before it
    first = np.flatnonzero(np.isnan(movement[:-1]) & ~np.isnan(movement[1:]))
    movement[first] = np.where(looked_at[first], movement[first + 1], movement[first])
    return movement
