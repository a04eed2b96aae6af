"""Whose photographs a clip shows: those of the library that its recipe names, by their hashes."""

from __future__ import annotations

from pathlib import Path

from reactive.render.recipe import Named, Recipe, read_recipe
from reactive.sources.imagery import Entry, library


def clip_credits(clip: Path) -> list[Entry]:
    """Return the library's pictures that a clip shows, by name; a band's own are left out.

    Raises
    ------
    MediaError
        If it is not a clip that carries a recipe.
    """
    shown = {file.sha256 for file in _pictures(read_recipe(clip))}
    return [entry for entry in library() if entry.sha256 in shown]


def _pictures(recipe: Recipe) -> list[Named]:
    return [*recipe.photos, *recipe.shot_photos, *recipe.grounds]
