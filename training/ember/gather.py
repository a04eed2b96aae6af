"""Gather the manifest's pictures from their sources, scaled for training.

    python -m training.ember.gather --out DIR

Needs Debian's ``apt-get`` and ``dpkg-deb`` for pictures of Debian packages, and the network for those of GitHub
repositories, which are fetched at the commit, or by the hash, in the manifest. Existing pictures are not fetched again.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
import urllib.parse
import urllib.request
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


def address(repository: str, version: str, path: str) -> str:
    """Return the address of a file of a GitHub repository, at a commit or, if `version` is "blob", by its hash."""
    if version.startswith("blob "):
        return f"https://api.github.com/repos/{repository}/git/blobs/{version.removeprefix('blob ')}"
    return f"https://raw.githubusercontent.com/{repository}/{version}/{urllib.parse.quote(path)}"


def from_package(package: str, files: list[tuple[str, str]], out: Path) -> None:
    """Fetch a Debian package, extract pictures (name, path in it), scale and save them."""
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(["apt-get", "download", "-q", package], cwd=temporary, check=True)
        archive = next(Path(temporary).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), "unpacked"], cwd=temporary, check=True)
        for name, path in files:
            with Image.open(Path(temporary) / "unpacked" / path.lstrip("/")) as image:
                scaled(image).save(out / name, quality=QUALITY)


def from_address(url: str, target: Path) -> None:
    """Fetch one picture, scale and save it."""
    # without this header GitHub returns a blob as JSON
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.github.raw, */*"})
    with urllib.request.urlopen(request, timeout=60) as answer, Image.open(io.BytesIO(answer.read())) as image:
        scaled(image).save(target, quality=QUALITY)


def gather(out: Path) -> None:
    """Fetch every picture that is missing, scale and save it."""
    out.mkdir(parents=True, exist_ok=True)
    packages: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in manifest_rows():
        if (out / row["file"]).exists():
            continue
        kind, _, name = row["source"].partition(":")
        if kind == "debian":
            packages[name].append((row["file"], row["path"]))
        else:
            from_address(address(name, row["version"], row["path"]), out / row["file"])
            print(f"{name}: {row['path']}", flush=True)
    for package, files in sorted(packages.items()):
        from_package(package, files, out)
        print(f"{package}: {len(files)} pictures", flush=True)


def main() -> None:
    """Parse the command line and gather."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    gather(parser.parse_args().out)


if __name__ == "__main__":
    main()
