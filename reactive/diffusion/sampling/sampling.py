"""How a model's pictures are sampled: settings are read once from the model's files, then `sample` runs for each batch.

A folder's ``scheduler_config.json`` supplies betas, prediction type, spacing and shift. Other settings (steps,
guidance, another sampler, the only valid times) are its defaults: ``reactive.json`` in its folder, a JSON file beside
a single file or a LoRA, or the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from reactive.diffusion.sampling.samplers import Denoiser, sample_consistency, sample_ddim, sample_dpmpp_2m
from reactive.diffusion.sampling.schedule import NoiseSchedule, from_alphas_cumprod, from_angle, from_flow, grid
from reactive.errors import ModelError

SAMPLERS = ("ddim", "euler", "lcm", "dpmpp_2m", "flow_euler")
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow")
SPACINGS = ("trailing", "leading", "linspace")
# class of scheduler: sampler, and the difference if the sampler is only the nearest one
CLASSES = {
    "DDIMScheduler": ("ddim", ""),
    "EulerDiscreteScheduler": ("euler", ""),
    "LCMScheduler": ("lcm", ""),
    "DPMSolverMultistepScheduler": ("dpmpp_2m", ""),
    "FlowMatchEulerDiscreteScheduler": ("flow_euler", ""),
    "EulerAncestralDiscreteScheduler": ("euler", "without new noise at each step"),
    "SCMScheduler": ("lcm", ""),
    "TCDScheduler": ("lcm", "all noise is new at each step"),
    "PNDMScheduler": ("ddim", "without its multistep formula"),
    "LMSDiscreteScheduler": ("euler", "without its multistep formula"),
    "HeunDiscreteScheduler": ("euler", "one evaluation a step"),
    "KDPM2DiscreteScheduler": ("euler", "one evaluation a step"),
    "DDPMScheduler": ("ddim", "without new noise at each step"),
    "DPMSolverSinglestepScheduler": ("dpmpp_2m", "as multistep"),
    "UniPCMultistepScheduler": ("dpmpp_2m", "without its corrector"),
    "DEISMultistepScheduler": ("dpmpp_2m", "with another formula of the same order"),
}
# these start from noise of the schedule's own last sigma, not of unit variance
_OWN_SIGMA = ("Euler", "LMS", "Heun", "KDPM2")
_NOT_FOLLOWED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
DEFAULT_STEPS = {"lcm": 4, "dpmpp_2m": 12, "ddim": 12, "euler": 12, "flow_euler": 12}
DISTILLED_STEPS = 4
NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Sampling:
    """How a model is sampled.

    Attributes
    ----------
    sampler
        One of `SAMPLERS`.
    prediction
        What the network predicts: epsilon, v_prediction, sample or flow.
    schedule
        Noise levels.
    grid
        Train times of strength 1, falling to 0, float64 [steps + 1].
    fixed
        Whether the network is valid at these times only.
    full
        Whether strength 1 begins with noise of unit variance even if the schedule ends below it.
    scaling
        Time scaling of a consistency model's boundary condition; 0 for none.
    guidance
        The model's default classifier-free guidance; 1 for none.
    notes
        Short sentences for the user.
    spacing
        How the times of N steps are laid out; empty if the model has its own.
    """

    sampler: str
    prediction: str
    schedule: NoiseSchedule
    grid: torch.Tensor
    fixed: bool
    full: bool
    scaling: float
    guidance: float
    notes: tuple[str, ...] = ()
    spacing: str = ""

    @property
    def steps(self) -> int:
        """Evaluations a picture (for each of the two blended starts, if times are fixed)."""
        return len(self.grid) - 1


def read_sampling(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    name: str,
    steps: int | None = None,
    overrides: Mapping[str, str] = NO_OVERRIDES,
    recognized_as: str = "",
    times: Callable[[Mapping[str, Any], int], Sequence[float]] | None = None,
) -> Sampling:
    """Return how a model is sampled.

    Parameters
    ----------
    config
        The folder's ``scheduler_config.json``.
    defaults
        Any of steps, guidance, sampler, spacing, prediction, timesteps, trained.
    name
        The model's name, for messages.
    steps
        Evaluations that the user chose.
    overrides
        Sampler, spacing and prediction that the user chose, by these names; they override everything else.
    recognized_as
        The assumed kind of model, if it was guessed; it becomes a note.
    times
        Returns the shares of strength 1's time at which N steps are taken, by `config`; None: the scheduler's own.

    Raises
    ------
    ModelError
        If the scheduler can't be replaced by a known sampler, or its configuration is not valid.
    """
    kind = str(config.get("_class_name", ""))
    if kind not in CLASSES:
        raise ModelError(
            f"its scheduler is a {kind or 'nameless one'}, which is not known here",
            where=name,
            remedy="use a model with one of " + ", ".join(CLASSES),
        )
    if "spacing" in overrides:
        # the model's own times are a spacing too, which the user overrides
        defaults = {key: value for key, value in defaults.items() if key not in ("timesteps", "trained")}
    defaults = {**defaults, **overrides}
    nearest, lost = CLASSES[kind]
    sampler = str(defaults.get("sampler", nearest))
    notes = [f"{kind} is followed by {sampler}, {lost}"] if lost and sampler == nearest else []
    notes += [f"{option} is not followed" for option in _NOT_FOLLOWED if config.get(option)]
    spacing = str(defaults.get("spacing", _spacing(config, kind)))
    told = str(config.get("prediction_type", "epsilon"))
    # for a trigonometric flow both mean the direction along the circle
    prediction = str(defaults.get("prediction", "v_prediction" if told == "trigflow" else told))
    for option, value, allowed in (
        ("sampler", sampler, SAMPLERS),
        ("prediction", prediction, PREDICTIONS),
        ("spacing", spacing, SPACINGS),
    ):
        if value not in allowed:
            where = f"--{option} {value}" if option in overrides else name
            raise ModelError(f'asks for "{value}"', where=where, remedy=f"known are {', '.join(allowed)}")
    schedule = _noise_levels(config, sampler, name)
    if schedule.flow:
        prediction = str(defaults.get("prediction", "flow"))
    _check_kind(schedule, sampler, prediction, overrides, name)
    distilled = sampler == "lcm" or _few_step(config, kind)
    number = steps or int(defaults.get("steps", DISTILLED_STEPS if distilled else DEFAULT_STEPS[sampler]))
    known, trained = defaults.get("timesteps"), defaults.get("trained")
    if known:
        taus = _fixed_grid(known, schedule.steps, steps, name)
    elif times is not None and "spacing" not in overrides:
        taus = torch.tensor([*(share * schedule.steps for share in times(config, number)), 0.0], dtype=torch.float64)
    else:
        origin, offset = (
            int(config.get(key) or unless) for key, unless in (("original_inference_steps", 50), ("steps_offset", 0))
        )
        taus = grid(sampler, spacing, number, levels=schedule.steps, offset=offset, origin=origin)
        if trained:
            taus = _trained_grid(taus, trained, schedule.steps, name)
    guidance = float(defaults.get("guidance", 1.0 if distilled else 7.0))
    if recognized_as:
        count = len(taus) - 1
        laid = "its own times" if known else f"{spacing} times"
        notes.insert(
            0,
            f"{name} is taken for {recognized_as}: {sampler}, {laid}, {prediction}, {count} {'step' if count == 1 else 'steps'}, "
            f"guidance {guidance:g} (--sampler, --spacing, --prediction, --steps and --guidance say otherwise)",
        )
    # another sampler begins as its own scheduler does
    own_sigma = kind.startswith(_OWN_SIGMA) if sampler == nearest else sampler == "euler"
    return Sampling(
        sampler=sampler,
        prediction=prediction,
        schedule=schedule,
        grid=taus,
        fixed=bool(known),
        full=not (own_sigma and spacing != "leading"),
        scaling=float(config.get("timestep_scaling", 10.0))
        if sampler == "lcm" and kind not in ("TCDScheduler", "SCMScheduler")
        else 0.0,
        guidance=guidance,
        notes=tuple(notes),
        spacing="" if known else spacing,
    )


def _check_kind(
    schedule: NoiseSchedule, sampler: str, prediction: str, overrides: Mapping[str, str], name: str
) -> None:
    """Check that sampler and prediction fit the kind of noise levels, which no option can change.

    Raises
    ------
    ModelError
        If they do not.
    """
    for option, value, word in (("sampler", sampler, "flow_euler"), ("prediction", prediction, "flow")):
        if option == "sampler" and schedule.flow:
            continue
        if (value == word) != schedule.flow:
            where = f"--{option} {value}" if option in overrides else name
            what = "is a flow-matching model" if schedule.flow else "is no flow-matching model"
            remedy = f"use {word}, or leave it out" if schedule.flow else f"use any but {word}"
            raise ModelError(f"{name} {what}", where=where, remedy=remedy)


def _trained_grid(taus: torch.Tensor, trained: Any, levels: int, name: str) -> torch.Tensor:
    """Return the trained times nearest to a grid's own, if there are enough of them; else the grid unchanged."""
    known = _fixed_grid(trained, levels, None, name)[:-1]
    wanted = taus[:-1]
    if len(wanted) > len(known):
        return taus
    nearest = [float(known[(known - tau).abs().argmin()]) for tau in wanted]
    if len(set(nearest)) < len(nearest):
        return taus
    return torch.tensor([*nearest, 0.0], dtype=torch.float64)


