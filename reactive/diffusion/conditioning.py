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
    negatives
        What each prompt keeps away from, as many as there are prompts; empty for none. Only guidance heeds them.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[str],
        used: Iterable[int] | None = None,
        negatives: Sequence[str] = (),
    ) -> None:
        self.device = model.device
        wanted = sorted(set(used)) if used is not None else list(range(len(prompts)))
        self.row = np.full(len(prompts), -1, np.int64)
        self.row[wanted] = np.arange(len(wanted))
        self.embeddings = _embed(model, [prompts[index] for index in wanted])
        self.empty = _embed(model, [""])
        texts = [negatives[index] for index in wanted] if negatives and model.guidance != 1.0 else []
        self.negatives = _embed(model, texts) if any(texts) else None

    def mix(
        self, before: np.ndarray, after: np.ndarray, weight: np.ndarray, slerp: np.ndarray | None = None
    ) -> torch.Tensor:
        """Return embeddings [n, tokens, width]: from `before` (weight 0) to `after` (weight 1).

        Parameters
        ----------
        before, after
            Prompt indices, int64 [n].
        weight
            float64 [n] in [0, 1].
        slerp
            bool [n]: which go along the arc between the two; default none.
        """
        mixed = self._straight(self.embeddings, before, after, weight)
        if slerp is None or not slerp.any():
            return mixed
        start, stop, share = self._ends(self.embeddings, before, after, weight)
        chosen = torch.from_numpy(slerp.astype(bool)).to(self.device).view(-1, 1, 1)
        return torch.where(chosen, along_arc(start, stop, share), mixed)

    def mix_negative(self, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> torch.Tensor:
        """Return what the prompts keep away from, mixed as they are, [n, tokens, width]; where none says, the empty text."""
        if self.negatives is None:
            return self.empty.expand(len(before), -1, -1)
        return self._straight(self.negatives, before, after, weight)

    def _straight(self, table: torch.Tensor, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> torch.Tensor:
        return torch.lerp(*self._ends(table, before, after, weight))

    def _ends(
        self, table: torch.Tensor, before: np.ndarray, after: np.ndarray, weight: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        start = table[torch.from_numpy(self.row[before])]
        stop = table[torch.from_numpy(self.row[after])]
        share = torch.from_numpy(np.asarray(weight, np.float32)).to(start.dtype).to(self.device).view(-1, 1, 1)
        return start, stop, share


def along_arc(start: torch.Tensor, stop: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return each token's vector turned from `start` to `stop` at an even pace, its length changing straight (slerp).

    Parameters
    ----------
    start, stop
        [n, tokens, width].
    share
        [n, 1, 1] in [0, 1].
    """
    first, last = start.float(), stop.float()
    lengths = first.norm(dim=-1, keepdim=True), last.norm(dim=-1, keepdim=True)
    one, two = first / lengths[0].clamp_min(1e-9), last / lengths[1].clamp_min(1e-9)
    angle = (one * two).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * two) / sine.clamp_min(1e-6)
    # nearly the same direction: the chord is the arc
    turned = torch.where(sine < 1e-3, torch.lerp(one, two, share.float()), turned)
    return (turned * torch.lerp(lengths[0], lengths[1], share.float())).to(start.dtype)


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
