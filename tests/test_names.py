"""Long and odd names, retagged songs and moved files work, or are refused at once in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from reactive.cli import main
from reactive.diffusion.core import Core
from reactive.errors import MediaError
from reactive.preset.shots import load_shots
from reactive.render import album
from reactive.render.jobs import resume_job
from reactive.render.store.folders import job_folder
from reactive.render.store.given import Places, found_again, named_in_full, noted_files
from reactive.render.store.job import read_manifest, write_manifest
from tests.media.test_identity import encoded
from tests.toy import beat_song, write_song

PHOTO = (
    'version = 2\ntitle = "P"\nstrength = "0.5"\n[[phase]]\nname = "a"\nmode = "photo"\nprompts = ["a sea", "a tree"]\n'
)
# 244 bytes with its suffix
LONG = "\u591c\u306b\u99c6\u3051\u308b" * 16


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def refused(result: Result, *words: str, code: int = 1) -> None:
    assert result.exit_code == code, (result.output, result.exception)
    assert len(result.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in result.stderr


def downbeats(song: Path) -> list[float]:
    done("analyze", song, "--json", song.parent / "heard.json")
    return json.loads((song.parent / "heard.json").read_text())["downbeats"]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(4))


@pytest.fixture
def small(toy_model: Path) -> tuple[str, ...]:
    return ("--model", str(toy_model), "--steps", "1", "--fps", "4", "--duration", "1", "--size", "64x64")


# --- odd names --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "$uicide$ - Ba$$in",
        "A$AP & Ke$ha",
        "50% _off_ {x} \\frac",
        "\U0001f525\u2764\ufe0f",
        "-intro",
        "--help",
        "a;b'c\"d",
        LONG,
    ],
)
def test_a_song_of_any_name_is_heard_drawn_and_rendered(
    tmp_path: Path, short: Path, small: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    song = Path(shutil.copy(short, tmp_path / f"{name}.wav"))
    before = downbeats(song)
    done("analyze", song, "--downbeat", "3", "--plot", "heard.png")
    after = downbeats(song)
    assert abs(before[0] - after[0]) > 0.2
    done("timeline", song, "--plot", "t.svg")
    if "&" in name:
        # matplotlib writes letters as glyphs by their code points: math mode would swallow the "$"
        assert Path("t.svg").read_text().count("DejaVuSans-24") >= 2
    done("run", song, *small)
    assert (tmp_path / f"{name}.mp4").is_file()
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".partial")]


@pytest.mark.parametrize("size", [240, 245, 255])
def test_an_output_of_any_length_that_the_file_system_allows_is_written(
    tmp_path: Path, short: Path, small: tuple[str, ...], size: int
) -> None:
    out = tmp_path / ("o" * (size - 4) + ".mp4")
    done("run", short, *small, "-o", out)
    assert out.is_file()
    assert json.loads(done("run", short, *small, "-o", out, "--json").stdout)["already"]
    found = json.loads(done("jobs", "list", tmp_path, "--json").stdout)["jobs"]
    assert [job["clip"] for job in found] == [str(out)]
    out.rename(tmp_path / "kept")
    (tmp_path / "else" / ".reactive").mkdir(parents=True)
    job = Path(found[0]["job"]).rename(tmp_path / "else" / ".reactive" / Path(found[0]["job"]).name)
    done("resume", job)
    assert (tmp_path / "else" / out.name).is_file()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("run", "SONG", "-o"), "o" * 252 + ".mp4"),
        (("run", "SONG", "--also", "9:16", "-o"), "o" * 250 + ".mp4"),
        (("shots", "SONG", "-o"), "o" * 252 + ".png"),
        (("timeline", "SONG", "-o"), "o" * 256),
        (("analyze", "SONG", "--plot"), "o" * 252 + ".png"),
    ],
)
def test_a_too_long_output_name_is_refused_at_once(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str
) -> None:
    monkeypatch.setattr("reactive.audio.hear.hear", None)
    refused(invoke(*(str(short) if part == "SONG" else part for part in command), tmp_path / name), "bytes")
    assert not list(tmp_path.iterdir())


def test_a_file_name_that_looks_like_an_option_is_recognised(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(short, "-intro.wav")
    refused(invoke("analyze", "-intro.wav"), "./-intro.wav", "--", code=2)
    done("analyze", "--", "-intro.wav")
    done("analyze", "./-intro.wav")
    refused(invoke("analyze", "-outro.wav"), "--help", code=2)


@pytest.mark.parametrize(
    "line",
    [
        r'font = "C:\Users\band\arial.ttf"',
        r'font = "C:\new\arial.ttf"',
        r'font = "C:\Windows\arial.ttf"',
        r'font = "D:\band.ttf"',
    ],
)
def test_windows_paths_in_a_preset_are_explained(tmp_path: Path, line: str) -> None:
    (tmp_path / "p.toml").write_text(
        f'version = 2\ntitle = "P"\n[[phase]]\nname = "a"\nprompts = ["a"]\n[overlay]\n{line}\n'
    )
    refused(invoke("preset", "check", tmp_path / "p.toml"), "'...'", "/")


# --- retagged songs ---------------------------------------------------------------------------------------------------
def test_a_retagged_song_keeps_grid_shots_timeline_and_job(
    tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples = beat_song(4)
    song = encoded(Path("w.mp3"), samples, "libmp3lame")
    done("analyze", song, "--downbeat", "2")
    grid = downbeats(song)
    done("shots", song, "--shot", "1", "--prompt", "a white door", "--lock")
    done("timeline", song, "-o", "t.json")
    done("run", song, *small, "-o", "a.mp4")
    done("run", song, *small, "-o", "b.mp4", "--timeline", "t.json")
    encoded(song, samples, "libmp3lame", title="Now with a title")
    assert downbeats(song) == grid
    assert "locked" in done("shots", song).output
    for arguments in (("-o", "a.mp4"), ("-o", "b.mp4", "--timeline", "t.json")):
        assert json.loads(done("run", song, *small, *arguments, "--json").stdout)["already"]
    Path("a.mp4").unlink()
    assert json.loads(done("resume", "a.mp4", "--json").stdout)["reused"] == 4
    again = done("run", song, "--recipe", "a.mp4", "--model", small[1], "-o", "again.mp4")
    assert "Made again." in again.output
    # another song of this name neither uses these files nor overwrites them
    encoded(song, samples[::-1], "libmp3lame")
    assert downbeats(song) != grid
    shots = Path("w.shots.toml").read_text()
    refused(invoke("shots", song, "--shot", "1", "--prompt", "a red door"), "another song", "--shots")
    assert Path("w.shots.toml").read_text() == shots
    said = done("analyze", song, "--bpm", "100").stderr
    assert "another song" in said
    encoded(song, samples, "libmp3lame")
    assert downbeats(song) == grid


def test_files_with_the_songs_file_hash_are_recognised_and_updated(
    tmp_path: Path, short: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive import open_track

    monkeypatch.chdir(tmp_path)
    shutil.copy(short, "w.wav")
    track = open_track("w.wav")
    done("analyze", "w.wav", "--downbeat", "2")
    grid = downbeats(Path("w.wav"))
    done("shots", "w.wav", "--shot", "1", "--prompt", "a white door", "--lock")
    done("timeline", "w.wav", "-o", "t.json")
    kept = {name: Path(name).read_text() for name in ("w.wav.reactive.json", "w.shots.toml", "t.json")}
    for name, text in kept.items():
        # in the format of older versions
        lines = [line for line in text.splitlines() if "file_sha256" not in line]
        Path(name).write_text("\n".join(lines).replace(track.sha256, track.file_sha256))
        if name.endswith(".reactive.json"):
            assert json.loads(Path(name).read_text())["song_sha256"] == track.file_sha256
    said = done("analyze", "w.wav").stderr
    assert "w.wav.reactive.json named this song by its file" in said
    assert downbeats(Path("w.wav")) == grid
    assert "w.shots.toml named" in done("shots", "w.wav").stderr
    assert load_shots(Path("w.shots.toml")).song_sha256 == track.sha256
    assert "t.json named" in done("run", "w.wav", *small, "--timeline", "t.json", "-o", "t.mp4").stderr
    assert json.loads(Path("t.json").read_text())["song_sha256"] == track.sha256
    assert "named" not in done("run", "w.wav", *small, "-o", "a.mp4").stderr


# --- moved files ------------------------------------------------------------------------------------------------------
@pytest.fixture
def interrupted_job(tmp_path: Path, short: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an interrupted render, whose inputs were named by relative paths."""
    folder = tmp_path / "j"
    (folder / "pictures").mkdir(parents=True)
    monkeypatch.chdir(folder)
    shutil.copy(short, "song.wav")
    Path("photo.toml").write_text(PHOTO)
    Path("words.lrc").write_text("[00:00.50]a line\n")
    y, x = np.mgrid[0:64, 0:64]
    Image.fromarray(np.stack([x, y, x ^ y], axis=2).astype(np.uint8) * 4).save("pictures/plain.png")
    original, calls = Core.imagine, []

    def interrupted(self, requests):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return original(self, requests)

    with monkeypatch.context() as patch:
        patch.setattr(Core, "imagine", interrupted)
        arguments = [
            "--preset",
            "photo.toml",
            "--photo",
            "pictures/plain.png",
            "--lyrics",
            "words.lrc",
            "--batch",
            4,
            "--segment",
            4,
        ]
        arguments += [
            "--model",
            toy_model,
            "--steps",
            1,
            "--fps",
            12,
            "--duration",
            2,
            "--size",
            "64x64",
            "-o",
            "d.mp4",
        ]
        assert invoke("run", "song.wav", *arguments).exit_code == 130
    assert job_folder(folder / "d.mp4").is_dir()
    monkeypatch.chdir(tmp_path)
    return folder


