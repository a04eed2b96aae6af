"""Pages of the site that are written elsewhere: each is read from the one file that holds it when the site is built."""

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
    """Add the pages that are written elsewhere."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, page, source)))
    return files


def _relinked(text: str, page: str, source: str) -> str:
    """Return text whose links to other pages of the site lead there; other links become plain text.

    A link to a file that is no page of the site can't be followed on the site.
    """
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
    """Lead links to files of the repository to the pages that show them, so that links work on the site and in a checkout."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in PAGES.items():
        markdown = markdown.replace(f"](../{up}{source})", f"]({up}{name})")
    return markdown
