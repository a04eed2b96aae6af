"""Cache keys: a hash of everything that decides a segment's pictures, so that a segment that did not change is not rendered again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import BaseModel

from reactive import __version__
from reactive.diffusion.backend.device import device_name, multiplies_bfloat16
from reactive.diffusion.backend.opencv import opencv
from reactive.diffusion.controls import NO_SUBJECT, subjects_at
from reactive.diffusion.joins import next_shot
from reactive.diffusion.lanes import shot_ticks
from reactive.diffusion.models.load import Model, adapter_here, controls_here, find_model
from reactive.diffusion.models.locate import HASHED, cached
from reactive.diffusion.models.lora import parse_lora
from reactive.files import hash_file
from reactive.render.plan import Plan, Segment
from reactive.render.settings import Settings
from reactive.render.spec import RenderSpec
from reactive.render.store.code_hash import code_hash
from reactive.timeline.control_pictures import CONTROLS
from reactive.timeline.edges import shot_around
from reactive.timeline.grounds import grounds_before
from reactive.timeline.loras import LORAS
from reactive.timeline.styles import STYLES
from reactive.timeline.timeline import OPTIONAL, Timeline, in_use
from reactive.video.codec import Codec
from reactive.video.segment import encoder_versions
from reactive.video.upscale import NO_UPSCALING, Upscaling, upscaling_key

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "librosa", "soxr", "soundfile", "pillow")
# columns that do not change a picture by themselves (`hit` counts only between interpolated frames, see `hits_of`)
_UNUSED_COLUMNS = ("phase", "loop", "shot", "speed", "hit")
# columns that only edits of single shots use
_EDITED = ("seed_from", "seed_weight")
# columns of indices into the prompts
_PROMPTS = ("prompt_from", "prompt_to")
# bytes of a file whose hash is kept while the program runs
_LARGE = 64 << 20


def digest(data: Any) -> str:
    """Return the first 40 hexadecimal digits of the sha256 of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:40]


def hash_path(path: Path) -> str:
    """Return one hash over the bytes of a file, or over the weights, vocabularies and configurations of a model's folder.

    Other files in such a folder (a README, posters, leftovers of a download) decide nothing.
    """
    if path.is_file():
        status = path.stat()
        # only large files are cached: a small one may be saved twice within the resolution of the disk's clock
        if status.st_size < _LARGE:
            return hash_file(path)
        return _hash_large(path, status.st_size, status.st_mtime_ns)
    names = {file.relative_to(path): file for file in path.rglob("*") if file.suffix in HASHED and file.is_file()}
    files = {name.as_posix(): file for name, file in names.items() if not any(part[0] == "." for part in name.parts)}
    return digest([[name, hash_path(file)] for name, file in sorted(files.items())])


@lru_cache(maxsize=256)
def _hash_large(path: Path, size: int, changed: int) -> str:
    del size, changed
    return hash_file(path)


def model_hash(settings: Settings) -> str:
    """Return one hash over the files of the model that settings name, its LoRAs, exchanged autoencoder, adapter and GGUF file.

    Raises
    ------
    ModelError
        If the model is missing.
    """
    more = [Path(parse_lora(text)[0]) for text in settings.model.loras]
    if settings.model.vae:
        given = Path(settings.model.vae)
        more.append(
            given
            if given.exists() or settings.model.vae.count("/") != 1
            else cached(settings.model.vae, settings.model.vae, "--vae")
        )
    model = find_model(settings.model.name)
    if settings.model.adapter:
        adapter = adapter_here(settings.model.adapter, model, settings.model.name)
        more += [adapter.weights, adapter.encoder]
    for control in controls_here(settings.model.control_models, model, settings.model.name):
        more += control.files
    if settings.model.quant:
        # a kind of quantisation is part of the request
        more.append(Path(settings.model.quant))
    return digest([hash_path(path) for path in (model, *more) if path.exists()])


