"""How many pictures a batch holds and how many are decoded at once: by a fixed rule, independent of free memory.

On the CPU it is a rule of the size alone. On a card it is one of the model's shapes, the size and the class of the card's
memory, so that two cards of a class make the same batches. Batch and slice are written to job and recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reactive.diffusion.backend.device import default_batch
from reactive.diffusion.backend.footprint import (
    WRITES_ATTENTION,
    Config,
    Cost,
    decoder_cost,
    encoder_cost,
    network_cost,
)

if TYPE_CHECKING:
    from reactive.diffusion.models.model import Model

GIB = 2**30
CLASSES = (4, 6, 8, 12, 16, 24, 40, 80)
# cards report less than their class: one of 16 GB with error correction has 14.6 GiB
_NEARLY = 0.91
# tokens of a chunk of texts that is embedded at once
_TEXT_TOKENS = 32 * 77


@dataclass(frozen=True)
class BatchShape:
    """Pictures of a batch, pictures that are encoded or decoded at once (0: all of them), and the class of memory in GB."""

    batch: int
    slices: int = 0
    memory: int = 0


@dataclass(frozen=True)
class MemoryNeeds:
    """The memory that a model's parts need.

    Attributes
    ----------
    network, vae
        Configurations of the parts.
    network_bytes, vae_bytes, text_bytes
        Bytes of their weights; all text encoders together.
    number, vae_number
        Bytes of a number in the network and in the autoencoder.
    factor
        Pixels of a latent, on a side.
    twice
        Whether guidance evaluates each picture twice.
    written
        Whether attention writes out its matrix.
    text_numbers
        Numbers that embedding one token keeps alive.
    cost, decoding, encoding
        The cost of one picture for each of them, by its number of latents.
    tokens
        Tokens of the texts that are embedded at once.
    controls, kept
        How many control networks there are, and how many numbers each keeps for one picture, by the network's configuration and
        the number of latents.
    """

    network: Config
    vae: Config
    network_bytes: int
    vae_bytes: int
    text_bytes: int
    number: int
    vae_number: int
    factor: int
    twice: bool = False
    written: bool = False
    text_numbers: int = 0
    cost: Callable[..., Cost] = network_cost
    decoding: Callable[..., Cost] = decoder_cost
    encoding: Callable[..., Cost] = encoder_cost
    tokens: int = _TEXT_TOKENS
    controls: int = 0
    kept: Callable[[Config, int], float] | None = None

    def evaluation(self, width: int, height: int, batch: int) -> int:
        """Return the bytes that one evaluation of the network needs besides weights."""
        latents = self._latents(width, height)
        cost = self.cost(self.network, latents, written=self.written)
        # what several controls add is summed one after another
        added = min(self.controls, 2) * self.kept(self.network, latents) if self.kept else 0.0
        return int((cost.peak + added) * self.number * batch * (2 if self.twice else 1))

    def autoencoder(self, width: int, height: int, slices: int, batch: int) -> int:
        """Return the bytes that decoding, or encoding, a batch in slices needs besides weights."""
        latents = self._latents(width, height)
        costs = (cost(self.vae, latents, written=self.written).peak for cost in (self.decoding, self.encoding))
        # the batch's pictures: decoded, and twice in float32 during conversion to bytes
        finished = 3 * width * height * batch * (self.vae_number + 8)
        return int(max(costs) * self.vae_number * (slices or batch)) + finished

    def total(self, width: int, height: int, shape: BatchShape) -> int:
        """Return the most bytes that rendering needs, after the text encoders are freed."""
        batch = shape.batch
        work = max(self.evaluation(width, height, batch), self.autoencoder(width, height, shape.slices, batch))
        return self.network_bytes + self.vae_bytes + work

    def embedding(self) -> int:
        """Return the bytes that are in use while prompts are embedded on the card beside the network."""
        texts = embedding_bytes(self.text_bytes, self.tokens, self.text_numbers, self.number)
        return self.network_bytes + self.vae_bytes + texts

    def decoding_share(self, width: int, height: int, steps: int) -> float:
        """Return the share of a picture's arithmetic that is the decoder's, 0 to 1."""
        latents = self._latents(width, height)
        decoding = self.decoding(self.vae, latents).flops
        imagining = self.cost(self.network, latents).flops * steps * (2 if self.twice else 1)
        return decoding / (decoding + imagining)

    def _latents(self, width: int, height: int) -> int:
        return (width // self.factor) * (height // self.factor)


def memory_class(total: int) -> int:
    """Return the class in GB of a card of so many bytes; cards below the smallest class belong to it; 0 for no card."""
    if total <= 0:
        return 0
    return max((size for size in CLASSES if total >= _NEARLY * size * GIB), default=CLASSES[0])


def budget(memory: int) -> int:
    """Return the usable bytes of a class; the rest is for the driver, the screen and fragmentation."""
    return int((0.9 * memory - 0.4) * GIB)


def needs_of(model: Model) -> MemoryNeeds:
    """Return the memory that a loaded model needs."""
    encoders, family = model.text_encoders, model.family
    return MemoryNeeds(
        network=model.network.config,
        vae=model.vae.config,
        network_bytes=_bytes(model.network) + sum(_bytes(one) for one in set(model.controls.values())),
        vae_bytes=_bytes(model.vae),
        text_bytes=model.texts.weights if model.texts else sum(map(_bytes, encoders)),
        number=model.dtype.itemsize,
        vae_number=model.vae_dtype.itemsize,
        factor=model.vae_scale_factor,
        twice=model.guidance > 1.0 and not model.tells_guidance,
        written=model.device.type in WRITES_ATTENTION,
        text_numbers=sum(text_numbers(*text_shape(part.config.to_dict())) for part in encoders)
        + sum(text_numbers(*text_shape(config)) for config in (model.texts.configs if model.texts else ())),
        cost=family.cost,
        decoding=family.decoding,
        encoding=family.encoding,
        tokens=family.text_batch * family.text_tokens,
        controls=len(model.controls),
        kept=family.control.kept if family.control else None,
    )


def embedding_bytes(weights: int, tokens: int, numbers: int, number: int) -> int:
    """Return the bytes that text encoders need while they embed.

    Parameters
    ----------
    weights
        Bytes of their weights.
    tokens, numbers
        Tokens of the texts that are embedded at once, and how many numbers one token keeps alive.
    number
        Bytes of a number.
    """
    return weights + tokens * numbers * number


def text_shape(config: Config) -> tuple[int, int]:
    """Return width and layers of a text encoder, by its configuration."""
    told = config.get("text_config") or config
    return int(told.get("hidden_size") or told["d_model"]), int(told.get("num_hidden_layers") or told["num_layers"])


def text_numbers(width: int, layers: int) -> int:
    """Return how many numbers embedding a token keeps alive: each layer's result, and one layer's intermediate ones."""
    return width * (layers + 1 + 10)


def shape_by_rule(needs: MemoryNeeds, kind: str, memory: int, width: int, height: int) -> BatchShape:
    """Return the shape for ``--batch auto``.

    Parameters
    ----------
    kind
        Kind of device.
    memory
        Class of its memory in GB; 0 for the CPU.
    """
    most = default_batch(kind, width, height)
    if kind == "cpu" or not memory:
        return BatchShape(most)
    room = budget(memory)
    batch = most
    while batch:
        slices = batch
        while slices:
            shape = BatchShape(batch, slices, memory)
            if needs.total(width, height, shape) <= room:
                return shape
            slices //= 2
        batch //= 2
    return BatchShape(1, 1, memory)


def shape_of(model: Model, width: int, height: int, *, batch: int = 0, slices: int = 0) -> BatchShape:
    """Return the shape of a model's batches at an imagine-size.

    Parameters
    ----------
    batch, slices
        The requested shape; 0: by rule.
    """
    needs = needs_of(model)
    found = shape_by_rule(needs, model.device.type, model.memory, width, height)
    if not batch:
        return BatchShape(found.batch, slices or found.slices, found.memory)
    if slices or not found.memory:
        return BatchShape(batch, slices, found.memory)
    # a requested batch is still decoded in slices that fit
    fitting, room = batch, budget(found.memory)
    while fitting > 1 and needs.total(width, height, BatchShape(batch, fitting)) > room:
        fitting //= 2
    return BatchShape(batch, fitting, found.memory)


def _bytes(part: object) -> int:
    weights = [*part.parameters(), *part.buffers()]  # type: ignore[attr-defined]
    return sum(weight.numel() * weight.element_size() for weight in weights)
