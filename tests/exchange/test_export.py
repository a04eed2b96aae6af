"""Each export format, read back by an independent reader."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.cli import main
from reactive.errors import OutputError, ReactiveError
from reactive.exchange import packages as needs
from reactive.exchange.formats import FORMATS, export_timeline, format_of
from reactive.exchange.moments import kept_share, moves, phase_runs, prompt_runs, seeds, shot_runs
from reactive.exchange.schedule import keys_of, read_schedule, write_schedule, write_steps
from reactive.timeline.timeline import FEEDBACK, Timeline
from tests.examples import scaled
from tests.toy import beat_song, write_song

TEMPO = 120.0


def exported(timeline: Timeline, path: Path, kind: str) -> Path:
    export_timeline(
        timeline, path, kind=kind, song="beat.wav", tempo=TEMPO, sections=[(0.0, 8.0, "A"), (8.0, 16.0, "B")]
    )
    return path


def drawn(schedule: str, frames: int) -> np.ndarray:
    """Return a schedule as Deforum evaluates it, by the test's own parser."""
    pairs = [(int(k), float(v)) for k, v in re.findall(r"(\d+): \((-?[\d.e+-]+)\)", schedule)]
    return np.interp(np.arange(frames), [k for k, _ in pairs], [v for _, v in pairs])


def test_runs_cover_the_timeline(beat_timeline: Timeline) -> None:
    for runs in (prompt_runs(beat_timeline), phase_runs(beat_timeline), shot_runs(beat_timeline)):
        assert runs[0].start == 0
        assert runs[-1].stop == beat_timeline.frames
        assert all(a.stop == b.start for a, b in zip(runs, runs[1:], strict=False))
    assert [run.start for run in shot_runs(beat_timeline)][1:] == list(beat_timeline.cuts)


def test_deforum_schedules_follow_the_timeline(tmp_path: Path, beat_timeline: Timeline) -> None:
    data = json.loads(exported(beat_timeline, tmp_path / "s.txt", "deforum").read_text(encoding="utf-8"))
    frames = beat_timeline.frames
    assert data["max_frames"] == frames
    assert data["fps"] == 24
    move = moves(beat_timeline)
    assert np.abs(drawn(data["zoom"], frames) - move["zoom"]).max() < 1e-3
    assert np.abs(drawn(data["angle"], frames) - move["rotate"]).max() < 1e-2
    assert np.abs(drawn(data["translation_x"], frames) - move["x"] * data["W"]).max() < 0.1
    assert np.abs(drawn(data["strength_schedule"], frames) - kept_share(beat_timeline)).max() < 0.02
    assert np.array_equal(drawn(data["seed_schedule"], frames), seeds(beat_timeline))
    assert {int(k): v for k, v in data["prompts"].items()} == {r.start: r.text for r in prompt_runs(beat_timeline)}


def test_parseq_defines_every_frame(tmp_path: Path, beat_timeline: Timeline) -> None:
    data = json.loads(exported(beat_timeline, tmp_path / "p.parseq.json", "parseq").read_text(encoding="utf-8"))
    rows = data["rendered_frames"]
    assert [row["frame"] for row in rows] == list(range(beat_timeline.frames))
    assert data["options"] == {"output_fps": 24.0, "bpm": TEMPO}
    zoom = np.array([row["zoom"] for row in rows])
    deltas = np.array([row["zoom_delta"] for row in rows])
    assert zoom[1:] / zoom[:-1] == pytest.approx(deltas[1:], abs=1e-4)
    angles = np.array([row["angle"] for row in rows])
    assert np.diff(angles) == pytest.approx([row["angle_delta"] for row in rows[1:]], abs=1e-5)
    for run, prompt in zip(prompt_runs(beat_timeline), data["prompts"]["promptList"], strict=True):
        assert (prompt["from"], prompt["to"] + 1, prompt["positive"]) == (run.start, run.stop, run.text)
        assert {row["deforum_prompt"] for row in rows[run.start : run.stop]} == {run.text}
    assert data["keyframes"][0].keys() > set(data["managedFields"])
    at = [(row["frame"], row["strength"]) for row in data["keyframes"] if "strength" in row]
    line = np.interp(np.arange(len(rows)), *zip(*at, strict=True))
    assert np.abs(line - [row["strength"] for row in rows]).max() < 0.02


