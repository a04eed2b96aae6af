"""``reactive doctor``: the device and libraries of this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from reactive.cli.common import errors, json_option, printable


@click.command()
@click.option("--model", metavar="NAME", help="Print how much of a card's memory this model needs instead.")
@click.option("--imagine-size", metavar="WxH", help="With --model: at this size. Default: its native size.")
@json_option
def doctor(model: str | None, imagine_size: str | None, as_json: bool) -> None:
    """Print what reactive uses on this machine, and what is missing; with --model, how much memory a model needs.

    \b
    Examples:
      reactive doctor
      reactive doctor --model sdxl-turbo
    """
    if model is not None:
        with errors(as_json):
            from reactive.memory_table import needs_table
            from reactive.render.sizes import parse_size

            size = parse_size(imagine_size, "--imagine-size", multiple=8) if imagine_size else None
            needs = needs_table(model, size)
        click.echo(json.dumps(needs) if as_json else _table(needs))
        return
    with errors(as_json):
        from reactive.doctor import examine

        facts = examine()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:<14} {value}")


def _table(needs: dict[str, Any]) -> str:
    """Return a model's memory needs as lines."""
    parts = ", ".join(f"{part} {size:.2f}" for part, size in needs["weights_gib"].items())
    lines = [
        f"{printable(needs['model'])} at {needs['size']} in float16, computed from shapes, in GiB",
        f"weights: {parts} (these leave the card once the prompts are embedded)",
        "",
        f"{'batch':>5} {'network':>8} {'decoding at once':>17} {'one by one':>11}",
    ]
    lines += [
        f"{row['batch']:>5} {row['network']:>8.2f} {row['decoding at once']:>17.2f} {row['one by one']:>11.2f}"
        for row in needs["batches"]
    ]
    lines += ["", "--batch auto on a card of"]
    for row in needs["cards"]:
        fits = "" if row["fits"] else f": too little memory for {printable(needs['size'])}"
        texts = "" if row["texts"] == "card" else "; prompts are embedded on the CPU"
        share = f"needs {row['needs']:.2f} of {row['has']:.2f} free"
        lines.append(
            f"{row['card']:>5} GB: batch {row['batch']}, decoded {row['slices']} at a time, {share}{fits}{texts}"
        )
    return "\n".join(lines)
