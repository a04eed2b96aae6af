"""The preview shows the edits of single shots, and those that are saved while it plays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.audio.cache import hear_once
from reactive.cli import main
from reactive.errors import ReactiveError, TimelineError
from reactive.live.material import PreviewOptions, load_material
from reactive.live.session import Session
from reactive.live.setlist import read_set_list
from reactive.preset.shots import Shots, save_shots
from reactive.render.decide import decide
from reactive.studio.preview import preview_arguments
from reactive.studio.project import changed_project, new_project, save_project
from reactive.timeline.shot_edits import apply_shots, change_shots
from reactive.timeline.shots import shots_of
from reactive.timeline.timeline import Timeline

FPS = Fraction(24)


@pytest.fixture
def song(beat_wav: Path, tmp_path: Path) -> Path:
    shutil.copy(beat_wav, tmp_path / "song.wav")
    return tmp_path / "song.wav"


@pytest.fixture
def open_session(song: Path, toy_model: Path, live_preset: Path) -> Callable[[Path | None], Session]:
    def opened(shots: Path | None) -> Session:
        options = PreviewOptions.of(
            preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=FPS, shots=shots
        )
        return Session(load_material(song, options), lambda frames: None, (str(live_preset),))

    return opened


def edited(session: Session, edits: Shots, number: int, **changes: object) -> Shots:
    """Return edits with one more, of the shot with a number."""
    timeline, analysis = session.performance.timeline, session.material.analysis
    track = session.material.track
    named = edits.model_copy(update={"song_sha256": track.sha256, "file_sha256": track.file_sha256})
    name = shots_of(timeline, analysis)[number].name
    return change_shots(timeline, analysis, named, [name], **changes)  # type: ignore[arg-type]


def saved(edits: Shots, path: Path) -> None:
    """Save edits, at another time than before on any file system."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    save_shots(edits, path)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def same(one: Timeline, other: Timeline) -> bool:
    return one.prompts == other.prompts and all(
        np.array_equal(one.columns[name], other.columns[name]) for name in one.columns
    )


def test_a_preview_begins_with_the_edits_that_a_clip_has(
    open_session: Callable[[Path | None], Session], song: Path, live_preset: Path, tmp_path: Path
) -> None:
    plain = open_session(None)
    edits = edited(plain, Shots(), 1, values={"prompt": ["a white door"]}, roll=True)
    save_shots(edits, tmp_path / "shots.toml")
    session = open_session(tmp_path / "shots.toml")
    _, analysis = hear_once(song)
    clip = apply_shots(decide(analysis, live_preset, fps=FPS), analysis, edits).timeline
    assert "a white door" in clip.prompts
    assert same(session.engine.timeline, clip)
    assert not same(plain.engine.timeline, clip)
    assert "a white door" in session.lanes()["prompts"].values()
    # what is played lies beneath the edits
    session.change({"kind": "control", "time": 0.0, "name": "walk", "value": 2.0})
    assert "a white door" in session.engine.timeline.prompts
    assert not np.array_equal(session.engine.timeline.columns["walk"], clip.columns["walk"])


def test_edits_are_seen_as_soon_as_they_are_saved(
    open_session: Callable[[Path | None], Session], tmp_path: Path
) -> None:
    file = tmp_path / "shots.toml"
    save_shots(Shots(), file)
    session = open_session(file)
    plain, revision = session.engine.timeline, session.revision
    assert session.reload() is None
    edits = edited(session, Shots(), 1, values={"prompt": ["a white door"]})
    saved(edits, file)
    epoch = session.reload()
    assert epoch == session.engine.epoch
    assert session.revision > revision
    assert "a white door" in session.engine.timeline.prompts
    # frames before the shot, and what was made of them, stay
    first = shots_of(session.engine.timeline, session.material.analysis)[1].start
    assert session.engine.changed >= first - 24 > 0
    saved(edited(session, edits, 1, reset=True), file)
    assert session.reload() is not None
    assert same(session.engine.timeline, plain)
    saved(edits, file)
    session.reload()
    file.unlink()
    assert session.reload() is not None
    assert same(session.engine.timeline, plain)


