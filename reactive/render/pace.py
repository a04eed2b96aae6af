"""The pace of a clip's walk: measured before its first picture, then written down with the job and the recipe."""

from __future__ import annotations

from reactive.diffusion.calibration import known_pace, measure_pace, save_pace
from reactive.diffusion.models.model import Model
from reactive.render.store.job import Job


def job_pace(job: Job, model: Model, requested: float, *, imagined: tuple[int, int]) -> tuple[float, tuple[str, ...]]:
    """Return the pace of a clip's walk, and what a user should know about it.

    The recipe's pace comes first, then that which the job began with, that of the model's folder, and that which was measured on
    this machine before. If none of them has it, it is measured, which takes half a minute at most.

    Parameters
    ----------
    requested
        The recipe's; 0 for none.
    imagined
        Width and height that the model works at.
    """
    width, height = imagined
    about = {"model": model.sha256, "imagined": list(imagined), "steps": model.steps}
    begun = job.last("pace")
    notes: tuple[str, ...] = ()
    if requested:
        pace = requested
    elif begun is not None and begun["of"] == about:
        pace = float(begun["pace"])
    elif (known := known_pace(model, width=width, height=height)) is not None:
        pace = known
    else:
        found = measure_pace(model, width=width, height=height)
        pace = save_pace(model, found.pace, width=width, height=height)
        notes = (_pace_note(pace, found.pictures, found.outliers),)
    record = {"of": about, "pace": pace}
    if begun != record:
        job.journal.append({"pace": record})
    return pace, notes


def _pace_note(pace: float, pictures: int, outliers: tuple[tuple[str, float], ...]) -> str:
    text = f"the walk of this model was measured by {pictures} pictures: it goes {pace:g} times as fast."
    if outliers:
        named = ", ".join(f'"{prompt}" ({share:.2f})' for prompt, share in outliers)
        text += f" Prompts that change more than 25 % more or less than the others: {named}."
    return text
