"""Files are written completely or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from reactive.files import hash_file, partial_path, replacing, sweep_partials, write_bytes, write_text


def test_a_file_appears_complete_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    write_text(path, "new\nlines\n", durable=True)
    assert path.read_bytes() == b"new\nlines\n"
    assert [found.name for found in tmp_path.iterdir()] == ["clip.json"]


def test_an_error_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["clip.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["a" * 244 + ".mp4", "ü" * 120 + ".mp4", "🎸" * 60 + ".mp4", "-leading $dash.mp4"])
def test_long_and_odd_names_can_be_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_bytes(path, b"data")
    assert path.read_bytes() == b"data"
    assert len(os.fsencode(partial_path(path).name)) <= 255


def test_two_writers_use_different_temporary_files(tmp_path: Path) -> None:
    assert partial_path(tmp_path / "a") != partial_path(tmp_path / "a")


@pytest.mark.parametrize("name", ["clip.mp4", "b" * 240 + ".mp4", "[x]*.mp4"])
def test_only_temporary_files_of_killed_processes_are_deleted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    partial_path(path).write_bytes(b"half")
    other = tmp_path / ".other.host.1.0.partial"
    other.write_bytes(b"someone else's")
    sweep_partials(path)
    assert list(tmp_path.iterdir()) == [other]


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"song")
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"song").hexdigest()