def reused(*arguments: object) -> int:
    return json.loads(done("resume", *arguments, "--json").stdout)["reused"]


def test_a_job_resumes_from_any_folder(interrupted_job: Path) -> None:
    assert reused("j/.reactive/d.mp4") >= 4
    assert (interrupted_job / "d.mp4").is_file()


def test_a_job_that_moved_with_its_files_finds_them(interrupted_job: Path) -> None:
    interrupted_job.rename(interrupted_job.with_name("k"))
    assert reused("k/d.mp4") >= 4
    assert Path("k/d.mp4").is_file()


def test_renamed_files_are_found_by_their_bytes(interrupted_job: Path, tmp_path: Path) -> None:
    stray = tmp_path / "elsewhere" / "deep"
    stray.mkdir(parents=True)
    (interrupted_job / "pictures" / "plain.png").rename(stray / "IMG_0001.png")
    # a different picture with the same name
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(interrupted_job / "plain.png")
    (interrupted_job / "photo.toml").rename(interrupted_job / "other.toml")
    (interrupted_job / "words.lrc").rename(stray / "w.lrc")
    (interrupted_job / "song.wav").rename(stray / "track 1.wav")
    refused(invoke("resume", interrupted_job / ".reactive" / "d.mp4"), "--song")
    refused(invoke("resume", interrupted_job / ".reactive" / "d.mp4", "--song", stray / "track 1.wav"), "--look-in")
    refused(invoke("resume", interrupted_job / ".reactive" / "d.mp4", "--look-in", tmp_path / "none"), "--look-in")
    said = done("resume", interrupted_job / ".reactive" / "d.mp4", "--look-in", tmp_path / "elsewhere")
    assert "IMG_0001.png" in said.stderr
    assert "used again" in said.stdout


