"""Leases of shared folders: another machine's lease is valid as long as it is renewed, independent of clocks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reactive.errors import OutputError
from reactive.render.store import lease
from reactive.render.store.job import Job, JobFile
from reactive.render.store.lease import RENEWED, WATCHED, LeaseHolder, lease_of


@dataclass
class Clock:
    """A clock that advances only in `sleep`; `meanwhile` runs other machines' actions in that time."""

    now: float = 0.0
    meanwhile: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "clip.mp4.reactive-job"
    made.mkdir()
    return made


def write(folder: Path, turn: int, *, host: str = "elsewhere", file_time: float = 0.0) -> None:
    partial = folder / "new"
    partial.write_text(json.dumps({"host": host, "process": 7, "owner": "other", "turn": turn}))
    if file_time:
        os.utime(partial, (file_time, file_time))
    os.replace(partial, folder / "lease")


TIMES = pytest.mark.parametrize("file_time", [1.0, 4e9], ids=["an hour before", "far ahead"])


@TIMES
def test_a_lease_that_is_renewed_holds_under_any_clock(folder: Path, clock: Clock, file_time: float) -> None:
    turns = iter(range(1, 100))
    # the other machine renews it just in time
    clock.meanwhile = lambda: write(folder, next(turns), file_time=file_time) if clock.now > WATCHED - RENEWED else None
    write(folder, 0, file_time=file_time)
    with pytest.raises(OutputError, match="elsewhere, process 7"):
        Job(folder)
    assert WATCHED - RENEWED < clock.now < WATCHED


@TIMES
def test_a_dead_machines_lease_expires(folder: Path, clock: Clock, file_time: float) -> None:
    write(folder, 3, file_time=file_time)
    with Job(folder) as job:
        assert WATCHED <= clock.now < WATCHED + RENEWED
        held = lease_of(folder)
        assert held is not None
        assert held.owner == job.owner
    assert lease_of(folder) is None


def test_a_dead_process_of_this_machine_does_not_block(folder: Path, clock: Clock) -> None:
    with Job(folder) as job:
        held = lease_of(folder)
    assert held == LeaseHolder(held.host, os.getpid(), job.owner, held.turn) if held else False
    write(folder, 3, host=held.host)
    with Job(folder):
        assert clock.now == 0


def test_a_run_whose_lease_was_taken_over_stops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.01)
    with Job(folder) as job:
        job.accept(JobFile("states/one", "0" * 64, 1))
        for turn in range(10_000):
            # our own renewal may have happened in between
            write(folder, turn)
            job._lease._thread.join(0.02)
            if job._lease.taken:
                break
        with pytest.raises(OutputError, match="taken over by another run"):
            job.accept(JobFile("states/two", "0" * 64, 1))
    held = lease_of(folder)
    assert held is not None
    assert held.owner == "other"
