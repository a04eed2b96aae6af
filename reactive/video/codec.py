"""The codecs of a clip and their options. Thread counts are fixed: x264's output depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactive.errors import OutputError

SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
# hardware encoders of H.264: NVIDIA, Apple, Intel, AMD
HARDWARE = {"nvenc": "h264_nvenc", "videotoolbox": "h264_videotoolbox", "qsv": "h264_qsv", "amf": "h264_amf"}
CODECS = ("h264", *HARDWARE, "prores", "ffv1")
# streams that these encode at once: NVIDIA's driver allows 8 on consumer cards, the others gain from fewer
SESSIONS = 8
_CONTAINERS = {
    **dict.fromkeys(("h264", *HARDWARE), (".mp4", ".mov", ".mkv")),
    "prores": (".mov",),
    "ffv1": (".mkv",),
}
# of a clip that is named by its song
SUFFIXES = {kind: suffixes[0] for kind, suffixes in _CONTAINERS.items()}
_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
X264_THREADS = 1
# bytes a pixel that a clip of lively pictures takes: measured for H.264 at quality 18 (x264 halves it every 6 steps)
BYTES_A_PIXEL = {"libx264": 0.08, **dict.fromkeys(HARDWARE.values(), 0.1), "prores_ks": 0.55, "ffv1": 1.6}


@dataclass(frozen=True)
class Codec:
    """How pictures are encoded.

    Attributes
    ----------
    name
        FFmpeg's encoder.
    pixel_format
        The pixel format of its input.
    options
        Its private options.
    reorder
        By how many frames decoding is ahead of display: 2 for x264's pyramid of B-frames.
    """

    name: str
    pixel_format: str
    options: dict[str, str]
    reorder: int

    @property
    def sessions(self) -> int | None:
        """How many streams it encodes at once: a number for cards, None for processors, which have no limit."""
        return SESSIONS if self.name in HARDWARE.values() else None


def video_codec(kind: str, *, speed: str = "veryfast", crf: int = 18) -> Codec:
    """Return the settings of a kind: H.264 (4:2:0, constant quality) by x264 or a card, ``prores`` (422 HQ) or ``ffv1``.

    Cards encode without B-frames, so that pieces join as they are.
    """
    plain = {"bf": "0", "g": "250"}
    if kind == "nvenc":
        return Codec(
            "h264_nvenc", "yuv420p", {"preset": "p4", "rc": "constqp", "qp": str(crf), **plain, "forced-idr": "1"}, 0
        )
    if kind == "videotoolbox":
        # its quality runs from 1 to 100, FFmpeg's scale of it in steps of 118
        quality = max(1, min(100, round(100 - 1.6 * crf)))
        options = {
            "flags": "+qscale",
            "global_quality": str(118 * quality),
            "profile": "high",
            "allow_sw": "0",
            **plain,
        }
        return Codec("h264_videotoolbox", "yuv420p", options, 0)
    if kind == "qsv":
        return Codec("h264_qsv", "nv12", {"preset": "medium", "global_quality": str(max(1, crf)), **plain}, 0)
    if kind == "amf":
        options = {
            "usage": "transcoding",
            "quality": "balanced",
            "rc": "cqp",
            "qp_i": str(crf),
            "qp_p": str(crf),
            **plain,
        }
        return Codec("h264_amf", "yuv420p", options, 0)
    if kind == "prores":
        return Codec("prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}, 0)
    if kind == "ffv1":
        return Codec("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}, 0)
    # closed GOPs of a known structure, so that pieces can be joined without encoding again
    options = {"preset": speed, "crf": str(crf), "x264-params": "open-gop=0:keyint=250:scenecut=40:rc-lookahead=20"}
    return Codec("libx264", "yuv420p", options, 2)


def container_format(out: Path, kind: str) -> str:
    """Return FFmpeg's name of a file name's container.

    Raises
    ------
    OutputError
        If the codec can't be in it.
    """
    allowed = _CONTAINERS[kind]
    if out.suffix.lower() not in allowed:
        raise OutputError(
            f"{kind} video can't stand in a {out.suffix or 'nameless'} file",
            where=str(out),
            remedy=f"name the output with {' or '.join(allowed)}",
        )
    return _FORMATS[out.suffix.lower()]
