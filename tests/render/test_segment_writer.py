"""Segments written in parallel: the same packets with any number of threads, few open segments, at most the GPU's number of streams."""

from __future__ import annotations

import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import av
import numpy as np
import pytest
import torch

from reactive.errors import OutputError
from reactive.render.store.job import FOLDERS, JobFile
from reactive.render.workers.segment_writer import Piece, SegmentWriter
from reactive.render.workers.spool import Spool
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder

LENGTH = 6
SIZE = (32, 32)


def pieces(count: int) -> list[Piece]:
    return [
        Piece(
            LENGTH * n,
            LENGTH * (n + 1),
            ((f"segments/{n}.mkv", SIZE),),
            flash_check=(f"states/{n}", f"segments/{n}.mkv"),
        )
        for n in range(count)
    ]


def picture(frame: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frame)
    return torch.randint(0, 255, (3, *SIZE[::-1]), generator=generator, dtype=torch.uint8)


class Written:
    """A writer in a folder, and the progress it reported."""

    def __init__(self, folder: Path, count: int, **options: int) -> None:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        self.folder = folder
        self.told: list[tuple[int, list[JobFile]]] = []
        self.frames = 0
        self.writer = SegmentWriter(
            pieces(count),
            folder,
            fps=Fraction(24),
            codec=video_codec("h264"),
            done=self.count,
            finished=lambda index, entries: self.told.append((index, entries)),
            **options,
        )

    def count(self, frames: int) -> None:
        self.frames += frames

    def put(self, frames: list[int], **options: bool) -> None:
        self.writer.put(np.array(frames), torch.stack([picture(frame) for frame in frames]), **options)

    def lanes(self, count: int) -> None:
        """Write one frame of each segment in turn, as lanes do, and wait for the end."""
        for step in range(LENGTH):
            for piece in range(count):
                self.put([LENGTH * piece + step])
        self.writer.finish()

    def packets(self) -> dict[str, list[tuple[int | None, bytes]]]:
        """Return the packets of each finished segment; the files' own headers contain random numbers."""
        found = {}
        for file in sorted((self.folder / "segments").iterdir()):
            with av.open(str(file)) as container:
                found[file.name] = [(packet.pts, bytes(packet)) for packet in container.demux() if packet.size]
        return found


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """The segments written by one thread, one after the other."""
    written = Written(tmp_path / "plain", 5)
    for frame in range(5 * LENGTH):
        written.put([frame])
    written.writer.finish()
    return written.packets()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_packet(tmp_path: Path, plain: dict[str, Any], threads: int) -> None:
    written = Written(tmp_path / "many", 5, threads=threads)
    written.lanes(5)
    assert written.packets() == plain
    assert sorted(index for index, _ in written.told) == list(range(5))
    assert all({entry.name.split("/")[0] for entry in entries} == {"segments", "states"} for _, entries in written.told)
    assert written.frames == 5 * LENGTH


@pytest.mark.parametrize("threads", [1, 2])
def test_at_most_one_independent_segment_a_thread_is_open(tmp_path: Path, plain: dict[str, Any], threads: int) -> None:
    written = Written(tmp_path / "few", 5, threads=threads)
    for run in written.writer.runs(range(5), 4):
        written.put(run.tolist(), few=True)
        # the one that ends and the one that starts may share a batch
        assert len(written.writer.open) <= threads + 1
    written.writer.finish()
    assert written.packets() == plain


