"""Test resuming: renders killed at seeded random moments and at every rename, or with damaged files; and what it costs.

    python -m benchmarks durable [--model ember|toy|FOLDER] [--only kills,damage,resume,cost,ray] [--seed N] [--kills N]

Each case is resumed and compared with the uninterrupted clip: the hash of every decoded frame and every packet. `--model toy`
has random weights and is quick. Needs fork; the last part needs the extra [ray] and two idle cores, one for each worker.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch

from benchmarks.measure import SONG, line
from reactive import Settings, make_clip
from reactive.diffusion.core import Core
from reactive.render.store.folders import job_folder
from reactive.render.store.journal import Journal, read_journal

PARTS = ("kills", "damage", "resume", "cost", "ray")
SEGMENT = 12
# prints the time from the start of the process to the first frame, without the loading of the model
_FIRST_FRAME = """
import json, sys, time
from pathlib import Path
times, before = {}, float(sys.argv[1])
from reactive.render.jobs import resume_job
def progress(stage, done, total):
    now = time.time(), time.process_time()
    times.setdefault((stage, done > 0 if stage != "rendering" else "start"), now)
    if stage == "rendering" and done > times.setdefault("reused", done) and "first" not in times:
        times["first"] = now
clip = resume_job(Path(sys.argv[2]), progress=progress)
loading = [after - first for first, after in zip(times["loading", False], times["loading", True])]
first = [times["first"][0] - before, times["first"][1]]
print(json.dumps({"first": first[0] - loading[0], "work": first[1] - loading[1], "loading": loading[0], "reused": clip.reused,
    "frames": clip.frames}))
"""


class Counter:
    """Counters in shared memory: the parent can read them after the child was killed."""

    def __init__(self) -> None:
        self.shared = mmap.mmap(-1, 16)

    def add(self, place: int, count: int) -> int:
        """Add to a counter and return it."""
        self.shared.seek(8 * place)
        number = int.from_bytes(self.shared.read(8), "little") + count
        self.shared.seek(8 * place)
        self.shared.write(number.to_bytes(8, "little"))
        return number

    def take(self, place: int) -> int:
        """Return a counter and set it to 0."""
        number = self.add(place, 0)
        self.add(place, -number)
        return number


PICTURES, RENAMES = 0, 1


@dataclass(frozen=True)
class Case:
    """The uninterrupted clip that all cases are compared with: song, settings, hashes, counts and time."""

    song: Path
    settings: Settings
    frames: list[str]
    packets: list[tuple[str, int | None, str]]
    job: Path
    pictures: int
    renames: int
    seconds: float

    def same(self, clip: Path) -> bool:
        """Return whether a clip is this one, frame by frame and packet by packet."""
        return frame_hashes(clip) == self.frames and packet_hashes(clip) == self.packets


def frame_hashes(clip: Path) -> list[str]:
    """Return the hash of each decoded frame."""
    with av.open(str(clip)) as container:
        return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in container.decode(video=0)]


def packet_hashes(clip: Path) -> list[tuple[str, int | None, str]]:
    """Return kind, time stamp and hash of each packet, pictures and sound."""
    with av.open(str(clip)) as container:
        return [(p.stream.type, p.pts, hashlib.sha256(bytes(p)).hexdigest()) for p in container.demux() if p.size]


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a fork of this process; return its process ID."""
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        try:
            work()
        finally:
            os._exit(0)
    return pid


def uninterrupted(song: Path, settings: Settings, folder: Path, counter: Counter) -> Case:
    """Render once in this process to warm it up, and once more in a fork for the timing."""
    folder.mkdir()
    out = folder / "clip.mp4"
    clip = make_clip(song, out, settings)
    counter.take(PICTURES), counter.take(RENAMES)
    began = time.perf_counter()
    os.waitpid(forked(lambda: make_clip(song, folder / "again.mp4", settings)), 0)
    seconds = time.perf_counter() - began
    assert clip.job is not None
    case = Case(
        song,
        settings,
        frame_hashes(out),
        packet_hashes(out),
        clip.job,
        counter.take(PICTURES),
        counter.take(RENAMES),
        seconds,
    )
    assert case.same(folder / "again.mp4"), "two uninterrupted renders differ"
    return case