def environment(device: str, threads: int) -> dict[str, Any]:
    """Return what else decides a picture's bits: versions, device and threads."""
    on_cpu = device.startswith("cpu")
    return {
        "reactive": f"{__version__}+{code_hash()}",
        **{name: version(name) for name in _LIBRARIES},
        **encoder_versions(),
        "device": device_name(device) + (" bfloat16" if on_cpu and multiplies_bfloat16() else ""),
        "machine": platform.machine(),
        "opencv": opencv().__version__,
        "threads": threads,
    }


def plain(value: Any) -> Any:
    """Return a setting as plain data; files and folders become hashes of their contents, not names."""
    if isinstance(value, Path):
        return hash_path(value)
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, BaseModel):
        return {name: plain(part) for name, part in value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def cache_key_inputs(model: Model, spec: RenderSpec, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides all pictures of a clip."""
    return {
        "model": model.sha256,
        "steps": model.steps,
        "guidance": model.guidance,
        "sampling": [model.sampling.sampler, model.prediction, model.sampling.grid.tolist(), model.sampling.full],
        "dtype": [str(model.dtype), str(model.vae_dtype)],
        "compiled": model.compiled,
        "pace": spec.pace,
        "imagined": list(spec.imagined),
        "batch": [spec.batch, spec.slices],
        "harmonics": spec.timeline.harmonics,
        "feedback": [spec.timeline.feedback_fresh, spec.timeline.feedback_colour],
        # left out where feedback uses the full batch, so keys of older jobs stay valid
        **({} if spec.lane_count(spec.batch) == spec.batch else {"lanes": spec.lanes}),
        "rate": spec.rate,
        **({"lut": hash_path(spec.lut)} if spec.lut else {}),
        # frames with a ground come in the clip's own size
        **({"composed": list(spec.composed)} if spec.grounds else {}),
        "fps": str(spec.timeline.fps),
        "environment": dict(environment),
    }


# by the column of its weight, the hashes of the pictures that a style or control has, each after the number of its subject
Steering = dict[str, Sequence[Sequence[Any]]]


def picture_keys(
    plan: Plan,
    timeline: Timeline,
    inputs: Mapping[str, Any],
    sources: Mapping[int, str],
    styles: Mapping[str, str] = MappingProxyType({}),
    controls: Sequence[Sequence[Any]] = (),
) -> list[str]:
    """Return the key of each segment's pictures.

    The key of a segment of a feedback shot covers everything before it in its shot. A tick is a moment at which a picture is fed back.

    Parameters
    ----------
    inputs
        What decides all pictures of the clip: model, sizes, batch, environment.
    sources
        The hash of each picture and video, by its number as the timeline's columns `source`, `guide` and `ground` have it.
    styles
        The hash of each reference picture, by its name.
    controls
        Each control's name, and the hashes of its files with the numbers of their subjects; none if they count nowhere.
    """
    # all of them are computed for every frame; what they show decides only where they have a weight
    named = list(timeline.styles) if styles else []
    shapes = {"controls": [control[0] for control in controls]} if controls else {}
    steering: Steering = {
        column: [[NO_SUBJECT, styles.get(name, "")]] for column, name in zip(STYLES, named, strict=False)
    }
    steering |= {column: control[1:] for column, control in zip(CONTROLS, controls, strict=False)}
    # the files behind these names are part of the model's hash
    loras = {"loras": list(timeline.loras)} if timeline.loras else {}
    base = digest({**inputs, **({"styles": named} if named else {}), **shapes, **loras})
    chains: dict[tuple[int, int], str] = {}
    keys = []
    for segment in plan.segments:
        if segment.shot is None:
            # interpolated frames depend on the pictures around them, which may be anywhere in the shot
            reach = shot_around(timeline.columns, segment.start) if inputs["rate"] else (segment.start, segment.stop)
            seen = [_content(timeline, *reach, sources, steering, camera=None)]
            seen += [hits_of(timeline, *reach)] if inputs["rate"] else []
            keys.append(digest([base, "independent", segment.start, segment.stop, seen]))
            continue
        start, stop = segment.shot
        ticks = shot_ticks(timeline, start, stop)
        before = base
        for piece in range(start, segment.full_start, plan.longest):
            if (start, piece) not in chains:
                until = min(piece + plan.longest, stop)
                content = _fed_back(timeline, segment.shot, ticks, piece, until, sources, steering)
                chains[start, piece] = digest([before, content])
            before = chains[start, piece]
        content = _fed_back(timeline, segment.shot, ticks, segment.full_start, segment.stop, sources, steering)
        keys.append(digest([before, "feedback", segment.start, content]))
    return keys


def hits_of(timeline: Timeline, start: int, stop: int) -> list[int]:
    return [start, stop, *(np.flatnonzero(timeline.columns["hit"][start:stop] > 0) + start).tolist()]


def file_key(
    pictures: str, *, size: tuple[int, int], fps: Fraction, codec: Codec, upscaling: Upscaling = NO_UPSCALING
) -> str:
    """Return the key of the piece that holds a segment's pictures in one shape."""
    return digest([pictures, list(size), str(fps), dataclasses.asdict(codec), *upscaling_key(upscaling)])


def last_tick_before(ticks: Sequence[Fraction], frame: int) -> int:
    """Return the number of the last tick before a frame: the segment that begins there starts from it.

    A clip may have fewer frames a second than pictures fed back. Then several ticks lie between two frames: the first of them
    belongs to the segment before, the others to the segment that begins.
    """
    return min(bisect_left(ticks, frame) - 1, bisect_left(ticks, frame - 1))


def first_tick_at(ticks: Sequence[Fraction], frame: int) -> int:
    """Return the number of the first tick at or after a frame, or of the last one."""
    return min(bisect_left(ticks, frame), len(ticks) - 1)


def segment_ticks(segment: Segment, ticks: Sequence[Fraction]) -> tuple[int, int]:
    """Return the numbers of the first and the last tick that a segment needs after its predecessor's last."""
    return last_tick_before(ticks, segment.start) + 1, first_tick_at(ticks, segment.stop - 1)


def _fed_back(
    timeline: Timeline,
    shot: tuple[int, int],
    ticks: Sequence[Fraction],
    begin: int,
    end: int,
    sources: Mapping[int, str],
    steering: Steering,
) -> list[Any]:
    """Return what decides frames [begin, end) of a feedback shot, given all before them."""
    last = first_tick_at(ticks, end - 1)
    # the last tick may be after the frames, and the camera's path is read up to it
    reach = min(max(end, int(ticks[last] + Fraction(1, 2)) + 1), shot[1])
    camera = (begin, max(end, int(ticks[last]) + 2))
    places = [str(tick) for tick in ticks[: last + 1] if tick > begin - 1]
    return [shot[0], begin, end, places, _content(timeline, begin, reach, sources, steering, camera=camera)]


def _content(
    timeline: Timeline,
    begin: int,
    end: int,
    sources: Mapping[int, str],
    steering: Steering,
    *,
    camera: tuple[int, int] | None,
) -> list[Any]:
    """Return a hash of each column's part, prompts as texts and sources as hashes."""
    parts: list[Any] = []
    columns, texts = timeline.columns, timeline.prompts
    prompts = [list(pair) for pair in zip(texts, timeline.negatives, strict=True)] if timeline.negatives else texts
    if any(columns[name][begin:end].any() for name in ("dissolve", "morph")):
        # a join shows the beginning of the next shot already
        opening = next_shot(columns, begin)
        first = min(opening, timeline.frames - 1)
        parts.append([*_content_at(columns, first, prompts, sources), *_steered(timeline, first, first + 1, steering)])
    doubled = begin + np.flatnonzero(columns["ground_double"][begin:end])
    if len(doubled):
        # what a double exposure shows of the ground before, which may be a film's last picture
        last = np.unique(grounds_before(columns)[doubled])
        last = last[last >= 0]
        shown = [sources.get(number, str(number)) for number in columns["ground"][last].tolist()]
        parts.append(["double", list(zip(shown, last.tolist(), columns["film_time"][last].tolist(), strict=True))])
    parts += _steered(timeline, begin, end, steering)
    # a control sees the film that guides
    seen = any(columns[name][begin:end].any() for name in CONTROLS)
    for name in in_use(timeline.columns):
        column = timeline.columns[name]
        if name in _UNUSED_COLUMNS or (camera is None and name.startswith("camera_")):
            continue
        if camera is None and name.startswith("guide") and not seen:
            continue
        if name in _EDITED and (column[begin:end] == OPTIONAL[name]).all():
            # an edit of one shot must not change the keys of others
            continue
        if name in _PROMPTS:
            parts.append([name, _named(column[begin:end], lambda number: prompts[number])])
        elif name in ("palette_from", "palette_to"):
            palettes = ["", *(",".join(palette) for palette in timeline.palettes)]
            parts.append([name, _named(column[begin:end], lambda number, p=palettes: p[number + 1])])
        elif name in ("source", "guide", "ground"):
            shift = len(timeline.photos) if name == "guide" else 0
            parts.append(
                [name, _named(column[begin:end], lambda n, s=shift: sources.get(n + s if n >= 0 else n, str(n)))]
            )
        else:
            low, high = camera if camera is not None and name.startswith("camera_") else (begin, end)
            parts.append([name, hashlib.sha256(np.ascontiguousarray(column[low:high]).tobytes()).hexdigest()])
    return parts


def _steered(timeline: Timeline, begin: int, end: int, steering: Steering) -> list[Any]:
    """Return the hashes of the pictures that steer frames [begin, end): those that have a weight, and whose subjects are shown."""
    parts: list[Any] = []
    for column, files in steering.items():
        weighed = begin + np.flatnonzero(timeline.columns[column][begin:end])
        shown = {NO_SUBJECT, *subjects_at(timeline, weighed).tolist()} if len(weighed) else set()
        if here := [file for file in files if file[0] in shown]:
            parts.append([column, here])
    return parts


def _content_at(
    columns: Mapping[str, np.ndarray], frame: int, prompts: Sequence[Any], sources: Mapping[int, str]
) -> list[Any]:
    """Return the part of a shot's first frame that decides the pictures that a join shows before it."""
    source = int(columns["source"][frame])
    named = [prompts[int(columns[name][frame])] for name in _PROMPTS]
    numbers = [
        *(float(columns[name][frame]) for name in (*STYLES, *LORAS) if columns[name].any()),
        *_shapes_at(columns, frame),
        float(columns["weight"][frame]),
        float(columns["strength"][frame]),
        int(columns["seed"][frame]),
        int(columns["slerp"][frame]),
    ]
    return [named, numbers, sources.get(source, str(source))]


def _shapes_at(columns: Mapping[str, np.ndarray], frame: int) -> list[float]:
    """Return the weights of the controls in a frame, and the numbers of what they may see beside its source."""
    weights = [float(columns[name][frame]) for name in CONTROLS if columns[name].any()]
    return [*weights, *(float(columns[name][frame]) for name in ("guide", "ground"))] if weights else []


def _named(column: np.ndarray, text: Any) -> list[Any]:
    """Return a column of indices as its texts, and where each is shown."""
    numbers, places = np.unique(column, return_inverse=True)
    texts = [text(number) for number in numbers.tolist()]
    # the order of texts, not of their numbers: a prompt that moves in the preset is still the same prompt
    order = sorted(range(len(texts)), key=texts.__getitem__)
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts))
    return [[texts[i] for i in order], hashlib.sha256(rank[places].tobytes()).hexdigest()]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words how two environments differ; empty if they do not."""
    names = sorted({*before, *now})
    return ", ".join(f"{n} {now.get(n)}, not {before.get(n)}" for n in names if before.get(n) != now.get(n))
