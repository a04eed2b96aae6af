"""Pages of the site from files elsewhere in the repository, read when the site is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
# page of the site: file of the repository
PAGES = {
    "reference/preset-language.md": "presets/README.md",
    "reference/figures.md": "benchmarks/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
REPOSITORY_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from files elsewhere."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, page, source)))
    files.append(File.generated(config, "guide/gallery.md", content=_gallery()))
    return files


def _gallery() -> str:
    """Return the page of the presets that ship, with their pictures."""
    from reactive.preset.gallery import Shown, gallery_cards
    from reactive.preset.library import find_preset, get_preset, shipped_names

    shown = [Shown(name, find_preset(name).parent, get_preset(name), "ships") for name in shipped_names()]
    about = "The presets that ship, on the song that ships with reactive. `reactive preset list --gallery gallery.html` writes this\n"
    more = "page with the presets that you installed.\n"
    return f"# Gallery of presets\n\n{about}{more}\n{gallery_cards(shown)}\n"


def _relinked(text: str, page: str, source: str) -> str:
    """Return a text with links adapted to the site; links to files that are not on the site become plain text."""
    sites = {(ROOT / path).resolve(): name for name, path in PAGES.items()}
    docs = ROOT / "docs"
    up = "../" * page.count("/")

    def lead(match: re.Match[str]) -> str:
        target, _, anchor = match.group(1).partition("#")
        path = ((ROOT / source).parent / target).resolve()
        if path in sites:
            return f"]({up}{sites[path]}{'#' + anchor if anchor else ''})"
        if path.is_relative_to(docs):
            return f"]({up}{path.relative_to(docs).as_posix()}{'#' + anchor if anchor else ''})"
        return "]"

    linked = REPOSITORY_LINK.sub(lead, text)
    return re.sub(r"(?<!!)\[([^\]\[]+)\](?![(\[:])", r"\1", linked) if linked != text else text


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace links to files of the repository by links to their pages, so that links work on the site and in a checkout."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in PAGES.items():
        markdown = markdown.replace(f"](../{up}{source})", f"]({up}{name})")
    return markdown
