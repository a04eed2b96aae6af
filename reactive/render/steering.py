"""Whether pictures steer the style of a clip, so that its model needs an adapter."""

from __future__ import annotations

from typing import TypeVar

from reactive.preset.schema import Preset
from reactive.render.settings import Settings
from reactive.render.take import load_take
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
