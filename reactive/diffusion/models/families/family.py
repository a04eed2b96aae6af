"""The interface between models and everything else: what a family of models provides.

A family is one file beside this one. It defines the parts of its folders, how texts become conditioning, the
network's inputs and the meaning of its output, how pictures become latents, and the published steps, guidance and
times. Schedules, samplers and the core are the same for all families; no code outside a family's file checks its name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from reactive.diffusion.backend.footprint import Config, Cost, decoder_cost, encoder_cost, network_cost


class TextModel(Protocol):
    """The properties of a model that a family reads to embed texts; the network may not be loaded: it has its configuration only."""

    @property
    def network(self) -> Any: ...

    @property
    def tokenizer(self) -> Any: ...

    @property
    def text_encoder(self) -> Any: ...

    @property
    def tokenizer_2(self) -> Any: ...

    @property
    def text_encoder_2(self) -> Any: ...

    @property
    def tokenizer_3(self) -> Any: ...

    @property
    def text_encoder_3(self) -> Any: ...


class FamilyModel(TextModel, Protocol):
    """The properties of a loaded model that a family reads: its parts, its guidance, and how many pixels a latent has on a side."""

    @property
    def vae(self) -> Any: ...

    def encode(self, pictures: torch.Tensor) -> torch.Tensor: ...

    @property
    def vae_scale_factor(self) -> int: ...

    @property
    def guidance(self) -> float: ...

    @property
    def dtype(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Conditioning:
    """The conditioning of some texts.

    Attributes
    ----------
    tokens
        One vector a token, [n, tokens, width], or several, [n, tokens, layers, width].
    pooled
        One vector a text, [n, width]; None in families without it.
    mask
        Which tokens count, bool [n, tokens]; None if all of them do.
    pictures, shares
        The tokens of pictures that steer the style, [n, pictures, tokens, width], and the weight of each, [n, pictures]; None
        if there are none. Blends of texts do not carry them.
    loras
        The strength of each LoRA whose strength changes, float32 [n, loras]; None if there are none. Blends do not carry them.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    pictures: torch.Tensor | None = None
    shares: torch.Tensor | None = None
    loras: torch.Tensor | None = None

    def __getitem__(self, rows: torch.Tensor | slice) -> Conditioning:
        """Return some of the texts, in the given order."""
        return Conditioning(*(None if part is None else part[rows] for part in self._parts()))  # type: ignore[arg-type]

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Conditioning:
        """Return it in a number format, on a device if one is named."""
        mask = None if self.mask is None else self.mask.to(device or self.mask.device)
        tokens, pooled, _, pictures, shares, _ = (
            None if part is None else part.to(device=device or part.device, dtype=dtype) for part in self._parts()
        )
        # in a half format a slow change would have visible steps
        loras = None if self.loras is None else self.loras.to(device or self.loras.device)
        assert tokens is not None
        return Conditioning(tokens, pooled, mask, pictures, shares, loras)

    def expand(self, count: int) -> Conditioning:
        """Return one text's conditioning for `count` items."""
        parts = (None if part is None else part.expand(count, *part.shape[1:]) for part in self._parts())
        return Conditioning(*parts)  # type: ignore[arg-type]

    def padded(self, length: int) -> Conditioning:
        """Return it with zeros after its tokens, up to a length; they do not count."""
        missing = length - self.tokens.shape[1]
        mask = (
            torch.ones(self.tokens.shape[:2], dtype=torch.bool, device=self.tokens.device)
            if self.mask is None
            else self.mask
        )
        zeros = self.tokens.new_zeros(len(self.tokens), missing, *self.tokens.shape[2:])
        rest = mask.new_zeros(len(mask), missing)
        longer = torch.cat([self.tokens, zeros], 1)
        return replace(self, tokens=longer, mask=torch.cat([mask, rest], 1))

    def _parts(self) -> tuple[torch.Tensor | None, ...]:
        return self.tokens, self.pooled, self.mask, self.pictures, self.shares, self.loras


