"""Toy models of every family: random weights in the family's own classes, saved in diffusers' format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
TOKENS = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]


def tokenizer(pad: str = "<|endoftext|>") -> Any:
    """A tokenizer of single letters."""
    from transformers import CLIPTokenizer

    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16, pad_token=pad)


def text_encoder(*, projected: bool = False, act: str = "quick_gelu", width: int = 16) -> Any:
    """A text encoder of three layers."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(TOKENS),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=16,
        eos_token_id=len(TOKENS) - 1,
        bos_token_id=len(TOKENS) - 2,
        pad_token_id=len(TOKENS) - 1,
        hidden_act=act,
        projection_dim=width,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def autoencoder(*, tiny: bool = False, channels: int = 4) -> Any:
    """An autoencoder with eight pixels a latent."""
    from diffusers import AutoencoderKL, AutoencoderTiny

    if tiny:
        return AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            num_encoder_blocks=(0, 0, 0, 1),
            num_decoder_blocks=(1, 0, 0, 0),
            latent_channels=channels,
        )
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=64,
        scaling_factor=0.18215,
    )


def save_toy(
    folder: Path, *, family: str = "sd", scheduler: dict[str, Any] | None = None, told: int | None = None, seed: int = 0
) -> Path:
    """Save a toy pipeline.

    Parameters
    ----------
    family
        ``sd`` (as 1.5), ``sd2`` (linear projections, several heads) or ``sdxl``.
    scheduler
        Class (``kind``) and options.
    told
        Width of the guidance embedding of an LCM.
    """
    import diffusers

    torch.manual_seed(seed)
    xl = family == "sdxl"
    more: dict[str, Any] = {"attention_head_dim": 2}
    if family == "sd2":
        more = {"attention_head_dim": (2, 4), "use_linear_projection": True, "upcast_attention": True}
    if xl:
        more = {
            "attention_head_dim": (2, 4),
            "use_linear_projection": True,
            "transformer_layers_per_block": (1, 2),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 6 * 8,
        }
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=2,
        norm_num_groups=4,
        cross_attention_dim=48 if xl else 16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        time_cond_proj_dim=told,
        **more,
    )
    options = {
        "kind": "DDIMScheduler",
        "steps_offset": 1,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        **({"clip_sample": False} if scheduler is None else scheduler),
    }
    kind = options.pop("kind")
    parts: dict[str, Any] = {
        "unet": unet,
        "vae": autoencoder(),
        "text_encoder": text_encoder(),
        "tokenizer": tokenizer(),
        "scheduler": getattr(diffusers, kind)(**options),
    }
    if xl:
        parts |= {"text_encoder_2": text_encoder(projected=True, act="gelu", width=32), "tokenizer_2": tokenizer("a")}
    with torch.no_grad():
        # random weights hardly react to their input; scaled ones let tests distinguish pictures
        unet.conv_out.weight.mul_(3)
        parts["vae"].decoder.conv_out.weight.mul_(4)
    pipeline = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        library = "diffusers" if name in ("unet", "vae", "scheduler") else "transformers"
        index[name] = [library, type(part).__name__]
    for name in ("safety_checker", "feature_extractor", "image_encoder"):
        if not (xl and name == "safety_checker"):
            index[name] = [None, None]
    if xl:
        index["force_zeros_for_empty_prompt"] = True
    else:
        index["requires_safety_checker"] = False
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
