"""Whether pictures steer a clip, so that its model needs an adapter or control networks."""

from __future__ import annotations

from typing import TypeVar

from reactive.preset.control import split_control
from reactive.preset.schema import Preset
from reactive.render.settings import Settings
from reactive.render.take import load_take
from reactive.timeline.control_pictures import control_kinds, network_kind
from reactive.timeline.file import load_timeline
from reactive.timeline.styles import style_names

S = TypeVar("S", bound=Settings)


def with_adapter(settings: S, preset: Preset | None) -> S:
    """Return settings whose model has the usual adapter, if pictures steer the style and none was chosen.

    Parameters
    ----------
    preset
        The preset; None if an edited timeline or a take stands in its place.

    Raises
    ------
    ReactiveError
        If a timeline or a take can't be read.
    """
    sources = settings.sources
    if settings.model.adapter:
        return settings
    if sources.timeline:
        steered = bool(load_timeline(sources.timeline).styles)
    elif sources.take:
        take = load_take(sources.take)
        steered = bool(take.styles) or any(style_names(one) for one in take.checked_presets().values())
    else:
        steered = bool(sources.styles) or (preset is not None and bool(style_names(preset)))
    return settings.changed(adapter="auto") if steered else settings


def with_controls(settings: S, preset: Preset | None) -> S:
    """Return settings whose model has the usual control networks for the pictures whose shapes are kept, where none was chosen.

    Parameters
    ----------
    preset
        The preset; None if an edited timeline or a take stands in its place.

    Raises
    ------
    ReactiveError
        If a timeline or a take can't be read.
    """
    sources = settings.sources
    named = [split_control(text)[0] for text in sources.controls]
    if sources.timeline:
        named = [name.partition(":")[0] for name in load_timeline(sources.timeline).controls]
    elif sources.take:
        take = load_take(sources.take)
        named = [split_control(text)[0] for text in take.controls]
        named += [kind for one in take.checked_presets().values() for kind in control_kinds(one)]
    elif preset is not None:
        named += control_kinds(preset)
    chosen = settings.model.control_models
    told = {text.partition("=")[0] for text in chosen}
    missing = [kind for kind in dict.fromkeys(map(network_kind, named)) if kind not in told]
    return settings.changed(control_models=(*chosen, *missing)) if missing else settings