def kills(case: Case, folder: Path, counter: Counter, *, count: int, seed: int) -> Iterator[tuple[str, bool, int]]:
    """Kill and resume; yield a description, whether the clip is the same, and the number of lost pictures."""
    draw = random.Random(seed)
    moments = [draw.uniform(0, case.seconds) for _ in range(count)]
    for number, moment in enumerate(moments):
        out = folder / f"moment{number}" / "clip.mp4"
        out.parent.mkdir()
        pid = forked(lambda out=out: make_clip(case.song, out, case.settings))
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
        yield from _resumed(case, out, pid, counter, f"at {moment:.2f} s")
    for number in range(2 * case.renames):
        out = folder / f"rename{number}" / "clip.mp4"
        out.parent.mkdir()
        pid = forked(lambda out=out, number=number: _die_renaming(case, out, number // 2 + 1, after=number % 2 == 1))
        yield from _resumed(case, out, pid, counter, f"{'after' if number % 2 else 'before'} rename {number // 2 + 1}")


def _resumed(case: Case, out: Path, pid: int, counter: Counter, what: str) -> Iterator[tuple[str, bool, int]]:
    _, status = os.waitpid(pid, 0)
    before = counter.take(PICTURES)
    kept = len(read_journal(job_folder(out) / "journal")[0])
    clip = make_clip(case.song, out, case.settings.changed(overwrite=False))
    lost = 0 if clip.already else max(0, before + counter.take(PICTURES) - case.pictures)
    ended = "killed" if os.WIFSIGNALED(status) else "was done"
    yield f"{what}: {ended} with {kept} records", case.same(clip.output), lost
    shutil.rmtree(out.parent)


def _die_renaming(case: Case, out: Path, count: int, *, after: bool) -> None:
    original, left = os.replace, [count]

    def dying(*args: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        original(*args, **options)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = dying
    make_clip(case.song, out, case.settings)


def half_done(case: Case, folder: Path, counter: Counter) -> Path:
    """Return a job that was killed after two thirds of its pictures."""
    folder.mkdir()
    out = folder / "clip.mp4"
    counter.take(PICTURES)

    def work() -> None:
        original = Core.imagine

        def dying(core: Core, requests: list[Any]) -> torch.Tensor:
            if counter.add(PICTURES, 0) > 2 * case.pictures // 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(core, requests)

        Core.imagine = dying  # type: ignore[method-assign]
        make_clip(case.song, out, case.settings)

    os.waitpid(forked(work), 0)
    counter.take(PICTURES)
    return job_folder(out)


def damage(case: Case, job: Path, folder: Path, seed: int) -> Iterator[tuple[str, bool, int]]:
    """Damage a job's files in turn; yield a description, whether the clip is the same, and the number of reused frames.

    Each file is once truncated and once gets one bit flipped.
    """
    draw = random.Random(seed)
    for path in sorted(path for path in job.rglob("*") if path.is_file() and path.stat().st_size):
        for harm in ("truncated", "flipped"):
            out = folder / "damaged" / "clip.mp4"
            shutil.copytree(job, job_folder(out))
            harmed = job_folder(out) / path.relative_to(job)
            data = bytearray(harmed.read_bytes())
            place = draw.randrange(len(data))
            data[place] ^= 1 << draw.randrange(8)
            harmed.write_bytes(data[:place] if harm == "truncated" else data)
            clip = make_clip(case.song, out, case.settings)
            yield f"{path.relative_to(job).parts[0]} {harm}", case.same(clip.output), clip.reused
            shutil.rmtree(out.parent)


def resume_time(case: Case, folder: Path) -> dict[str, float]:
    """Return the seconds to the first frame of a job that is 90 % done, resumed in a new process."""
    out = folder / "clip.mp4"
    shutil.copytree(case.job, job_folder(out))
    pieces = [
        record["file"] for record in read_journal(case.job / "journal")[0] if record.get("file", "").startswith("seg")
    ]
    for name in pieces[-max(1, len(pieces) // 10) :]:
        (job_folder(out) / name).unlink()
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_FRAME, str(time.time()), str(job_folder(out))],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def cost(case: Case, folder: Path) -> tuple[float, float]:
    """Return the seconds that journal, hashes, checkpoints and syncing took, and the seconds of the whole render."""
    from reactive.render import request
    from reactive.render.store import job
    from reactive.render.workers import segment_renderer, segment_writer

    spent = [0.0]

    def timed(owner: Any, name: str) -> tuple[Any, str, Any]:
        original = getattr(owner, name)

        def run(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*args, **options)
            finally:
                spent[0] += time.perf_counter() - began

        setattr(owner, name, run)
        return owner, name, original

    patched = [
        timed(segment_writer, "finish_file"),
        timed(Journal, "append"),
        timed(segment_renderer, "append_tick"),
        timed(request, "hash_path"),
        timed(job, "is_whole"),
        timed(job, "write_manifest"),
    ]
    try:
        clip = make_clip(case.song, folder / "cost.mp4", case.settings)
    finally:
        for owner, name, original in patched:
            setattr(owner, name, original)
    return spent[0], clip.render_s


@contextmanager
def pinned(cores: list[int]) -> Iterator[Callable[[], None]]:
    """Yield a function that binds each started worker of this process to a core of its own."""
    from tests.render.cluster import renderers

    def pin() -> None:
        for core, worker in zip(cores, renderers(os.getpid()), strict=False):
            for thread in Path(f"/proc/{worker}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})

    yield pin


def ray_seconds(case: Case, folder: Path, workers: int) -> tuple[float, list[float]]:
    """Return the seconds from the start of the first segment to the end of the last, and each worker's frames a second."""
    times: list[float] = []
    worker_rates: list[tuple[float, ...]] = [()]
    cores = sorted(os.sched_getaffinity(0))[:workers]
    with pinned(cores) as pin:

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "rendering":
                if not times:
                    pin()
                times.append(time.perf_counter())

        out = folder / f"ray{workers}.mp4"
        clip = make_clip(
            case.song,
            out,
            case.settings.changed(ray="local", workers=workers, overwrite=True),
            progress=progress,
            rates=lambda rates: worker_rates.append(tuple(rates)),
        )
    assert clip.job is not None
    assert case.same(out), f"{workers} workers make another clip"
    out.unlink()
    shutil.rmtree(clip.job)
    return times[-1] - times[0], list(worker_rates[-1])


def make_settings(options: argparse.Namespace, folder: Path) -> Settings:
    """Return settings of a short clip at a low frame rate that covers the drop and the "destroy" phase after it."""
    base = Settings.of(
        model=options.model,
        device="cpu",
        threads=1,
        segment=SEGMENT,
        fps=Fraction(options.fps),
        start=options.start,
        duration=options.seconds,
        recipe=False,
    )
    if options.model != "toy":
        return base
    from tests.toy import save_toy_model

    return replace(base, model=str(save_toy_model(folder / "toy")), steps=1, batch=4)


def counting(counter: Counter) -> None:
    """Patch this process so that it and its forks count pictures and renames."""
    imagine, rename = Core.imagine, os.replace

    def imagined(core: Core, requests: list[Any]) -> torch.Tensor:
        counter.add(PICTURES, len(requests))
        return imagine(core, requests)

    def renamed(*args: Any, **options: Any) -> None:
        counter.add(RENAMES, 1)
        rename(*args, **options)

    Core.imagine, os.replace = imagined, renamed  # type: ignore[method-assign]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks durable", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fps", default="8")
    parser.add_argument("--start", type=float, default=12.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=2, help="of the Ray part; the fastest one counts")
    options = parser.parse_args(arguments)
    parts = options.only.split(",")
    torch.set_num_threads(1)
    counter = Counter()
    counting(counter)
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case = uninterrupted(SONG, make_settings(options, folder), folder / "whole", counter)
        print(f"{len(case.frames)} frames, {case.pictures} pictures, {case.renames} renames, {case.seconds:.1f} s")
        if "kills" in parts:
            worst, cases, differ = 0, 0, 0
            for what, same, lost in kills(case, folder, counter, count=options.kills, seed=options.seed):
                cases, differ, worst = cases + 1, differ + (not same), max(worst, lost)
                print(f"  {what}: {'same' if same else 'DIFFERS'}, {lost} pictures imagined twice", flush=True)
            line("killed and resumed", cases, f"cases, {differ} differ", digits=0)
            line("lost at most", worst, f"pictures a kill (a segment: {SEGMENT} frames)", digits=0)
            wrong += differ
        if "damage" in parts:
            for name, job in (("finished", case.job), ("half done", half_done(case, folder / "half", counter))):
                cases, differ = 0, 0
                for what, same, reused in damage(case, job, folder, options.seed):
                    cases, differ = cases + 1, differ + (not same)
                    print(
                        f"  {name} job, {what}: {'same' if same else 'DIFFERS'}, {reused} frames used again", flush=True
                    )
                line(f"damaged, {name}", cases, f"cases, {differ} differ", digits=0)
                wrong += differ
        if "resume" in parts:
            found = resume_time(case, folder / "resume")
            line("resumed at 90 %", found["first"], "s to the first frame, without loading the model", digits=2)
            line("", found["work"], "s of a processor in that", digits=2)
            line(
                "",
                found["loading"],
                f"s loading, {found['reused']:.0f} of {found['frames']:.0f} frames there",
                digits=2,
            )
        if "cost" in parts:
            spent, render = cost(case, folder)
            line("journal and hashes", 100 * spent / render, f"% of {render:.1f} s of rendering", digits=2)
        if "ray" in parts:
            fastest: dict[int, tuple[float, list[float]]] = {}
            for _ in range(options.rounds):
                for workers in (1, 2):
                    took = ray_seconds(case, folder, workers)
                    fastest[workers] = min(fastest.get(workers, took), took)
            for workers, (seconds, rates) in fastest.items():
                each = " and ".join(f"{rate:.2f}" for rate in rates)
                line(
                    f"Ray, {workers} of 1 core",
                    seconds,
                    f"s from first to last segment; frames/s each: {each}",
                    digits=2,
                )
            line("Ray, 2 against 1", fastest[1][0] / fastest[2][0], "times as fast", digits=2)
    if wrong:
        sys.exit(f"{wrong} clips differ")
