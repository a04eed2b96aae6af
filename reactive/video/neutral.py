"""Set a clip's sound to another loudness; its pictures are copied, not encoded again."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from reactive.errors import MediaError, OutputError
from reactive.files import partial_path
from reactive.media.clock import picture_stream, sound_stream
from reactive.media.loudness import Loudness, song_loudness
from reactive.media.safe import open_container
from reactive.media.sound import Track, open_track
from reactive.media.tags import append_boxes, read_tags
from reactive.video.mux import AAC_BITS, aac_rate, sound_packets
from reactive.video.segment import file_url, output_error

PEAK = -1.0
# lossy sound overshoots a little; number of further tries, each lower by the overshoot
TRIES = 3
_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# encoder and sample format by the codec that the clip's sound has
_ENCODERS = {"aac": ("aac", "fltp"), "flac": ("flac", "s16"), "pcm_s24le": ("pcm_s24le", "s32")}


def neutral_gain(loudness: Loudness, target: float, *, peak: float = PEAK) -> float:
    """Return the gain in dB that brings a song to `target` LUFS, or as near as its peaks allow; 0 for silence."""
    if loudness.integrated == float("-inf"):
        return 0.0
    return min(target - loudness.integrated, peak - loudness.true_peak)


def with_loudness(clip: Path, out: Path, *, target: float) -> tuple[Loudness, Loudness]:
    """Write a clip with its sound at `target` LUFS, true peaks below -1 dBTP; return its loudness before and after.

    There is one gain for the whole song, without compression. If the peaks don't allow the target it stays quieter.
    What was written is measured again, and written again if its peaks came out too high.

    Raises
    ------
    MediaError
        If the clip has no sound.
    OutputError
        If it can't be written.
    """
    if out.suffix.lower() != clip.suffix.lower() or out.suffix.lower() not in _FORMATS:
        raise OutputError(
            f"must be named with {clip.suffix}" if clip.suffix.lower() in _FORMATS else "is no clip of reactive's",
            where=str(out if clip.suffix.lower() in _FORMATS else clip),
            remedy="pictures are copied, so the container stays",
        )
    track = open_track(clip)
    before = song_loudness(track)
    partial = partial_path(out)
    ceiling = PEAK
    try:
        for _ in range(TRIES):
            gain = 10 ** (neutral_gain(before, target, peak=ceiling) / 20)
            _remux(clip, track, partial, _FORMATS[out.suffix.lower()], gain)
            after = song_loudness(open_track(partial))
            if after.true_peak <= PEAK:
                os.replace(partial, out)
                return before, after
            ceiling -= after.true_peak - PEAK + 0.05
        raise OutputError("its peaks can't be kept below -1 dBTP", where=str(out), remedy="use a lower --loudness")
    except (av.error.FFmpegError, OSError) as problem:
        raise output_error(out, problem) from None
    finally:
        partial.unlink(missing_ok=True)


def _remux(clip: Path, track: Track, out: Path, container: str, gain: float) -> None:
    boxed = container in ("mp4", "mov")
    options = {"movflags": "faststart"} if boxed else {}
    # keep the recipe and the mark of generative AI
    tags = read_tags(clip) if boxed else {}
    with open_container(clip) as source, av.open(file_url(out), "w", format=container, options=options) as target:
        pictures, sound = picture_stream(source), sound_stream(source)
        if pictures is None or sound is None:
            raise MediaError("lacks pictures or sound", where=str(clip), remedy="name a finished clip")
        target.metadata.update(source.metadata)
        encoder, sample_format = _ENCODERS.get(sound.codec_context.name, ("aac", "fltp"))
        video: Any = target.add_stream_from_template(pictures)
        video.time_base = pictures.time_base
        rate = aac_rate(track.sample_rate) if encoder == "aac" else track.sample_rate
        audio: Any = target.add_stream(encoder, rate=rate, layout="stereo")
        audio.time_base = Fraction(1, rate)
        if encoder == "aac":
            audio.bit_rate = AAC_BITS
        packets = sound_packets(audio, track, rate, sample_format, (0, track.samples), gain=gain)
        waiting = next(packets, None)
        for packet in source.demux(pictures):
            if not packet.size or packet.dts is None or packet.time_base is None:
                continue
            shown = packet.dts * packet.time_base
            packet.stream = video
            # pictures and sound interleaved, as players read them
            while waiting is not None and waiting.dts is not None and waiting.dts * waiting.time_base <= shown:
                target.mux(waiting)
                waiting = next(packets, None)
            target.mux(packet)
        while waiting is not None:
            target.mux(waiting)
            waiting = next(packets, None)
    if boxed:
        append_boxes(out, tags)
