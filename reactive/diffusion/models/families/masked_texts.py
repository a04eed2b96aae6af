"""Attention of control networks to texts of different lengths."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0


class MaskedTexts(AttnProcessor2_0):
    """Attention to texts of which some tokens do not count; control networks of diffusers take no such mask."""

    def __call__(  # type: ignore[override]
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return what a layer attends to: texts [n, tokens, width], or these with a mask, bool [n, tokens]."""
        texts, mask = encoder_hidden_states, attention_mask
        if isinstance(texts, tuple):
            texts, counted = texts
            # as a U-Net makes it of its own mask
            mask = ((1 - counted.to(texts.dtype)) * -10000.0).unsqueeze(1)
        output: torch.Tensor = super().__call__(attn, hidden_states, texts, mask)
        return output