def scaled_latents(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return an autoencoder's latents shifted and scaled for the network."""
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    scaled: torch.Tensor = (latents - shift) * vae.config.scaling_factor
    return scaled


def plain_latents(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return the network's latents as the autoencoder takes them."""
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    plain: torch.Tensor = latents / vae.config.scaling_factor + shift
    return plain


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Return latents [n, c, h, w] with each two by two of them as one of four times the channels."""
    return torch.nn.functional.pixel_unshuffle(latents, 2)


def unpack(latents: torch.Tensor) -> torch.Tensor:
    """Return latents as they were before `pack`."""
    return torch.nn.functional.pixel_shuffle(latents, 2)


def halvings(config: Config) -> int:
    """Return how many pixels a latent of an autoencoder has on a side, by the levels of its configuration."""
    widths = config.get("block_out_channels") or config.get("decoder_block_out_channels") or (1,) * 4
    return int(2 ** (len(widths) - 1))


def shift_by_size(config: Mapping[str, Any], patches: int, steps: int) -> float:
    """Return how times are shifted for a number of patches, by a flow scheduler's configuration."""
    del steps
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", 1.0))
    few, many = int(config.get("base_image_seq_len", 256)), int(config.get("max_image_seq_len", 4096))
    low, high = float(config.get("base_shift", 0.5)), float(config.get("max_shift", 1.15))
    exponent = low + (high - low) * (patches - few) / (many - few)
    return math.exp(exponent) if config.get("time_shift_type", "exponential") == "exponential" else exponent


def scheduler_times(config: Mapping[str, Any], steps: int) -> Sequence[float]:
    """Return a flow scheduler's own shares of times, for pipelines that pass it none.

    They run evenly down to its lowest level, which is shifted once more like the rest.
    """
    levels = int(config.get("num_train_timesteps", 1000))
    shift = 1.0 if config.get("use_dynamic_shifting") else float(config.get("shift", 1.0))
    lowest = shift / levels / (1 + (shift - 1) / levels)
    return [float(share) for share in np.linspace(1, lowest, steps)]


def pipeline_of(name: str, model: TextModel) -> Any:
    """Return one of diffusers' pipelines with a model's text encoders and nothing else, for embedding texts."""
    import diffusers

    kind: Any = getattr(diffusers, name)
    wanted = inspect.signature(kind.__init__).parameters
    texts = {part: getattr(model, part, None) for part in wanted if part.startswith(("text_encoder", "tokenizer"))}
    return kind(**dict.fromkeys(("vae", "transformer", "scheduler")), **texts)


def fixed_native(config: Config, factor: int) -> tuple[int, int]:
    """Return 1024 by 1024, for networks whose configuration does not have a native size."""
    del config, factor
    return 1024, 1024


def _square(config: Config, factor: int) -> tuple[int, int]:
    size = config.get("sample_size", 64)
    height, width = (size, size) if isinstance(size, int) else size
    return width * factor, height * factor


def _first_output(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    output: torch.Tensor = network(**inputs, return_dict=False)[0]
    return output


def _in_channels(config: Config) -> int:
    return int(config["in_channels"])


def _no_defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, config, name
    return {}


def _as_it_is(control: Any, network: Any) -> None:
    del control, network


def _no_guidance(config: Config) -> bool:
    del config
    return False


@dataclass(frozen=True)
class Control:
    """How control networks (ControlNet; Zhang et al. 2023, arXiv 2302.05543) steer the networks of a family.

    Attributes
    ----------
    classes
        The classes that such a network's configuration may name.
    misfit
        What does not fit, by the configurations of a family's network and of a control network, and what its pictures show
        (``canny``); empty if nothing.
    prepare
        Called once with a loaded control network, and the network that it steers.
    hint
        What a control network takes of pictures [n, 3, height, width] in [0, 1]: [n, channels, h, w]; computed once for all steps.
        The first argument is the model, the second the control network, the third what its pictures show (``canny``).
    steer
        The family's inputs with those added that steer it. Each control is its network, what its pictures show, its hint, and
        the weight of each item, [n].
    kept
        How many numbers one control adds for one picture, which are kept while the network computes: by the network's configuration
        and the number of latents.
    numbers
        How many weights the usual control network has for a family's network, which may be without memory.
    once
        Whether guidance uses what is added for the prompt for its negative too, as the family's own pipelines do: then the controls
        have half as many items as the network's inputs.
    """

    classes: tuple[str, ...]
    misfit: Callable[[Any, Config, str], str]
    hint: Callable[[FamilyModel, Any, str, torch.Tensor], torch.Tensor]
    steer: Callable[[Sequence[tuple[Any, str, torch.Tensor, torch.Tensor]], dict[str, Any]], dict[str, Any]]
    kept: Callable[[Config, int], float]
    numbers: Callable[[Any], int]
    prepare: Callable[[Any, Any], None] = _as_it_is
    once: bool = False


@dataclass(frozen=True)
class Family:
    """One kind of model: its parts, inputs, outputs and published settings.

    Attributes
    ----------
    name
        Short name.
    pipelines
        Beginnings of the class names that a ``model_index.json`` of this family may have.
    parts
        Folders that hold weights, vocabulary or configuration, and their classes as ``library.Class``; all of them are needed.
    network
        Which of them is the network.
    embed
        Texts to conditioning, as the family's own pipelines compute it. Large text encoders embed before the network is loaded.
    ask
        The network's inputs for latents z in its number format, times [n] and conditioning; values are tensors, or
        groups of them.
    answer
        The network's prediction [n, c, h, w] for these inputs.
    guide
        Leads the network's prediction for the prompt, [n, c, h, w], away from that for the negative, by the guidance; None: by
        ``negative + guidance x (prompt - negative)``.
    latents, plain
        From an autoencoder's latents to the network's, and back.
    factor
        Pixels a latent, on a side, by the autoencoder's configuration.
    step
        Multiple of latents that sizes must have, on a side.
    native
        Width and height in pixels that a network was made for, by its configuration and the factor.
    channels
        Number of latent channels, by the network's configuration.
    vae_channels
        Number of an autoencoder's own channels, by the network's configuration.
    prediction
        The kind of prediction, if the scheduler's configuration does not have it.
    tells_guidance
        Whether guidance is an input of the network, by its configuration, rather than a second evaluation.
    defaults
        Steps, guidance and other published defaults, by ``model_index.json``, the network's configuration and the model's name;
        ``scheduler`` are changes of the scheduler's configuration.
    times
        Shares of strength 1's time at which N steps are taken, by the scheduler's configuration; None: as in the scheduler.
    shift
        How times are shifted for a number of latents and of steps, by the scheduler's configuration.
    zero_negative
        Whether an empty negative prompt is zeros rather than an embedded empty text, unless the folder decides.
    exact_autoencoder
        Whether an autoencoder overflows in float16, by its configuration.
    few_step
        Kind of model for recognising few-step models by name; None: they are not searched.
    single_files
        Configurations of single files that are of this family; the first describes an autoencoder's.
    text_batch
        Texts that are embedded at once.
    text_tokens
        The most tokens of a text.
    longest_text
        How many of them the encoder of the longest texts reads, by the network's configuration; None: all.
    large_texts
        Whether the text encoder is a language model: loaded for the clip's prompts, then freed.
    bfloat16
        Whether cards compute it in bfloat16, since it overflows in float16.
    graphs
        Whether its network can be recorded as a graph.
    film_autoencoder
        Whether its autoencoder is one of films, for which a picture is a film of one frame.
    add_adapter
        Puts the weights of an IP-Adapter into the network, by the names in its file (``ip_adapter.1.to_k_ip.weight``); returns
        the module that makes tokens of an encoded picture. Raises ValueError with what does not fit. None: the family
        has no such adapters.
    adapter_numbers
        How many weights such an adapter adds to the network.
    no_adapter
        Why it has no such adapters.
    control
        How control networks steer its network; None: there are none here.
    no_control
        Why there are none.
    cost, decoding, encoding
        The cost of one picture for network, decoder and encoder, by its number of latents.
    """

    name: str
    pipelines: tuple[str, ...]
    parts: Mapping[str, str]
    embed: Callable[[TextModel, list[str]], Conditioning]
    ask: Callable[[FamilyModel, torch.Tensor, torch.Tensor, Conditioning], dict[str, Any]]
    network: str = "transformer"
    answer: Callable[[Any, dict[str, Any]], torch.Tensor] = _first_output
    guide: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] | None = None
    latents: Callable[[Any, torch.Tensor], torch.Tensor] = scaled_latents
    plain: Callable[[Any, torch.Tensor], torch.Tensor] = plain_latents
    factor: Callable[[Config], int] = halvings
    step: int = 1
    native: Callable[[Config, int], tuple[int, int]] = _square
    channels: Callable[[Config], int] = _in_channels
    vae_channels: Callable[[Config], int] = _in_channels
    prediction: str = ""
    tells_guidance: Callable[[Config], bool] = _no_guidance
    defaults: Callable[[Mapping[str, Any], Config, str], dict[str, Any]] = _no_defaults
    times: Callable[[Mapping[str, Any], int], Sequence[float]] | None = None
    shift: Callable[[Mapping[str, Any], int, int], float] | None = None
    zero_negative: bool = False
    exact_autoencoder: Callable[[Config], bool] = _no_guidance
    few_step: str | None = None
    single_files: tuple[str, ...] = ()
    text_batch: int = 32
    text_tokens: int = 77
    longest_text: Callable[[Config], int] | None = None
    large_texts: bool = False
    bfloat16: bool = False
    graphs: bool = True
    film_autoencoder: bool = False
    add_adapter: Callable[[Any, Mapping[str, torch.Tensor]], torch.nn.Module] | None = None
    adapter_numbers: Callable[[Any], int] | None = None
    no_adapter: str = "diffusers has no IP-Adapter for them"
    control: Control | None = None
    no_control: str = "diffusers has no control networks for them"
    cost: Callable[..., Cost] = network_cost
    decoding: Callable[..., Cost] = decoder_cost
    encoding: Callable[..., Cost] = encoder_cost


def join(*parts: Conditioning) -> Conditioning:
    """Return conditionings one after another; shorter ones are padded."""
    parts = _same_length(*parts)
    joined = []
    for each in zip(*(part._parts() for part in parts), strict=True):
        given = [tensor for tensor in each if tensor is not None]
        joined.append(torch.cat(given) if given else None)
    return Conditioning(*joined)  # type: ignore[arg-type]


def blend(before: Conditioning, after: Conditioning, share: torch.Tensor) -> Conditioning:
    """Return the blend of two conditionings; `share` [n] runs from 0 (`before`) to 1 (`after`)."""
    return _between(before, after, share, torch.lerp)


def turn(before: Conditioning, after: Conditioning, share: torch.Tensor) -> Conditioning:
    """Return the conditionings between two along the arc; `share` [n] runs from 0 (`before`) to 1 (`after`)."""
    return _between(before, after, share, along_arc)


def choose(first: torch.Tensor, one: Conditioning, other: Conditioning) -> Conditioning:
    """Return `one` where `first` (bool [n]) holds, and `other` elsewhere."""
    one, other = _same_length(one, other)
    chosen = [
        None if mine is None or theirs is None else torch.where(_rows(first, mine), mine, theirs)
        for mine, theirs in ((one.tokens, other.tokens), (one.pooled, other.pooled), (one.mask, other.mask))
    ]
    assert chosen[0] is not None
    return Conditioning(chosen[0], *chosen[1:])


def _between(
    before: Conditioning,
    after: Conditioning,
    share: torch.Tensor,
    way: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> Conditioning:
    before, after = _same_length(before, after)
    tokens = way(before.tokens, after.tokens, _rows(share, before.tokens))
    pooled = mask = None
    if before.pooled is not None and after.pooled is not None:
        pooled = way(before.pooled, after.pooled, share.view(-1, 1))
    if before.mask is not None and after.mask is not None:
        # at either end the tokens of the other text do not count
        mask = (before.mask & (share < 1).view(-1, 1)) | (after.mask & (share > 0).view(-1, 1))
    return Conditioning(tokens, pooled, mask)


def _same_length(*parts: Conditioning) -> tuple[Conditioning, ...]:
    lengths = [part.tokens.shape[1] for part in parts]
    if len(set(lengths)) == 1 and len({part.mask is None for part in parts}) == 1:
        return parts
    return tuple(part.padded(max(lengths)) for part in parts)


def _rows(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *(1,) * (like.dim() - 1))


def along_arc(start: torch.Tensor, stop: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return each token's vector rotated from `start` to `stop` at an even pace, its length interpolated linearly (slerp).

    Parameters
    ----------
    start, stop
        [..., width].
    share
        In [0, 1], broadcastable to them.
    """
    first, last = start.float(), stop.float()
    lengths = first.norm(dim=-1, keepdim=True), last.norm(dim=-1, keepdim=True)
    one, two = first / lengths[0].clamp_min(1e-9), last / lengths[1].clamp_min(1e-9)
    angle = (one * two).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * two) / sine.clamp_min(1e-6)
    # nearly the same direction: interpolate linearly
    turned = torch.where(sine < 1e-3, torch.lerp(one, two, share.float()), turned)
    return (turned * torch.lerp(lengths[0], lengths[1], share.float())).to(start.dtype)
