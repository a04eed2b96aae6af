"""Text encoders of the size of language models: loaded when prompts are embedded, then freed; embeddings are cached.

An embedding is a file named by a hash of text, encoder and number format, so a second run of the same prompts loads no encoder.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from reactive.diffusion.backend.device import free_memory
from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.embeddings import read_embedding, write_embedding
from reactive.diffusion.models.families import Conditioning
from reactive.diffusion.models.quantised import NOT_QUANTISED, Quant, quantise


@dataclass(frozen=True)
class LargeTexts:
    """The text encoders of a model that are not loaded yet.

    Attributes
    ----------
    load
        Loads encoders and tokenizers in a number format, by part.
    sha256
        Hash over their files.
    configs
        Configurations of the encoders.
    weights
        Bytes of their weights once they are loaded.
    quant
        How they are quantised.
    tokenizers
        Loads the tokenizers alone.
    ready
        The embeddings, on the host, of texts that were embedded before the network was loaded.
    """

    load: Callable[[torch.dtype], Mapping[str, Any]]
    sha256: str
    configs: tuple[Config, ...]
    weights: int
    quant: Quant = NOT_QUANTISED
    tokenizers: Callable[[], Mapping[str, Any]] = dict
    ready: Mapping[str, Conditioning] = field(default_factory=dict)

    @contextmanager
    def opened(self, device: torch.device, dtype: torch.dtype) -> Iterator[Mapping[str, Any]]:
        """Hold encoders and tokenizers on a device within a block."""
        # weights that are made in inference mode could not be moved
        with torch.inference_mode(False), torch.no_grad():
            parts = dict(self.load(dtype))
            for part in parts.values():
                if isinstance(part, torch.nn.Module):
                    quantise(part, self.quant, device)
                    part.to(device=device, dtype=dtype).eval().requires_grad_(False)
        try:
            yield parts
        finally:
            parts.clear()
            gc.collect()
            free_memory()


def cut_texts(texts: LargeTexts, most: int, prompts: Sequence[str]) -> list[str]:
    """Return the prompts that have more than `most` tokens, so that the encoder does not read their ends.

    What a family writes around a prompt is not counted; the tokenizer of the family's longest texts is the last one.
    """
    # a token is a letter at least, so nearly always none is loaded
    long = [text for text in dict.fromkeys(prompts) if len(text.encode()) > most]
    if not long:
        return []
    found = texts.tokenizers()
    tokenizer = found[max(found)]
    return [text for text in long if len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) > most]


def kept(texts: LargeTexts, dtype: torch.dtype, prompts: Sequence[str]) -> list[Conditioning | None]:
    """Return each prompt's cached embedding, None for those that have to be embedded."""
    return [read_embedding(_key(texts, dtype, prompt)) for prompt in prompts]


def keep(texts: LargeTexts, dtype: torch.dtype, prompt: str, embedded: Conditioning) -> None:
    """Cache a prompt's embedding, if the cache can be written."""
    write_embedding(_key(texts, dtype, prompt), embedded)


def _key(texts: LargeTexts, dtype: torch.dtype, prompt: str) -> str:
    stored = f" {texts.quant.encoders}" if texts.quant.encoders else ""
    return hashlib.sha256(f"{texts.sha256} {dtype}{stored} {prompt}".encode()).hexdigest()[:40]
