"""The palettes of feedback, for each prompt and shot.

A prompt's palette in a shot is that of the picture it gives from pure noise at the frame where the shot first shows it. So
palettes depend on the timeline alone, and a resumed shot has the same ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from reactive.diffusion.colour import led_to, palette
from reactive.diffusion.core import Core, FrameRequest, from_bytes
from reactive.diffusion.scene import SceneInputs

# a prompt of a shot, and the frame at which the shot first shows it
Key = tuple[int, int]
_KEPT = 512


class Palettes:
    """Provides palettes; imagines each prompt's own picture when it is first needed."""

    def __init__(self, core: Core, scene: SceneInputs) -> None:
        self.core = core
        self.scene = scene
        self._known: OrderedDict[Key, torch.Tensor] = OrderedDict()

    def learn(self, keys: Sequence[Key]) -> None:
        """Imagine missing ones in full batches."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        for first in range(0, len(missing), self.core.batch):
            chosen = missing[first : first + self.core.batch]
            pictures = self.core.imagine([self._request(*key) for key in chosen])
            for key, picture in zip(chosen, pictures, strict=True):
                # one by one: sums of a picture must not depend on the batch size
                self._known[key] = palette(from_bytes(picture)[None])[0]
        for key in keys:
            self._known.move_to_end(key)
        while len(self._known) > _KEPT + len(keys):
            self._known.popitem(last=False)

    def mixed(self, before: Key, after: Key, weight: float) -> torch.Tensor:
        """Return the palette, float32 [2, 3], of a blend of two prompts that `learn` has seen."""
        return torch.lerp(self._known[before], self._known[after], weight)

    def _request(self, prompt: int, frame: int) -> FrameRequest:
        noises = self.scene.noises(frame, self.core.noises_per_picture)
        scene = self.scene
        style, controls, loras = scene.style(frame), scene.controls(frame), scene.loras(frame)
        return FrameRequest(prompt, prompt, 0.0, 1.0, noises, style=style, controls=controls, loras=loras)


def keep_palette(
    palettes: Palettes, requests: list[FrameRequest], places: Sequence[tuple[int, int]]
) -> list[FrameRequest]:
    """Return requests whose fed-back pictures are moved towards the palettes of their prompts.

    Parameters
    ----------
    requests
        The next tick of each lane; one without a source begins its shot and stays as it is.
    places
        For each, its shot's first frame and its own.
    """
    firmness = palettes.scene.timeline.feedback_colour
    led = [number for number, request in enumerate(requests) if request.source is not None] if firmness > 0 else []
    if not led:
        return requests
    columns = palettes.scene.timeline.columns
    keys: dict[int, list[Key]] = {}
    for number in led:
        start, frame = places[number]
        prompts = int(columns["prompt_from"][frame]), int(columns["prompt_to"][frame])
        keys[number] = [(prompt, first_shown(columns, prompt, start, frame)) for prompt in prompts]
    palettes.learn([key for pair in keys.values() for key in pair])
    wanted = [
        palettes.mixed(keys[number][0], keys[number][1], float(columns["weight"][places[number][1]])) for number in led
    ]
    sources = [source for number in led if (source := requests[number].source) is not None]
    # all at once on a card; on a processor picture by picture, which fits its cache
    at_once = 1 if sources[0].device.type == "cpu" else len(led)
    result = list(requests)
    for first in range(0, len(led), at_once):
        some = slice(first, first + at_once)
        moved = led_to(torch.stack(sources[some]), torch.stack(wanted[some]), firmness)
        for number, source in zip(led[some], moved, strict=True):
            result[number] = replace(requests[number], source=source)
    return result


def first_shown(columns: dict[str, np.ndarray], prompt: int, start: int, frame: int) -> int:
    """Return the frame from which a shot that begins at `start` has been showing a prompt up to `frame`."""
    shown = (columns["prompt_from"][start : frame + 1] == prompt) | (columns["prompt_to"][start : frame + 1] == prompt)
    absent = np.flatnonzero(~shown)
    return start + (int(absent[-1]) + 1 if len(absent) else 0)
