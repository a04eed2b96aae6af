"""Many songs, one preset: each is a render of its own, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from reactive.errors import OutputError, ReactiveError
from reactive.render.clip import Clip
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Rates, Settings


def make_album(
    songs: Sequence[tuple[str, Path, Settings]], *, progress: Progress | None = None, rates: Rates | None = None
) -> Iterator[tuple[str, Clip | ReactiveError]]:
    """Make a clip of each song; those that are there already are left as they are.

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
            except ReactiveError as problem:
                yield song, problem


def _cluster(settings: Settings) -> AbstractContextManager[None]:
    if settings.ray is None:
        return nullcontext()
    from reactive.render.workers.cluster import cluster

    return cluster(settings.ray, room=max(1, settings.workers) * max(1, settings.threads))
