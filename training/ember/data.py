"""Ember's training pictures: manifest, split, crops.

The manifest (``manifest.tsv`` beside this file) lists every picture with its source (a Debian package or a GitHub
repository), the path in it, the commit (or "blob" and the file's hash), author, licence and the evidence for it, captions and
tags. In the first collection (``0123.jpg``) pictures whose number is divisible by 8 are held out for evaluation and never used for
training; in the second (``c0123.jpg``) those whose number is divisible by 10. All are CC-licensed or in the public domain.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

MANIFEST = Path(__file__).with_name("manifest.tsv")
HELD_OUT_EVERY = {"": 8, "c": 10}


@dataclass(frozen=True)
class Captioned:
    """A picture of the manifest: uint8 [height, width, 3] sRGB, captions and tags."""

    name: str
    picture: np.ndarray
    caption: str
    long_caption: str
    tags: tuple[str, ...]


def manifest_rows(path: Path = MANIFEST) -> list[dict[str, str]]:
    """Return the manifest's rows."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def is_held_out(name: str) -> bool:
    """Return whether the picture ``name`` (``0123.jpg``, ``c0123.jpg``) belongs to the evaluation split."""
    number = Path(name).stem.lstrip("c")
    return int(number) % HELD_OUT_EVERY[Path(name).stem.removesuffix(number)] == 0


def load(pictures: Path, *, held_out: bool) -> list[Captioned]:
    """Load one split of the manifest's pictures from the folder ``pictures``.

    Raises
    ------
    FileNotFoundError
        If a picture of the manifest is not in the folder (``python -m training.ember.gather`` makes it).
    """
    loaded = []
    for row in manifest_rows():
        if is_held_out(row["file"]) != held_out:
            continue
        with Image.open(pictures / row["file"]) as image:
            picture = np.asarray(image.convert("RGB"))
        tags = tuple(tag.strip() for tag in row["tags"].split(",") if tag.strip())
        loaded.append(Captioned(row["file"], picture, row["caption"], row["long_caption"], tags))
    return loaded


def random_crop(
    picture: np.ndarray, rng: np.random.Generator, *, width: int, height: int, zoom: float = 2.0
) -> np.ndarray:
    """Return a random crop with the shape of `width` and `height`, flipped half the time, uint8 [height, width, 3].

    The crop covers between 1/zoom and all of the largest window of that shape that fits, and is resampled with
    Lanczos, so that training covers details at several scales.
    """
    rows, columns = picture.shape[:2]
    largest = min(columns / width, rows / height)
    smallest = max(largest / zoom, min(1.0, largest))
    scale = np.exp(rng.uniform(np.log(smallest), np.log(largest))) if largest > smallest else largest
    crop_width, crop_height = round(float(width * scale)), round(float(height * scale))
    left = int(rng.integers(0, columns - crop_width + 1))
    top = int(rng.integers(0, rows - crop_height + 1))
    window = picture[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    if window.shape[:2] == (height, width):
        return np.ascontiguousarray(window)
    resized = Image.fromarray(np.ascontiguousarray(window)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized)


def centre_crop(picture: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return the largest centred window of the given shape, scaled to it, uint8 [height, width, 3]."""
    rows, columns = picture.shape[:2]
    scale = min(columns / width, rows / height)
    crop_width, crop_height = int(width * scale), int(height * scale)
    left, top = (columns - crop_width) // 2, (rows - crop_height) // 2
    window = np.ascontiguousarray(picture[top : top + crop_height, left : left + crop_width])
    return np.asarray(Image.fromarray(window).resize((width, height), Image.Resampling.LANCZOS))


def to_tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    """Stack uint8 [height, width, 3] pictures to float32 [n, 3, height, width] in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.float().div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)
