"""Many songs, one preset: each is a render of its own, and one that fails does not stop the others."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from reactive import __version__
from reactive.errors import OutputError, ReactiveError, foreseen
from reactive.files import name_beside, write_text
from reactive.render.clip import Clip
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Rates, Settings


def make_album(
    songs: Sequence[tuple[str, Path, Settings]], *, progress: Progress | None = None, rates: Rates | None = None
) -> Iterator[tuple[str, Clip | ReactiveError]]:
    """Make a clip of each song; clips that exist already are left as they are.

    Parameters
    ----------
    songs
        Each song, the clip to write, and how.

    Yields
    ------
    Each song, and its clip or what went wrong.
    """
    taken: dict[Path, str] = {}
    # one cluster for all songs
    with _cluster(songs[0][2]) if songs else nullcontext():
        for song, out, settings in songs:
            try:
                if out in taken:
                    raise OutputError(
                        f"would be the clip of {taken[out]} too",
                        where=str(out),
                        remedy="give the songs different names",
                    )
                taken[out] = song
                yield song, make_clip(song, out, settings, progress=progress, rates=rates)
            except Exception as problem:
                # whatever went wrong, the songs after it are rendered
                yield song, foreseen(problem) or _reported(problem, song, out)


def _reported(problem: Exception, song: str, out: Path) -> ReactiveError:
    """Return a bug of the program as one song's error; its traceback is written to a file that can be reported."""
    report = out.with_name(name_beside(out.name, ".error.txt"))
    text = "".join(traceback.format_exception(problem))
    try:
        write_text(
            report,
            f"reactive {__version__}, {platform.platform()}, Python {platform.python_version()}\n{song}\n\n{text}",
        )
        remedy = f"please report it with {report}"
    except OSError:
        remedy = "please report it with what `reactive run` prints for this song alone"
    what = " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
    return ReactiveError(f"reactive failed ({what})", remedy=remedy)


def _cluster(settings: Settings) -> AbstractContextManager[None]:
    if settings.compute.ray is None:
        return nullcontext()
    from reactive.render.workers.cluster import cluster

    return cluster(settings.compute.ray, room=max(1, settings.compute.workers) * max(1, settings.compute.threads))
