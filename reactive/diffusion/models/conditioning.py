"""Conditioning: every prompt is embedded once, and a frame's mix is a blend of two embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch

from reactive.diffusion.backend.out_of_memory import reported_in_one_line
from reactive.diffusion.models.families import Conditioning, blend, choose, join, turn
from reactive.diffusion.models.large_texts import LargeTexts
from reactive.diffusion.models.later import LaterPart, keep_embedding, known_embeddings
from reactive.diffusion.models.model import Model
from reactive.diffusion.models.text_encoders import embedding_device, on_device
from reactive.diffusion.models.text_order import embed_large
from reactive.diffusion.models.varying_lora import at_strengths
from reactive.diffusion.models.weighting import is_plain


class PromptBank:
    """The embeddings of a clip's prompts.

    Parameters
    ----------
    model
        The model with the text encoders.
    prompts
        The texts; a frame names them by index.
    used
        Indices of the prompts that will be used; only they are embedded. Default: all.
    negatives
        The negative of each prompt; empty for none. They have an effect with guidance only.
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
        self.texts = [prompts[index] for index in wanted]
        self.row = np.full(len(prompts), -1, np.int64)
        self.row[wanted] = np.arange(len(wanted))
        texts = [negatives[index] for index in wanted] if negatives and model.guidance != 1.0 else []
        model = _all_at_once(model, [*self.texts, *texts, ""])
        self.embeddings = _embed(model, self.texts)
        self.negatives = _negative(model, texts) if any(texts) else None
        self.empty = _negative(model, [""])
        # by the number of a LoRA that changes text encoders too: the same embeddings at its strength 1
        self.changed: dict[int, tuple[Conditioning, Conditioning | None, Conditioning]] = {}
        for number in _of_texts(model):
            with at_strengths(_one_of(model, number)):
                negative = _negative(model, texts) if any(texts) else None
                self.changed[number] = _embed(model, self.texts), negative, _negative(model, [""])

    @classmethod
    def extended(
        cls, bank: PromptBank | None, model: Model, prompts: Sequence[str], negatives: Sequence[str] = ()
    ) -> PromptBank:
        """Return a bank of all `prompts`; prompts of an earlier bank of the same model are not embedded again."""
        if bank is None or (any(negatives) and model.guidance != 1.0) or bank.negatives is not None:
            return cls(model, prompts, negatives=negatives)
        known = {text: row for row, text in enumerate(bank.texts)}
        new = [text for text in dict.fromkeys(prompts) if text not in known]
        grown = copy(bank)
        grown.texts = bank.texts + new
        known |= {text: row for row, text in enumerate(new, len(bank.texts))}
        grown.row = np.array([known[text] for text in prompts], np.int64)
        if new:
            grown.embeddings = join(bank.embeddings, _embed(model, new))
            grown.changed = {}
            for number, (known_texts, negative, empty) in bank.changed.items():
                with at_strengths(_one_of(model, number)):
                    grown.changed[number] = join(known_texts, _embed(model, new)), negative, empty
        return grown

    def mix(
        self,
        before: np.ndarray,
        after: np.ndarray,
        weight: np.ndarray,
        slerp: np.ndarray | None = None,
        loras: torch.Tensor | None = None,
    ) -> Conditioning:
        """Return the conditioning of n items, float32: from `before` (weight 0) to `after` (weight 1).

        Parameters
        ----------
        before, after
            Prompt indices, int64 [n].
        weight
            float64 [n] in [0, 1].
        slerp
            bool [n]: which go along the arc between the two; default none.
        loras
            The strengths of LoRAs, [n, loras]. What they change of embeddings is in proportion to the strength.
        """
        changed = {number: texts for number, (texts, _, _) in self.changed.items()}
        start, stop, share = self._ends(self.embeddings, before, after, weight, changed, loras)
        mixed = blend(start, stop, share)
        if slerp is None or not slerp.any():
            return mixed
        chosen = torch.from_numpy(slerp.astype(bool)).to(self.device)
        return choose(chosen, turn(start, stop, share), mixed)

    def mix_negative(
        self, before: np.ndarray, after: np.ndarray, weight: np.ndarray, loras: torch.Tensor | None = None
    ) -> Conditioning:
        """Return the negatives, mixed like the prompts; the empty text for prompts without one."""
        if self.negatives is None:
            changed = {number: empty.expand(len(before)) for number, (_, _, empty) in self.changed.items()}
            return _at(self.empty.expand(len(before)), changed, loras)
        known = {number: negative for number, (_, negative, _) in self.changed.items() if negative is not None}
        return blend(*self._ends(self.negatives, before, after, weight, known, loras))

    def _ends(
        self,
        table: Conditioning,
        before: np.ndarray,
        after: np.ndarray,
        weight: np.ndarray,
        changed: Mapping[int, Conditioning],
        loras: torch.Tensor | None,
    ) -> tuple[Conditioning, Conditioning, torch.Tensor]:
        def end(numbers: np.ndarray) -> Conditioning:
            rows = torch.from_numpy(self.row[numbers])
            return _at(table[rows], {number: texts[rows] for number, texts in changed.items()}, loras)

        return end(before), end(after), torch.from_numpy(np.asarray(weight, np.float32)).to(self.device)


