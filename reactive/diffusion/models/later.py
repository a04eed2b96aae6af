"""Small text encoders that are loaded when a prompt is embedded that this machine has not embedded before.

A clip made again, or tried with another seed, needs no encoder at all: its prompts' embeddings are cached. Loading one takes a
tenth of a second, but importing its library two.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import torch

from reactive.diffusion.backend.device import device_name
from reactive.diffusion.models.embeddings import read_embedding, write_embedding
from reactive.diffusion.models.families import Conditioning


class LaterPart:
    """A part of a model that is loaded when it is first used; afterwards it is that part.

    Parameters
    ----------
    load
        Loads it.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._part: Any = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether it was used."""
        return self._part is not None

    def whole(self) -> Any:
        """Return the part."""
        with self._lock:
            if self._part is None:
                # weights that are made in inference mode could not be moved
                with torch.inference_mode(False), torch.no_grad():
                    self._part = self._load()
        return self._part

    def __getattr__(self, name: str) -> Any:
        """Return what the part has by this name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.whole(), name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the part."""
        return self.whole()(*arguments, **keywords)


def known_embeddings(sha256: str, dtype: torch.dtype, texts: Sequence[str]) -> list[Conditioning] | None:
    """Return the cached embeddings of texts by the model of a hash, each [1, tokens, width]; None if one is missing."""
    found = []
    for text in texts:
        embedded = read_embedding(_key(sha256, dtype, text))
        if embedded is None:
            return None
        found.append(embedded)
    return found


def keep_embedding(sha256: str, dtype: torch.dtype, text: str, embedded: Conditioning) -> None:
    """Cache a text's embedding [1, tokens, width], if the cache can be written."""
    write_embedding(_key(sha256, dtype, text), embedded)


def _key(sha256: str, dtype: torch.dtype, text: str) -> str:
    # all that an embedding's bits depend on
    libraries = f"{torch.__version__} {version('transformers')}"
    machine = f"{device_name('cpu')} {torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"
    return hashlib.sha256(f"{sha256} {dtype} {libraries} {machine} {text}".encode()).hexdigest()[:40]
