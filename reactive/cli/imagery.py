"""``reactive imagery``: the photographs that ship, by name and by words."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from reactive.cli.common import errors, json_option, printable

if TYPE_CHECKING:
    from reactive.sources.imagery import Entry

SHOWN = 5


@click.group()
def imagery() -> None:
    """List the photographs that ship, and find one by words."""


@imagery.command("list")
@json_option
def imagery_list(as_json: bool) -> None:
    """List the photographs that ship; all are CC0 or in the public domain.

    A preset names one as "library:NAME".

    \b
    Example:
      reactive imagery list
    """
    with errors(as_json):
        from reactive.sources.imagery import library

        entries = library()
    if as_json:
        click.echo(json.dumps([_facts(entry) for entry in entries]))
        return
    for entry in entries:
        click.echo(f"{entry.name:<20} {entry.caption:<46} {entry.author}")


@imagery.command("show")
@click.argument("words", metavar="NAME|WORDS", nargs=-1, required=True)
@json_option
def imagery_show(words: tuple[str, ...], as_json: bool) -> None:
    """Print everything about the photograph called NAME, or which ones fit WORDS, as `ground = "match"` would choose them.

    \b
    Examples:
      reactive imagery show lighthouse
      reactive imagery show a burning city at night
    """
    asked = " ".join(words)
    with errors(as_json):
        from reactive.sources.imagery import library, ranked

        entries = library()
        named = next((entry for entry in entries if entry.name == asked), None)
        found = [] if named else list(islice(ranked(asked, entries), SHOWN))
    if named:
        facts = _facts(named)
        if as_json:
            click.echo(json.dumps(facts))
            return
        for name, value in facts.items():
            told = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{name:<9} {printable(str(told))}")
        return
    if as_json:
        click.echo(json.dumps([{**_facts(one.entry), "score": round(one.score, 3), "how": one.how} for one in found]))
        return
    for one in found:
        click.echo(f"{one.score:.2f} by {one.how:<8} {one.entry.name:<20} {one.entry.caption}")
    if not found:
        click.echo("No photograph fits: the picture stays the model's own.")


def _facts(entry: Entry) -> dict[str, Any]:
    """Return the facts about a picture as plain data."""
    return {
        "name": entry.name,
        "caption": entry.caption,
        "tags": list(entry.tags),
        "author": entry.author,
        "licence": entry.licence,
        "source": entry.source,
        "focus": list(entry.focus or ()),
        "path": str(entry.path),
    }