def test_another_segment_is_started_only_if_encoders_are_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path / "quick", 3, threads=2)
    runs = written.writer.runs(range(3), 2)
    # nothing is waiting: one segment after the other
    assert [next(runs).tolist() for _ in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    stopped = threading.Event()
    original = SegmentEncoder.write

    def slow(self: SegmentEncoder, given: np.ndarray) -> None:
        stopped.wait()
        original(self, given)

    monkeypatch.setattr(SegmentEncoder, "write", slow)
    written.put([6, 7])
    assert next(runs).tolist() == [12, 13]
    stopped.set()
    written.writer.abandon()
    assert written.packets() == {}


class Card:
    """A GPU with a limited number of encoder streams."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, streams: int) -> None:
        self.streams, self.now, self.most = streams, 0, 0
        self.lock = threading.Lock()
        close = SegmentEncoder.close

        def opened(encoder: SegmentEncoder) -> None:
            with self.lock:
                if self.now >= self.streams:
                    raise OutputError("no stream is free", where=str(encoder.path))
                self.now += 1
                self.most = max(self.most, self.now)

        def closed(encoder: SegmentEncoder) -> None:
            close(encoder)
            with self.lock:
                self.now -= 1

        monkeypatch.setattr(SegmentEncoder, "open", opened)
        monkeypatch.setattr(SegmentEncoder, "close", closed)


@pytest.mark.parametrize(("told", "real"), [(2, 8), (8, 2), (1, 1)])
def test_segments_queue_for_the_streams_of_a_card(
    tmp_path: Path, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch, told: int, real: int
) -> None:
    card = Card(monkeypatch, real)
    written = Written(tmp_path / "card", 5, threads=3)
    written.writer.sessions = told
    written.lanes(5)
    assert written.packets() == plain
    assert 0 < card.most <= min(told, real)
    assert not list((tmp_path / "card").rglob(".*"))


@pytest.mark.parametrize("real", [1, 2, 8])
def test_independent_segments_on_a_card_with_few_streams_all_finish(
    tmp_path: Path, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch, real: int
) -> None:
    Card(monkeypatch, real)
    written = Written(tmp_path / "walk", 5, threads=3)
    written.writer.sessions = 8
    order = [frame for pair in zip(range(6), range(6, 12), strict=True) for frame in pair]
    for frame in [*order, *range(12, 30)]:
        written.put([frame], few=True)
    written.writer.finish()
    assert written.packets() == plain


def test_the_only_stream_goes_to_the_segment_that_opens_it_first(
    tmp_path: Path, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Card(monkeypatch, 1)
    opened, taken = SegmentEncoder.open, threading.Event()

    def late(encoder: SegmentEncoder) -> None:
        # the first segment requests the stream first, but another one opens it before
        if "0.mkv" in encoder.path.name and not taken.is_set():
            assert taken.wait(60)
        opened(encoder)
        taken.set()

    monkeypatch.setattr(SegmentEncoder, "open", late)
    written = Written(tmp_path / "late", 5, threads=3)
    written.writer.sessions = 8
    written.lanes(5)
    assert written.packets() == plain


def test_a_card_without_streams_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Card(monkeypatch, 0)
    written = Written(tmp_path / "none", 2, threads=2)
    written.writer.sessions = 8
    with pytest.raises(OutputError, match="no stream is free"):
        written.lanes(2)
    written.writer.abandon()
    assert not list((tmp_path / "none").rglob("*.mkv*"))


def test_an_error_in_a_thread_is_raised_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: SegmentEncoder, given: np.ndarray) -> None:
        raise OutputError("can't be written")

    monkeypatch.setattr(SegmentEncoder, "write", full)
    written = Written(tmp_path / "full", 3, threads=3)
    with pytest.raises(OutputError, match="can't be written"):
        written.lanes(3)
    written.writer.abandon()
    assert not [file for file in (tmp_path / "full").rglob("*") if file.is_file()]


@pytest.mark.parametrize("moment", range(1, 80, 3))
def test_an_interruption_while_waiting_releases_all_threads(tmp_path: Path, moment: int) -> None:
    written = Written(tmp_path / "stopped", 3, threads=2)
    left = moment

    def interrupt(frame: FrameType, event: str, given: object) -> Any:
        nonlocal left
        del given
        if frame.f_locals.get("self") is not written.writer.changed:
            return interrupt
        if event in ("line", "return"):
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return interrupt

    outcome: list[str] = []

    def work() -> None:
        sys.settrace(interrupt)
        try:
            written.lanes(3)
            outcome.append("whole")
        except KeyboardInterrupt:
            outcome.append("stopped")
        finally:
            sys.settrace(None)
            written.writer.abandon()
            outcome.append("left")

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(60)
    assert outcome in (["whole", "left"], ["stopped", "left"])
    assert outcome[0] == "whole" or not list((tmp_path / "stopped").rglob(".*.partial"))


def test_a_spool_returns_its_contents(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "frames")
    given = [picture(frame).permute(1, 2, 0).numpy() for frame in range(3)]
    for one in given:
        spool.add(one)
    assert all(np.array_equal(a, b) for a, b in zip(given, spool, strict=True))
    spool.close()
    assert not (tmp_path / "frames").exists()
