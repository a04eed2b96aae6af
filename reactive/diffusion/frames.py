"""Independent frames: from the timeline's columns to requests, batch after batch, in any order.

A frame without a source, or with a photograph or a video's picture, depends only on its own columns and, in a
dissolve or morph, on those of the frame at which the next shot begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.joins import dissolved, morphed, next_shot_pictures
from reactive.diffusion.motion.lens import through_lens
from reactive.diffusion.scene import SceneInputs


def frame_request(scene: SceneInputs, frame: int, noises: int) -> FrameRequest:
    """Return the request for an independent frame."""
    columns = scene.timeline.columns
    source = int(columns["source"][frame])
    own = FrameRequest(
        prompt_from=int(columns["prompt_from"][frame]),
        prompt_to=int(columns["prompt_to"][frame]),
        weight=float(columns["weight"][frame]),
        strength=float(columns["strength"][frame]) if source >= 0 else 1.0,
        noises=scene.noises(frame, noises),
        source=scene.picture(source, frame),
        slerp=bool(columns["slerp"][frame]),
        style=scene.style(frame),
        controls=scene.controls(frame),
        loras=scene.loras(frame),
    )
    return morphed(scene, own, frame)


def independent_frames(
    core: Core, scene: SceneInputs, frames: np.ndarray | Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine independent frames in full batches.

    Parameters
    ----------
    frames
        Frame numbers [n]; or runs of them, each taken when the batches before it are being computed.

    Yields
    ------
    Frame numbers [n] and their finished pictures, uint8 [n, 3, height, width].
    """
    for chosen, pictures in independent_pictures(core, scene, frames):
        yield chosen, through_lens(pictures, scene.timeline.columns, chosen)


def independent_pictures(
    core: Core, scene: SceneInputs, frames: np.ndarray | Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine independent frames in full batches; yield them as `independent_frames` does, without the lens."""
    chunks = [frames] if isinstance(frames, np.ndarray) else frames
    for chosen, pictures in _imagined(core, scene, full_batches(chunks, core.batch)):
        weights = scene.timeline.columns["dissolve"][chosen]
        if weights.any():
            pictures = pictures.clone()
            # indices, not a mask: counting a mask would wait for the device
            dissolving = torch.from_numpy(np.flatnonzero(weights > 0)).to(pictures.device)
            theirs = next_shot_pictures(core, scene, chosen[weights > 0].tolist())
            pictures[dissolving] = dissolved(pictures[dissolving], theirs, weights[weights > 0])
        yield chosen, pictures


def full_batches(chunks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the frames of chunks, in order, `size` at a time; only the last batch may hold fewer."""
    held = np.zeros(0, np.int64)
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held


def _imagined(
    core: Core, scene: SceneInputs, batches: Iterator[np.ndarray]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine batch after batch; while the device computes one, the requests for the next are made."""
    prepared: list[tuple[np.ndarray, list[FrameRequest]]] = []

    def prepare() -> None:
        chosen = next(batches, None)
        if chosen is not None:
            count = core.noises_per_picture
            prepared.append((chosen, [frame_request(scene, frame, count) for frame in chosen.tolist()]))

    while True:
        if not prepared:
            prepare()
        if not prepared:
            return
        chosen, requests = prepared.pop()
        core.host_work = prepare
        yield chosen, core.imagine(requests)
