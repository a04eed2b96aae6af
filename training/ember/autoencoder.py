"""Train ember's autoencoder: AutoencoderTiny, 8x smaller per side, L1 + LPIPS.

    python -m training.ember.autoencoder --pictures DIR --perceptual DIR --work DIR

Most blocks are at the coarse levels, where they cost a sixty-fourth; the decoder determines the frame rate.
Resumes from ``WORK/autoencoder.pt``. When a denoiser has been trained on the latents, `--decoder-only` improves the decoder and
leaves the latents unchanged.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import nn
from torch.nn import functional

from training.ember import checkpoint, data
from training.ember.squeezenet import Lpips, load_lpips

ENCODER = {"encoder_block_out_channels": (32,) * 4, "num_encoder_blocks": (0, 0, 3, 6)}
DECODER = {"decoder_block_out_channels": (24,) * 4, "num_decoder_blocks": (8, 4, 1, 0)}
CROP = 128
BATCH = 12
PEAK = 1.5e-3
PERCEPTUAL = 2.0
# the decoder applies 3 tanh(z / 3) to latents; this penalty keeps them near unit size, where that is almost linear
MAGNITUDE = 0.003


def build() -> nn.Module:
    """Return the untrained autoencoder, an AutoencoderTiny."""
    # diffusers' types lead to its placeholders for a machine without torch
    model: Any = AutoencoderTiny(**ENCODER, **DECODER, latent_channels=4)
    made: nn.Module = model.to(memory_format=torch.channels_last)
    return made


def encoder_of(model: nn.Module) -> nn.Module:
    """Return a function from pictures to latents."""
    return model.get_submodule("encoder")


def decoder_of(model: nn.Module) -> nn.Module:
    """Return a function from latents to pictures."""
    return model.get_submodule("decoder")


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the peak signal-to-noise ratio in dB of each picture pair, pictures in [-1, 1]."""
    error = (a.clamp(-1, 1) - b).div(2).square().mean((1, 2, 3))
    return -10 * error.log10()


@torch.inference_mode()
def evaluate(model: nn.Module, pictures: torch.Tensor, perceptual: Lpips) -> tuple[float, float]:
    """Return mean PSNR in dB and mean LPIPS over held-out pictures [n, 3, 256, 256]."""
    encoder, decoder = encoder_of(model), decoder_of(model)
    decoded = torch.cat([decoder(encoder(part)).clamp(-1, 1) for part in pictures.split(8)])
    distance = torch.cat([perceptual(a, b) for a, b in zip(decoded.split(8), pictures.split(8), strict=True)])
    return float(psnr(decoded, pictures).mean()), float(distance.mean())


def train(
    pictures: Path,
    perceptual_folder: Path,
    work: Path,
    *,
    steps: int,
    peak: float,
    weight: float = PERCEPTUAL,
    decoder_only: bool = False,
    seed: int = 0,
) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped; LPIPS counts `weight` times L1."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = build()
    perceptual = load_lpips(perceptual_folder)
    learned = data.load(pictures, held_out=False)
    judged = data.to_tensor(
        [data.centre_crop(item.picture, width=256, height=256) for item in data.load(pictures, held_out=True)]
    )
    run = checkpoint.Run(
        work / "autoencoder.pt", model, rng, steps=steps, peak=peak, decay=0.999, weight_decay=1e-4, save_every=500
    )
    encoder, decoder = encoder_of(model), decoder_of(model)
    encoder.requires_grad_(not decoder_only)
    for _ in run:
        indices = rng.integers(0, len(learned), BATCH)
        batch = data.to_tensor([data.random_crop(learned[i].picture, rng, width=CROP, height=CROP) for i in indices])
        with checkpoint.quick_forward():
            latents = encoder(batch)
            decoded = decoder(latents)
            distance = perceptual(decoded, batch).float().mean()
        loss = functional.l1_loss(decoded.float(), batch) + weight * distance
        if run.descend(loss + MAGNITUDE * latents.float().square().mean()):
            decibel, distance = evaluate(load(work), judged, perceptual)
            print(f"step {run.step} held out: PSNR {decibel:.2f} dB, LPIPS {distance:.3f}", flush=True)


def load(work: Path) -> nn.Module:
    """Return the averaged autoencoder of the last checkpoint, in evaluation mode."""
    state = checkpoint.load(work / "autoencoder.pt")
    if state is None:
        raise FileNotFoundError(f"no autoencoder.pt in {work}: train it first")
    model = build()
    model.load_state_dict(state["average"])
    return model.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder with the manifest's pictures")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with the SqueezeNet and LPIPS weights")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--peak", type=float, default=PEAK, help="learning rate; use a lower one for trained weights")
    parser.add_argument("--weight", type=float, default=PERCEPTUAL, help="how much LPIPS counts beside L1")
    parser.add_argument(
        "--decoder-only", action="store_true", help="leave the encoder, and so the latents, as they are"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(
        arguments.pictures,
        arguments.perceptual,
        arguments.work,
        steps=arguments.steps,
        peak=arguments.peak,
        weight=arguments.weight,
        decoder_only=arguments.decoder_only,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
