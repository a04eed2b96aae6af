"""LoRAs of 2022, whose matrices are numbered (``unet:0:up``) in the order in which their program walked through the network.

That order follows from the classes of the changed layers, which are in the file's metadata, and from the order of diffusers'
blocks then: the feed-forward layer was between the two attentions. If that does not fit, today's order is tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from reactive.jsonfile import parse_json

_NUMBERED = re.compile(r"(?P<part>unet|text_encoder):(?P<number>\d{1,5}):(?P<kind>up|down)")
# the changed classes if a file does not name them
_USUAL = {"network": ("CrossAttention", "Attention", "GEGLU"), "text_encoder": ("CLIPAttention",)}
_THEN = ("attn1", "ff", "attn2")


def numbered_name(key: str) -> tuple[str, str, str] | None:
    """Return part, layer (``#0``) and kind of a numbered matrix; None for other names."""
    found = _NUMBERED.fullmatch(key)
    if found is None:
        return None
    return ("network" if found["part"] == "unet" else found["part"]), f"#{int(found['number'])}", found["kind"]


def named_layers(
    layers: Mapping[tuple[str, str], Mapping[str, torch.Tensor]],
    modules: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> dict[tuple[str, str], Mapping[str, torch.Tensor]] | None:
    """Return a file's layers with names in place of numbers; None if they are not those of this model."""
    named: dict[tuple[str, str], Mapping[str, torch.Tensor]] = {}
    for part in {part for part, _ in layers}:
        own = {int(layer[1:]): matrices for (of, layer), matrices in layers.items() if of == part}
        if part not in modules:
            return None
        orders = [list(_walk(modules[part], _targets(part, metadata), then=then)) for then in (True, False)]
        fitting = next((order for order in orders if _fits(order, own)), None)
        if fitting is None:
            return None
        named |= {(part, name): own[number] for number, (name, _) in enumerate(fitting)}
    return named


def _targets(part: str, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes that were changed, by their names then."""
    try:
        told = parse_json(metadata.get("unet" if part == "network" else part, ""))
    except ValueError:
        return _USUAL[part]
    return tuple(map(str, told)) if isinstance(told, list) and told else _USUAL[part]


def _walk(module: Any, targets: tuple[str, ...], *, then: bool) -> Iterator[tuple[str, Any]]:
    """Yield the layers with weights within modules of some classes, in the order of that program."""
    for name, ancestor in _modules(module, "", then=then):
        if _is_one(type(ancestor).__name__, targets):
            for inner, layer in ancestor.named_modules():
                if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                    yield f"{name}.{inner}", layer


def _modules(module: Any, name: str, *, then: bool) -> Iterator[tuple[str, Any]]:
    """Yield a module and all within it, each before its own, as torch does."""
    yield name, module
    children = list(module.named_children())
    if then and {child for child, _ in children} >= set(_THEN):
        children.sort(key=lambda child: _THEN.index(child[0]) if child[0] in _THEN else len(_THEN))
    for child, inner in children:
        yield from _modules(inner, f"{name}.{child}".lstrip("."), then=then)


def _is_one(kind: str, targets: tuple[str, ...]) -> bool:
    # diffusers' name of attention until 0.15; transformers has one class for each implementation
    if kind == "Attention" and "CrossAttention" in targets:
        return True
    return kind in targets or (kind.startswith("CLIP") and kind.endswith("Attention") and "CLIPAttention" in targets)


def _fits(order: list[tuple[str, Any]], own: Mapping[int, Mapping[str, torch.Tensor]]) -> bool:
    if sorted(own) != list(range(len(order))):
        return False
    for number, (_, layer) in enumerate(order):
        matrices, shape = own[number], layer.weight.shape
        if not {"up", "down"} <= matrices.keys() or min(matrices["up"].ndim, matrices["down"].ndim) < 2:
            return False
        if len(matrices["up"]) != shape[0] or matrices["down"][0].numel() != shape[1:].numel():
            return False
    return True