def sample(
    sampling: Sampling,
    denoise: Denoiser,
    strength: torch.Tensor,
    encoded: torch.Tensor | None,
    noises: list[torch.Tensor],
) -> torch.Tensor:
    """Return the clean latents of a batch.

    Parameters
    ----------
    strength
        [n] in 0..1, on the host: 0 returns `encoded`, 1 ignores it.
    encoded
        Latents of the sources [n, c, h, w], zeros where there is none; None if no item has one.
    noises
        Noise latents [n, c, h, w]: the first for the start, one more for each further step of a consistency model.
    """
    if not sampling.fixed:
        # a start between two levels is a blend of the two
        share = sampling.grid / sampling.grid[0]
        taus = share[:, None] * (strength.double() * sampling.grid[0])[None]
        return _chain(sampling, denoise, strength, taus, encoded, noises)
    low, high, weight = neighbours(strength, sampling.grid)
    upper = _chain(sampling, denoise, *_from_level(high, sampling.grid), encoded, noises)
    if bool((weight == 1).all()):
        return upper
    lower = _chain(sampling, denoise, *_from_level(low, sampling.grid), encoded, noises)
    return torch.lerp(lower, upper, weight.to(upper.device, upper.dtype).view(-1, 1, 1, 1))


def neighbours(strength: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the two known levels around each strength, as counts of evaluations, and the upper one's weight in (0, 1].

    Parameters
    ----------
    strength
        [n] in 0..1.
    times
        The known times, falling to 0, [steps + 1]; the first is strength 1.
    """
    rising = times.flip(0).double()
    tau = strength.double() * rising[-1]
    high = torch.searchsorted(rising, tau).clamp(1, len(rising) - 1)
    low = high - 1
    return low, high, (tau - rising[low]) / (rising[high] - rising[low])


def _from_level(level: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the strengths [n] of levels [n], and times [steps + 1, n] that stay at the level and then fall through the rest."""
    first = len(times) - 1 - level
    rows = torch.arange(len(times))[:, None].maximum(first[None])
    return times[first] / times[0], times[rows]


def _chain(
    sampling: Sampling,
    denoise: Denoiser,
    strength: torch.Tensor,
    taus: torch.Tensor,
    encoded: torch.Tensor | None,
    noises: list[torch.Tensor],
) -> torch.Tensor:
    first = noises[0]
    weights = sampling.schedule.start(strength, float(sampling.grid[0]), full=sampling.full)
    alpha, sigma = (v.to(first.device, first.dtype).view(-1, 1, 1, 1) for v in weights)
    z = sigma * first if encoded is None else sigma * first + alpha * encoded
    if sampling.sampler == "lcm":
        return sample_consistency(denoise, z, taus, sampling.schedule, noises[1:], sampling.scaling)
    follow: Callable[..., torch.Tensor] = sample_dpmpp_2m if sampling.sampler == "dpmpp_2m" else sample_ddim
    return follow(denoise, z, taus, sampling.schedule)


def _noise_levels(config: Mapping[str, Any], sampler: str, name: str) -> NoiseSchedule:
    import diffusers

    if config["_class_name"] == "FlowMatchEulerDiscreteScheduler":
        return from_flow(int(config.get("num_train_timesteps", 1000)), float(config.get("shift", 1.0)))
    if config["_class_name"] == "SCMScheduler":
        return from_angle(int(config.get("num_train_timesteps", 1000)))
    # only the betas are needed, which every class computes alike
    source: Any = diffusers.LCMScheduler if sampler == "lcm" else diffusers.DDIMScheduler
    try:
        scheduler = source.from_config(dict(config))
    except (ValueError, NotImplementedError, TypeError) as problem:
        raise ModelError(f"its scheduler can't be used ({problem})", where=name) from None
    return from_alphas_cumprod(scheduler.alphas_cumprod)


def _spacing(config: Mapping[str, Any], kind: str) -> str:
    """Return the configured spacing, or the class's default."""
    unless = "leading" if kind in ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler") else "linspace"
    return str(config.get("timestep_spacing", unless))


def _few_step(config: Mapping[str, Any], kind: str) -> bool:
    """Whether a scheduler is configured like those of models distilled to a few steps (turbo, Lightning)."""
    ordinary = not config.get("rescale_betas_zero_snr") and config.get("prediction_type", "epsilon") != "v_prediction"
    return kind.startswith("Euler") and config.get("timestep_spacing") == "trailing" and ordinary


def _fixed_grid(times: Any, levels: int, steps: int | None, name: str) -> torch.Tensor:
    usable = isinstance(times, list | tuple) and all(isinstance(t, int | float) and 0 <= t < levels for t in times)
    if not usable or list(times) != sorted(set(times), reverse=True):
        raise ModelError(f"declares the times {times}", where=name, remedy=f"they must fall, within 0 and {levels - 1}")
    if steps not in (None, len(times)):
        raise ModelError(
            f"was made for {len(times)} steps, not {steps}",
            where=name,
            remedy=f"use --steps {len(times)}, or leave it out; --spacing trailing asks it at other times",
        )
    return torch.tensor([*(float(t) + 1 for t in times), 0.0], dtype=torch.float64)
