"""A project's file and folder: saving and loading are lossless, and paths can't leave the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from reactive.cli import main
from reactive.studio.project import (
    ConflictError,
    ProjectError,
    changed_project,
    inside,
    new_project,
    open_project,
    path_fault,
    save_project,
)
from reactive.studio.uploads import free_place, kind_of, safe_name

pytestmark = pytest.mark.fast


def test_a_saved_project_is_restored(tmp_path: Path) -> None:
    project = new_project(tmp_path / "clip")
    settings = {
        "fps": "30000/1001",
        "also": ["9:16"],
        "macros": {"storm": 0.25},
        "duration": 10.0,
        "title": 'a "b" ü\x7f',
    }
    changed = changed_project(project, song="söng.flac", photos=["photos/a b.jpg"], settings=settings)
    saved = save_project(tmp_path / "clip", changed, revision=0)
    assert saved.revision == 1
    assert open_project(tmp_path / "clip") == saved
    assert saved.settings.macros == {"storm": 0.25}


def test_the_second_of_two_changes_to_one_revision_is_refused(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    save_project(tmp_path, changed_project(project, preset="drift"), revision=0)
    with pytest.raises(ConflictError):
        save_project(tmp_path, changed_project(project, preset="forge"), revision=0)
    assert open_project(tmp_path).preset == "drift"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../song.wav",
        "photos/../../x",
        "C:/x",
        "a\\b",
        "~/x",
        ".hidden/x",
        "a//b",
        "x/./y",
        "con.wav",
        "a\nb",
        "a\u202eb",
    ],
)
def test_paths_outside_the_folder_are_refused_with_the_key(tmp_path: Path, path: str) -> None:
    (tmp_path / "project.toml").write_text(f"version = 1\nsong = {json.dumps(path)}\n", encoding="utf-8")
    with pytest.raises(ProjectError):
        open_project(tmp_path)
    with pytest.raises(ProjectError):
        inside(tmp_path, path)


def test_symbolic_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(b"x")
    clip = tmp_path / "clip"
    new_project(clip)
    (clip / "photos").symlink_to(tmp_path / "elsewhere")
    (clip / "song.wav").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    for path in ("photos/a.jpg", "song.wav"):
        with pytest.raises(ProjectError, match="symbolic link"):
            inside(clip, path)
    (clip / "project.toml").rename(clip / "other.toml")
    (clip / "project.toml").symlink_to(clip / "other.toml")
    with pytest.raises(ProjectError, match="symbolic link"):
        open_project(clip)


@given(st.text(min_size=1, max_size=300))
def test_any_name_becomes_a_safe_file_name(name: str) -> None:
    made = safe_name(name)
    assert path_fault(made) is None
    assert "/" not in made
    assert len(made.encode()) < 200


def test_names_stay_readable_and_no_file_is_replaced(tmp_path: Path) -> None:
    assert safe_name("../../etc/Our Söng (final).WAV") == "Our Söng (final).wav"
    assert safe_name('<img src=x onerror="alert(1)">.jpg') == "img src=x onerror=-alert(1)--.jpg"
    (tmp_path / "a.jpg").touch()
    assert free_place(tmp_path, "a.jpg").name == "a-2.jpg"


def test_a_file_dropped_at_the_wrong_place_is_refused_in_a_sentence() -> None:
    assert kind_of("x.MOV", "picture") == "film"
    with pytest.raises(ProjectError, match="is not a song"):
        kind_of("virus.exe", "song")
    with pytest.raises(ProjectError):
        kind_of("song.wav", "secrets")


def test_run_refuses_a_project_without_a_song_in_one_line(tmp_path: Path) -> None:
    new_project(tmp_path / "clip")
    done = CliRunner().invoke(main, ["run", str(tmp_path / "clip"), "-o", str(tmp_path / "x.mp4")])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "has no song yet" in done.stderr
