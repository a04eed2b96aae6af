"""Small test data with known truth: songs, pictures, a model of toy width."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch

RATE = 44_100


def clicks(
    times: list[float] | np.ndarray, *, seconds: float, rate: int = RATE, accents: list[float] | None = None
) -> np.ndarray:
    """Return a click track, float32 [samples]: a 5 ms burst that starts at each time, stronger at `accents`."""
    song = np.zeros(round(seconds * rate), np.float32)
    rng = np.random.default_rng(1)
    length = round(0.005 * rate)
    burst = rng.uniform(-1, 1, length).astype(np.float32) * np.linspace(1, 0, length, dtype=np.float32)
    low = np.sin(2 * np.pi * 60 * np.arange(round(0.08 * rate)) / rate) * np.exp(
        -np.arange(round(0.08 * rate)) / (0.03 * rate)
    )
    for time in times:
        first = round(time * rate)
        loud = 0.9 if accents is not None and any(abs(time - a) < 1e-6 for a in accents) else 0.6
        for sound in (burst, low.astype(np.float32)):
            part = song[first : first + len(sound)]
            part += loud * 0.5 * sound[: len(part)]
    return song


def write_song(path: Path, song: np.ndarray, rate: int = RATE, **options: str) -> Path:
    """Write a song by libsndfile."""
    soundfile.write(path, song, rate, **options)
    return path


def beat_song(seconds: float = 16.0, tempo: float = 120.0, rate: int = RATE) -> np.ndarray:
    """Return a stereo song: kick on each beat, harmony that changes on each bar of four, louder in its second half."""
    rng = np.random.default_rng(2)
    t = np.arange(round(seconds * rate)) / rate
    beat = 60 / tempo
    song = np.zeros(len(t))
    chords = ((220, 277, 330), (196, 247, 294), (175, 220, 262), (165, 208, 247))
    for bar in range(int(seconds / (4 * beat)) + 1):
        first, last = round(bar * 4 * beat * rate), round((bar + 1) * 4 * beat * rate)
        for pitch in chords[bar % 4]:
            song[first:last] += 0.05 * np.sin(2 * np.pi * pitch * t[first:last])
    hit = np.arange(round(0.2 * rate)) / rate
    kick = np.sin(2 * np.pi * (50 + 80 * np.exp(-hit / 0.02)) * hit) * np.exp(-hit / 0.08)
    for number in range(int(seconds / beat)):
        first = round(number * beat * rate)
        part = song[first : first + len(kick)]
        part += (0.7 if number % 4 == 0 else 0.5) * kick[: len(part)]
    song[len(song) // 2 :] += 0.08 * rng.standard_normal(len(song) - len(song) // 2)
    song[: len(song) // 2] *= 0.5
    return np.stack([song, song], axis=1).astype(np.float32) * 0.8


def save_toy_model(
    folder: Path, *, scheduler: str = "LCMScheduler", prediction: str = "v_prediction", seed: int = 0
) -> Path:
    """Save a Stable Diffusion pipeline of toy width with random weights: 64x64 pictures, a second for hundreds."""
    import diffusers
    from diffusers import AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(seed)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[], model_max_length=16)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
            eos_token_id=len(tokens) - 1,
            bos_token_id=len(tokens) - 2,
            pad_token_id=len(tokens) - 1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(0, 0, 0, 1),
        num_decoder_blocks=(1, 0, 0, 0),
    )
    with torch.no_grad():
        # random weights hardly react to their input; scaled ones let tests distinguish frames
        vae.decoder.layers[-1].weight.mul_(6)
        unet.conv_out.weight.mul_(4)
    options = {
        "prediction_type": prediction,
        "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": prediction == "v_prediction",
    }
    parts = {
        "unet": unet,
        "vae": vae,
        "text_encoder": text,
        "tokenizer": tokenizer,
        "scheduler": getattr(diffusers, scheduler)(**options),
    }
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        library = "diffusers" if name in ("unet", "vae", "scheduler") else "transformers"
        index[name] = [library, type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def save_video(
    path: Path,
    pictures: list[np.ndarray],
    *,
    fps: int | str = 24,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    key_every: int = 12,
    transfer: int = 0,
    turn: int = 0,
    b_frames: int | None = None,
) -> Path:
    """Save pictures, uint8 [height, width, 3], as a video; `turn` sets an MP4's rotation flag, in degrees clockwise."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = key_every
        if codec == "mpeg4":
            # high enough that no picture is skipped
            stream.bit_rate = 20_000_000
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if transfer:
            stream.codec_context.color_trc = transfer
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    if turn:
        data = bytearray(path.read_bytes())
        # the track header's matrix lies 40 bytes after its name: 3 by 3 numbers of 4 bytes, 16.16 fixed point
        place = data.index(b"tkhd") + 4 + 40
        one, cosine, sine = 1 << 16, {0: 1, 90: 0, 180: -1, 270: 0}[turn], {0: 0, 90: 1, 180: 0, 270: -1}[turn]
        for offset, value in ((0, cosine), (4, sine), (12, -sine), (16, cosine)):
            data[place + offset : place + offset + 4] = (value * one).to_bytes(4, "big", signed=True)
        path.write_bytes(data)
    return path


def flat_timeline(frames: int, **columns: object):
    """Return a timeline of `frames` frames at 24 frames/s: one prompt, pure walk, nothing moving, except for the given columns."""
    from fractions import Fraction

    from reactive.timeline.timeline import CURVES, INTEGERS, NO_SOURCE, OPTIONAL, Timeline

    given = {name: columns.pop(name) for name in list(columns) if name in (*INTEGERS, *CURVES)}
    usual = {"source": NO_SOURCE, "lens_zoom": 1, "strength": 1, "walk": np.arange(frames) / 24, "seed": 7} | OPTIONAL
    made = {}
    for name in (*INTEGERS, *CURVES):
        kind = np.int64 if name in INTEGERS else np.float64
        made[name] = np.array(np.broadcast_to(given.get(name, usual.get(name, 0)), (frames,)), kind)
    options = {
        "song_sha256": "",
        "samples": frames * 100,
        "sample_rate": 2400,
        "fps": Fraction(24),
        "title": "flat",
        "seed": 7,
        "harmonics": 8,
        "feedback_rate": Fraction(12),
        "feedback_fresh": 0.7,
        "prompts": ("a red sea", "a blue hill", "a fire"),
        "phases": ("one",),
        "photos": (),
        "cuts": (),
    } | columns
    return Timeline(columns=made, **options)
