"""IP-Adapter in U-Nets: attention to the tokens of pictures beside those of texts (Ye et al. 2023, arXiv 2308.06721).

The weights are read by diffusers' own conversion. Its attention has one weight for a whole batch; here every item has its own
weight for each picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from torch.nn.functional import scaled_dot_product_attention

# the tokens of texts, those of pictures, and the pictures' weights
Attended = torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class WeightedPictures(IPAdapterAttnProcessor2_0):
    """Attention to texts and pictures; the parameters, and their names, are diffusers' own."""

    def __call__(  # type: ignore[override]
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Attended,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return what a layer attends to, [n, pixels, width].

        Parameters
        ----------
        attn
            The layer.
        hidden_states
            [n, pixels, width].
        encoder_hidden_states
            Tokens of texts [n, tokens, width], or these with tokens of pictures [n, pictures, tokens, width] and weights
            [n, pictures].
        attention_mask
            Which tokens of texts count, as diffusers has it: [n, 1, tokens], added before the softmax.
        """
        told = encoder_hidden_states
        texts, pictures, shares = told if isinstance(told, tuple) else (told, None, None)
        count, length = texts.shape[:2]
        mask = attention_mask
        if mask is not None:
            mask = attn.prepare_attention_mask(mask, length, count).view(count, attn.heads, -1, mask.shape[-1])

        def heads(rows: torch.Tensor) -> torch.Tensor:
            return rows.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query = heads(attn.to_q(hidden_states))
        seen = scaled_dot_product_attention(query, heads(attn.to_k(texts)), heads(attn.to_v(texts)), attn_mask=mask)
        if pictures is not None and shares is not None:
            for tokens, share in zip(pictures.unbind(1), shares.unbind(1), strict=True):
                key, value = heads(self.to_k_ip[0](tokens)), heads(self.to_v_ip[0](tokens))
                seen = seen + share.view(-1, 1, 1, 1) * scaled_dot_product_attention(query, key, value)
        output: torch.Tensor = attn.to_out[0](seen.transpose(1, 2).flatten(2))
        return output


def add_adapter(network: Any, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Put an IP-Adapter's weights into a U-Net; return the module that makes tokens of an encoded picture.

    Parameters
    ----------
    network
        diffusers' U-Net, without an adapter.
    weights
        Tensors by the names of the published files: ``image_proj.`` and ``ip_adapter.``.

    Raises
    ------
    ValueError
        With what does not fit: an adapter for another network, or of faces.
    """
    parts = {part: _under(weights, f"{part}.") for part in ("image_proj", "ip_adapter")}
    if not all(parts.values()):
        raise ValueError("is no IP-Adapter")
    pictures = parts["image_proj"]
    faces = "proj.2.weight" in pictures and "proj.3.weight" not in pictures
    if faces or any("lora" in key for key in parts["ip_adapter"]):
        raise ValueError("is an adapter of faces, which needs a detector of faces")
    layers = [name for name in network.attn_processors if name.endswith("attn2.processor")]
    keys = [key for key in parts["ip_adapter"] if key.endswith("to_k_ip.weight")]
    width = int(network.config.cross_attention_dim)
    made_for = int(parts["ip_adapter"][keys[0]].shape[1]) if keys else 0
    if made_for != width or len(keys) != len(layers):
        raise ValueError(
            f"was made for a network of {len(keys)} layers and tokens {made_for} wide, not of {len(layers)} and {width}"
        )
    told = network.config.encoder_hid_dim_type
    network._load_ip_adapter_weights([parts], low_cpu_mem_usage=False)
    # pictures are projected once, not at each step
    projection: torch.nn.Module = network.encoder_hid_proj.image_projection_layers[0]
    network.encoder_hid_proj, network.config.encoder_hid_dim_type = None, told
    network.set_attn_processor(
        {
            name: _weighted(processor) if name in layers else processor
            for name, processor in network.attn_processors.items()
        }
    )
    return projection.requires_grad_(False).eval()


def _weighted(read: Any) -> WeightedPictures:
    made = WeightedPictures(read.hidden_size, read.cross_attention_dim, read.num_tokens)  # type: ignore[no-untyped-call]
    made.to_k_ip, made.to_v_ip = read.to_k_ip, read.to_v_ip
    return made


def _under(weights: Mapping[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}