def test_the_table_holds_every_frame(tmp_path: Path, beat_timeline: Timeline) -> None:
    with exported(beat_timeline, tmp_path / "t.csv", "csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == beat_timeline.frames
    assert float(rows[25]["seconds"]) == pytest.approx(25 / 24, abs=1e-6)
    for name in ("walk", "strength", "lens_zoom"):
        assert [float(row[name]) for row in rows] == pytest.approx(beat_timeline.columns[name].tolist(), abs=1e-6)
    number = int(beat_timeline.columns["prompt_to"][100])
    assert rows[100]["prompt_to"] == beat_timeline.prompts[number]
    assert int(rows[100]["seed"]) == int(beat_timeline.columns["seed"][100])


def test_a_prompt_is_not_a_spreadsheet_formula(tmp_path: Path, beat_timeline: Timeline) -> None:
    from dataclasses import replace

    evil = replace(beat_timeline, prompts=("=1+1",) * len(beat_timeline.prompts))
    with exported(evil, tmp_path / "t.csv", "csv").open(encoding="utf-8", newline="") as handle:
        assert {row["prompt_to"] for row in csv.DictReader(handle)} == {"'=1+1"}


def test_otio_has_shots_song_and_markers(tmp_path: Path, beat_timeline: Timeline) -> None:
    otio = pytest.importorskip("opentimelineio", reason="needs the extra exchange")
    read = otio.adapters.read_from_file(str(exported(beat_timeline, tmp_path / "t.otio", "otio")))
    pictures, sound = read.tracks
    assert [clip.source_range.start_time.value for clip in pictures] == [run.start for run in shot_runs(beat_timeline)]
    assert pictures.duration().value == sound.duration().value == beat_timeline.frames
    assert read.duration().rate == 24
    assert sound[0].media_reference.target_url == "beat.wav"
    kinds: dict[str, list] = {}
    for marker in read.tracks.markers:
        kinds.setdefault(marker.metadata["reactive"]["kind"], []).append(marker)
    assert [m.name for m in kinds["section"]] == ["A", "B"]
    assert [m.name for m in kinds["prompt"]] == [run.text for run in prompt_runs(beat_timeline)]
    assert [m.marked_range.start_time.value for m in kinds["phase"]] == [run.start for run in phase_runs(beat_timeline)]


def test_otio_shots_refer_to_the_rendered_clip(tmp_path: Path, beat_timeline: Timeline) -> None:
    otio = pytest.importorskip("opentimelineio", reason="needs the extra exchange")
    names = {"song": "songs/beat.wav", "clip": "../clips/my clip.mp4"}
    export_timeline(beat_timeline, tmp_path / "t.otio", kind="otio", **names)
    pictures, sound = otio.adapters.read_from_file(str(tmp_path / "t.otio")).tracks
    for shot in pictures:
        assert shot.media_reference.target_url == "../clips/my%20clip.mp4"
        assert shot.media_reference.available_range.duration.value == beat_timeline.frames
    assert sound[0].media_reference.target_url == "songs/beat.wav"


def test_midi_cues_have_their_times(tmp_path: Path, beat_timeline: Timeline) -> None:
    mido = pytest.importorskip("mido", reason="needs the extra exchange")
    file = mido.MidiFile(exported(beat_timeline, tmp_path / "t.mid", "midi"), charset="utf-8")
    now, notes, marks = 0.0, {}, []
    for message in file:
        now += message.time
        if message.type == "note_on" and message.velocity:
            notes.setdefault(message.note, []).append(now)
        if message.type == "marker":
            marks.append((now, message.text))
    kicks = np.flatnonzero(beat_timeline.columns["hit"] > 0) / 24
    assert notes[36] == pytest.approx(kicks.tolist(), abs=1e-3)
    assert notes[49] == pytest.approx([cut / 24 for cut in beat_timeline.cuts], abs=1e-3)
    assert [text for _, text in marks] == [run.text for run in prompt_runs(beat_timeline)]
    assert [time for time, _ in marks] == pytest.approx(
        [run.start / 24 for run in prompt_runs(beat_timeline)], abs=1e-3
    )
    assert file.length == pytest.approx(16.0, abs=0.1)


def test_subtitles_show_the_prompts(tmp_path: Path, beat_timeline: Timeline) -> None:
    text = exported(beat_timeline, tmp_path / "t.srt", "srt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    runs = prompt_runs(beat_timeline)
    assert [block[2] for block in blocks] == [run.text for run in runs]
    for number, (block, run) in enumerate(zip(blocks, runs, strict=True), 1):
        assert block[0] == str(number)
        match = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", block[1])
        h, m, s, ms = (int(part) for part in match.groups()[:4])
        assert 3600 * h + 60 * m + s + ms / 1000 == pytest.approx(run.start / 24, abs=6e-4)


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(25)])
def test_every_format_takes_any_frame_rate(tmp_path: Path, beat_analysis, fps: Fraction) -> None:
    from reactive import build_timeline, get_preset

    timeline = build_timeline(beat_analysis, get_preset("loop-destroy"), samples=16 * 44_100, fps=fps, seed=1)
    for kind in FORMATS:
        assert exported(timeline, tmp_path / kind, kind).stat().st_size > 500


