"""``reactive doctor``: what would be used on this machine."""

from __future__ import annotations

import json

import click

from reactive.cli.common import errors, json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what reactive would use on this machine, and what is missing.

    \b
    Example:
      reactive doctor
    """
    with errors(as_json):
        from reactive.doctor import examine

        facts = examine()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:<14} {value}")
