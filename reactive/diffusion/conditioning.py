"""What the network attends to: every prompt is embedded once, and a frame's mix is a blend of two embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from reactive.diffusion.families import Conditioning, blend, join
from reactive.diffusion.models import Model

_CHUNK = 32


class PromptBank:
    """The embeddings of a clip's prompts.

    Parameters
    ----------
    model
        Whose text encoders embed them.
    prompts
        The texts; a frame names them by index.
    used
        Indices of those that will be asked for; only they are embedded. Default: all.
    negative
        What classifier-free guidance leads away from. Default: no text at all.
    """

    def __init__(
        self, model: Model, prompts: Sequence[str], used: Iterable[int] | None = None, *, negative: str = ""
    ) -> None:
        self.device = model.device
        wanted = sorted(set(used)) if used is not None else list(range(len(prompts)))
        self.row = np.full(len(prompts), -1, np.int64)
        self.row[wanted] = np.arange(len(wanted))
        self.embeddings = _embed(model, [prompts[index] for index in wanted])
        self.negative = _negative(model, negative)

    def mix(self, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> Conditioning:
        """Return the conditioning of n items: from `before` (weight 0) to `after` (weight 1).

        Parameters
        ----------
        before, after
            Prompt indices, int64 [n].
        weight
            float64 [n] in [0, 1].
        """
        start = self.embeddings[torch.from_numpy(self.row[before])]
        stop = self.embeddings[torch.from_numpy(self.row[after])]
        share = torch.from_numpy(np.asarray(weight, np.float32)).to(start.tokens.dtype).to(self.device)
        return blend(start, stop, share)


@torch.inference_mode()
def _embed(model: Model, prompts: list[str]) -> Conditioning:
    """Return the conditioning of each text, as the family's pipelines compute it.

    Each text runs in a batch of one shape, so that its embedding does not depend on which others there are.
    """
    parts = []
    for first in range(0, len(prompts), _CHUNK):
        chunk = prompts[first : first + _CHUNK]
        padded = chunk + [chunk[-1]] * (_CHUNK - len(chunk))
        parts.append(model.family.embed(model, padded)[: len(chunk)])
    return join(*parts)


def _negative(model: Model, text: str) -> Conditioning:
    embedded = _embed(model, [text])
    if text or not model.zero_negative:
        return embedded
    # such models were trained with nothing at all in place of a missing text
    pooled = None if embedded.pooled is None else torch.zeros_like(embedded.pooled)
    return Conditioning(torch.zeros_like(embedded.tokens), pooled)
