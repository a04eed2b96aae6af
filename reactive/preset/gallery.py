"""A page that shows presets: poster, moving picture, what music they suit, what they take, and their knobs.

The page is one HTML file with everything inside. It has no scripts, and loads nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from reactive.preset.photographs import fed_phases
from reactive.preset.schema import Lyrics, Preset

POSTERS = ("poster.jpg", "poster.png", "poster.webp")
ANIMATIONS = ("moving.webp", "moving.gif")
# bytes of a picture that is put into the page
LARGEST_PICTURE = 3_000_000
_KINDS = {".jpg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif"}
_STYLE = """
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:1.2rem;margin:0;padding:0}
.gallery article{border:1px solid #8884;border-radius:.6rem;overflow:hidden;display:flex;flex-direction:column}
.gallery .shots{display:grid;grid-template-columns:1fr 1fr;gap:2px;background:#0003}
.gallery .shots img,.gallery .none{width:100%;aspect-ratio:16/9;object-fit:cover;display:block;margin:0}
.gallery .none{display:grid;place-items:center;color:#888;font-size:.8rem}
.gallery .words{padding:.8rem 1rem 1rem}
.gallery h2{margin:0 0 .3rem;font-size:1.15rem}
.gallery h2 small{font-weight:normal;color:#888;margin-left:.5rem;font-size:.8rem}
.gallery p{margin:.3rem 0 .7rem}
.gallery dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem .8rem;margin:0;font-size:.88em}
.gallery dt{color:#888}
.gallery dd{margin:0}
.gallery code{font-size:.85em}
"""
_PAGE_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:80rem;padding:1.5rem}
h1{font-size:1.5rem}
"""
_SAFE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Shown:
    """A preset in the gallery: its name, its folder, what it says, and where it comes from (``ships`` or ``installed``)."""

    name: str
    folder: Path
    preset: Preset
    origin: str


def gallery_page(presets: Sequence[Shown]) -> str:
    """Return the gallery as an HTML file."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFE}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>Presets of reactive</title>\n'
        f"<style>{_PAGE_STYLE}</style>\n</head>\n<body>\n<h1>Presets of reactive</h1>\n{gallery_cards(presets)}\n</body>\n</html>\n"
    )


def gallery_cards(presets: Sequence[Shown]) -> str:
    """Return the gallery's cards with their style, for a page that has a head of its own."""
    cards = "\n".join(_card(shown) for shown in presets)
    return f'<style>{_STYLE}</style>\n<div class="gallery">\n{cards}\n</div>'


def takes(preset: Preset) -> list[str]:
    """Return what a preset takes besides a song, in words."""
    found = []
    if phases := fed_phases(preset):
        found.append(f"photographs and videos (in {', '.join(phases)})")
    if preset.lyrics != Lyrics():
        found.append("the song's words (--lyrics)")
    return found


def picture_in(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first of some pictures that a preset's folder has; None if there is none."""
    return next((file for name in names if (file := folder / name).is_file() and not file.is_symlink()), None)


def _card(shown: Shown) -> str:
    preset, name = shown.preset, escape(shown.name)
    knobs = "<br>".join(
        f"<code>{escape(macro.name)}</code> ({macro.default:g}): {escape(macro.description)}" for macro in preset.macros
    )
    facts = {
        "for": escape(preset.music or "any music"),
        "takes": escape("; ".join(takes(preset)) or "nothing but a song"),
        "knobs": knobs or "none",
        "by": escape(", ".join(part for part in (preset.author, preset.licence) if part)),
        "try it": f"<code>reactive try song.wav -p {name}</code>",
    }
    rows = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items() if value)
    pictures = _image(shown, ANIMATIONS, "moving picture") + _image(shown, POSTERS, "four stills")
    return (
        f'<article id="{name}"><div class="shots">{pictures}</div><div class="words"><h2>{escape(preset.title)}'
        f"<small>{name}, {escape(shown.origin)}</small></h2><p>{escape(preset.description)}</p><dl>{rows}</dl></div></article>"
    )


def _image(shown: Shown, names: Sequence[str], what: str) -> str:
    file = picture_in(shown.folder, names)
    if file is None or file.stat().st_size > LARGEST_PICTURE:
        return f'<div class="none">no {what}</div>'
    data = base64.b64encode(file.read_bytes()).decode()
    alt = escape(f"{shown.preset.title}: {what}")
    return f'<img alt="{alt}" src="data:image/{_KINDS[file.suffix]};base64,{data}">'
