"""What the network attends to: every prompt is embedded once, and a frame's mix is a blend of two embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from reactive.diffusion.models import Model

_CHUNK = 32


class PromptBank:
    """The embeddings of a clip's prompts.

    Parameters
    ----------
    model
        Whose text encoder embeds them.
    prompts
        The texts; a frame names them by index.
    used
        Indices of those that will be asked for; only they are embedded. Default: all.
    """

    def __init__(self, model: Model, prompts: Sequence[str], used: Iterable[int] | None = None) -> None:
        self.device = model.device
        wanted = sorted(set(used)) if used is not None else list(range(len(prompts)))
        self.texts = [prompts[index] for index in wanted]
        self.row = np.full(len(prompts), -1, np.int64)
        self.row[wanted] = np.arange(len(wanted))
        self.embeddings = _embed(model, self.texts)
        self.empty = _embed(model, [""])

    @classmethod
    def regrown(cls, bank: PromptBank | None, model: Model, prompts: Sequence[str]) -> PromptBank:
        """Return a bank of `prompts`, all of them; what an earlier bank of the same model knows is not embedded again."""
        if bank is None:
            return cls(model, prompts)
        known = {text: row for row, text in enumerate(bank.texts)}
        new = [text for text in dict.fromkeys(prompts) if text not in known]
        grown = cls.__new__(cls)
        grown.device, grown.empty = bank.device, bank.empty
        grown.texts = bank.texts + new
        known |= {text: row for row, text in enumerate(new, len(bank.texts))}
        grown.row = np.array([known[text] for text in prompts], np.int64)
        grown.embeddings = torch.cat([bank.embeddings, _embed(model, new)]) if new else bank.embeddings
        return grown

    def mix(self, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> torch.Tensor:
        """Return embeddings [n, tokens, width]: from `before` (weight 0) to `after` (weight 1).

        Parameters
        ----------
        before, after
            Prompt indices, int64 [n].
        weight
            float64 [n] in [0, 1].
        """
        start = self.embeddings[torch.from_numpy(self.row[before])]
        stop = self.embeddings[torch.from_numpy(self.row[after])]
        share = torch.from_numpy(np.asarray(weight, np.float32)).to(start.dtype).to(self.device).view(-1, 1, 1)
        return torch.lerp(start, stop, share)


@torch.inference_mode()
def _embed(model: Model, prompts: list[str]) -> torch.Tensor:
    """Return last hidden states [n, tokens, width], as the family's pipelines compute them.

    Each text runs in a batch of one shape, so that its embedding does not depend on which others there are.
    """
    length = model.tokenizer.model_max_length
    parts = []
    for first in range(0, len(prompts), _CHUNK):
        chunk = prompts[first : first + _CHUNK]
        padded = chunk + [chunk[-1]] * (_CHUNK - len(chunk))
        tokens = model.tokenizer(padded, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        hidden = model.text_encoder(tokens["input_ids"].to(model.device)).last_hidden_state
        parts.append(hidden[: len(chunk)])
    return torch.cat(parts)
