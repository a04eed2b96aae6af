"""Recognise few-step models by their names: the distillation, and the sampler and times that it was trained on.

A single file has no scheduler configuration, so its metadata and its name are read; without a hint it is
an ordinary model. Sources: the model cards of SD-Turbo, SDXL-Turbo, SDXL-Lightning, Hyper-SD, LCM, TCD, PCM and DMD2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STEPS = re.compile(r"(\d{1,2})[-_ ]?steps?(?![a-z])", re.IGNORECASE)
# keys of a safetensors file's metadata that name a model, those of the model itself before those of its training
_NAMING = (
    "modelspec.title",
    "modelspec.architecture",
    "modelspec.implementation",
    "modelspec.tags",
    "general.name",
    "ss_output_name",
    "ss_base_model_version",
    "ss_sd_model_name",
)
# words around "turbo" in the names of the original files; anything else is a model merged with one
_PLAIN = {"sd", "sdxl", "xl", "turbo", "sdturbo", "sdxlturbo", "stable", "diffusion", "fp", "v", "model", "safetensors"}
# what follows "hyper" where it is the distillation and not the first half of a word such as hyper-realism
_AFTER_HYPER = {"sd", "sdxl", "xl", "vae", "baked", "lora", "unet", "cfg", "inpainting", "fp"}
FOUR_TIMES = (999, 749, 499, 249)


@dataclass(frozen=True)
class FewStep:
    """A distillation to few steps.

    Attributes
    ----------
    name
        A name for messages.
    scheduler
        Its scheduler, by the names of diffusers' ``scheduler_config.json``.
    defaults
        Steps, guidance and times, as a ``reactive.json`` has them.
    by
        Where the hint was found, in words.
    """

    name: str
    scheduler: Mapping[str, Any]
    defaults: Mapping[str, Any]
    by: str = field(default="")


def trailing_times(steps: int, levels: int = 1000) -> tuple[int, ...]:
    """Return the times of N steps that count back from the last level, as diffusers' ``trailing`` spacing has them."""
    return tuple(round(levels - k * levels / steps) - 1 for k in range(steps))


def names_in(metadata: Mapping[str, str], file: str) -> list[tuple[str, str]]:
    """Return the names of a model, each with its origin: its metadata first, then its file name."""
    told = [("by its metadata", str(metadata[key])[:200]) for key in _NAMING if metadata.get(key)]
    return [*told, ("by its name", file)]


def few_step_of(names: Sequence[tuple[str, str]], kind: str, *, lora: bool = False) -> FewStep | None:
    """Return the distillation in the first name that has one, else None.

    Parameters
    ----------
    names
        As `names_in` returns them.
    kind
        ``sd1``, ``sd2`` or ``sdxl``; empty if it is not known.
    lora
        Whether it is a LoRA, whose name may also mean a subject such as lightning.
    """
    for by, name in names:
        counted = [int(number) for _, text in names for number in _STEPS.findall(text)]
        found = _named(name, kind, counted[0] if counted else 0, lora)
        if found is not None:
            return FewStep(found.name, found.scheduler, found.defaults, by)
    return None


def predicted_by_name(name: str, kind: str) -> str | None:
    """Return a network's prediction by its name: ``v_prediction``, ``epsilon``, or None if it is not in the name."""
    words = _words(name)
    if "vpred" in words or _follow(words, "v", {"pred", "prediction", "parameterization"}):
        return "v_prediction"
    # of Stable Diffusion 2 the models of 512 pixels predict the noise, those of 768 the velocity
    if kind == "sd2" and "512" in words:
        return "epsilon"
    if kind == "sd2" and "768" in words:
        return "v_prediction"
    return None


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _follow(words: list[str], first: str, second: set[str]) -> bool:
    return any(one == first and other in second for one, other in zip(words, words[1:], strict=False))


def _named(name: str, kind: str, steps: int, lora: bool) -> FewStep | None:
    words = _words(name)
    xl = kind == "sdxl" or any(word.endswith("xl") for word in words)
    prefix = "SDXL" if xl else "SD"
    if _follow(words, "dmd", {"2"}):
        return _dmd2(steps)
    if _is_hyper(words, steps):
        return _hyper(words, steps, xl)
    if any(word.endswith("lightning") for word in words) and (
        steps or (xl and not lora) or _follow(words, "sdxl", {"lightning"})
    ):
        return _lightning(words, steps)
    if "lcm" in words:
        return FewStep(
            "a latent consistency model", {"_class_name": "LCMScheduler"}, {"steps": steps or 4, "guidance": 1.0}
        )
    if "tcd" in words:
        return FewStep("a TCD model", {"_class_name": "TCDScheduler"}, {"steps": steps or 4, "guidance": 1.0})
    if "pcm" in words and steps:
        trailing = {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing", "clip_sample": False}
        return FewStep(f"a phased consistency model of {steps} steps", trailing, {"steps": steps, "guidance": 1.0})
    if any(word.endswith("turbo") for word in words) and not lora:
        original = all(word in _PLAIN or word.isdigit() for word in words)
        what = f"{prefix}-Turbo" if original else f"a model merged with {prefix}-Turbo"
        defaults: dict[str, Any] = {"steps": steps or (1 if original else 4), "guidance": 1.0, "trained": FOUR_TIMES}
        if original:
            # both were distilled at this size, whatever the models they come from (their cards)
            defaults["native"] = (512, 512)
        return FewStep(what, _euler("epsilon"), defaults)
    return None


def _is_hyper(words: list[str], steps: int) -> bool:
    if any(word.startswith("hypersd") for word in words):
        return True
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "hyper" and (after in _AFTER_HYPER or after.isdigit() or (not after and place > 0) or steps):
            return True
    return False


def _hyper(words: list[str], steps: int, xl: bool) -> FewStep:
    if steps == 1 and xl and "unet" in words:
        # the one checkpoint that is evaluated at one time only (its card)
        return FewStep("Hyper-SDXL of 1 step", {"_class_name": "LCMScheduler"}, {"guidance": 1.0, "timesteps": (800,)})
    if steps == 1:
        return FewStep("Hyper-SD of 1 to 8 steps", {"_class_name": "TCDScheduler"}, {"steps": 1, "guidance": 1.0})
    trailing = {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing", "clip_sample": False}
    # distilled with guidance left in: its card recommends 5 to 8
    guidance = 5.0 if "cfg" in words else 1.0
    if not steps:
        return FewStep("a model merged with Hyper-SD", trailing, {"steps": 8, "guidance": guidance})
    return FewStep(f"Hyper-SD of {steps} steps", trailing, {"guidance": guidance, "timesteps": trailing_times(steps)})


def _lightning(words: list[str], steps: int) -> FewStep:
    if not steps:
        return FewStep("a model merged with SDXL-Lightning", _euler("epsilon"), {"steps": 4, "guidance": 1.0})
    # the checkpoint of one step predicts the picture itself
    clean = steps == 1 and ("x" in words or "x0" in words)
    defaults = {"guidance": 1.0, "timesteps": trailing_times(steps)}
    return FewStep(
        f"SDXL-Lightning of {steps} {'step' if steps == 1 else 'steps'}",
        _euler("sample" if clean else "epsilon"),
        defaults,
    )


def _dmd2(steps: int) -> FewStep:
    times = (399,) if steps == 1 else FOUR_TIMES
    return FewStep(
        f"DMD2 of {len(times)} {'step' if steps == 1 else 'steps'}",
        {"_class_name": "LCMScheduler"},
        {"guidance": 1.0, "timesteps": times},
    )


def _euler(prediction: str) -> dict[str, Any]:
    return {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": prediction}
