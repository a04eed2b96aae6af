"""The flash check from measurements stored with segments: the result is that of the finished clip, also if some are lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from fractions import Fraction
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from reactive import Settings, make_clip, score_flashes
from reactive.media.video import rgb_frames
from reactive.render import assemble
from reactive.render.beside import beside
from reactive.render.plan import Plan, Segment
from reactive.render.store.job import Job, finish_file
from reactive.render.store.segments import SegmentStore
from reactive.render.workers.flash_check import check_pieces, flash_check_data, pack_pictures, unpack_pictures
from reactive.score.flash import GRID, count_flashes
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder
from tests.toy import beat_song, write_song

FPS = Fraction(24)


def strobe(folder: Path, frames: int, number: int) -> Path:
    """Write a segment that alternates between black and white every third frame."""
    path = folder / f"{number}.mkv"
    with SegmentEncoder(path, size=(128, 72), fps=FPS, codec=video_codec("h264")) as encoder:
        for frame in range(frames):
            encoder.write(np.full((72, 128, 3), 255 * (frame // 3 % 2), np.uint8))
    return path


def test_the_result_is_that_of_the_encoded_pictures(tmp_path: Path) -> None:
    pieces, seen = [], []
    for number, frames in enumerate((30, 1, 41)):
        path = strobe(tmp_path, frames, number)
        left = tmp_path / f"{number}.flashes"
        left.write_bytes(flash_check_data(path))
        pieces.append((path, frames, left))
        seen += [picture for picture, _ in rgb_frames(path, size=GRID)]
    expected = count_flashes(seen, FPS)
    assert not expected.passes
    assert check_pieces(pieces, FPS) == expected
    # lost, damaged or mismatched measurements are replaced by decoding the segment
    pieces[0][2].unlink()
    pieces[1][2].write_bytes(b"harm")
    pieces[2][2].write_bytes(pack_pictures(seen[:5]))
    assert check_pieces(pieces, FPS) == expected
    assert check_pieces([(path, frames, None) for path, frames, _ in pieces], FPS) == expected


def test_stored_measurements_need_no_segment(tmp_path: Path) -> None:
    path = strobe(tmp_path, 24, 0)
    left = tmp_path / "left"
    left.write_bytes(flash_check_data(path))
    path.unlink()
    assert not check_pieces([(path, 24, left)], FPS).passes


def test_packing_pictures_is_lossless() -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (3, GRID[1], GRID[0], 3), np.uint8)
    assert np.array_equal(unpack_pictures(pack_pictures(list(pictures))), pictures)
    for harm in (b"", b"x" * 40, pack_pictures(list(pictures))[:-9]):
        with pytest.raises(ValueError):  # noqa: PT011
            unpack_pictures(harm)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SegmentStore]:
    """Two pieces of a job, of which none is finished."""
    plan = Plan(0, 54, 30, (Segment(0, 30, 0), Segment(30, 54, 30)), np.arange(54), ())
    with Job(tmp_path / "job") as job:
        found = SegmentStore(job, plan, ["one", "two"], [(128, 72)], FPS, video_codec("h264"))
        assert len(found.missing()) == 2
        yield found


def finish(store: SegmentStore, number: int) -> None:
    """Write a piece as a renderer does."""
    segment, name = store.plan.segments[number], store.files[number][0]
    path = strobe(store.job.folder, segment.stop - segment.start, number)
    entries = []
    for file, data in ((name, path.read_bytes()), (store.flash_check_name(number), flash_check_data(path))):
        partial = store.job.folder / f"{file}.part"
        partial.write_bytes(data)
        entries.append(finish_file(store.job.folder, file, partial))
    store.accept(number, entries)


def test_pieces_are_judged_as_they_are_finished(store: SegmentStore) -> None:
    with beside("flashes", lambda ended: check_pieces(store.flash_checked_ahead(ended), FPS)) as judged:
        for number in (1, 0):
            finish(store, number)
        flashes = judged()
    assert not flashes.passes
    assert flashes == check_pieces(store.flash_checked_pieces(store.pieces(0)), FPS)
    # what an earlier run finished is judged too
    job = Job.__new__(Job)
    vars(job).update(vars(store.job), _checked={})
    again = SegmentStore(job, store.plan, store.keys, store.sizes, FPS, store.codec)
    assert not again.missing()
    assert check_pieces(again.flash_checked_ahead(Event()), FPS) == flashes


def test_judging_ends_with_the_render(store: SegmentStore) -> None:
    finish(store, 0)
    seen = []

    def judge(ended: Event) -> None:
        for piece in store.flash_checked_ahead(ended):
            seen.append(piece)
            begun.set()

    begun = Event()
    with pytest.raises(ZeroDivisionError), beside("flashes", judge) as judged:
        _ = int(begun.wait(60)) // 0
    assert [frames for _, frames, _ in seen] == [30]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flashes")]
    with pytest.raises(CancelledError):
        judged()


@pytest.mark.parametrize("title", ["", "A song"])
def test_a_clip_is_judged_once_by_the_pictures_that_it_shows(
    tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    calls = []

    def counting(pieces, fps):
        calls.append(threading.current_thread().name)
        return check_pieces(pieces, fps)

    monkeypatch.setattr(assemble, "check_pieces", counting)
    chosen = Settings.of(model=str(toy_model), steps=1, device="cpu", threads=1, batch=4, duration=2.0, title=title)
    clip = make_clip(write_song(tmp_path / "song.wav", beat_song(6)), tmp_path / "clip.mp4", chosen)
    assert len(calls) == 1
    assert clip.flashes == score_flashes(clip.output)
