"""Encode all training pictures to latents once: crops of the pictures and procedural scenes, with their descriptions.

    python -m training.ember.latents --pictures DIR --work DIR [--half]

Writes ``WORK/latents.pt``: per shape the latents (float16), the texts and tags of each and whether it is real.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.ember import autoencoder, checkpoint, colours, data, scenes

# (width, height) in pixels: 16:9, 1:1 and 9:16 around 90k pixels
SHAPES = ((384, 224), (304, 304), (224, 384))
# half of that per side, a quarter of the work, for the first and longest part of training
HALF = ((192, 112), (152, 152), (112, 192))
# number of views of each picture and of scenes of each kind, per shape
VIEWS = (20, 3, 3)
SCENES = (40, 6, 6)
# share of views with rotated hues and matching descriptions, so that colour words are learned independently of objects
RECOLOURED = 0.2


def texts_of(captions: list[str], tags: tuple[str, ...], picture: np.ndarray) -> list[str]:
    """Return the descriptions of a view; training draws one of them each time.

    Colour words that the view does not show are removed from captions; half the texts name its colours. Each tag is also a text of
    its own, since a single word is a prompt too.
    """
    found = colours.shares(picture)
    colour, joined = colours.phrase(found), ", ".join(tags)
    shown = [text for caption in captions if (text := colours.only_shown(caption, found))]
    plain = [*shown, joined, *(f"{text}, {joined}" for text in shown[:1]), *tags]
    return [text for text in (*plain, *coloured(shown, tags, colour)) if text]


def coloured(captions: list[str], tags: tuple[str, ...], colour: str) -> list[str]:
    """Return descriptions that name the colours `colour`; none if it is empty."""
    if not colour:
        return []
    return [
        colour,
        *(f"{colour}, {text}" for text in captions),
        *(f"{text}, {colour}" for text in captions),
        *(f"{colour} {tag}" for tag in tags),
    ]


def recoloured(item: data.Captioned, picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Return a view with rotated hues and its texts; unchanged if it has no colours."""
    turned = colours.recoloured(picture, rng)
    captions = [colours.without_colours(text) for text in (item.caption, item.long_caption)]
    texts = coloured([text for text in captions if text], item.tags, colours.phrase(colours.shares(turned)))
    return (turned, texts) if texts else (picture, texts_of([item.caption, item.long_caption], item.tags, picture))


@torch.inference_mode()
def encode(model: torch.nn.Module, pictures: list[np.ndarray]) -> torch.Tensor:
    """Return float16 latents [n, 4, height/8, width/8]."""
    encoder = autoencoder.encoder_of(model)
    parts = [encoder(data.to_tensor(pictures[i : i + 16])).half() for i in range(0, len(pictures), 16)]
    return torch.cat(parts)


def gather(
    pictures: Path, work: Path, *, seed: int, rendered: Path | None, sizes: tuple[tuple[int, int], ...] = SHAPES
) -> None:
    """Encode views of every training picture and scenes of every kind, with their descriptions."""
    rng = np.random.default_rng(seed)
    model = autoencoder.load(work)
    learned = data.load(pictures, held_out=False)
    shapes: dict[tuple[int, int], dict[str, Any]] = {}
    for (width, height), views, count in zip(sizes, VIEWS, SCENES, strict=True):
        latents, texts, tags, real = [], [], [], []
        for item in learned:
            seen = []
            for _ in range(views):
                picture = data.random_crop(item.picture, rng, width=width, height=height)
                if rng.random() < RECOLOURED:
                    picture, named = recoloured(item, picture, rng)
                else:
                    named = texts_of([item.caption, item.long_caption], item.tags, picture)
                seen.append(picture)
                texts.append(named)
            latents.append(encode(model, seen))
            tags += [list(item.tags)] * views
            real += [True] * views
        print(f"{width}x{height}: {len(learned)} pictures", flush=True)
        for kind in scenes.KINDS:
            made = [scene_of(kind, number, width, height, rendered) for number in range(count)]
            latents.append(encode(model, [scene.picture for scene in made]))
            texts += [texts_of([scene.caption], scene.tags, scene.picture) for scene in made]
            tags += [list(scene.tags) for scene in made]
            real += [False] * count
        print(f"{width}x{height}: {count} scenes of each kind", flush=True)
        shapes[(height // 8, width // 8)] = {
            "latents": torch.cat(latents),
            "texts": texts,
            "tags": tags,
            "real": torch.tensor(real),
        }
    everything = torch.cat([shape["latents"].float().flatten() for shape in shapes.values()])
    # a denoiser that is trained further at another size needs the same latent scale
    kept = work / "latents.pt"
    before = torch.load(kept, weights_only=True) if kept.exists() else {}
    scale = before.get("scale", 1.0 / float(everything.std()))
    checkpoint.save(kept, shapes=shapes, scale=scale)
    print(f"latents: scale {scale:.3f}, {sum(len(s['texts']) for s in shapes.values())} views")


def scene_of(kind: str, number: int, width: int, height: int, rendered: Path | None) -> scenes.Scene:
    """Render one scene, or read it from the cache folder `rendered`."""
    kept = rendered / f"{kind}-{number}-{width}x{height}.npz" if rendered else None
    if kept is not None and kept.exists():
        with np.load(kept) as stored:
            return scenes.Scene(stored["picture"], str(stored["caption"]), tuple(str(tag) for tag in stored["tags"]))
    # scenes differ between shapes
    scene = scenes.render(kind, seed=number * 4 + (width >= height) + (width > height), width=width, height=height)
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
    parser.add_argument("--half", action="store_true", help="half the size per side, to begin with")
    parser.add_argument("--only-render", action="store_true", help="render the scenes into --rendered and stop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sizes = HALF if arguments.half else SHAPES
    if arguments.only_render:
        for (width, height), count in zip(sizes, SCENES, strict=True):
            for kind in scenes.KINDS:
                for number in range(count):
                    scene_of(kind, number, width, height, arguments.rendered)
        return
    gather(arguments.pictures, arguments.work, seed=arguments.seed, rendered=arguments.rendered, sizes=sizes)


if __name__ == "__main__":
    main()
