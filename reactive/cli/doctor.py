"""``reactive doctor``: the device and libraries of this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from reactive.cli.common import errors, json_option, printable


@click.command()
@click.option("--model", metavar="NAME", help="Print how much of a card's memory this model needs instead.")
@click.option("--imagine-size", metavar="WxH", help="With --model: at this size. Default: its native size.")
@click.option(
    "--quant",
    metavar="KIND",
    help="With --model: with weights in int8, fp8 or nf4, or the network of a .gguf file. Default: not quantised.",
)
@json_option
def doctor(model: str | None, imagine_size: str | None, quant: str | None, as_json: bool) -> None:
    """Print what reactive uses on this machine, and what is missing; with --model, how much memory a model needs.

    \b
    Examples:
      reactive doctor
      reactive doctor --model sdxl-turbo
      reactive doctor --model flux-dev --quant nf4
    """
    if model is not None:
        with errors(as_json):
            from reactive.memory_table import needs_table
            from reactive.render.sizes import parse_size

            size = parse_size(imagine_size, "--imagine-size", multiple=8) if imagine_size else None
            needs = needs_table(model, size, quant)
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
    style, steering = needs["style_gib"], []
    if style:
        more, encoding = style["network"], style["encoding"]
        steering = [
            f"pictures that steer the style (--style): {more:.2f} more, and {encoding:.2f} while they are encoded"
        ]
    if needs["control_gib"]:
        steering.append(f"shapes that are kept (--control): {needs['control_gib']:.2f} more for each control network")
    parts = ", ".join(f"{part} {size:.2f}" for part, size in needs["weights_gib"].items())
    stored = f", quantised by {printable(needs['quant'])}" if needs["quant"] else ""
    lines = [
        f"{printable(needs['model'])} at {needs['size']} in float16{stored}, computed from shapes, in GiB",
        f"weights: {parts} (these leave the card once the prompts are embedded)",
        *steering,
        "",
        "beside the weights, for a batch of pictures:",
        f"{'batch':>5} {'imagining':>10} {'decoding all at once':>21} {'decoding one by one':>20}",
    ]
    lines += [
        f"{row['batch']:>5} {row['network']:>10.2f} {row['decoding at once']:>21.2f} {row['one by one']:>20.2f}"
        for row in needs["batches"]
    ]
    lines += ["", "--batch auto takes on a card of"]
    lines += [_card(row, printable(needs["size"])) for row in needs["cards"]]
    lines += ["", f"{'--quant':>7} {'network':>9} {'text encoders':>14}  smallest card for one picture"]
    lines += [
        f"{row['quant'] or 'none':>7} {row['network']:>9.2f} {row['text encoders']:>14.2f}  "
        + (f"{row['card']} GB" if row["card"] else "none")
        for row in needs["quantised"]
    ]
    return "\n".join(lines)


def _card(row: dict[str, Any], size: str) -> str:
    """Return what fits on a card as a line."""
    card = f"{row['card']:>5} GB ({row['has']:.2f} to use): "
    if not row["fits"]:
        remedy = f"--imagine-size {row['smaller']} fits" if row["smaller"] else "too small at half the size too"
        return f"{card}does not fit, one picture of {size} needs {row['needs']:.2f}; {remedy}"
    texts = "" if row["texts"] == "card" else "; prompts are embedded on the CPU"
    decoded = "all at once" if row["slices"] >= row["batch"] else f"{row['slices']} at a time"
    return f"{card}batches of {row['batch']}, decoded {decoded}, which need {row['needs']:.2f}{texts}"
