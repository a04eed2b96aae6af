"""Fuzz the file readers: small files with flipped, cut and joined bytes, each opened as a user would.

    python -m benchmarks mangle [FOLDER] [--count N] [--seed N] [--minutes M] [--keep FOLDER]

The files are generated; those of at most 1 MB in FOLDER are added. A file must be read, or refused with one of the project's
own errors. A traceback, a line on stderr, more than 10 s or more than 1.5 GB is reported with its place in the code; --keep saves
the file. The exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

MAX_FILE_BYTES = 1 << 20
MAX_SECONDS, MAX_MEMORY = 10.0, 1_500_000_000
# the limit above is for processor time; this one, in wall-clock seconds, finds processes that hang
TIMEOUT = 60.0
# longer songs, in seconds, are decoded but not analysed, since the analysis does not depend on the format
MAX_ANALYZED = 8.0
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".ac3", ".aiff", ".caf", ".w64")
FILMS = (".mp4", ".mov", ".mkv", ".ts", ".avi", ".webm", ".mpg", ".flv", ".asf", ".gif")
PHOTOS = (".png", ".jpg", ".tif", ".webp", ".avif", ".heic", ".gif", ".bmp")

PRESET = (
    'version = 2\ntitle = "P"\nwalk = "0.3 + rms"\n[lyrics]\nfile = ""\n[[macro]]\nname = "storm"\n[[phase]]\nname = "a"\n'
    'prompts = ["a sea {x}", "a tree"]\nstrength = "0.5 * macro.storm"\n[phase.switch]\nevery = "1 bar"\n[words]\nx = ["red"]\n'
    '[overlay]\ncolour = "#ff8800"\n'
)
SHOTS = 'version = 1\n[shot."drop 1 / shot 2"]\nprompt = ["a door"]\nseed = 7\nlocked = true\n'
WORDS = "[ar:A band]\n[offset:+250]\n[00:00.50]one line\n[00:01.00][00:03.00]two <00:01.20>words\n[00:02,50]\u00e9\n"
SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\n<i>a line</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nanother\n"
DEFORUM = {
    "W": 512,
    "H": 512,
    "max_frames": 120,
    "fps": 12,
    "animation_mode": "3D",
    "zoom": "0: (1.02+0.02*sin(t*3.14/10))",
    "angle": "0:(0), 30:(0.5)",
    "translation_x": "0:(0)",
    "translation_z": "0:(1.5), 60:(max_f/10)",
    "strength_schedule": "0:(0.65)",
    "prompts": {"0": "a lake --neg blur", "max_f/2": "a tower (big:1.2)"},
    "seed": 4,
}
PARSEQ = {
    "meta": {"generated_by": "sd_parseq", "version": "0.1.94"},
    "options": {"output_fps": 20, "bpm": 120},
    "prompts": {
        "format": "v2",
        "promptList": [{"name": "a", "positive": "a lantern", "negative": "", "allFrames": True}],
    },
    "rendered_frames": [
        {"frame": n, "zoom": 1.02, "angle": 0, "deforum_prompt": "a lantern --neg blur"} for n in range(20)
    ],
}


def made_inputs(folder: Path) -> list[Path]:
    """Write small files of every supported kind, and return their paths."""
    import soundfile
    from PIL import Image

    from reactive import analyze, build_timeline, get_preset, open_track
    from reactive.preset.bundle import pack
    from reactive.timeline.file import save_timeline
    from tests.media.made import CODECS, save_film, save_sound, tone
    from tests.toy import beat_song, write_song

    for suffix in CODECS:
        save_film(folder / f"film{suffix}", seconds=1.0, event=0.4)
    song = write_song(folder / "song.wav", beat_song(2))
    short = beat_song(1)
    for suffix, subtype in (
        (".flac", "PCM_16"),
        (".ogg", "VORBIS"),
        (".aiff", "PCM_24"),
        (".caf", "PCM_16"),
        (".w64", "FLOAT"),
    ):
        soundfile.write(folder / f"song{suffix}", short, 44_100, subtype=subtype)
    (folder / "chain.ogg").write_bytes((folder / "song.ogg").read_bytes() * 2)
    for suffix, codec in (
        (".mp3", "libmp3lame"),
        (".m4a", "aac"),
        (".aac", "aac"),
        (".ac3", "ac3"),
        (".opus", "libopus"),
    ):
        save_sound(folder / f"tone{suffix}", tone(440, 1.0, channels=(1.0, 0.5)), codec)
    y, x = np.mgrid[0:64, 0:96]
    picture = Image.fromarray(np.stack([x, y, x ^ y], axis=2).astype(np.uint8))
    for suffix in (".png", ".jpg", ".tif", ".webp", ".gif", ".bmp", ".avif"):
        picture.save(folder / f"photo{suffix}")
    Image.fromarray(x.astype(np.float32) / 96).save(folder / "float.tif")
    Image.fromarray((x * 600).astype(np.uint16)).save(folder / "deep.png")
    import pillow_heif

    pillow_heif.from_pillow(picture).save(folder / "photo.heic")
    texts = {
        "preset.toml": PRESET,
        "song.shots.toml": SHOTS,
        "words.lrc": WORDS,
        "words.srt": SUBTITLES,
        "words.vtt": "WEBVTT\n\n" + SUBTITLES.replace(",", "."),
        "deforum.txt": json.dumps(DEFORUM, indent=1),
        "parseq.json": json.dumps(PARSEQ),
        "beats.txt": "0.5\t1\n1.0\t2\n1.5\t3\n2.0\t1\n",
        "song.wav.reactive.json": json.dumps(
            {"version": 1, "song_sha256": "0" * 64, "grid": {"bpm": 120, "beats": [0.5, 1.0]}}
        ),
        "song.take.json": json.dumps(
            {
                "version": 1,
                "song_sha256": "0" * 64,
                "fps": "24",
                "seed": 1,
                "photos": [],
                "preset": "a",
                "presets": {"a": PRESET},
                "changes": [{"time": 0.5, "kind": "control", "name": "walk", "value": 2.0}],
            }
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "words16.lrc").write_text(WORDS, encoding="utf-16")
    (folder / "notes.mid").write_bytes(_midi())
    analysis = analyze(open_track(song))
    from fractions import Fraction

    timeline = build_timeline(analysis, get_preset("loop-destroy"), samples=88_200, fps=Fraction(12), seed=0)
    save_timeline(timeline, folder / "timeline.json")
    import torch
    from safetensors.torch import save_file

    layer = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    matrices = {f"{layer}.lora_A.weight": torch.ones(2, 16), f"{layer}.lora_B.weight": torch.ones(16, 2)}
    save_file(matrices, folder / "film.safetensors", metadata={"lora_adapter_metadata": '{"unet.lora_alpha": 8}'})
    (folder / "tide").mkdir()
    (folder / "tide" / "preset.toml").write_text(
        PRESET.replace('title = "P"', 'title = "P"\nauthor = "A"\nlicence = "CC0-1.0"')
    )
    pack(str(folder / "tide"), folder / "tide.reactive")
    shutil.rmtree(folder / "tide")
    return sorted(file for file in folder.iterdir() if file.is_file())


def _midi() -> bytes:
    def event(delta: int, *data: int) -> bytes:
        return bytes((delta, *data))

    notes = b"".join(event(0, 0x99, note, 100) + event(48, 0x89, note, 0) for note in (36, 42, 38, 42) * 4)
    marker = event(0, 0xFF, 0x06, 5) + b"Verse"
    track = event(0, 0xFF, 0x51, 3, 7, 161, 32) + marker + notes + event(0, 0xFF, 0x2F, 0)
    return b"MThd" + bytes((0, 0, 0, 6, 0, 0, 0, 1, 0, 96)) + b"MTrk" + len(track).to_bytes(4, "big") + track


# --- damaging a file ---------------------------------------------------------------------------------------------
def mangled(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Return a file's bytes with random damage, at most 1 MB: flipped, cut, or joined with another file's."""
    way = draw.choice(("flip", "flip", "flip", "cut", "hole", "twice", "join", "splice", "head"))
    size = len(data)
    if way == "flip":
        new = bytearray(data)
        # half of the damage goes to the header
        limit = size if draw.random() < 0.5 else min(size, 256)
        for _ in range(draw.choice((1, 1, 2, 4, 16, 64))):
            if size:
                at = draw.randrange(limit)
                new[at] = draw.choice((new[at] ^ 1 << draw.randrange(8), draw.randrange(256), 0, 255))
        return bytes(new)
    first, last = sorted((draw.randint(0, size), draw.randint(0, size)))
    if way == "cut":
        return data[:last]
    if way == "hole":
        return data[:first] + data[last:]
    if way == "twice":
        return (data[:last] + data[first:])[:MAX_FILE_BYTES]
    if way == "head":
        return data[last:] or data[:1]
    at = draw.randint(0, len(other))
    return (data + other if way == "join" else data[:first] + other[at:])[:MAX_FILE_BYTES]


