"""What frames of each family do in the engine: each function makes pictures of a toy and returns the word that they earned.

`test_family_cells.py` runs all of them and compares the words with the table in the docs; `family_table` writes the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.diffusion.calibration import known_pace, measure_pace, save_pace
from reactive.diffusion.colour import palette
from reactive.diffusion.core import from_bytes
from reactive.diffusion.imaginer import open_imaginer
from reactive.diffusion.models.load import load_model
from reactive.diffusion.motion.lens import through_lens
from reactive.timeline.timeline import FEEDBACK, Timeline
from tests.diffusion.family_toys import save_family
from tests.diffusion.toys import save_toy
from tests.toy import flat_timeline

UNETS = ("sd", "sdxl")
FRAMES, CUT = 8, 4
# of pictures that differ by rounding: levels of 256 in the mean
SAME = 0.05
AFTER = (np.arange(FRAMES) >= CUT).astype(np.int64)
TWO_SHOTS: dict[str, Any] = {"shot": AFTER, "seed": 7 + AFTER, "prompt_from": AFTER, "prompt_to": AFTER, "walk": 0.0}
FED_BACK: dict[str, Any] = {"source": FEEDBACK, "strength": 0.6}
JOIN = np.array([0, 0, 1 / 3, 2 / 3, 0, 0, 0, 0])


def toy(folder: Path, family: str) -> Path:
    """Save a family's toy."""
    if family in UNETS:
        return save_toy(folder, family=family)
    save_family(folder, family)
    return folder


def loaded(folder: Path, **more: Any) -> Any:
    return load_model(str(folder), steps=1, dtype="float32", **more)


def frames(model: Any, timeline: Timeline, *, batch: int = 4, lanes: int = 1) -> np.ndarray:
    """The timeline's frames, uint8 [frames, 3, side, side]."""
    side = 64 if model.family.name in UNETS else 4 * model.step
    with open_imaginer(model, timeline, size=(side, side), batch=batch, lanes=lanes, pace=1.0) as imaginer:
        return np.stack(list(imaginer.frames(0, timeline.frames)))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def feedback(folder: Path) -> str:
    """Fed-back pictures show the one before: another beginning makes others of them, and strength 0 keeps the first."""
    model = loaded(folder)
    told = {"walk": 0.0, **FED_BACK, "strength": 0.3}
    # another noise in the first picture only; the next is fed back at frame 2
    seeds = np.where(np.arange(FRAMES) < 2, 8, 7)
    made, begun = (frames(model, flat_timeline(FRAMES, **told, seed=seed)) for seed in (7, seeds))
    assert apart(made[0], begun[0]) > 1
    assert apart(made[3], begun[3]) > 1
    kept = frames(model, flat_timeline(FRAMES, **{**told, "strength": 0.0}))
    through = model.encode(from_bytes(torch.from_numpy(kept[:1])))
    again = ((model.decode(through).float().clamp(-1, 1) + 1) * 127.5).round().numpy()
    assert apart(kept[2], again[0]) <= 1
    return "runs"


def lens(folder: Path) -> str:
    """The lens moves finished pictures."""
    model = loaded(folder)
    plain = flat_timeline(FRAMES, **TWO_SHOTS)
    zoomed = flat_timeline(FRAMES, **TWO_SHOTS, lens_zoom=1.4, lens_rotate=20)
    moved = through_lens(torch.from_numpy(frames(model, plain)), zoomed.columns, np.arange(FRAMES))
    made = frames(model, zoomed)
    assert apart(made, frames(model, plain)) > 1
    assert np.array_equal(made, moved.numpy())
    return "equal"


