"""Gather the pictures that the manifest names out of their Debian packages, scaled as training wants them.

    python -m training.ember.gather --out DIR

Needs Debian's ``apt-get`` and ``dpkg-deb``. Pictures that are there already are not fetched again.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from PIL import Image

from training.ember.data import manifest_rows

SHORT_SIDE = 384
QUALITY = 92


def scaled(image: Image.Image) -> Image.Image:
    """Return the picture as RGB with a short side of at most 384 pixels."""
    flat = Image.new("RGB", image.size)
    flat.paste(image.convert("RGBA"), mask=image.convert("RGBA").getchannel("A"))
    share = min(1.0, SHORT_SIDE / min(flat.size))
    return flat.resize((round(flat.width * share), round(flat.height * share)), Image.Resampling.LANCZOS)


def gather(out: Path) -> None:
    """Fetch every package with missing pictures, take them out, scale and save them."""
    out.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in manifest_rows():
        if not (out / row["file"]).exists():
            wanted[row["debian_package"]].append((row["file"], row["path_in_package"]))
    for package, files in sorted(wanted.items()):
        with tempfile.TemporaryDirectory() as temporary:
            subprocess.run(["apt-get", "download", "-q", package], cwd=temporary, check=True)
            archive = next(Path(temporary).glob("*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(archive), "unpacked"], cwd=temporary, check=True)
            for name, path in files:
                with Image.open(Path(temporary) / "unpacked" / path.lstrip("/")) as image:
                    scaled(image).save(out / name, quality=QUALITY)
        print(f"{package}: {len(files)} pictures", flush=True)


def main() -> None:
    """Parse the command line and gather."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    gather(parser.parse_args().out)


if __name__ == "__main__":
    main()