def test_the_suffix_determines_the_format() -> None:
    found = [
        format_of(Path(name))
        for name in ("a.txt", "a.parseq.json", "a.deforum.json", "a.csv", "a.OTIO", "a.mid", "a.srt")
    ]
    assert found == ["deforum", "parseq", "deforum", "csv", "otio", "midi", "srt"]
    assert format_of(Path("a.json"), "parseq") == "parseq"
    with pytest.raises(OutputError, match="format"):
        format_of(Path("a.json"))


def test_missing_packages_and_unwritable_files_are_reported(
    tmp_path: Path, beat_timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        exported(beat_timeline, tmp_path / "no" / "t.srt", "srt")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(needs, "import_module", missing)
    with pytest.raises(ReactiveError, match=r"needs the package mido\. Run `.*\[exchange\]") as caught:
        exported(beat_timeline, tmp_path / "t.mid", "midi")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=scaled(60))
@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=80), st.sampled_from([0.0, 0.01, 0.5]))
def test_keyframes_keep_a_curve_within_its_tolerance(values: list[float], tolerance: float) -> None:
    curve = np.array(values)
    keys = keys_of(curve, tolerance)
    line = np.interp(np.arange(len(curve)), keys, curve[keys])
    assert np.abs(line - curve).max() <= tolerance + 1e-9
    read = read_schedule(write_schedule(curve, tolerance=tolerance))
    assert [int(place) for place, _ in read] == keys
    assert [float(value) for _, value in read] == pytest.approx(curve[keys].tolist(), abs=1e-3)


def test_schedules_are_parsed_and_refused_without_keyframes() -> None:
    assert read_schedule("0:(1.0),12 : (sin(2*(t)))\n, 30: (0.5)") == [
        ("0", "1.0"),
        ("12", "sin(2*(t))"),
        ("30", "0.5"),
    ]
    steps = read_schedule(write_steps(np.array([4, 4, 9, 9])))
    assert steps == [("0", "4"), ("1", "4"), ("2", "9")]
    for wrong in ("", "zoom", "0: (1", "0:", "0: (1), and more"):
        with pytest.raises(ValueError, match=r"schedule|bracket"):
            read_schedule(wrong)


def test_extreme_cameras_are_written_as_finite_numbers(tmp_path: Path, beat_timeline: Timeline) -> None:
    count = beat_timeline.frames
    for path in (np.arange(count) * 5.0, np.arange(count) * -5.0, np.arange(count) % 2 * 1e6):
        columns = beat_timeline.columns | {"camera_zoom": path, "source": np.full(count, FEEDBACK)}
        timeline = replace(beat_timeline, columns=columns, cuts=())
        assert all(np.isfinite(curve).all() for curve in moves(timeline).values())
        text = exported(timeline, tmp_path / f"{path[1]}.json", "parseq").read_text()
        frames = json.loads(text, parse_constant=lambda name: pytest.fail(name))["rendered_frames"]
        assert len(frames) == count


def test_otio_media_are_found_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    otio = pytest.importorskip("opentimelineio", reason="needs the extra exchange")
    monkeypatch.chdir(tmp_path)
    write_song(Path("my song.wav"), beat_song(4))
    for folder in ("clips", "edit"):
        Path(folder).mkdir()
    Path("clips/my clip #1.mp4").touch()
    arguments = [
        "timeline",
        "my song.wav",
        "-p",
        "drift",
        "--export",
        "edit/shots.otio",
        "--clip",
        "clips/my clip #1.mp4",
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "not there yet" not in done.stderr
    monkeypatch.chdir("/")
    read = otio.adapters.read_from_file(str(tmp_path / "edit" / "shots.otio"))
    references = [clip.media_reference for clip in read.find_clips()]
    assert len(references) >= 2
    found = {(tmp_path / "edit" / unquote(one.target_url)).resolve().name for one in references}
    assert found == {"my clip #1.mp4", "my song.wav"}
    assert all((tmp_path / "edit" / unquote(one.target_url)).is_file() for one in references)
    assert not any(isinstance(one, otio.schema.MissingReference) for one in references)
