"""The names of matrices in LoRA files of all programs and years, and the strengths in their configurations.

========================================================================= ==========================================
``unet.<layer>.lora_A.weight``, with an adapter's name before ``weight``  diffusers and PEFT
``base_model.model.<layer>.lora_A.weight``                                PEFT's own folder, no part named
``<layer>.processor.to_q_lora.down.weight``, no part named                diffusers of 2023, ``save_attn_procs``
``text_encoder.<layer>.lora_linear_layer.up.weight``                      diffusers 0.17 to 0.22
``lora_unet_<layer>.lora_down.weight``, ``lora_te1_``                     kohya and the web interfaces
``diffusion_model.input_blocks.4.1...lora_A.weight``                      names of the original release
``unet:0:up``                                                             the first program of 2022, see `numbered_lora`
``transformer.<layer>.lora_A.weight``                                     diffusers and PEFT, of transformers
``<layer>.lora_magnitude_vector``, ``<layer>.dora_scale``                 DoRA of PEFT, and of kohya and LyCORIS
========================================================================= ==========================================
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

_ENDING = re.compile(
    r"[._]lora(?:_linear_layer)?[._](?P<kind>A|B|down|up)(?:\.(?!weight$)[\w-]+)?\.weight$"
    r"|\.lora_(?P<length>magnitude_vector)(?:\.(?!weight$)[\w-]+)?(?:\.weight)?$"
    r"|(?:[._]lora)?[._](?P<other>alpha|dora_scale)$"
)
_KINDS = {
    "A": "down",
    "down": "down",
    "B": "up",
    "up": "up",
    "alpha": "alpha",
    "magnitude_vector": "row lengths",
    "dora_scale": "lengths",
}
# longest first: one is the beginning of another
_PREFIXES = {
    "lora_unet_": "network",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
    "model.diffusion_model.": "network",
    "diffusion_model.": "network",
    "unet.": "network",
    "lora_transformer_": "network",
    "transformer.": "network",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder.": "text_encoder",
}
# beginnings of layers if no part is named
_BARE = {
    "network": (
        "down_blocks",
        "up_blocks",
        "mid_block",
        "conv_in.",
        "conv_out.",
        "time_embedding",
        "add_embedding",
        "input_blocks",
        "output_blocks",
        "middle_block",
        "transformer_blocks",
        "single_transformer_blocks",
        "layers.",
        "noise_refiner",
        "context_refiner",
        "context_embedder",
        "x_embedder",
        "proj_out",
    ),
    "text_encoder": ("text_model", "encoder.layers", "embeddings."),
}
# names of the network in configurations
_CALLED = {"network": ("unet", "transformer")}
_WRAPPER = "base_model.model."
# diffusers of 2023 named a text encoder's projections like the network's
_TEXT_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
PARTS = ("network", "text_encoder", "text_encoder_2")


def name_of(key: str) -> tuple[str, str, str] | None:
    """Return part, layer and kind of a matrix; None if it is not a LoRA's name.

    The kinds are ``up``, ``down``, ``alpha`` and, of a DoRA, ``row lengths`` (PEFT) or ``lengths`` of rows or columns (kohya, LyCORIS).
    """
    ending = _ENDING.search(key)
    if ending is None:
        return None
    kind = _KINDS[ending["kind"] or ending["length"] or ending["other"]]
    part, layer = _part(key[: ending.start()])
    if not part:
        return None
    # older files of diffusers name the attention's processor
    layer = layer.replace(".processor", "")
    if part != "network":
        head, _, last = layer.rpartition(".")
        layer = f"{head}.{_TEXT_NAMES[last]}" if last in _TEXT_NAMES else layer
    return part, layer, kind


def _part(layer: str) -> tuple[str, str]:
    layer = layer.removeprefix(_WRAPPER)
    for prefix, part in _PREFIXES.items():
        if layer.startswith(prefix):
            return part, layer.removeprefix(prefix).removeprefix(_WRAPPER)
    return next((part for part, heads in _BARE.items() if layer.startswith(heads)), ""), layer


@dataclass(frozen=True)
class Strength:
    """The strength of a part in a PEFT configuration: alpha, that of single layers, and how it is divided by the rank."""

    alpha: float | None = None
    patterns: dict[str, float] = field(default_factory=dict)
    by_root: bool = False

    def alpha_of(self, layer: str, rank: int) -> float | None:
        """Return the alpha of a layer so that alpha / rank is its strength, or None if there is none."""
        fitting = [alpha for name, alpha in self.patterns.items() if layer == name or layer.endswith(f".{name}")]
        alpha = fitting[0] if fitting else self.alpha
        if alpha is None:
            return None
        # rank-stabilised LoRA: alpha / sqrt(rank), Kalajdzievski 2023, arXiv 2312.03732
        return alpha * math.sqrt(rank) if self.by_root else alpha


def strengths_of(config: dict[str, Any]) -> dict[str, Strength]:
    """Return a configuration's strengths by part; keys may begin with the part, as in ``unet.lora_alpha``.

    Raises
    ------
    ValueError
        If an alpha is not a finite number.
    """
    found: dict[str, Strength] = {}
    for part in PARTS:
        heads = tuple(f"{name}." for name in _CALLED.get(part, (part,)))
        own = {key.partition(".")[2]: value for key, value in config.items() if key.startswith(heads)}
        told = own or {key: value for key, value in config.items() if "." not in key}
        if "lora_alpha" in told or told.get("alpha_pattern"):
            patterns = told.get("alpha_pattern")
            found[part] = Strength(
                _alpha(told["lora_alpha"]) if "lora_alpha" in told else None,
                {str(k): _alpha(v) for k, v in patterns.items()} if isinstance(patterns, dict) else {},
                told.get("use_rslora") is True,
            )
    return found


def _alpha(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e6:
        raise ValueError("says a LoRA's alpha that is no number")
    return float(value)
