"""A song's stems by Demucs (extra [stems]): drums, bass, vocals and the rest, as sound files that `--stem` takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.assist.weights import find_weights
from reactive.errors import ModelError, OutputError, install_line
from reactive.files import replacing
from reactive.media.sound import Track, resampled, stereo_blocks, write_wav

DEFAULT_MODEL = "htdemucs"
# overlap of neighbouring pieces, as a share of a piece
OVERLAP = 0.25
SIGNATURE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Separator:
    """A loaded Demucs model: the library's own bag of models, and the names of its stems."""

    model: Any
    sources: tuple[str, ...]
    sample_rate: int
    channels: int


def load_separator(name: str = DEFAULT_MODEL) -> Separator:
    """Load a model: a folder with one ``NAME.yaml`` that lists its safetensors, as the hub has it.

    Raises
    ------
    ModelError
        If Demucs is not installed, or the weights are missing or of another kind.
    """
    try:
        import demucs.hf as hub
        import yaml
        from demucs.apply import BagOfModels
    except ImportError:
        raise ModelError(
            "stems need Demucs", where="reactive stems", remedy=f"install it with `{install_line('[stems]')}`"
        ) from None
    folder = find_weights(name, "stems")
    lists = sorted(folder.glob("*.yaml"))
    if len(lists) != 1:
        raise ModelError("holds no list of Demucs models", where=str(folder), remedy="name a folder with one .yaml")
    try:
        told = yaml.safe_load(lists[0].read_text(encoding="utf-8"))
        if wrong := [name for name in told["models"] if not SIGNATURE.fullmatch(str(name))]:
            raise ModelError(f"{wrong[0]} is no name of a model", where=str(lists[0]), remedy="fetch it again")
        files = [folder / f"{name}.safetensors" for name in told["models"]]
        for file in files:
            _check_class(file)
        bag = BagOfModels(
            [hub.load_safetensors_model(file) for file in files], told.get("weights"), told.get("segment")
        )
    except ModelError:
        raise
    except Exception as problem:
        # yaml, safetensors and Demucs raise their own errors
        said = " ".join(str(problem).split())[:160]
        raise ModelError(f"can't be loaded ({said})", where=str(folder), remedy="fetch it again") from None
    bag.eval()
    return Separator(bag, tuple(bag.sources), int(bag.samplerate), int(bag.audio_channels))


def _check_class(file: Path) -> None:
    """Refuse a file whose class is not one of Demucs' own: the library would import any named class."""
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as opened:
        told = opened.metadata() or {}
    if told.get("klass") not in ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs"):
        raise ModelError("is no model of Demucs", where=str(file), remedy="use the weights that Demucs publishes")
    if '"_class"' in told.get("structure", "") or not isinstance(json.loads(told.get("args", "[]")), list):
        raise ModelError("has weights of a form that is not read", where=str(file), remedy="use unpacked weights")


def separate(
    track: Track, separator: Separator, *, device: str = "cpu", progress: Callable[[float], None] = lambda share: None
) -> dict[str, np.ndarray]:
    """Return a song's stems by name, float32 [samples, channels] at the separator's sample rate.

    Parameters
    ----------
    progress
        Called with the share that is done.
    """
    from demucs.apply import apply_model

    rate = separator.sample_rate
    parts = stereo_blocks(track)
    whole = np.concatenate(list(parts if track.sample_rate == rate else resampled(parts, track.sample_rate, rate, 2)))
    sound = torch.from_numpy(whole.T.copy())
    if separator.channels == 1:
        sound = sound.mean(0, keepdim=True)
    # as in Demucs' training: the mono sum has mean 0 and deviation 1
    mono = sound.mean(0)
    mean, deviation = mono.mean(), mono.std() + 1e-8
    length, models = sound.shape[1], len(separator.model.models)

    def told(state: dict[str, Any]) -> None:
        if state["state"] == "end":
            progress(min(1.0, (state["model_idx_in_bag"] + state["segment_offset"] / length) / models))

    with torch.inference_mode():
        found = apply_model(
            separator.model,
            ((sound - mean) / deviation)[None],
            shifts=0,
            split=True,
            overlap=OVERLAP,
            device=device,
            callback=told,
            callback_arg={},
        )
        found = found[0] * deviation + mean
    progress(1.0)
    return {
        name: found[number].T.contiguous().cpu().numpy().astype(np.float32)
        for number, name in enumerate(separator.sources)
    }


def write_stems(stems: dict[str, np.ndarray], rate: int, folder: Path) -> dict[str, Path]:
    """Write stems as 16-bit WAVs into a folder; return them by name. A stem that exceeds full scale is scaled down.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, sound in stems.items():
            path = folder / f"{name}.wav"
            peak = float(np.abs(sound).max(initial=0.0))
            with replacing(path) as partial:
                write_wav(partial, _parts(sound / max(peak, 1.0)), rate, sound.shape[1])
            written[name] = path
    except OSError as problem:
        said = problem.strerror or str(problem)
        raise OutputError(f"can't be written ({said})", where=str(folder), remedy="choose another with -o") from None
    return written


def _parts(sound: np.ndarray, size: int = 1 << 16) -> Iterator[np.ndarray]:
    yield from (sound[start : start + size] for start in range(0, len(sound), size))