def blend(folder: Path) -> str:
    """A blend begins and ends at its prompts, along the line and the arc, and in the middle is neither."""
    model = loaded(folder)
    weights = np.linspace(0, 1, FRAMES)
    one, other = (frames(model, flat_timeline(1, walk=0.0, prompt_from=n, prompt_to=n))[0] for n in (0, 1))
    for slerp in (0, 1):
        told = {"walk": 0.0, "prompt_from": 0, "prompt_to": 1, "weight": weights, "slerp": slerp}
        made = frames(model, flat_timeline(FRAMES, **told))
        assert apart(made[0], one) <= SAME
        assert apart(made[-1], other) <= SAME
        # toys hardly react to texts
        assert (made[4] != one).any()
        assert (made[4] != other).any()
    return "runs"


def lanes(folder: Path) -> str:
    """Feedback shots side by side are the pictures of one after the other."""
    model = loaded(folder)
    timeline = flat_timeline(FRAMES, **{**TWO_SHOTS, **FED_BACK}, cuts=(CUT,))
    alone = frames(model, timeline, batch=1)
    assert apart(alone[0], alone[CUT]) > 1
    assert apart(alone, frames(model, timeline, lanes=2)) <= SAME
    return "equal"


def joins(folder: Path) -> str:
    """A dissolve is the mixture of two shots' pictures; a morph comes nearer to the next shot."""
    model = loaded(folder)
    hard = frames(model, flat_timeline(FRAMES, **TWO_SHOTS, cuts=(CUT,)))
    mixed = frames(model, flat_timeline(FRAMES, **TWO_SHOTS, cuts=(CUT,), dissolve=JOIN))
    gap = apart(hard[CUT - 1], hard[CUT])
    assert gap > 1
    expected = hard[3] * (1 - JOIN[3]) + hard[CUT] * JOIN[3]
    # pictures are mixed in linear light
    assert apart(mixed[3], expected) < gap / 2
    assert apart(mixed[3], hard[CUT]) < apart(mixed[2], hard[CUT]) < gap
    turned = frames(model, flat_timeline(FRAMES, **TWO_SHOTS, cuts=(CUT,), morph=JOIN))
    assert apart(turned[3], hard[3]) > SAME < apart(turned[3], hard[CUT])
    return "runs"


def palettes(folder: Path) -> str:
    """Feedback that keeps to the palette of its prompt makes other pictures, which do not leave it."""
    model = loaded(folder)
    free = flat_timeline(FRAMES, **FED_BACK)
    drifting, kept = (frames(model, replace(free, feedback_colour=share)) for share in (0.0, 1.0))
    goal = palette(from_bytes(torch.from_numpy(drifting[:1])))[0]
    # the means of lightness and colours
    last = (palette(from_bytes(torch.from_numpy(made[-4:])))[:, 0] for made in (drifting, kept))
    away = [float((means - goal[0]).norm(dim=-1).mean()) for means in last]
    assert apart(drifting[0], kept[0]) <= SAME
    assert apart(drifting[-1], kept[-1]) > 0
    # toys hardly drift; half a step of lightness is not seen
    assert away[1] < away[0] + 0.5
    return "runs"


def calibration(folder: Path) -> str:
    """The pace of its walk is measured, and known from then on."""
    model = loaded(folder)
    side = 64 if model.family.name in UNETS else 4 * model.step
    assert known_pace(model, width=side, height=side) is None
    pace = measure_pace(model, width=side, height=side, seconds=0.5).pace
    assert 0.01 <= pace <= 100
    save_pace(model, pace, width=side, height=side)
    assert known_pace(model, width=side, height=side) == pace
    return "runs"


def card(folder: Path) -> str:
    """A pretended card mixes no devices, and its pictures are nearly those of the processor."""
    from tests.diffusion.test_card_families import imagined
    from tests.pretended import pretended_card

    with pretended_card():
        there = imagined(folder, "cuda")
    here = imagined(folder, "cpu")
    assert float((there.float() - here.float()).abs().mean()) < 3
    assert float((here[0].float() - here[1].float()).abs().mean()) > 3
    return "alike"


CELLS: dict[str, Callable[[Path], str]] = {
    "feedback": feedback,
    "lens": lens,
    "blend": blend,
    "lanes": lanes,
    "joins": joins,
    "palettes": palettes,
    "calibration": calibration,
    "card": card,
}
