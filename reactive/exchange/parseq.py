"""Export as a Parseq document: every frame with its values and deltas for Deforum, and the prompts as a list."""

from __future__ import annotations

import json

import numpy as np

from reactive.exchange.deforum import HEIGHT, WIDTH, escaped, with_negative
from reactive.exchange.moments import Run, kept_share, moves, prompt_runs, seeds
from reactive.exchange.schedule import keys_of
from reactive.timeline.clock import frame_length
from reactive.timeline.timeline import Timeline

# logarithm of the largest running product of zooms, 1e12
_MAX_LOG_ZOOM = float(np.log(1e12))
FIELDS = ("seed", "strength", "zoom", "angle", "translation_x", "translation_y")


def parseq_text(timeline: Timeline, *, tempo: float = 120.0) -> str:
    """Return a Parseq document: rendered frames for Deforum, keyframes for editing, prompts by frame.

    Parseq's moves are cumulative: `zoom` is the running product of the frames' factors, `angle` and the translations are
    running sums; their ``_delta`` is the move from frame to frame.
    """
    move = moves(timeline)
    deltas = {
        "zoom": move["zoom"],
        "angle": move["rotate"],
        "translation_x": move["x"] * WIDTH,
        "translation_y": move["y"] * HEIGHT,
    }
    values = {"seed": seeds(timeline).astype(np.float64), "strength": kept_share(timeline)}
    # a product over a whole song may overflow, and JSON has no infinity
    values["zoom"] = np.exp(np.clip(np.cumsum(np.log(deltas["zoom"])), -_MAX_LOG_ZOOM, _MAX_LOG_ZOOM))
    values |= {name: np.cumsum(deltas[name]) for name in ("angle", "translation_x", "translation_y")}
    rounded = {name: np.round(curve, 6).tolist() for name, curve in values.items()}
    stepped = {f"{name}_delta": np.round(curve, 6).tolist() for name, curve in deltas.items()}
    runs = prompt_runs(timeline)
    texts = [with_negative(run) for run in runs for _ in range(run.stop - run.start)]
    rendered = [
        {"frame": frame}
        | {name: curve[frame] for name, curve in (rounded | stepped).items()}
        | {"deforum_prompt": texts[frame]}
        for frame in range(timeline.frames)
    ]
    for row in rendered:
        row["seed"] = int(row["seed"])
    document = {
        "meta": {"generated_by": "reactive", "docName": timeline.title},
        "options": {"output_fps": 1 / frame_length(timeline.fps), "bpm": round(tempo, 3)},
        "prompts": {"format": "v2", "enabled": True, "promptList": [_prompt(run, i) for i, run in enumerate(runs)]},
        "managedFields": list(FIELDS),
        "keyframes": _keyframes(values),
        "rendered_frames": rendered,
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _prompt(run: Run, number: int) -> dict[str, object]:
    return {
        "name": f"Prompt {number + 1}",
        "positive": escaped(run.text),
        "negative": escaped(run.negative),
        "allFrames": False,
        "from": run.start,
        "to": run.stop - 1,
    }


def _keyframes(values: dict[str, np.ndarray]) -> list[dict[str, object]]:
    found: dict[int, dict[str, object]] = {}
    for name, curve in values.items():
        tolerance = 0.0 if name == "seed" else max(float(np.ptp(curve)) / 200, 1e-6)
        for frame in keys_of(curve, tolerance):
            row = found.setdefault(frame, {"frame": frame})
            value = float(curve[frame])
            row[name] = int(value) if name == "seed" else round(value, 6)
            row[f"{name}_i"] = "S" if name == "seed" else "L"
    return [found[frame] for frame in sorted(found)]
