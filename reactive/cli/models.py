"""``reactive models``: list, fetch and check models."""

from __future__ import annotations

import json
from typing import Any

import click

from reactive.cli.common import errors, json_option, printable


@click.group()
def models() -> None:
    """List, fetch and check models."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """List the models, LoRAs, small autoencoders, adapters and control networks that have a short name, and which of them are here.

    \b
    Example:
      reactive models list
    """
    with errors(as_json):
        from reactive.diffusion.models.catalogue import recommended
        from reactive.diffusion.models.check import list_models

        rows = list_models()
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        mark = "here" if row["here"] else "    "
        facts = f"{row['native']:>4} px, {row['steps']:>2} steps, {_card(row)}" if row["kind"] == "model" else ""
        selling = {"yes": "may be sold", "limited": "selling is limited", "no": "may not be sold"}.get(
            row.get("sell", ""), ""
        )
        licence = f"{row['licence']}: {selling}" if selling else row["licence"]
        click.echo(
            f"{row['name']:<18} {row['kind']:<7} {row['family']:<11} {mark}  {facts:<52}  {row['about']}; {licence}"
        )
    click.echo("")
    for memory in (8, 12, 16, 24):
        best = recommended(memory)
        if best is not None:
            click.echo(f"recommended for a card of {memory:>2} GB: {best.options}")


def _card(row: dict[str, Any]) -> str:
    quantised = "".join(f", {kind} {memory}" for kind, memory in row["quantised_gb"].items())
    return f"card of {row['card_gb']} GB{quantised}" if row["card_gb"] else "any processor"


@models.command("pull")
@click.argument("name")
@click.option("--full", is_flag=True, help="Fetch float32 weights even if the hub has float16 ones of half the size.")
@json_option
def models_pull(name: str, full: bool, as_json: bool) -> None:
    """Download NAME (a short name or a hub id); a download that was cut off goes on.

    Weights are fetched in float16 if the hub has them: half the download, and the format that a card uses anyway.
    No other command downloads anything. Only safetensors, configuration and vocabulary are fetched.

    \b
    Example:
      reactive models pull sd-turbo
    """
    with errors(as_json):
        from reactive.diffusion.models.download import pull

        path = pull(name, full=full)
    click.echo(json.dumps({"name": name, "path": str(path)}) if as_json else f"{printable(name)} is here: {path}")


@models.command("check")
@click.argument("path")
@json_option
def models_check(path: str, as_json: bool) -> None:
    """Print what the model at PATH (a folder, a file, or a name) is and how it would be used, or why it can't be.

    \b
    Example:
      reactive models check my-model.safetensors
    """
    with errors(as_json):
        from reactive.diffusion.models.check import check_model

        facts = check_model(path)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        shown = "; ".join(map(str, lines)) if name == "notes" else ", ".join(map(str, lines))
        if shown:
            click.echo(f"{name:<14} {printable(shown)}")
