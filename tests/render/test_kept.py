"""Where job folders lie, and which of them leave when they take too much."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reactive.errors import OutputError
from reactive.render.kept import clean_jobs, find_jobs, limit_jobs, most_bytes
from reactive.render.run import make_clip
from reactive.render.settings import Settings
from reactive.render.store.folders import clip_of, clips_folder, job_folder, jobs_root
from reactive.render.store.job import Job, JobFile
from tests.toy import beat_song, write_song


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REACTIVE_JOBS", raising=False)
    monkeypatch.delenv("REACTIVE_JOBS_SIZE", raising=False)


def make_job(out: Path, *, kilobytes: int = 1, done: bool = True, age: float = 0) -> Path:
    """Make the job of a clip, with a segment of a size, finished so many seconds ago or unfinished."""
    with Job(job_folder(out)) as job:
        (job.folder / "segments" / "a.mkv").write_bytes(bytes(kilobytes * 1000))
        job.accept(JobFile("segments/a.mkv", "0" * 64, kilobytes * 1000))
        job.set_manifest({"request": "r", "out": str(out.absolute()), "segments": 1, "settings": {}})
        if done:
            job.journal.append({"done": {"request": "r", "clip": {}}})
    stamp = (job.folder / "journal").stat().st_mtime - age
    os.utime(job.folder / "journal", (stamp, stamp))
    return job.folder


def test_all_jobs_of_a_folder_lie_in_one(tmp_path: Path) -> None:
    folders = [make_job(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert [folder.relative_to(tmp_path).parts for folder in folders] == [
        (".reactive", "a.mp4"),
        (".reactive", "b.mp4"),
    ]
    assert (
        (tmp_path / ".reactive" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    )
    assert [Path(job.clip).name for job in find_jobs(tmp_path)] == ["a.mp4", "b.mp4"]
    assert find_jobs(tmp_path / ".reactive") == find_jobs(tmp_path)
    clean_jobs([tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_a_job_of_an_older_version_is_used_where_it_is(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    old = make_job(out).rename(tmp_path / "a.mp4.reactive-job")
    assert job_folder(out) == old
    assert [job.folder for job in find_jobs(tmp_path)] == [old]
    assert clip_of(old, Path("/gone/a.mp4")) == out
    assert clips_folder(old, Path("/gone/a.mp4")) == tmp_path


def test_a_moved_folder_of_jobs_is_beside_its_clips(tmp_path: Path) -> None:
    assert clip_of(tmp_path / ".reactive" / "a.mp4", Path("/gone/a.mp4")) == tmp_path / "a.mp4"
    assert clips_folder(tmp_path / ".reactive" / "a.mp4", Path("/gone/a.mp4")) == tmp_path
    assert clip_of(tmp_path / "job", Path("/gone/a.mp4")) == Path("/gone/a.mp4")


def test_reactive_jobs_holds_the_jobs_of_several_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_JOBS", str(tmp_path / "kept"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_job(tmp_path / name / "a.mp4")
    assert {entry.name for entry in (tmp_path / "one").iterdir()} == set()
    assert len(find_jobs(tmp_path / "kept")) == 2
    (found,) = find_jobs(tmp_path / "two")
    assert found.clip == str(tmp_path / "two" / "a.mp4")
    assert clip_of(found.folder, Path(found.clip)) == Path(found.clip)
    assert clips_folder(found.folder, Path(found.clip)) == tmp_path / "two"


def test_the_oldest_finished_jobs_leave_first(tmp_path: Path) -> None:
    ages = {"old.mp4": 300, "new.mp4": 10, "middle.mp4": 200}
    for name, age in ages.items():
        make_job(tmp_path / name, kilobytes=100, age=age)
    unfinished = make_job(tmp_path / "unfinished.mp4", kilobytes=100, age=400, done=False)
    running = job_folder(make_job(tmp_path / "running.mp4", kilobytes=100, age=500).parent.parent / "running.mp4")
    root = jobs_root(tmp_path)
    with Job(running):
        stamp = unfinished.joinpath("journal").stat().st_mtime - 100
        os.utime(running / "journal", (stamp, stamp))
        removed = limit_jobs(root, most=350_000, keep=root / "old.mp4")
        assert [Path(job.clip).name for job in removed] == ["middle.mp4", "new.mp4"]
    assert {Path(job.clip).name for job in find_jobs(tmp_path)} == {"old.mp4", "unfinished.mp4", "running.mp4"}
    assert limit_jobs(root, most=10_000_000, keep=root) == []
    # what is no folder of jobs is never emptied
    assert limit_jobs(tmp_path, most=0, keep=root) == []


def test_the_size_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert most_bytes() == 5_000_000_000
    monkeypatch.setenv("REACTIVE_JOBS_SIZE", "200MB")
    assert most_bytes() == 200_000_000
    monkeypatch.setenv("REACTIVE_JOBS_SIZE", "much")
    with pytest.raises(OutputError, match="much") as raised:
        most_bytes()
    assert raised.value.where == "REACTIVE_JOBS_SIZE"


def test_where_pieces_are_kept_is_said_once(tmp_path: Path, toy_model: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(2))
    small = Settings.of(
        model=str(toy_model), steps=1, device="cpu", duration=0.25, imagine_size=(64, 48), size=(64, 48)
    )
    told: list[str] = []

    def notes(name: str) -> tuple[str, ...]:
        return make_clip(song, tmp_path / name, small, tell=told.append).notes

    first = [note for note in notes("a.mp4") if "jobs clean" in note]
    assert len(first) == 1
    assert first[0] in told
    for again in (notes("a.mp4"), notes("b.mp4")):
        assert not [note for note in again if "jobs clean" in note]
