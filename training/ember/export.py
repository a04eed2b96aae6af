"""Write the trained parts as an ordinary diffusers folder, float16 safetensors.

    python -m training.ember.export --work DIR --out reactive/ember/model [--share 0.5]

A share below 1 interpolates between the initial and the final weights of `adversarial`: halfway keeps the initial denoiser's
knowledge of words and takes the final one's light (Wortsman et al., arXiv 2109.01903).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from training.ember import autoencoder, data, denoiser, schedule, text

# settings of the folder beyond diffusers' own files; any model folder may have such a file
# (the walk's pace as measured by `python -m benchmarks walk`)
SIDECAR = {
    "native": [384, 224],
    "steps": 1,
    "guidance": 1.0,
    "walk": {
        "384x224/1": 1.0,
        "192x112/1": 1.05,
        "224x384/1": 1.12,
        "240x352/1": 1.05,
        "256x320/1": 1.03,
        "288x288/1": 1.11,
        "336x256/1": 1.0,
        "448x192/1": 0.99,
    },
}


def blended(work: Path, weights: str, share: float) -> torch.nn.Module:
    """Return the denoiser interpolated by `share` between ``start.pt`` and `weights`."""
    net = denoiser.load(work, weights)
    if share < 1:
        start = denoiser.load(work, "start.pt").state_dict()
        net.load_state_dict({name: torch.lerp(start[name], value, share) for name, value in net.state_dict().items()})
    return net


def export(work: Path, out: Path, *, weights: str, share: float = 1.0) -> None:
    """Assemble the pipeline from the checkpoints and save it to `out`, keeping an existing model card."""
    tokenizer, encoder = text.load(work)
    vae: Any = autoencoder.load(work)
    scale = float(torch.load(work / "latents.pt", weights_only=True)["scale"])
    vae.register_to_config(scaling_factor=scale)
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=blended(work, weights, share),
        scheduler=schedule.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.rmtree(out / part, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(out, safe_serialization=True)
    # older tools read the two files that newer ones merge into tokenizer.json
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(work / "tokenizer" / name, out / "tokenizer" / name)
    clean_configs(out)
    (out / "reactive.json").write_text(json.dumps(SIDECAR, indent=2) + "\n")
    (out / "ATTRIBUTION.tsv").write_text(attribution())


def clean_configs(out: Path) -> None:
    """Adapt the configurations so that stock tools read the folder without warnings: one dtype, no unknown settings.

    Transformers loads in the dtype that a configuration names, diffusers in float32.
    """
    for part, changes in (("text_encoder", {"dtype": "float32"}), ("vae", {"block_out_channels": None})):
        file = out / part / "config.json"
        settings = json.loads(file.read_text(encoding="utf-8")) | changes
        kept = {name: value for name, value in settings.items() if name not in changes or value is not None}
        file.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def attribution() -> str:
    """Return the list of the pictures trained on: file, source, path, version, author and licence, tab-separated."""
    rows = [row for row in data.manifest_rows() if not data.is_held_out(row["file"])]
    columns = ("file", "source", "path", "version", "author", "licence")
    return "".join(
        "\t".join(line) + "\n" for line in (columns, *([row[name] or "-" for name in columns] for row in rows))
    )


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the diffusers folder to write")
    parser.add_argument("--weights", default="generator.pt", help="which denoiser: generator.pt or denoiser.pt")
    parser.add_argument("--share", type=float, default=1.0, help="how far to go from the weights training began with")
    arguments = parser.parse_args()
    export(arguments.work, arguments.out, weights=arguments.weights, share=arguments.share)


if __name__ == "__main__":
    main()
