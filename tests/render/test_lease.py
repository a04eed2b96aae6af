"""Leases of shared folders: another machine's counts as long as it is renewed, whatever any clock says."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from reactive.errors import OutputError
from reactive.render.store import lease
from reactive.render.store.job import Entry, Job
from reactive.render.store.lease import Held, lease_of


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    monkeypatch.setattr(lease, "WATCHED", 0.4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "clip.mp4.reactive-job"
    made.mkdir()
    return made


def write(folder: Path, turn: int, *, host: str = "elsewhere") -> None:
    partial = folder / "new"
    partial.write_text(json.dumps({"host": host, "process": 7, "owner": "other", "turn": turn}))
    os.replace(partial, folder / "lease")


@pytest.mark.parametrize("clock", [1.0, 4e9], ids=["an hour before", "far ahead"])
def test_a_lease_that_is_renewed_holds_under_any_clock(folder: Path, clock: float) -> None:
    stop = threading.Event()

    def renew() -> None:
        turn = 0
        while not stop.wait(0.03):
            turn += 1
            write(folder, turn)
            os.utime(folder / "lease", (clock, clock))

    write(folder, 0)
    other = threading.Thread(target=renew)
    other.start()
    try:
        with pytest.raises(OutputError, match="elsewhere, process 7"):
            Job(folder)
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("clock", [1.0, 4e9], ids=["an hour before", "far ahead"])
def test_a_dead_machines_lease_goes_after_a_while(folder: Path, clock: float) -> None:
    write(folder, 3)
    os.utime(folder / "lease", (clock, clock))
    began = time.monotonic()
    with Job(folder) as job:
        assert time.monotonic() - began >= 0.4
        held = lease_of(folder)
        assert held is not None
        assert held.owner == job.owner
    assert lease_of(folder) is None


def test_this_machines_dead_lease_is_no_hindrance(folder: Path) -> None:
    with Job(folder) as job:
        held = lease_of(folder)
    assert held == Held(held.host, os.getpid(), job.owner, held.turn) if held else False
    write(folder, 3, host=held.host)
    began = time.monotonic()
    with Job(folder):
        assert time.monotonic() - began < 0.4


def test_a_run_that_was_taken_over_stops_and_leaves_the_others_lease(folder: Path) -> None:
    with Job(folder) as job:
        job.accept(Entry("states/one", "0" * 64, 1))
        write(folder, 1)
        for _ in range(100):
            if job._lease.taken:
                break
            time.sleep(0.02)
        with pytest.raises(OutputError, match="taken over by another run"):
            job.accept(Entry("states/two", "0" * 64, 1))
    held = lease_of(folder)
    assert held is not None
    assert held.owner == "other"