def test_a_photograph_of_a_shot_is_read_when_it_is_named(
    open_session: Callable[[Path | None], Session], tmp_path: Path
) -> None:
    file = tmp_path / "shots.toml"
    save_shots(Shots(), file)
    session = open_session(file)
    Image.new("RGB", (320, 180), "red").save(tmp_path / "red.png")
    edits = edited(session, Shots(), 0, values={"photo": "red.png"})
    saved(edits, file)
    session.reload()
    assert session.engine.timeline.photos == ("red.png",)
    assert session.material.fed_photos == (tmp_path / "red.png",)
    assert list(session.material.sources.photos) == [0]
    # an edit without its file is refused once, and the old ones stay
    saved(edited(session, edits, 1, values={"photo": "gone.png"}), file)
    with pytest.raises(ReactiveError, match=r"gone\.png"):
        session.reload()
    assert session.reload() is None
    assert session.engine.timeline.photos == ("red.png",)


def test_files_that_are_not_edits_of_this_song_are_refused_once(
    open_session: Callable[[Path | None], Session], tmp_path: Path
) -> None:
    file = tmp_path / "shots.toml"
    save_shots(Shots(), file)
    session = open_session(file)
    edits = edited(session, Shots(), 1, values={"prompt": ["a white door"]})
    saved(edits, file)
    session.reload()
    saved(edits.model_copy(update={"song_sha256": "0" * 64, "file_sha256": "1" * 64}), file)
    with pytest.raises(TimelineError, match="another song"):
        session.reload()
    assert session.state()["problem"] is not None
    assert session.reload() is None
    file.write_text("shot = 3")
    with pytest.raises(ReactiveError):
        session.reload()
    assert "a white door" in session.engine.timeline.prompts
    saved(edits.model_copy(update={"shot": {}}), file)
    session.reload()
    assert session.state()["problem"] is None


def test_words_of_a_single_shot_are_not_changed_from_here_on(
    open_session: Callable[[Path | None], Session], tmp_path: Path
) -> None:
    plain = open_session(None)
    save_shots(edited(plain, Shots(), 1, values={"prompt": ["a white door"]}), tmp_path / "shots.toml")
    session = open_session(tmp_path / "shots.toml")
    with pytest.raises(TimelineError, match="single shot"):
        session.change({"kind": "prompt", "time": 0.0, "name": "a white door", "text": "a black door"})
    before = session.prompt_at(0)
    session.change({"kind": "prompt", "time": 0.0, "name": before, "text": "a lake"})
    assert session.prompt_at(0) == "a lake"


def test_songs_of_a_set_list_have_the_edits_beside_them(song: Path, tmp_path: Path) -> None:
    (tmp_path / "evening.toml").write_text('[[song]]\nfile = "song.wav"\npreset = "drift"\n')
    save_shots(Shots(), tmp_path / "song.shots.toml")
    listed = read_set_list(tmp_path / "evening.toml", PreviewOptions())
    assert listed.songs[0].options.sources.shots == tmp_path / "song.shots.toml"
    listed = read_set_list(tmp_path / "evening.toml", PreviewOptions.of(no_shots=True))
    assert listed.songs[0].options.sources.shots is None


def test_the_command_refuses_edits_without_a_single_song(song: Path, tmp_path: Path) -> None:
    (tmp_path / "evening.toml").write_text('[[song]]\nfile = "song.wav"\npreset = "drift"\n')
    save_shots(Shots(), tmp_path / "x.toml")
    shots = ["--shots", str(tmp_path / "x.toml"), "--no-open"]
    for source, words in (
        (["--input", "mic"], "a live input has no shots"),
        ([str(tmp_path / "evening.toml")], "names the edits of one song"),
    ):
        told = CliRunner().invoke(main, ["preview", *source, *shots])
        assert told.exit_code == 1
        assert words in told.stderr


def test_the_studios_preview_follows_the_projects_edits(song: Path, tmp_path: Path) -> None:
    project = new_project(tmp_path)
    project = save_project(tmp_path, changed_project(project, song="song.wav"), revision=project.revision)
    told = preview_arguments(tmp_path, project)
    file = Path(told[told.index("--shots") + 1])
    assert file == tmp_path / "photos" / "shots.toml"
    # the preview can begin with it, and follows it from then on
    assert file.is_file()
    (tmp_path / "mine.toml").write_text(file.read_text())
    project = save_project(tmp_path, changed_project(project, shots="mine.toml"), revision=project.revision)
    told = preview_arguments(tmp_path, project)
    assert Path(told[told.index("--shots") + 1]) == tmp_path / "mine.toml"
