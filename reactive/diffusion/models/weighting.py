r"""Weights within prompts, as the web interfaces read them, and texts longer than an encoder takes at once.

=================  ==================================================================
``(word)``         weighs 1.1 times as much, ``((word))`` 1.1 times 1.1
``(word:1.3)``     weighs 1.3 times as much; 0 to 10
``[word]``         weighs as much as divided by 1.1
``\(``, ``\[``     the bracket itself
=================  ==================================================================

Brackets can be nested. An unmatched one is an ordinary letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

_UP, _DOWN = 1.1, 1 / 1.1
_PART = re.compile(r"\\[()\[\]\\]|:\s*(?P<weight>\d+(?:\.\d*)?|\.\d+)\s*\)|[()\[\]]|[^\\()\[\]:]+|.", re.DOTALL)
_MOST = 10.0
# encodes token ids [n, length] as vectors [n, length, width], and one vector a text or None
Encoder = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]


def weighted_pieces(text: str) -> list[tuple[str, float]]:
    """Return a prompt's pieces of text, each with its weight; neighbours of equal weight are merged."""
    pieces: list[tuple[str, float]] = []
    opened: list[tuple[str, int]] = []

    def close(bracket: str, letters: str, factor: float) -> None:
        if opened and opened[-1][0] == bracket:
            _, first = opened.pop()
            pieces[first] = ("", 1.0)
            pieces[first + 1 :] = [(piece, weight * factor) for piece, weight in pieces[first + 1 :]]
        else:
            pieces.append((letters, 1.0))

    for found in _PART.finditer(text):
        letters = found.group()
        if letters in ("(", "["):
            opened.append((letters, len(pieces)))
            # an ordinary letter unless it is closed
            pieces.append((letters, 1.0))
        elif found["weight"] is not None:
            close("(", letters, min(float(found["weight"]), _MOST))
        elif letters == ")":
            close("(", letters, _UP)
        elif letters == "]":
            close("[", letters, _DOWN)
        else:
            pieces.append((letters[1:] if letters[0] == "\\" and len(letters) > 1 else letters, 1.0))
    joined: list[tuple[str, float]] = []
    for piece, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = joined[-1][0] + piece, weight
        elif piece:
            joined.append((piece, weight))
    return joined


def unweighted(text: str) -> str:
    """Return a prompt without its weights, for encoders that take none."""
    return "".join(piece for piece, _ in weighted_pieces(text))


def is_plain(tokenizer: Any, texts: list[str]) -> bool:
    """Return whether texts have no brackets and fit into an encoder's length."""
    if any(set(text) & set("()[]\\") for text in texts):
        return False
    return all(len(ids) <= tokenizer.model_max_length for ids in tokenizer(texts)["input_ids"])


def embed_weighted(
    tokenizer: Any, encode: Encoder, texts: list[str], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Return texts' vectors [n, tokens, width], the pooled ones of their beginnings, and which tokens count, bool [n, tokens].

    Each text goes through the encoder in as many parts as it needs, side by side. A token's vector is multiplied by its weight,
    and all are scaled so that their mean stays what it was.
    """
    parts = [_embed_one(tokenizer, encode, text, device) for text in texts]
    longest = max(len(tokens) for tokens, _ in parts)
    mask = torch.tensor([[place < len(tokens) for place in range(longest)] for tokens, _ in parts], device=device)
    pooled = [first for _, first in parts if first is not None]
    tokens = torch.nn.utils.rnn.pad_sequence([tokens for tokens, _ in parts], batch_first=True)
    return tokens, torch.stack(pooled) if pooled else None, mask


def _embed_one(
    tokenizer: Any, encode: Encoder, text: str, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    ids: list[int] = []
    weights: list[float] = []
    for piece, weight in weighted_pieces(text):
        found = tokenizer(piece, add_special_tokens=False)["input_ids"]
        ids += found
        weights += [weight] * len(found)
    room = int(tokenizer.model_max_length) - 2
    rows, factors = [], []
    for first in range(0, max(len(ids), 1), room):
        part, heavy = ids[first : first + room], weights[first : first + room]
        missing = room - len(part)
        rows.append([tokenizer.bos_token_id, *part, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * missing])
        factors.append([1.0, *heavy, *[1.0] * (missing + 1)])
    tokens, pooled = encode(torch.tensor(rows, device=device))
    if any(weight != 1.0 for weight in weights):
        heavier = tokens * torch.tensor(factors, device=device, dtype=tokens.dtype)[..., None]
        mean = heavier.float().mean()
        tokens = heavier * (tokens.float().mean() / mean).to(tokens.dtype) if float(mean) else heavier
    return tokens.flatten(0, 1), None if pooled is None else pooled[0]
