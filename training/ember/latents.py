"""Encode everything to latents once: crops of the pictures, procedural scenes, and what is said of them.

    python -m training.ember.latents --pictures DIR --work DIR

Writes ``WORK/latents.pt``: per shape the latents (float16), the index of each one's texts and tags and whether it is real.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from training.ember import autoencoder, data, scenes, text

# (width, height) in pixels: 16:9, 1:1 and 9:16 around 90k pixels
SHAPES = ((384, 224), (304, 304), (224, 384))
# how many views of each picture, how many scenes of each kind, per shape
VIEWS = (24, 8, 8)
SCENES = (56, 16, 16)


def texts_of(item: data.Captioned) -> list[str]:
    """Return the different ways in which a picture is described; training draws one of them each time.

    A single word is a prompt too, so each tag stands alone as well.
    """
    joined = ", ".join(item.tags)
    return [item.caption, item.long_caption, joined, item.caption + ", " + joined, *item.tags]


def texts_of_scene(scene: scenes.Scene) -> list[str]:
    """Return the different ways in which a scene is described."""
    joined = ", ".join(scene.tags)
    return [scene.caption, joined, scene.caption + ", " + joined, *scene.tags]


@torch.inference_mode()
def encode(model: torch.nn.Module, pictures: list[np.ndarray]) -> torch.Tensor:
    """Return float16 latents [n, 4, height/8, width/8]."""
    encoder = autoencoder.encoder_of(model)
    parts = [encoder(data.to_tensor(pictures[i : i + 16])).half() for i in range(0, len(pictures), 16)]
    return torch.cat(parts)


def gather(pictures: Path, work: Path, *, seed: int, rendered: Path | None) -> None:
    """Encode views of every training picture and scenes of every kind, with their text embeddings."""
    rng = np.random.default_rng(seed)
    model = autoencoder.load(work)
    learned = data.load(pictures, held_out=False)
    phrases: list[list[str]] = []
    tags: list[tuple[str, ...]] = []
    shapes = {}
    for (width, height), views, count in zip(SHAPES, VIEWS, SCENES, strict=True):
        latents, labels, real = [], [], []
        for item in learned:
            latents.append(
                encode(model, [data.random_crop(item.picture, rng, width=width, height=height) for _ in range(views)])
            )
            labels += [len(phrases)] * views
            real += [True] * views
            phrases.append(texts_of(item))
            tags.append(item.tags)
        for kind in scenes.KINDS:
            made = [scene_of(kind, number, width, height, rendered) for number in range(count)]
            latents.append(encode(model, [scene.picture for scene in made]))
            for scene in made:
                labels.append(len(phrases))
                phrases.append(texts_of_scene(scene))
                tags.append(scene.tags)
            real += [False] * count
            print(f"{width}x{height} {kind}: {count} scenes", flush=True)
        shapes[(height // 8, width // 8)] = {
            "latents": torch.cat(latents),
            "labels": torch.tensor(labels),
            "real": torch.tensor(real),
        }
    everything = torch.cat([shape["latents"].float().flatten() for shape in shapes.values()])
    scale = 1.0 / float(everything.std())
    # embeddings repeat (tags, captions), so each text is embedded once
    unique = sorted({phrase for group in phrases for phrase in group} | {""})
    position = {phrase: i for i, phrase in enumerate(unique)}
    tokenizer, encoder = text.load(work)
    torch.save(
        {
            "shapes": shapes,
            "scale": scale,
            "texts": unique,
            "embeddings": text.embed(tokenizer, encoder, unique).half(),
            "choices": [[position[phrase] for phrase in group] for group in phrases],
            "empty": position[""],
            "tags": tags,
        },
        work / "latents.pt",
    )
    print(f"latents: scale {scale:.3f}, {sum(len(s['labels']) for s in shapes.values())} views, {len(unique)} texts")


def scene_of(kind: str, number: int, width: int, height: int, rendered: Path | None) -> scenes.Scene:
    """Render one scene, or read it from the folder `rendered`, where it is kept for the next time."""
    kept = rendered / f"{kind}-{number}-{width}x{height}.npz" if rendered else None
    if kept is not None and kept.exists():
        with np.load(kept) as stored:
            return scenes.Scene(stored["picture"], str(stored["caption"]), tuple(str(tag) for tag in stored["tags"]))
    # each shape shows other scenes than its siblings
    scene = scenes.render(kind, seed=number * len(SHAPES) + SHAPES.index((width, height)), width=width, height=height)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, picture=scene.picture, caption=scene.caption, tags=np.array(scene.tags))
    return scene


def main() -> None:
    """Parse the command line and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder with the manifest's pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--rendered", type=Path, help="folder that keeps rendered scenes for the next time")
    parser.add_argument("--only-render", action="store_true", help="render the scenes into --rendered and stop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only_render:
        for (width, height), count in zip(SHAPES, SCENES, strict=True):
            for kind in scenes.KINDS:
                for number in range(count):
                    scene_of(kind, number, width, height, arguments.rendered)
        return
    gather(arguments.pictures, arguments.work, seed=arguments.seed, rendered=arguments.rendered)


if __name__ == "__main__":
    main()
