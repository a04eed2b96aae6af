"""Export as Deforum settings: prompts, strength, zoom, angle, translation and seed as schedules, by frames of the clip."""

from __future__ import annotations

import json
import re

import numpy as np

from reactive.exchange.moments import Run, kept_share, moves, prompt_runs, seeds
from reactive.exchange.schedule import write_schedule, write_steps
from reactive.timeline.clock import frame_length
from reactive.timeline.timeline import Timeline

WIDTH, HEIGHT = 1024, 576
# characters that mean emphasis without a backslash
_BRACKETS = re.compile(r"([()\[\]])")


def deforum_text(timeline: Timeline) -> str:
    """Return a settings file for Deforum in its 2D mode.

    Deforum uses feedback for every picture and has no smooth walk of noise, so between cuts a part of each picture is kept
    instead. Deforum's `strength` is the share that is kept, ours is the share that is imagined anew.
    """
    move, share = moves(timeline), kept_share(timeline)
    rate = 1 / frame_length(timeline.fps)
    settings = {
        "W": WIDTH,
        "H": HEIGHT,
        "seed": int(seeds(timeline)[0]),
        "seed_behavior": "schedule",
        "seed_schedule": write_steps(seeds(timeline)),
        "animation_mode": "2D",
        "max_frames": timeline.frames,
        "fps": int(rate) if rate == int(rate) else rate,
        "diffusion_cadence": 1,
        "border": "replicate",
        "zoom": write_schedule(move["zoom"], tolerance=5e-4, digits=5),
        "angle": write_schedule(move["rotate"], tolerance=5e-3),
        "translation_x": write_schedule(move["x"] * WIDTH, tolerance=0.05),
        "translation_y": write_schedule(move["y"] * HEIGHT, tolerance=0.05),
        "strength": float(np.median(share)),
        "strength_schedule": write_schedule(share, tolerance=0.01),
        "prompts": {str(run.start): with_negative(run) for run in prompt_runs(timeline)},
        "animation_prompts_positive": "",
        "animation_prompts_negative": "",
    }
    return json.dumps(settings, indent=1, ensure_ascii=False) + "\n"


def with_negative(run: Run) -> str:
    """Return a prompt for Deforum, with its negative after ``--neg``."""
    text, negative = escaped(run.text), escaped(run.negative)
    return f"{text} --neg {negative}" if negative else text


def escaped(text: str) -> str:
    """Return a text with its brackets escaped, so that they do not mean emphasis."""
    return _BRACKETS.sub(r"\\\1", text)
