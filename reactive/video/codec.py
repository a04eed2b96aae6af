"""Which codecs a clip may have, and what they are given. Thread counts are fixed: x264's output depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactive.errors import OutputError

SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
CODECS = ("h264", "nvenc", "prores", "ffv1")
_CONTAINERS = {
    "h264": (".mp4", ".mov", ".mkv"),
    "nvenc": (".mp4", ".mov", ".mkv"),
    "prores": (".mov",),
    "ffv1": (".mkv",),
}
_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
X264_THREADS = 1


@dataclass(frozen=True)
class Codec:
    """How pictures are encoded.

    Attributes
    ----------
    name
        FFmpeg's encoder.
    pixel_format
        What it is given.
    options
        Its private options.
    reorder
        By how many frames decoding runs ahead of showing: 2 for x264's pyramid of B-frames.
    """

    name: str
    pixel_format: str
    options: dict[str, str]
    reorder: int


def video_codec(kind: str, *, speed: str = "veryfast", crf: int = 18) -> Codec:
    """Return the settings of ``h264`` or ``nvenc`` (4:2:0, constant quality), ``prores`` (422 HQ) or ``ffv1`` (lossless)."""
    if kind == "nvenc":
        # without B-frames, so that pieces join as they are
        options = {"preset": "p4", "rc": "constqp", "qp": str(crf), "bf": "0", "g": "250", "forced-idr": "1"}
        return Codec("h264_nvenc", "yuv420p", options, 0)
    if kind == "prores":
        return Codec("prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}, 0)
    if kind == "ffv1":
        return Codec("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}, 0)
    # closed GOPs of a known structure, so that pieces can be joined without encoding again
    options = {"preset": speed, "crf": str(crf), "x264-params": "open-gop=0:keyint=250:scenecut=40:rc-lookahead=20"}
    return Codec("libx264", "yuv420p", options, 2)


def container_format(out: Path, kind: str) -> str:
    """Return FFmpeg's name of the container that a file name asks for.

    Raises
    ------
    OutputError
        If the codec can't stand in it.
    """
    allowed = _CONTAINERS[kind]
    if out.suffix.lower() not in allowed:
        raise OutputError(
            f"{kind} video can't stand in a {out.suffix or 'nameless'} file",
            where=str(out),
            remedy=f"name the output with {' or '.join(allowed)}",
        )
    return _FORMATS[out.suffix.lower()]
