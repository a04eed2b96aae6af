"""SRT: the prompts as subtitles, so that any player shows the prompt of each moment."""

from __future__ import annotations

from fractions import Fraction

from reactive.exchange.moments import prompt_runs
from reactive.timeline.clock import frame_time
from reactive.timeline.timeline import Timeline


def srt_text(timeline: Timeline) -> str:
    """Return the prompts as subtitles, each from its first frame to the next prompt's."""
    blocks = []
    for number, run in enumerate(prompt_runs(timeline), 1):
        start, end = (_stamp(frame_time(frame, timeline.fps)) for frame in (run.start, run.stop))
        # an arrow inside a text would be read as a time
        text = run.text.replace("-->", "→").strip() or "(no prompt)"
        blocks.append(f"{number}\n{start} --> {end}\n{text}\n")
    return "\n".join(blocks)


def _stamp(seconds: Fraction) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