@pytest.mark.parametrize("models", ["files", "folders"])
def test_everything_that_is_named_is_found_by_its_bytes_under_another_name(
    tmp_path: Path, toy_model: Path, models: str
) -> None:
    before, after = tmp_path / "before", tmp_path / "after" / "deep"
    after.mkdir(parents=True)
    (before / "peft").mkdir(parents=True)
    (before / "peft" / "adapter_model.safetensors").write_text("a LoRA")
    (before / "peft" / "adapter_config.json").write_text("{}")
    (before / "p.toml").write_text(PHOTO)

    def made(name: str) -> str:
        (before / name).write_text(f"what {name} holds")
        return str(before / name)

    if models == "files":
        model, vae = made("xl.safetensors"), made("vae.safetensors")
    else:
        model = str(shutil.copytree(toy_model, before / "xl"))
        vae = str(shutil.copytree(toy_model / "vae", before / "tiny"))
    settings = named_in_full(
        {
            "preset": str(before / "p.toml"),
            **{name: made(name) for name in ("lyrics", "shots", "logo", "lut")},
            "photos": [made("a.png"), made("b.png")],
            "videos": [made("a.mp4")],
            "loras": [made("one.safetensors"), f"{before / 'peft'}:0.5"],
            "hearing": {"midi": made("a.mid"), "markers": made("a.wav"), "stems": [["kick", made("kick.wav")]]},
            "model": model,
            "vae": vae,
        }
    )
    noted = noted_files(settings)
    assert len(noted) == 15
    for number, entry in enumerate(sorted(before.iterdir())):
        entry.rename(after / f"other {number}{entry.suffix}")
    moved, notes = found_again(settings, noted, Places(before, tmp_path / "nowhere", (after.parent,)))
    assert len(notes) == 15
    assert [file["sha256"] for file in noted_files(moved).values()] == [file["sha256"] for file in noted.values()]
    assert moved["loras"][1].endswith(":0.5")