def texts_to_embed(prompts: Sequence[str], negatives: Sequence[str], used: Iterable[int]) -> tuple[str, ...]:
    """Return the texts that a bank of these prompts embeds, for `load_model`.

    Parameters
    ----------
    prompts, negatives, used
        As `PromptBank` has them.
    """
    wanted = sorted(set(used))
    away = [negatives[index] for index in wanted] if negatives else []
    return tuple(dict.fromkeys(text for text in [*(prompts[index] for index in wanted), *away] if text))


def _at(texts: Conditioning, changed: Mapping[int, Conditioning], loras: torch.Tensor | None) -> Conditioning:
    """Return embeddings as LoRAs change them, float32.

    Parameters
    ----------
    texts
        For n items, at strength 0.
    changed
        The same at strength 1 of a LoRA, by its number.
    loras
        Strengths [n, loras].
    """
    # in a half format a slow blend would have visible steps
    exact = texts.to(torch.float32)
    tokens, pooled = exact.tokens, exact.pooled
    if loras is None:
        return exact
    for number, there in changed.items():
        full, share = there.to(torch.float32), loras[:, number]
        tokens = tokens + share.view(-1, *(1,) * (tokens.dim() - 1)) * (full.tokens - exact.tokens)
        if pooled is not None and full.pooled is not None and exact.pooled is not None:
            pooled = pooled + share.view(-1, 1) * (full.pooled - exact.pooled)
    return replace(exact, tokens=tokens, pooled=pooled)


def _of_texts(model: Model) -> list[int]:
    """Return the numbers of the LoRAs that change text encoders too."""
    return [number for number, lora in enumerate(model.loras) if lora.texts]


def _one_of(model: Model, number: int) -> torch.Tensor:
    """Return strengths [1, loras]: one LoRA at 1, the others at 0."""
    return torch.eye(len(model.loras))[number : number + 1].to(model.device)


@torch.inference_mode()
def _embed(model: Model, prompts: list[str]) -> Conditioning:
    """Return the conditioning of each text, as the family's pipelines compute it.

    Each text runs in a batch of one shape, so that its embedding does not depend on the others.
    """
    if model.texts is not None:
        return _embed_large(model, model.texts, prompts)
    later = isinstance(model.text_encoder, LaterPart)
    if later and not model.text_encoder.loaded:
        known = known_embeddings(model.sha256, model.dtype, prompts)
        if known is not None:
            return join(*known).to(model.dtype, model.device)
    parts = []
    with reported_in_one_line("embed its prompts", model.name), on_device(model):
        size = model.family.text_batch
        for first in range(0, len(prompts), size):
            chunk = prompts[first : first + size]
            padded = chunk + [chunk[-1]] * (size - len(chunk))
            parts.append(model.family.embed(model, padded)[: len(chunk)])
            # others are embedded in the lengths of their neighbours
            if later and is_plain(model.tokenizer, padded):
                for row, text in enumerate(chunk):
                    keep_embedding(model.sha256, model.dtype, text, parts[-1][row : row + 1])
        return join(*parts).to(model.dtype, model.device)


def _embed_large(model: Model, texts: LargeTexts, prompts: list[str]) -> Conditioning:
    """Return the conditioning of each text: as embedded before the network was loaded, or else beside it."""
    known = _known(model, texts, prompts)
    return join(*(known[prompt].to(model.dtype, model.device) for prompt in prompts))


def _known(model: Model, texts: LargeTexts, prompts: Sequence[str]) -> Mapping[str, Conditioning]:
    missing = [prompt for prompt in prompts if prompt not in texts.ready]
    if not missing:
        return texts.ready
    device = embedding_device(model)
    number_format = model.dtype if device.type == model.device.type else torch.float32
    later = embed_large(
        texts, model.family, model.network.config, missing, name=model.name, device=device, dtype=number_format
    )
    return {**texts.ready, **later}


def _all_at_once(model: Model, prompts: Sequence[str]) -> Model:
    """Return a model whose large text encoders, if it has such, have embedded all of the texts, so that they are loaded once."""
    if model.texts is None:
        return model
    return replace(model, texts=replace(model.texts, ready=_known(model, model.texts, prompts)))


def _negative(model: Model, texts: list[str]) -> Conditioning:
    embedded = _embed(model, texts)
    if not model.zero_negative:
        return embedded
    # such models were trained with zeros for a missing text
    said = torch.tensor([bool(text) for text in texts]).to(model.device)
    pooled = None if embedded.pooled is None else torch.zeros_like(embedded.pooled)
    return choose(said, embedded, Conditioning(torch.zeros_like(embedded.tokens), pooled, embedded.mask))
