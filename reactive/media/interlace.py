"""Deinterlacing by FFmpeg's Bob Weaver filter, from three decoded pictures, so that random access gives the same result."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.error
import av.filter


def deinterlaced(before: Any, frame: Any, after: Any) -> Any:
    """Return an interlaced frame as a whole picture; `before` and `after` are its neighbours, None if there is none."""
    pictures = [other for other in (before, frame, after) if other is not None and _alike(other, frame)]
    wanted = pictures.index(frame)
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    filtering = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(filtering)
    filtering.link_to(sink)
    found: list[Any] = []
    stamps = [picture.pts for picture in pictures]
    try:
        graph.configure()
        for number, picture in enumerate(pictures):
            picture.pts = number
            graph.push(picture)
        graph.push(None)
        while len(found) <= wanted:
            found.append(graph.vpull())
    except (av.error.FFmpegError, ValueError, EOFError):
        # the filter does not support the format: keep the fields
        return frame
    finally:
        for picture, stamp in zip(pictures, stamps, strict=True):
            picture.pts = stamp
    return found[wanted]


def _alike(one: Any, other: Any) -> bool:
    return (one.width, one.height, one.format.name) == (other.width, other.height, other.format.name)