def test_a_job_with_an_older_manifest_resumes(interrupted_job: Path, toy_model: Path) -> None:
    folder = interrupted_job / ".reactive" / "d.mp4"
    manifest = read_manifest(folder)
    assert manifest is not None
    for key in ("files", "folder", "song_bytes"):
        del manifest[key]
    manifest["settings"]["preset"] = "photo.toml"
    manifest["hashes"]["song"] = manifest["hashes"].pop("song_file")
    write_manifest(folder, manifest)
    assert reused(folder) >= 4


def test_a_missing_file_is_named(interrupted_job: Path) -> None:
    (interrupted_job / "pictures" / "plain.png").unlink()
    with pytest.raises(MediaError, match=r"plain\.png") as caught:
        resume_job(interrupted_job / ".reactive" / "d.mp4")
    assert "reactive run" in caught.value.remedy
    # an edited file is accepted; only segments that it affects are rendered again
    shutil.copy(interrupted_job / ".reactive" / "d.mp4" / "manifest.json", interrupted_job / "pictures" / "plain.png")
    refused(invoke("resume", interrupted_job / ".reactive" / "d.mp4"), "plain.png")


# --- albums -----------------------------------------------------------------------------------------------------------
def test_an_internal_error_fails_one_song_and_writes_a_report(
    tmp_path: Path, short: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [Path(shutil.copy(short, tmp_path / f"{name}.wav")) for name in ("a", "b", "c")]
    original = album.make_clip

    def faulty(song, out, settings, **more):
        if "a.wav" in str(song):
            return {}["a fault"]
        if "b.wav" in str(song):
            raise OSError(5, "Input/output error", "/some/disk")
        return original(song, out, settings, **more)

    monkeypatch.setattr(album, "make_clip", faulty)
    result = invoke(
        "run", *songs, "--out-dir", tmp_path / "clips", "--model", toy_model, "--steps", 1, "--fps", 4, "--duration", 1
    )
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    report = tmp_path / "clips" / "a.mp4.error.txt"
    first, second = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert str(report) in first
    assert "KeyError" in first
    assert "/some/disk" in second
    assert "Traceback" in report.read_text()
    assert "Traceback" not in result.output
    assert (tmp_path / "clips" / "c.mp4").is_file()