# --- the readers ----------------------------------------------------------------------------------------------------
def readers(path: Path) -> list[Callable[[], Any]]:
    """Return the functions that open a file of this name."""
    name, suffix = path.name, path.suffix.lower()
    found: list[Callable[[], Any]] = []
    if suffix in (*SOUNDS, *FILMS):
        found.append(lambda: _hear(path))
    if suffix in FILMS:
        found += [lambda: _watch(path), lambda: _recipe(path)]
    if suffix in PHOTOS:
        found.append(lambda: _look(path))
    if suffix == ".wav":
        found.append(lambda: _markers(path))
    if suffix in (".mid", ".rmi"):
        found += [lambda: _midi_file(path), lambda: _markers(path)]
    if suffix in (".lrc", ".srt", ".vtt"):
        found.append(lambda: _words(path))
    if name.endswith(".shots.toml"):
        found.append(lambda: _shots(path))
    elif suffix == ".toml":
        found.append(lambda: _preset(path))
    if suffix in (".json", ".txt"):
        found += [
            lambda: _deforum(path),
            lambda: _timeline(path),
            lambda: _take(path),
            lambda: _beats(path),
            lambda: _grid(path),
        ]
    if suffix == ".safetensors":
        found += [lambda: _lora(path), lambda: _checkpoint(path)]
    if suffix == ".reactive":
        found.append(lambda: _bundle(path))
    if suffix in (".ttf", ".otf"):
        found.append(lambda: _font(path))
    return found


