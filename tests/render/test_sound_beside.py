"""The sound is encoded beside the start of a render: the same bytes, and nothing of it outlives an error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reactive import Settings, make_clip, open_track
from reactive.errors import OutputError
from reactive.media.sound import Track
from reactive.render import assemble
from reactive.render.assemble import sound_beside
from reactive.render.store.job import Job
from reactive.video.mux import encode_sound
from reactive.video.segment import output_error
from tests.toy import RATE, beat_song, write_song

RANGE = (RATE // 3, 5 * RATE)


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Track:
    return open_track(write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(6)))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sound")]


def test_it_has_the_bytes_of_sound_that_is_encoded_alone_and_is_kept(tmp_path: Path, track: Track) -> None:
    encode_sound(track, tmp_path / "alone.m4a", RANGE)
    with Job(tmp_path / "job") as job:
        with sound_beside(job, track, RANGE) as encoded:
            kept = encoded()
            assert encoded() == kept
        assert kept.read_bytes() == (tmp_path / "alone.m4a").read_bytes()
        assert threads() == []
        written = kept.stat().st_mtime_ns
        with sound_beside(job, track, RANGE) as encoded:
            assert threads() == []
            assert encoded() == kept
        assert kept.stat().st_mtime_ns == written


def test_an_error_stops_it_and_nothing_of_it_stays(
    tmp_path: Path, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(track: Track, out: Path, sound: tuple[int, int], *, halted) -> None:
        out.write_bytes(b"half")
        begun.set()
        # as a song of any length: its packets come until it is told to stop
        while True:
            encode_sound(track, out, sound, halted=halted)

    monkeypatch.setattr(assemble, "encode_sound", endless)
    with Job(tmp_path / "job") as job:
        with pytest.raises(ZeroDivisionError), sound_beside(job, track, RANGE):
            _ = int(begun.wait(60)) // 0
        assert threads() == []
        assert list((job.folder / "sounds").iterdir()) == []


def test_a_disk_that_is_full_is_reported_in_one_line(
    tmp_path: Path, track: Track, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(track: Track, out: Path, sound: tuple[int, int], *, halted) -> None:
        raise output_error(out, OSError(28, "No space left on device"))

    out = tmp_path / "clip.mp4"
    chosen = Settings.of(model=str(toy_model), steps=1, device="cpu", threads=1, batch=4, duration=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(assemble, "encode_sound", full)
        with pytest.raises(OutputError, match="No space left") as problem:
            make_clip(track.path, out, chosen)
        assert str(problem.value).startswith(str(out))
        assert "\n" not in str(problem.value)
    assert threads() == []
    assert not out.exists()
    assert make_clip(track.path, out, chosen).frames == 24
