"""Durable renders: interrupted and resumed equals uninterrupted, bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reactive import Settings, make_clip
from reactive.diffusion.core import Core
from reactive.errors import OutputError
from reactive.render import run
from reactive.render.jobs import resume_job
from reactive.render.request import segments_done
from reactive.render.store.folders import job_folder
from reactive.render.store.job import Job, read_manifest, write_manifest
from reactive.render.store.journal import Journal, read_journal
from tests.render.killed import killed_cases, signalled
from tests.toy import beat_song, write_song

PRESET = """
version = 1
title = "Durable"
walk = "0.4"
[feedback]
rate = 7
[[phase]]
name = "calm"
bars = [1, 1]
prompts = ["a grey sea", "a blue hill"]
[phase.switch]
every = "2 beats"
how = "hit"
[[phase]]
name = "wild"
mode = "feedback"
strength = "0.7"
bars = [1, 1]
prompts = ["huge waves", "a dark storm"]
[phase.camera]
zoom = "1.3"
[phase.switch]
every = "4 beats"
how = "blend"
"""


def packets(path: Path) -> list[tuple[str, int | None, bytes]]:
    """Return every packet of a clip, pictures and sound, with its time stamp."""
    with av.open(str(path)) as container:
        return [(packet.stream.type, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(10))


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Settings:
    preset = tmp_path_factory.mktemp("preset") / "preset.toml"
    preset.write_text(PRESET)
    return Settings.of(
        preset=str(preset), model=str(toy_model), steps=1, device="cpu", threads=1, batch=4, segment=12, also=("9:16",)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, song: Path, chosen: Settings):
    """The uninterrupted clip."""
    return make_clip(song, tmp_path_factory.mktemp("whole") / "clip.mp4", chosen)


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the pictures that are imagined from here on."""
    counted: list[int] = []
    original = Core.imagine

    def counting(self, requests):
        counted.append(len(requests))
        return original(self, requests)

    monkeypatch.setattr(Core, "imagine", counting)
    return counted


def same(clip, other) -> bool:
    return all(
        packets(a) == packets(b) for a, b in zip((clip.output, *clip.also), (other.output, *other.also), strict=True)
    )


def copied(whole, folder: Path) -> Path:
    """Return a copy of the finished job, without its clips."""
    out = folder / whole.output.name
    shutil.copytree(whole.job, job_folder(out))
    return out


def test_the_plan_has_feedback_that_crosses_segments(whole) -> None:
    assert whole.frames == 240
    assert len(list((whole.job / "segments").iterdir())) == 2 * read_manifest(whole.job)["segments"]
    assert list((whole.job / "states").iterdir())
    assert not list((whole.job / "trails").iterdir())
    assert [path.name for path in whole.also] == ["clip.9x16.mp4"]
    with av.open(str(whole.also[0])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (128, 228)
        assert sum(1 for _ in container.decode(stream)) == whole.frames


def test_the_same_command_again_reports_the_existing_clip(song: Path, chosen: Settings, whole, imagined) -> None:
    before = whole.output.stat().st_mtime_ns
    again = make_clip(song, whole.output, chosen)
    assert again.already
    assert again.frames == whole.frames
    assert again.fps == Fraction(24)
    assert whole.output.stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="exists already"):
        make_clip(song, whole.output, chosen.changed(seed=5))
    assert imagined == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks from one warmed process")
def test_killed_at_any_moment_and_resumed_equals_uninterrupted(
    tmp_path: Path, song: Path, chosen: Settings, whole
) -> None:
    draw = random.Random(1)
    # a moment is a number of calls: batches, fsyncs, renames
    cases = []
    for case in range(6):
        out = tmp_path / str(case) / "clip.mp4"
        out.parent.mkdir()
        cases.append((draw.choice(["imagine", "replace", "fsync"]), draw.randrange(2, 30), out))
    assert killed_cases(cases, song, chosen, tmp_path) == [-signal.SIGKILL] * len(cases)
    for what, count, out in cases:
        kept = len(read_journal(job_folder(out) / "journal")[0])
        clip = make_clip(song, out, chosen.changed(overwrite=True))
        assert same(clip, whole), (what, count, kept)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_command_killed_three_times_equals_uninterrupted(
    tmp_path: Path, song: Path, chosen: Settings, whole
) -> None:
    out = tmp_path / "clip.mp4"
    command = [
        "run",
        str(song),
        "-o",
        str(out),
        "--preset",
        chosen.preset,
        "--model",
        chosen.model.name,
        "--steps",
        "1",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--batch",
        "4",
        "--segment",
        "12",
        "--also",
        "9:16",
    ]
    kept = 0
    for records in (8, 5, 6):
        code, said = signalled("append", records, signal.SIGKILL, *command)
        assert code == -signal.SIGKILL, said
        assert not out.exists()
        noted = len(read_journal(job_folder(out) / "journal")[0])
        assert noted == kept + records - 1
        kept = noted
    clip = make_clip(song, out, chosen)
    assert clip.reused
    assert same(clip, whole)


