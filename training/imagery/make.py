"""Write the bundled library of photographs: ``python -m training.imagery.make FOLDER [FOLDER ...]``.

Each folder holds pictures and a ``grounds.tsv`` with the source of every picture (columns file, source, path_in_source and
commit_or_version). ``chosen.tsv`` beside this file lists the selected pictures, each selected by looking at it. Its columns: name;
file; focus: the centre of attention, x,y from 0 to 1 of the final picture; crop: x,y of the centre of the 16:9 window, 0 to 1 of
the original, and its size, 1 being the largest that fits (empty: the largest, placed over the most salient area); caption; tags;
author or agency; licence.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from reactive.files import hash_file, replacing, write_text
from reactive.media.picture import read_picture
from reactive.sources.imagery import COLUMNS, FOLDER, MANIFEST
from reactive.sources.saliency import best_window, saliency

CHOSEN = Path(__file__).parent / "chosen.tsv"
WIDTH, HEIGHT = 1280, 720
QUALITY = 87


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a tab-separated file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def window(picture: np.ndarray, crop: str) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the 16:9 window of a picture uint8 [height, width, 3]."""
    rows, columns = picture.shape[:2]
    if not crop:
        left, top, width, height = best_window(saliency(picture), (columns, rows), WIDTH / HEIGHT)
        return left, top, left + width, top + height
    x, y, part = map(float, crop.split(","))
    across = min(columns, rows * WIDTH / HEIGHT) * part
    down = across * HEIGHT / WIDTH
    left = min(max(x * columns - across / 2, 0.0), columns - across)
    upper = min(max(y * rows - down / 2, 0.0), rows - down)
    return left, upper, left + across, upper + down


def write_picture(original: Path, target: Path, crop: str) -> None:
    """Write a picture's window as WebP, at most 1280x720, never enlarged."""
    picture = read_picture(original)
    left, top, right, bottom = window(picture, crop)
    width = min(WIDTH, int(right - left) // 16 * 16)
    small = Image.fromarray(picture).resize(
        (width, width * HEIGHT // WIDTH), Image.Resampling.LANCZOS, box=(left, top, right, bottom)
    )
    with replacing(target) as partial:
        small.save(partial, "WEBP", quality=QUALITY, method=6)


def make(folders: list[Path]) -> None:
    """Write pictures and manifest; pictures that are no longer selected are deleted."""
    sources = {row["file"]: (folder, row) for folder in folders for row in read_table(folder / "grounds.tsv")}
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows, total = [], 0
    for selected in read_table(CHOSEN):
        folder, source = sources[selected["file"]]
        original = next(
            path for path in (folder / "grounds" / selected["file"], folder / selected["file"]) if path.exists()
        )
        target = FOLDER / f"{selected['name']}.webp"
        write_picture(original, target, selected["crop"])
        total += target.stat().st_size
        found = {
            "path": source["path_in_source"],
            "commit": source["commit_or_version"],
            "source": f"https://github.com/{source['source']}",
            "sha256": hash_file(target),
        }
        rows.append("\t".join({**selected, **found}[column] for column in COLUMNS))
    kept = {f"{row.split(chr(9))[0]}.webp" for row in rows}
    for file in FOLDER.glob("*.webp"):
        if file.name not in kept:
            file.unlink()
    write_text(MANIFEST, "\n".join(["\t".join(COLUMNS), *sorted(rows)]) + "\n")
    print(f"{len(rows)} pictures, {total / 2**20:.1f} MiB")


if __name__ == "__main__":
    make([Path(name) for name in sys.argv[1:]])
