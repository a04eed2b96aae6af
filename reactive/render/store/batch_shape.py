"""The shape of a job's batches, stored with the job, and what a user should know about the model before it renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reactive.diffusion.backend.shapes import GIB, BatchShape, budget, needs_of, shape_of
from reactive.diffusion.models.catalogue import small_autoencoder
from reactive.diffusion.models.large_texts import cut_texts
from reactive.diffusion.models.model import Model
from reactive.diffusion.models.weighting import unweighted
from reactive.render.store.job import Job

# a decoder that is more than half of the arithmetic is what a user waits for
_MAX_DECODER_SHARE = 0.5


def job_shape(
    job: Job,
    model: Model,
    imagined: tuple[int, int],
    environment: Mapping[str, Any],
    *,
    batch: int = 0,
    slices: int = 0,
) -> BatchShape:
    """Return the shape of a job's batches, and write it to the job's journal.

    A requested shape comes first, then that which the job began with in the same environment, then the rule: a job that is resumed
    with `mixed` on another card keeps its shape, so that its pieces keep their keys.

    Parameters
    ----------
    imagined
        Width and height that the model works at.
    environment
        The environment that decides bits, as the request has it.
    batch, slices
        The requested ones; 0: by rule.
    """
    about = {
        "model": model.sha256,
        "imagined": list(imagined),
        "steps": model.steps,
        "guidance": model.guidance,
        "environment": dict(environment),
        "asked": [batch, slices],
    }
    begun = job.last("shape")
    if begun is not None and begun["of"] == about:
        return BatchShape(begun["batch"], begun["slices"], begun["memory"])
    shape = shape_of(model, *imagined, batch=batch, slices=slices)
    record = {"of": about, "batch": shape.batch, "slices": shape.slices, "memory": shape.memory}
    job.journal.append({"shape": record})
    return shape


def model_notes(model: Model, imagined: tuple[int, int]) -> tuple[str, ...]:
    """Return sentences about a model that a user should know before it renders."""
    notes = [*model.notes, *(f"{note}." for note in model.sampling.notes)]
    needs = needs_of(model)
    entry = small_autoencoder(model.family.name)
    share = needs.decoding_share(*imagined, steps=model.steps)
    if entry is not None and type(model.vae).__name__ == "AutoencoderKL" and share > _MAX_DECODER_SHARE:
        notes.append(
            f"The full autoencoder is {100 * share:.0f} % of a picture's arithmetic: --vae tiny puts {entry.name} in "
            f"its place, sooner and with less detail (`reactive models pull {entry.name}`)."
        )
    least = needs.total(*imagined, BatchShape(1, 1))
    if model.memory and least > budget(model.memory):
        notes.append(
            f"{model.name} needs about {least / GIB:.1f} GiB at {imagined[0]}x{imagined[1]}, more than a card of "
            f"{model.memory} GB has to spare: a smaller --imagine-size, --vae tiny or --quant int8 needs less."
        )
    return tuple(notes)


def prompt_notes(model: Model, prompts: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about prompts that are longer than the model's text encoder reads; none if there are none."""
    if model.texts is None:
        return ()
    most = model.family.longest_text(model.network.config) if model.family.longest_text else model.family.text_tokens
    cut = cut_texts(model.texts, most, [unweighted(text) for text in prompts])
    if not cut:
        return ()
    which = "A prompt is" if len(cut) == 1 else f"{len(cut)} prompts are"
    return (
        f'{which} longer than the {most} tokens that {model.name} reads; the end is not heard: "{cut[0][:40]} ...".',
    )