def test_an_interrupted_run_loses_no_tick_and_at_most_a_segment(
    tmp_path: Path, song: Path, chosen: Settings, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    original = Core.imagine
    limit = [10**9]

    def counting(self, requests):
        if len(counted) >= limit[0]:
            raise KeyboardInterrupt
        counted.append(len(requests))
        return original(self, requests)

    monkeypatch.setattr(Core, "imagine", counting)
    make_clip(song, tmp_path / "count.mp4", chosen)
    total, batches = sum(counted), len(counted)
    for stop in (3, batches // 2, batches - 2):
        out = tmp_path / f"{stop}.mp4"
        counted.clear()
        limit[0] = stop
        with pytest.raises(KeyboardInterrupt):
            make_clip(song, out, chosen)
        first = sum(counted)
        assert not out.exists()
        counted.clear()
        limit[0] = 10**9
        clip = make_clip(song, out, chosen)
        assert same(clip, whole)
        assert first + sum(counted) - total <= chosen.compute.segment + chosen.compute.batch


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_damage_to_any_file_of_a_job_is_detected_and_repaired(
    tmp_path: Path, song: Path, chosen: Settings, whole, harm: str
) -> None:
    names = sorted(path.relative_to(whole.job) for path in whole.job.rglob("*") if path.is_file())
    groups: dict[str, list[Path]] = {}
    for name in names:
        groups.setdefault(name.parts[0], []).append(name)
    assert {"journal", "manifest.json", "segments", "states"} <= groups.keys()
    draw = random.Random(2)
    for group in sorted(groups):
        name = draw.choice(groups[group])
        out = copied(whole, tmp_path / group)
        path = job_folder(out) / name
        data = path.read_bytes()
        if harm == "remove" or not data:
            path.unlink()
        elif harm == "truncate":
            path.write_bytes(data[: len(data) // 2])
        else:
            place = draw.randrange(len(data))
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert same(make_clip(song, out, chosen), whole), name


def test_a_changed_prompt_renders_only_its_frames(
    tmp_path: Path, song: Path, chosen: Settings, whole, imagined
) -> None:
    out = copied(whole, tmp_path)
    preset = tmp_path / "changed.toml"
    preset.write_text(PRESET.replace("a blue hill", "a red hill"))
    changed = chosen.changed(preset=str(preset))
    clip = make_clip(song, out, changed)
    assert 0 < clip.reused < clip.frames
    assert not same(clip, whole)
    fresh = make_clip(song, tmp_path / "fresh.mp4", changed)
    assert same(clip, fresh)
    del imagined[:]
    back = make_clip(song, out, chosen.changed(overwrite=True))
    assert imagined == []
    assert same(back, whole)


def test_another_aspect_ratio_reuses_the_same_pictures(tmp_path: Path, song: Path, chosen: Settings, whole) -> None:
    out = copied(whole, tmp_path)
    clip = make_clip(song, out, chosen.changed(also=("9:16", "1:1")))
    assert packets(clip.output) == packets(whole.output)
    assert packets(clip.also[0]) == packets(whole.also[0])
    assert clip.also[1].name == "clip.1x1.mp4"
    # the toy's clip is already square
    assert packets(clip.also[1]) == packets(whole.output)


def test_partial_files_of_a_killed_run_are_deleted(
    tmp_path: Path, song: Path, chosen: Settings, whole, imagined
) -> None:
    out = copied(whole, tmp_path)
    left = [
        job_folder(out) / "segments" / ".0123.mkv.elsewhere.7.partial",
        job_folder(out) / "segments" / "0123.safe.mkv",
        tmp_path / ".clip.mp4.7.partial",
    ]
    other = tmp_path / ".clip.mp4.txt"
    for path in (*left, other):
        path.write_bytes(b"half")
    assert same(make_clip(song, out, chosen), whole)
    assert imagined == []
    assert not any(path.exists() for path in left)
    assert other.exists()


def test_a_job_without_its_lock_and_lease_resumes_elsewhere(
    tmp_path: Path, song: Path, chosen: Settings, whole, imagined
) -> None:
    # as if copied from a dead machine to another folder, under another clock
    out = copied(whole, tmp_path / "moved")
    (job_folder(out) / "lock").unlink(missing_ok=True)
    for path in job_folder(out).rglob("*"):
        os.utime(path, (4e9, 4e9))
    segment = sorted((job_folder(out) / "segments").iterdir())[0]
    segment.unlink()
    song_there = shutil.copy(song, tmp_path / "moved" / "song.wav")
    clip = resume_job(job_folder(out), song=Path(song_there))
    assert clip.output == out
    assert 0 < clip.reused < clip.frames
    assert same(clip, whole)


def test_two_runs_of_one_job_exclude_each_other(tmp_path: Path, song: Path, chosen: Settings) -> None:
    out = tmp_path / "clip.mp4"
    with Job(job_folder(out)), pytest.raises(OutputError, match="another run"):
        make_clip(song, out, chosen)


def test_a_job_older_than_lane_counts_keeps_its_own(tmp_path: Path, song: Path, chosen: Settings, imagined) -> None:
    out = tmp_path / "clip.mp4"
    before = make_clip(song, out, chosen.changed(lanes=-1))
    manifest = read_manifest(before.job)
    assert (manifest["batch"], manifest["lanes"]) == (4, 4)
    # CPUs with bfloat16 compute in it
    assert manifest["dtype"] in ("float32", "bfloat16")
    # as in jobs of older versions
    del manifest["settings"]["lanes"]
    write_manifest(before.job, manifest)
    journal = [record for record in read_journal(before.job / "journal")[0] if "manifest" not in record]
    (before.job / "journal").unlink()
    anew = Journal(before.job / "journal")
    for record in [{"manifest": manifest}, *journal]:
        anew.append(record)
    anew.close()
    shutil.rmtree(before.job / "flashes")
    out.unlink()
    del imagined[:]
    again = resume_job(before.job)
    assert imagined == []
    assert again.flashes == before.flashes


def test_another_environment_is_refused_or_allowed(
    tmp_path: Path, song: Path, chosen: Settings, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "clip.mp4"
    original = Core.imagine

    def interrupted(self, requests):
        # a segment is on the disk, whichever thread was faster
        if segments_done(job_folder(out)):
            raise KeyboardInterrupt
        return original(self, requests)

    with monkeypatch.context() as patch:
        patch.setattr(Core, "imagine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_clip(song, out, chosen)
    here = run.environment
    monkeypatch.setattr(run, "environment", lambda device, threads: here(device, threads) | {"torch": "1.0"})
    with pytest.raises(OutputError, match=r"torch 1\.0"):
        make_clip(song, out, chosen)
    clip = make_clip(song, out, chosen.changed(mixed=True))
    assert clip.reused
    assert any("rounding" in note for note in clip.notes)


def test_out_of_memory_continues_in_smaller_batches(
    tmp_path: Path, song: Path, chosen: Settings, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Core.imagine

    def greedy(self, requests):
        if self.batch > 2:
            raise RuntimeError("CUDA out of memory")
        return original(self, requests)

    monkeypatch.setattr(Core, "imagine", greedy)
    clip = make_clip(song, tmp_path / "clip.mp4", chosen)
    assert clip.frames == whole.frames
    assert any("batches of 2" in note for note in clip.notes)


def test_a_full_disk_stops_the_render_and_keeps_finished_segments(
    tmp_path: Path, song: Path, chosen: Settings, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.video import segment

    original, left = segment.SegmentEncoder.write, [100]

    def full(self, picture):
        left[0] -= 1
        if left[0] < 0:
            raise segment.output_error(self.path, OSError(28, "No space left on device"))
        return original(self, picture)

    out = tmp_path / "clip.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(segment.SegmentEncoder, "write", full)
        with pytest.raises(OutputError, match=r"No space left.*run it again"):
            make_clip(song, out, chosen)
    clip = make_clip(song, out, chosen)
    assert clip.reused >= 24
    assert same(clip, whole)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OutputError, match="MB are free"):
        make_clip(song, tmp_path / "other.mp4", chosen)


def test_a_damaged_journal_is_repaired(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for number in range(4):
        journal.append({"number": number})
    journal.close()
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:60] + b"\xff" + data[61:-3])
    again = Journal(tmp_path / "journal")
    assert again.damaged
    again.append({"number": 9})
    again.close()
    records, damaged = read_journal(journal.path)
    assert damaged == 0
    assert [record["number"] for record in records][-1] == 9
    assert 0 in [record["number"] for record in records]
    assert len(records) < 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_journal_on_a_full_disk_reports_it_and_stays_usable(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append({"number": 0})
    with open("/dev/full", "ab", buffering=0) as full:
        whole_disk, journal._handle = journal._handle, full
        with pytest.raises(OSError, match="No space"):
            journal.append({"number": 1})
        journal._handle = whole_disk
    journal.close()
    assert [record["number"] for record in read_journal(journal.path)[0]] == [0]


def test_segments_of_feedback_shots_join_at_any_frame_rate(tmp_path: Path, toy_model: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(4))
    preset = tmp_path / "fast.toml"
    preset.write_text(
        'version = 2\ntitle = "x"\nfeedback.rate = 30\n[[phase]]\nname = "a"\nmode = "feedback"\nprompts = ["a sea"]\n'
        '[phase.switch]\nevery = "8 bars"\n[phase.camera]\nzoom = "1.5"\n'
    )
    pictures = []
    for segment in (3, 1000):
        # several pictures are fed back within one frame of the clip
        settings = Settings.of(
            preset=str(preset),
            model=str(toy_model),
            steps=1,
            fps=Fraction(6),
            codec="ffv1",
            segment=segment,
            threads=1,
            device="cpu",
            batch=2,
        )
        out = tmp_path / f"{segment}.mkv"
        assert make_clip(song, out, settings).frames == 24
        with av.open(str(out)) as container:
            pictures.append(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))
    assert np.array_equal(*pictures)
    assert (np.diff(pictures[0].astype(int), axis=0) != 0).any()