def _hear(path: Path) -> None:
    from reactive import analyze, open_track
    from reactive.media.sound import stereo_blocks

    track = open_track(path)
    for block in stereo_blocks(track):
        assert np.isfinite(block).all()
    if 0 < track.duration < MAX_ANALYZED:
        analyze(track)


def _watch(path: Path) -> None:
    from reactive.media.video import FilmReader, luma_frames, open_film

    film = open_film(path)
    reader = FilmReader(film, width=64, height=36)
    for number in {0, len(film.times) // 2, len(film.times) - 1}:
        reader.picture(number)
    reader.close()
    for _ in islice(luma_frames(path), 100):
        pass


def _recipe(path: Path) -> None:
    from reactive.render.recipe import read_recipe

    read_recipe(path)


def _look(path: Path) -> None:
    from reactive.media.picture import read_picture, read_transparent

    read_picture(path)
    read_transparent(path)


def _markers(path: Path) -> None:
    from reactive.media.markers import read_cues
    from reactive.media.midi import read_midi

    (read_midi if path.suffix == ".mid" else read_cues)(path)


def _midi_file(path: Path) -> None:
    from reactive.media.midi import read_midi

    read_midi(path)


def _words(path: Path) -> None:
    from reactive.preset.lyrics import load_lyrics

    load_lyrics(path)


def _shots(path: Path) -> None:
    from reactive.preset.shots import load_shots

    load_shots(path)


def _preset(path: Path) -> None:
    from reactive.preset.bounds import held_expressions
    from reactive.preset.describe import preset_page
    from reactive.preset.schema import load_preset

    preset = load_preset(path)
    held_expressions(preset)
    preset_page("a", preset)


def _deforum(path: Path) -> None:
    from reactive.exchange.deforum_import import import_deforum
    from reactive.preset.schema import parse_preset

    # the result must be a valid preset
    parse_preset(import_deforum(path).toml, where=path.name)


def _timeline(path: Path) -> None:
    from reactive import load_timeline

    load_timeline(path)


def _take(path: Path) -> None:
    from reactive.render.take import load_take

    load_take(path)


def _beats(path: Path) -> None:
    from reactive.audio.beats_file import read_beats

    read_beats(path)


def _grid(path: Path) -> None:
    from reactive.audio.corrections import SUFFIX, load_corrections

    if path.name.endswith(SUFFIX):
        load_corrections(path.with_name(path.name.removesuffix(SUFFIX)), "0" * 64)


def _lora(path: Path) -> None:
    from reactive.diffusion.models.lora import find_lora, read_layers

    read_layers(find_lora(str(path)).path, path.name)


def _checkpoint(path: Path) -> None:
    from reactive.diffusion.models.single_file import read_header

    read_header(path, path.name)


def _bundle(path: Path) -> None:
    from reactive.preset.bundle import install

    install(path, name="mangled", replace=True)


def _font(path: Path) -> None:
    from reactive.render.overlay import load_font
    from reactive.video.overlay import text_patch

    text_patch("Caf\u00e9", place="top", size=0.1, font=load_font(path, 20), colour="#ffffff", picture=(320, 180))


# --- the run ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Fault:
    """A failure: what happened, where in the code, and the file's name."""

    kind: str
    where: str
    name: str


def tried(path: Path) -> tuple[str, Fault | None]:
    """Return whether a file was ``read`` or ``refused``, and the failure, if there was one."""
    from reactive.errors import ReactiveError

    outcome = "read"
    for reader in readers(path):
        try:
            reader()
        except ReactiveError as problem:
            outcome = "refused"
            if "\n" in str(problem) or len(str(problem)) > 3000:
                return outcome, Fault("more than a line", str(problem)[:80], path.name)
        except Exception as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            own = [frame for frame in frames if f"{os.sep}reactive{os.sep}" in frame.filename] or frames
            where = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"
            return outcome, Fault(f"{type(problem).__name__}: {str(problem)[:100]}", where, path.name)
    return outcome, None


def _work(pipe: Any) -> None:
    """Read the files whose names come through a pipe, until an empty name comes."""
    warnings.simplefilter("ignore")
    # libraries in C print past Python
    with tempfile.TemporaryFile(buffering=0) as printed:
        os.dup2(printed.fileno(), 2)
        while name := pipe.recv():
            began = time.process_time()
            taken, fault = tried(Path(name))
            seconds = time.process_time() - began
            sys.stderr.flush()
            if printed.tell():
                printed.seek(0)
                text = printed.read(200).decode(errors="replace").partition("\n")[0]
                fault = fault or Fault(f"printed: {text[:80]}", "", Path(name).name)
                printed.seek(0)
                printed.truncate()
            pipe.send((taken, fault, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


class _Worker:
    """A process that reads files; it is replaced after a file that exceeded a limit."""

    def __init__(self) -> None:
        self.pipe, end = multiprocessing.get_context("fork").Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=_work, args=(end,), daemon=True)
        self.process.start()
        end.close()

    def take(self, path: Path) -> tuple[str, Fault | None, int]:
        """Return the result of `tried`, and the process's peak memory in bytes."""
        self.pipe.send(str(path))
        if not self.pipe.poll(TIMEOUT):
            self.end()
            return "hung", Fault(f"more than {TIMEOUT:g} s", "", path.name), 0
        try:
            outcome, fault, seconds, memory = self.pipe.recv()
        except EOFError:
            self.end()
            return "died", Fault(f"the process died (exit {self.process.exitcode})", "", path.name), 0
        if seconds > MAX_SECONDS and fault is None:
            fault = Fault(f"{seconds:.0f} s of a processor", "", path.name)
        if memory > MAX_MEMORY and fault is None:
            fault = Fault(f"{memory / 1e9:.1f} GB", "", path.name)
        return outcome, fault, memory

    def end(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def main(arguments: list[str]) -> None:
    """Damage files and read them."""
    parser = argparse.ArgumentParser(prog="benchmarks mangle", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="further inputs")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, help="folder for the files that cause a failure")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reactive-mangle-") as temporary:
        folder = Path(temporary)
        inputs = folder / "inputs"
        inputs.mkdir()
        os.environ["REACTIVE_DATA"], os.environ["REACTIVE_CACHE"] = str(folder / "data"), str(folder / "cache")
        files = made_inputs(inputs)
        if options.folder:
            files += sorted(
                f
                for f in options.folder.rglob("*")
                if f.is_file() and f.stat().st_size <= MAX_FILE_BYTES and readers(f)
            )
        counts, faults = _damage_all(files, options, folder, began)
    print(
        f"{sum(counts.values())} files of {len(files)} inputs in {time.monotonic() - began:.0f} s: "
        + ", ".join(f"{count} {name}" for name, count in counts.most_common())
    )
    kinds = Counter((fault.kind, fault.where) for fault in faults)
    for (kind, where), count in kinds.most_common():
        example = next(fault.name for fault in faults if (fault.kind, fault.where) == (kind, where))
        print(f"{count:>5}  {kind}  {where}  ({example})")
    sys.exit(1 if faults else 0)


def _damage_all(files: list[Path], options: Any, folder: Path, began: float) -> tuple[Counter[str], list[Fault]]:
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    most = 0
    by_suffix: dict[str, list[Path]] = {}
    for file in files:
        by_suffix.setdefault(file.suffix, []).append(file)
    import torch

    # a fork of a process with running threads can deadlock
    torch.set_num_threads(1)
    # imports are done once, before processes are forked
    for file in files[:60]:
        tried(file)
    worker = _Worker()
    for number in range(options.count):
        if time.monotonic() - began > 60 * options.minutes:
            print(f"stopped after {number} files: the time limit is reached")
            break
        draw = random.Random(f"{options.seed} {number}")
        file = draw.choice(files)
        other = draw.choice(by_suffix[file.suffix] if draw.random() < 0.6 else files)
        path = folder / f"{number}-{file.name}"
        path.write_bytes(mangled(file.read_bytes(), other.read_bytes(), draw))
        outcome, fault, memory = worker.take(path)
        counts[outcome] += 1
        most = max(most, memory)
        if fault is not None:
            faults.append(fault)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, options.keep / path.name)
        if outcome in ("hung", "died") or memory > MAX_MEMORY:
            if outcome not in ("hung", "died"):
                worker.end()
            worker = _Worker()
        path.unlink()
    worker.end()
    print(f"most memory of a process: {most / 1e9:.2f} GB")
    return counts, faults
