"""The meaning of a short text as one vector: the mean of its words' embeddings in ember's text encoder.

That encoder was trained to imitate a large sentence encoder. The mean of its tokens' embeddings, over the words
that name things, finds fitting pictures more often than its pooled output does: of the one or two pictures that were chosen by
eye for each of 204 prompts it has one first for 26 % of them, the pooled output for 15 %. And it needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ENCODER = Path(__file__).resolve().parent.parent / "ember" / "model"
_TABLE = "embeddings.token_embedding.weight"


def embed(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the mean embedding of each list of words, float32 [texts, width]; zero for a list without words."""
    tokenizer, table = _encoder()
    found = np.zeros((len(texts), table.shape[1]), np.float32)
    for number, words in enumerate(texts):
        tokens = tokenizer.encode(" ".join(words), add_special_tokens=False).ids
        if tokens:
            found[number] = table[tokens].mean(axis=0)
    return found


def cosines(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the cosine of one vector [width] with each of several [texts, width], -1 to 1; 0 where one is zero."""
    lengths = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
    return others @ one / np.maximum(lengths, 1e-9)


@cache
def _encoder() -> tuple[Any, np.ndarray]:
    """Return the tokenizer, and the embedding of each token, float32 [tokens, width]."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    with safe_open(ENCODER / "text_encoder" / "model.safetensors", "np") as file:
        (name,) = (name for name in file.keys() if name.endswith(_TABLE))  # noqa: SIM118
        table = file.get_tensor(name).astype(np.float32)
    return Tokenizer.from_file(str(ENCODER / "tokenizer" / "tokenizer.json")), table
