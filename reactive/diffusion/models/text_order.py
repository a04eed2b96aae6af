"""Encoders the size of language models embed a clip's prompts before the network is loaded, so that memory need not hold both.

The encoder is loaded to the device, embeds, and is freed; only then the network is loaded. An encoder that does not fit even
alone computes on the host in float32. Prompts that come later, as in a preview, are embedded beside the network, or on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.backend.out_of_memory import reported_in_one_line
from reactive.diffusion.backend.shapes import budget, embedding_bytes, text_numbers, text_shape
from reactive.diffusion.models.families import Conditioning, Family
from reactive.diffusion.models.large_texts import LargeTexts, keep, kept
from reactive.diffusion.models.text_encoders import OWN_MEMORY
from reactive.diffusion.models.weighting import unweighted


@dataclass(frozen=True)
class _Reader:
    """Text encoders and tokenizers, and the configuration of a network that is not loaded."""

    network: Any
    text_encoder: Any = None
    tokenizer: Any = None
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    text_encoder_3: Any = None
    tokenizer_3: Any = None


def embed_first(
    texts: LargeTexts,
    family: Family,
    network: Config,
    prompts: Sequence[str],
    *,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    memory: int,
) -> LargeTexts:
    """Embed prompts while no network is loaded; return the encoders with the embeddings, which are on the host.

    Parameters
    ----------
    network
        The configuration of the network.
    name
        The model's name, for messages.
    memory
        Class of the device's memory in GB; 0 for the CPU.

    Raises
    ------
    ModelError
        If memory does not hold the encoders.
    """
    at = device_alone(texts, family, device, dtype, memory)
    number_format = dtype if at.type == device.type else torch.float32
    found = embed_large(texts, family, network, list(dict.fromkeys(prompts)), name=name, device=at, dtype=number_format)
    return replace(texts, ready={text: part.to(dtype, torch.device("cpu")) for text, part in found.items()})


def device_alone(
    texts: LargeTexts, family: Family, device: torch.device, dtype: torch.dtype, memory: int
) -> torch.device:
    """Return where encoders embed while nothing else is on a device: on the host if they do not fit even then."""
    if device.type not in OWN_MEMORY or not memory:
        return device
    numbers = sum(text_numbers(*text_shape(config)) for config in texts.configs)
    needed = embedding_bytes(texts.weights, family.text_batch * family.text_tokens, numbers, dtype.itemsize)
    return device if needed <= budget(memory) else torch.device("cpu")


def embed_large(
    texts: LargeTexts,
    family: Family,
    network: Config,
    prompts: Sequence[str],
    *,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Mapping[str, Conditioning]:
    """Return the conditioning of each text: from this machine's cache, or by encoders that are loaded and freed again.

    Raises
    ------
    ModelError
        If memory does not hold the encoders.
    """
    cached = zip(prompts, kept(texts, dtype, prompts), strict=True)
    known = {prompt: found for prompt, found in cached if found is not None}
    missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    if missing:
        with (
            torch.inference_mode(),
            reported_in_one_line("embed its prompts", name),
            texts.opened(device, dtype) as parts,
        ):
            reader = _Reader(SimpleNamespace(config=network), **parts)
            for prompt in missing:
                known[prompt] = embedded = family.embed(reader, [unweighted(prompt)])
                keep(texts, dtype, prompt, embedded)
            # the last reference to the encoders, so that they are freed
            del reader
    return known
