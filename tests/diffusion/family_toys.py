"""Toy models of the transformer families: random weights in each family's own classes, saved by its own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.diffusion.toys import autoencoder, text_encoder, tokenizer

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(kind: str = "Qwen2Tokenizer") -> Any:
    """A tokenizer of single bytes, with the chat template that pipelines need."""
    import transformers

    from reactive.diffusion.models.single_file import byte_letters

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    tokens = {token: number for number, token in enumerate([*special, *byte_letters(), "▁"])}
    made = getattr(transformers, kind)(
        vocab=tokens,
        merges=[],
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    made.chat_template = CHAT
    made.padding_side = "right"
    return made


def t5_tokenizer() -> Any:
    """A tokenizer of single letters in T5's format."""
    from transformers import T5TokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0), *((letter, -3.0) for letter in letters)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0)


def qwen3(*, layers: int, language: bool = False) -> Any:
    """Qwen3 of toy width."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    config = Qwen3Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
    )
    return (Qwen3ForCausalLM if language else Qwen3Model)(config)


def t5(width: int = 16) -> Any:
    """T5's encoder of toy width."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=40, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2))


def klein() -> Any:
    import diffusers

    vae = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
    )
    with torch.no_grad():
        vae.bn.running_mean.normal_()
        vae.bn.running_var.uniform_(0.5, 2)
    return diffusers.Flux2KleinPipeline(
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            axes_dims_rope=(4, 4, 4, 4),
            timestep_guidance_channels=16,
            guidance_embeds=False,
        ),
        vae=vae,
        text_encoder=qwen3(layers=28, language=True),
        tokenizer=byte_tokenizer(),
        is_distilled=True,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def z_image() -> Any:
    import diffusers

    return diffusers.ZImagePipeline(
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=[4, 6, 6],
            axes_lens=[640, 64, 64],
        ),
        vae=diffusers.AutoencoderKL(**dict(autoencoder().config) | {"shift_factor": 0.1}),
        text_encoder=qwen3(layers=2),
        tokenizer=byte_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def sana_sprint() -> Any:
    import diffusers
    from transformers import Gemma2Config, Gemma2Model

    text = Gemma2Model(
        Gemma2Config(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )
    return diffusers.SanaSprintPipeline(
        transformer=diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=8,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=16,
            sample_size=2,
            patch_size=1,
            guidance_embeds=True,
            qk_norm="rms_norm_across_heads",
            timestep_scale=1000.0,
        ),
        vae=diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=4,
            encoder_block_types=("ResBlock",) * 6,
            decoder_block_types=("ResBlock",) * 6,
            encoder_block_out_channels=(8,) * 6,
            decoder_block_out_channels=(8,) * 6,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            encoder_qkv_multiscales=((),) * 6,
            decoder_qkv_multiscales=((),) * 6,
            upsample_block_type="interpolate",
            downsample_block_type="stride_conv",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        ),
        text_encoder=text,
        tokenizer=byte_tokenizer("GemmaTokenizer"),
        scheduler=diffusers.SCMScheduler(),
    )


def sd3(*, layers: int = 1) -> Any:
    import diffusers

    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            num_layers=layers,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            out_channels=4,
            pos_embed_max_size=16,
        ),
        vae=diffusers.AutoencoderKL(**dict(autoencoder().config) | {"shift_factor": 0.1}),
        text_encoder=text_encoder(projected=True),
        tokenizer=tokenizer(),
        text_encoder_2=text_encoder(projected=True, act="gelu"),
        tokenizer_2=tokenizer("a"),
        text_encoder_3=t5(32),
        tokenizer_3=t5_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux(*, guidance: bool = True, layers: int = 1) -> Any:
    import diffusers

    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=layers,
            num_single_layers=layers,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        ),
        vae=diffusers.AutoencoderKL(**dict(autoencoder().config) | {"shift_factor": 0.1}),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guidance),
    )


def schnell(*, layers: int = 1) -> Any:
    return flux(guidance=False, layers=layers)


def qwen_autoencoder() -> Any:
    """Qwen-Image's autoencoder of toy width."""
    import diffusers

    return diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.1, 0.9, 1.3, 0.7],
    )


def krea2() -> Any:
    import diffusers
    from transformers import Qwen3VLConfig, Qwen3VLModel

    turned = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 36,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "pad_token_id": 0,
        "rope_parameters": turned,
    }
    sight = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
        "deepstack_visual_indexes": [0],
    }
    return diffusers.Krea2Pipeline(
        transformer=diffusers.Krea2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=32,
            timestep_embed_dim=16,
            text_hidden_dim=16,
            text_num_attention_heads=2,
            text_num_key_value_heads=2,
            text_intermediate_size=16,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 6, 6),
        ),
        vae=qwen_autoencoder(),
        text_encoder=Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=sight)),
        tokenizer=byte_tokenizer(),
        is_distilled=True,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_image_seq_len=6400),
    )


def qwen_image(*, layers: int = 1) -> Any:
    import diffusers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "pad_token_id": 0,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4},
    }
    sight = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    return diffusers.QwenImagePipeline(
        transformer=diffusers.QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=layers,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(4, 6, 6),
        ),
        vae=qwen_autoencoder(),
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=sight)),
        tokenizer=byte_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
        ),
    )


TOYS = {
    "flux2-klein": klein,
    "z-image": z_image,
    "sana-sprint": sana_sprint,
    "sd3": sd3,
    "flux": flux,
    "schnell": schnell,
    "krea2": krea2,
    "qwen-image": qwen_image,
}


def save_family(folder: Path, name: str, **told: Any) -> Any:
    """Save a toy of a family; return its pipeline, whose weights are scaled so that pictures differ clearly."""
    torch.manual_seed(0)
    pipeline = TOYS[name](**told)
    with torch.no_grad():
        for part in (pipeline.transformer, pipeline.vae):
            for key, weight in part.named_parameters():
                if weight.dim() > 1:
                    weight.mul_(1.5)
                elif key.endswith("bias"):
                    weight.normal_(0, 0.02)
                elif not bool(weight.any()):
                    weight.normal_(0, 0.1)
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipeline
