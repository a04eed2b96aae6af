"""A loaded model: its parts, and the few methods that the core needs, the same for all families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from reactive.diffusion.backend.graphs import Compute, Graphs, NamedTensors
from reactive.diffusion.models.families import Conditioning, Family, join
from reactive.diffusion.models.large_texts import LargeTexts
from reactive.diffusion.models.later import LaterPart
from reactive.diffusion.models.varying_lora import STRENGTHS, VaryingLora, at_strengths
from reactive.diffusion.sampling.sampling import Sampling
from reactive.diffusion.sampling.schedule import NoiseSchedule, stretched


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes
    ----------
    name, sha256
        The name that the user gave, and a hash over its weights and configuration, including LoRAs and exchanged parts.
    family
        Its family.
    network, vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2, text_encoder_3, tokenizer_3
        The parts; None if the family has none.
    sampling
        How its pictures are sampled.
    guidance
        Classifier-free guidance (1: none).
    native_size
        Width and height in pixels that it was made for.
    vae_scale_factor
        Pixels per latent.
    zero_negative
        Whether an empty negative prompt is zeros rather than an embedded empty text.
    dtype, vae_dtype
        Number formats of the network and of the autoencoder.
    walk_pace
        The pace of its walk, if its folder has it: one number, or one for each "384x224/1" (size and steps).
    graphs
        The recorded graphs of its networks on CUDA; None elsewhere.
    compiled
        Whether its networks are compiled by torch.compile.
    memory
        Class of its card's memory in GB, see `shapes`; 0 on the CPU.
    texts
        Text encoders the size of language models, which are loaded when prompts are embedded; None if they are among the parts.
    pictures
        What encodes pictures for the adapter in the network, loaded when there are some; None if it has no adapter.
    controls
        Control networks by what their pictures show (``canny``).
    loras
        Its LoRAs whose strength changes, in the order of their strengths.
    scheduler
        The configuration of its scheduler.
    notes
        Sentences for the user about how it was loaded.
    """

    name: str
    sha256: str
    family: Family
    network: Any
    vae: Any
    sampling: Sampling
    guidance: float
    native_size: tuple[int, int]
    vae_scale_factor: int
    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    text_encoder: Any = None
    tokenizer: Any = None
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    text_encoder_3: Any = None
    tokenizer_3: Any = None
    zero_negative: bool = False
    walk_pace: float | dict[str, float] = field(default_factory=dict)
    graphs: Graphs | None = None
    compiled: bool = False
    memory: int = 0
    texts: LargeTexts | None = None
    pictures: LargeTexts | None = None
    controls: Mapping[str, Any] = field(default_factory=dict)
    loras: tuple[VaryingLora, ...] = ()
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def schedule(self) -> NoiseSchedule:
        """Noise levels."""
        return self.sampling.schedule

    @property
    def prediction(self) -> str:
        """What the network predicts: epsilon, v_prediction, sample or flow."""
        return self.sampling.prediction

    @property
    def consistency(self) -> bool:
        """Whether it is sampled by jumps (LCM) rather than along the deterministic path."""
        return self.sampling.sampler == "lcm"

    @property
    def steps(self) -> int:
        """Evaluations a picture."""
        return self.sampling.steps

    @property
    def channels(self) -> int:
        """Number of latent channels."""
        return self.family.channels(self.network.config)

    @property
    def step(self) -> int:
        """Multiple of pixels that sizes must have, on a side."""
        return self.vae_scale_factor * self.family.step

    @property
    def tells_guidance(self) -> bool:
        """Whether guidance is an input of the network, so that it is evaluated once."""
        return self.family.tells_guidance(self.network.config)

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """The text encoders that it was loaded with; those that are loaded later stay on the host, where nothing has to fit."""
        encoders = (self.text_encoder, self.text_encoder_2, self.text_encoder_3)
        return tuple(part for part in encoders if part is not None and not isinstance(part, LaterPart))

    def at_size(self, width: int, height: int) -> Model:
        """Return the model with its times shifted for a size in pixels."""
        if self.family.shift is None:
            return self
        patches = (width // self.step) * (height // self.step)
        shift = self.family.shift(self.scheduler, patches, self.steps)
        sampling = replace(self.sampling, schedule=replace(self.schedule, shift=shift))
        lowest = self.scheduler.get("shift_terminal")
        if lowest:
            sampling = replace(sampling, grid=stretched(sampling.grid, self.schedule.steps, shift, float(lowest)))
        return replace(self, sampling=sampling)

    def predict_x0(
        self,
        z: torch.Tensor,
        tau: torch.Tensor,
        conditioning: Conditioning | torch.Tensor,
        controls: NamedTensors | None = None,
    ) -> torch.Tensor:
        """Return the network's prediction of the clean latents, float32.

        The network computes in its own number format; its output is converted to float32, since a small alpha magnifies
        rounding: at SD-Turbo's one step 15 times.

        Parameters
        ----------
        z
            Noisy latents float32 [n, c, h, w].
        tau
            Train times [n] in 0..T.
        conditioning
            The conditioning; tokens alone [n, tokens, width] if the family needs no more.
        controls
            Hints and weights of control networks, as `control.ControlBank` has them; None: none of them counts.
        """
        if isinstance(conditioning, torch.Tensor):
            conditioning = Conditioning(conditioning)
        return self._x0(z.float(), tau, self._predicted(z, tau, conditioning, controls))

    def _predicted(
        self, z: torch.Tensor, tau: torch.Tensor, conditioning: Conditioning, controls: NamedTensors | None = None
    ) -> torch.Tensor:
        """Return what the network predicts of noisy latents, float32."""
        time = self.schedule.network_time(tau).to(self.device)
        asked = self.family.ask(self, z.float().to(self.dtype), time, conditioning)
        if controls is not None:
            asked["controls"] = controls
        if conditioning.loras is not None:
            asked[STRENGTHS] = conditioning.loras
        return self._run("network", self._network, asked).float()

    def _x0(self, z: torch.Tensor, tau: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Return the clean latents by what the network predicts of noisy ones z."""
        alpha, sigma = (v.to(z.device).view(-1, 1, 1, 1) for v in self.schedule.alpha_sigma(tau))
        if self.prediction == "v_prediction":
            return alpha * z - sigma * output
        if self.prediction == "sample":
            return output
        if self.prediction == "flow":
            return z - sigma * output
        return (z - sigma * output) / alpha.clamp_min(1e-3)

    def predict_x0_guided(
        self,
        z: torch.Tensor,
        tau: torch.Tensor,
        conditioning: Conditioning,
        negative: Conditioning,
        controls: NamedTensors | None = None,
    ) -> torch.Tensor:
        """Return the clean latents, float32, led away from the negative prompt (Ho and Salimans 2022, arXiv 2207.12598).

        Parameters
        ----------
        conditioning
            For n items.
        negative
            For as many; unused at guidance 1, or if guidance is an input of the network.
        controls
            As in `predict_x0`; they steer both.
        """
        if self.guidance <= 1.0 or self.tells_guidance:
            return self.predict_x0(z, tau, conditioning, controls)
        steered = controls
        if controls is not None and self.family.control is not None and not self.family.control.once:
            steered = {name: _twice(part) for name, part in controls.items()}
        twice = torch.cat([z, z]), torch.cat([tau, tau]), join(conditioning, negative)
        if self.family.guide is not None:
            told, other = self._predicted(*twice, steered).chunk(2)
            return self._x0(z.float(), tau, self.family.guide(told, other, self.guidance))
        both = self.predict_x0(*twice, steered)
        led, free = both.chunk(2)
        return free + self.guidance * (led - free)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the latents, float32, of pictures [n, 3, height, width] in [-1, 1]."""
        latents = self._run("encoder", self._encoder, {"pictures": pictures.to(self.vae_dtype)}).float()
        return self.family.latents(self.vae, latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures [n, 3, height, width] in about [-1, 1], of the autoencoder's number format, for latents float32."""
        plain = self.family.plain(self.vae, latents).to(self.vae_dtype)
        return self._run("decoder", self._decoder, {"latents": plain})

    def _run(self, name: str, network: Compute, inputs: NamedTensors) -> torch.Tensor:
        return network(inputs) if self.graphs is None else self.graphs.run(name, network, inputs)

    def _network(self, inputs: NamedTensors) -> torch.Tensor:
        asked = dict(inputs)
        strengths, controls = asked.pop(STRENGTHS, None), asked.pop("controls", None)
        if controls is not None:
            assert self.family.control is not None
            told = [(self.controls[part], part, *named.values()) for part, named in _by_kind(controls)]
            asked = self.family.control.steer(told, asked)
        if strengths is None:
            return self.family.answer(self.network, asked)
        with at_strengths(strengths):
            return self.family.answer(self.network, asked)

    def _encoder(self, inputs: NamedTensors) -> torch.Tensor:
        pictures = inputs["pictures"]
        encoded = self.vae.encode(pictures.unsqueeze(2) if self.family.film_autoencoder else pictures)
        latents: torch.Tensor = (
            encoded.latent_dist.mode()
            if hasattr(encoded, "latent_dist")
            # for autoencoders without a distribution
            else encoded.latents
            if hasattr(encoded, "latents")
            else encoded.latent
        )
        return latents.squeeze(2) if self.family.film_autoencoder else latents

    def _decoder(self, inputs: NamedTensors) -> torch.Tensor:
        latents = inputs["latents"]
        if self.family.film_autoencoder:
            # a picture is a film of one frame
            latents = latents.unsqueeze(2)
        decoded: torch.Tensor = self.vae.decode(latents, return_dict=False)[0]
        return decoded.squeeze(2) if self.family.film_autoencoder else decoded


def _twice(named: NamedTensors) -> NamedTensors:
    return {name: torch.cat([value, value]) for name, value in named.items()}


def _by_kind(controls: NamedTensors) -> Iterator[tuple[str, NamedTensors]]:
    """Yield what each control's pictures show, and its hint and share; their names begin with a number, as there may be several."""
    for name in sorted(controls):
        yield name.partition(" ")[2], {part: controls[name][part] for part in ("hint", "share")}
