"""A hint for cards that can run a model with better pictures than ember's, given once on each machine."""

from __future__ import annotations

from reactive.diffusion.backend.device import choose_device, device_memory
from reactive.diffusion.backend.shapes import memory_class
from reactive.diffusion.models.catalogue import recommended
from reactive.errors import ReactiveError
from reactive.files import cache_root


def better_model(device: str) -> str | None:
    """Return a sentence about the model that is recommended for this machine's card, once for each class of memory.

    Parameters
    ----------
    device
        As in ``--device``.

    Returns
    -------
    None on processors, on cards that hold only ember, and if it was said before. A device that is not there also gives None: the
    render reports it.
    """
    try:
        memory = memory_class(device_memory(choose_device(device)))
    except ReactiveError:
        return None
    best = recommended(memory)
    said = cache_root() / "said" / f"better-model-{memory}"
    if best is None or said.exists():
        return None
    try:
        said.parent.mkdir(parents=True, exist_ok=True)
        said.touch()
    except OSError:
        # a cache that can't be written to: it is said again the next time
        pass
    return (
        f"This card has memory for {best.entry.name}, with better pictures than ember's: `reactive models pull "
        f"{best.entry.name}`, then `{best.options}`. (Said once.)"
    )
