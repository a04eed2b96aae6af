"""The one equation, batched: z = add_noise(encode(source), noise(walk), sigma(strength)); picture = decode(denoise(z)).

Every batch has one fixed shape, and so has each part of it that a thread computes; a batch with fewer requests is filled
up with copies of the last. So a picture's bits depend on weights, dtype, device kind, threads and that shape, never on its slot or its
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from reactive.diffusion.backend.opencv import opencv
from reactive.diffusion.backend.overflow import in_float32, is_finite, require_all
from reactive.diffusion.backend.parallel import BatchSplitter, part_count
from reactive.diffusion.backend.transfer import stacked
from reactive.diffusion.models.adapter import StyleBank
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.control import ControlBank, ControlInput
from reactive.diffusion.models.model import Model
from reactive.diffusion.sampling.sampling import sample


@dataclass(frozen=True)
class FrameRequest:
    """The request for one picture.

    Attributes
    ----------
    prompt_from, prompt_to, weight
        The prompt mix.
    strength
        0 keeps the source, 1 ignores it.
    noises
        Noise latents [c, h, w]: the first for the start, one more for each further step of a consistency model.
    source
        Picture float32 [3, height, width] in [-1, 1], or None for none.
    slerp
        Whether the prompts mix along the arc between them.
    style
        The weight of each of the clip's reference pictures; empty for none.
    controls
        The weight and picture of each of the clip's controls; empty for none.
    loras
        The strength of each of the model's LoRAs whose strength changes; empty for 0.
    """

    prompt_from: int
    prompt_to: int
    weight: float
    strength: float
    noises: tuple[torch.Tensor, ...]
    source: torch.Tensor | None = None
    slerp: bool = False
    style: tuple[float, ...] = ()
    controls: tuple[ControlInput, ...] = ()
    loras: tuple[float, ...] = ()


class Core:
    """A model ready to imagine batches of one shape.

    Parameters
    ----------
    model
        The loaded model.
    bank
        The clip's embedded prompts.
    batch
        How many pictures a batch holds.
    width, height
        The imagine-size in pixels.
    slices
        How many pictures are encoded or decoded at once; 0: all of the batch.
    styles
        The clip's reference pictures; None if there are none.
    controls
        The clip's controls; None if there are none.
    """

    def __init__(
        self,
        model: Model,
        bank: PromptBank,
        *,
        batch: int,
        width: int,
        height: int,
        slices: int = 0,
        styles: StyleBank | None = None,
        controls: ControlBank | None = None,
    ) -> None:
        self.model = model.at_size(width, height)
        self.bank = bank
        self.styles = styles
        self.controls = controls
        self.batch = batch
        self.slices = slices
        self.width = width
        self.height = height
        self.noises_per_picture = model.steps if model.consistency else 1
        threads = torch.get_num_threads()
        # a card, or a compiled network, computes the whole batch at once
        undivided = model.device.type != "cpu" or model.compiled
        self.splitter = BatchSplitter(1 if undivided else part_count(batch, threads), threads)
        # pictures imagined so far, and those of them that were imagined again in float32
        self.pictures = 0
        self.retried = 0
        # called once while the device computes the next batch, for work of the host
        self.host_work: Callable[[], None] | None = None

    @torch.inference_mode()
    def imagine(self, requests: list[FrameRequest]) -> torch.Tensor:
        """Return the pictures of at most `batch` requests, uint8 [n, 3, height, width] on the model's device.

        If the number format overflows, a picture is imagined again in float32; its bits still don't depend on the rest of the batch.

        Raises
        ------
        ModelError
            If pictures have NaN or infinite values even then.
        """
        self.pictures += len(requests)
        count = len(requests)
        padded = requests + [requests[-1]] * (self.batch - count)
        pictures, good = self.splitter.run(lambda part: self._finished(self.model, part), padded)
        meanwhile, self.host_work = self.host_work, None
        if meanwhile is not None and self.model.device.type != "cpu":
            meanwhile()
        # one check a batch
        if not self._all_finite(good[:count]):
            with in_float32(self.model) as exact:
                exactly, now_good = self.splitter.run(lambda part: self._finished(exact, part), padded)
            require_all(now_good[:count], self.model)
            self.retried += int((~good[:count]).sum())
            return torch.where(good[:count].view(-1, 1, 1, 1), pictures[:count], exactly[:count])
        return pictures[:count]

    def _all_finite(self, good: torch.Tensor) -> bool:
        """Return whether all pictures are finite; waits for the device."""
        return bool(good.all())

    @torch.inference_mode()
    def _finished(self, model: Model, padded: list[FrameRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pictures, uint8 [n, 3, height, width], and which of them are finite: of a full batch, or of one thread's part."""

        def decode(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pictures = model.decode(latents)
            # a fused ReLU turns NaN into 0, so the picture of a broken latent could look like a dark one
            return to_bytes(pictures), is_finite(pictures) & is_finite(latents)

        pictures, good = self._in_slices(decode, self._latents(model, padded))
        return pictures, good

    def _latents(self, model: Model, padded: list[FrameRequest]) -> torch.Tensor:
        """Return the denoised latents of requests, [n, channels, height, width] in latent pixels."""
        before, after = np.array([r.prompt_from for r in padded]), np.array([r.prompt_to for r in padded])
        weight = np.array([r.weight for r in padded])
        slerp = np.array([r.slerp for r in padded])
        loras = None
        if model.loras:
            strengths = [r.loras or (0.0,) * len(model.loras) for r in padded]
            loras = torch.tensor(strengths, dtype=torch.float32).to(model.device)
        conditioning = self.bank.mix(before, after, weight, slerp, loras)
        negative = self.bank.mix_negative(before, after, weight, loras)
        if self.styles is not None:
            shares = [r.style for r in padded]
            conditioning = self.styles.beside(conditioning, shares)
            negative = self.styles.beside(negative, shares, empty=True)
        conditioning, negative = (replace(part.to(model.dtype), loras=loras) for part in (conditioning, negative))
        size = (self.width, self.height)
        steering = None
        if self.controls is not None:
            steering = self.controls.inputs(model, [r.controls for r in padded], size, self._in_slices)
        strength = torch.tensor([r.strength for r in padded], dtype=torch.float64)
        noises = [self._stack(model, [r.noises[i] for r in padded]) for i in range(self.noises_per_picture)]

        def denoise(latents: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
            return model.predict_x0_guided(latents, tau, conditioning, negative, steering)

        return sample(model.sampling, denoise, strength, self._encoded(model, padded), noises)

    def _encoded(self, model: Model, requests: list[FrameRequest]) -> torch.Tensor | None:
        """Return the latents of the sources, zeros where there is none; None if no request has one."""
        if all(request.source is None for request in requests):
            return None
        # sources are encoded in the batch's shape too
        empty = torch.zeros(3, self.height, self.width)
        given = torch.tensor([r.source is not None for r in requests]).to(model.device).view(-1, 1, 1, 1)
        pictures = self._stack(model, [empty if r.source is None else r.source for r in requests])
        (encoded,) = self._in_slices(lambda part: (model.encode(part),), pictures)
        return torch.where(given, encoded, torch.zeros_like(encoded))

    def _in_slices(
        self, compute: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], batch: torch.Tensor
    ) -> list[torch.Tensor]:
        """Run an autoencoder on a batch in slices of one shape; the last one is padded with its last item."""
        if not 0 < self.slices < len(batch):
            return list(compute(batch))
        parts = []
        for part in torch.split(batch, self.slices):
            filled = part if len(part) == self.slices else part[_padded_indices(len(part), self.slices)]
            parts.append([each[: len(part)] for each in compute(filled)])
        return [torch.cat(each) for each in zip(*parts, strict=True)]

    def _stack(self, model: Model, tensors: list[torch.Tensor]) -> torch.Tensor:
        # float32 whatever the model's format: samplers compute in it, and networks convert their inputs
        together = stacked(tensors, model.device).float()
        return together.contiguous(memory_format=torch.channels_last)


def _padded_indices(count: int, wanted: int) -> list[int]:
    return [min(index, count - 1) for index in range(wanted)]


def to_bytes(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures in [-1, 1] as uint8 in 0..255, rounded."""
    if pictures.device.type != "cpu":
        return _scaled(pictures).to(torch.uint8)
    # on a processor picture by picture, which fits its cache, and in one pass; NaN becomes 0
    result = torch.empty_like(pictures, dtype=torch.uint8)
    for picture, place in zip(pictures, result, strict=True):
        # in the order of memory, whichever that is
        values = picture.float().numpy().ravel("K")
        opencv().addWeighted(values, 127.5, values, 0.0, 127.5, place.numpy().ravel("K"), opencv().CV_8U)
    return result


def _scaled(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float().clamp(-1, 1).add_(1).mul_(127.5).round_()


def from_bytes(pictures: torch.Tensor) -> torch.Tensor:
    """Return uint8 pictures as float32 in [-1, 1]."""
    return pictures.float().div(127.5).sub(1)
