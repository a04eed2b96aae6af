"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from reactive.cli import main
from tests.render.killed import signalled
from tests.toy import beat_song, write_song

ROOT = Path(__file__).resolve().parent.parent


def invoke(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


def commands(group: click.Group, path: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(4))


def test_every_command_has_help_an_example_and_a_place_in_the_guide() -> None:
    found = list(commands(main))
    assert len(found) >= 7
    guide = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "guide").glob("*.md"))
    for path, command in found:
        assert command.help, path
        assert "Example" in command.help, path
        assert f"reactive {' '.join(path)}" in command.help, path
        if path != ("doctor",):
            assert f"reactive {' '.join(path)}" in guide, path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in ("device", "codec"):
                assert parameter.help, (path, parameter.name)


def test_help_and_presets_import_no_heavy_packages() -> None:
    script = """
import sys
from click.testing import CliRunner
from reactive.cli import main
for arguments in (["--help"], ["run", "--help"], ["preset", "list"], ["preset", "show", "loop-destroy"]):
    assert CliRunner().invoke(main, arguments).exit_code == 0, arguments
heavy = ("torch", "librosa", "diffusers", "transformers", "av", "numba", "scipy")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_run_prints_one_json_object(tmp_path: Path, song: Path, toy_model: Path) -> None:
    out = tmp_path / "clip.mp4"
    done = invoke(
        "run", str(song), "--model", str(toy_model), "--steps", "1", "-o", str(out), "--json", "--fps", "30000/1001"
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert {
        "output",
        "frames",
        "fps",
        "duration",
        "prompts_used",
        "model",
        "device",
        "analysis_s",
        "load_s",
        "render_s",
        "wall_s",
        "frames_per_s",
    } <= summary.keys()
    assert summary["fps"] == "30000/1001"
    assert summary["frames"] == 120
    assert out.is_file()
    again = invoke("run", str(song), "--model", str(toy_model), "-o", str(out), "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"].keys() == {"what", "where", "remedy"}


def test_analyze_timeline_and_score_work_together(tmp_path: Path, song: Path, toy_model: Path) -> None:
    assert (
        invoke("analyze", str(song), "--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")).exit_code
        == 0
    )
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["tempo"] == pytest.approx(120, rel=0.02)
    assert (tmp_path / "a.png").stat().st_size > 10_000
    printed = invoke("analyze", str(song), "--json", "-")
    assert json.loads(printed.stdout)["duration"] == pytest.approx(4.0)
    made = invoke("timeline", str(song), "-o", str(tmp_path / "t.json"), "--plot", str(tmp_path / "t.png"), "--json")
    assert json.loads(made.stdout)["frames"] == 96
    out = tmp_path / "clip.mp4"
    done = invoke(
        "run",
        str(song),
        "--timeline",
        str(tmp_path / "t.json"),
        "--model",
        str(toy_model),
        "--steps",
        "1",
        "-o",
        str(out),
    )
    assert done.exit_code == 0, done.output
    assert "frames/s" in done.output
    scored = invoke("score", str(out), "--timeline", str(tmp_path / "t.json"), "--json")
    assert {"lag_ms", "correlation", "frames", "dead", "pops", "boil"} <= json.loads(scored.stdout).keys()
    assert "lag" in invoke("score", str(out)).output


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["run"], 2, "SONG"),
        (["run", "song", "--device", "tpu"], 2, "tpu"),
        (["run", "missing.wav"], 1, "no such file"),
        (["run", "SONG", "--fps", "0"], 2, "--fps"),
        (["run", "SONG", "--size", "big"], 2, "--size"),
        (["run", "SONG", "--batch", "-1"], 2, "--batch"),
        (["run", "SONG", "--encode-speed", "warp"], 2, "--encode-speed"),
        (["run", "SONG", "--start", "nan"], 2, "--start"),
        (["run", "SONG", "--duration", "nan"], 2, "--duration"),
        (["run", "SONG", "--preset", "loop-destory"], 1, "loop-destroy"),
        (["run", "SONG", "--photo", "missing.jpg"], 1, "missing.jpg"),
        (["run", "SONG", "--timeline", "missing.json"], 1, "missing.json"),
        (["analyze", "missing.wav"], 1, "no such file"),
        (["analyze", "SONG", "--plot", "plot.xyz"], 1, "plot.xyz"),
        (["score", "SONG"], 1, "no moving pictures"),
        (["preset", "show", "nothing"], 1, "nothing"),
        (["preset", "check", "missing.toml"], 1, "missing.toml"),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*[str(song) if argument == "SONG" else argument for argument in arguments])
    assert done.exit_code == code, done.output
    assert word in done.output
    assert "Traceback" not in done.output
    if done.output.startswith("Error"):
        assert len(done.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_reports_never_overwrite_their_inputs(tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", beat_song(1))
    before = song.read_bytes()
    for arguments in (["timeline", str(song), "-o", str(song)], ["analyze", str(song), "--json", str(song)]):
        done = invoke(*arguments)
        assert done.exit_code == 1
        assert "made from" in done.output
        assert song.read_bytes() == before


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = invoke("run", str(tmp_path / "\x1b[31mred.wav"))
    assert "\x1b" not in done.output


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_render_leaves_nothing(tmp_path: Path, toy_model: Path, number: int, code: int) -> None:
    long_song = write_song(tmp_path / "long.wav", beat_song(20))
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["run", str(long_song), "--model", str(toy_model), "-o", str(out / "clip.mp4")]
    # a picture of the second segment or a later one is about to be written
    returned, said = signalled("write", 100, number, *arguments)
    assert returned == code, said
    assert "Traceback" not in said
    # finished segments stay, and nothing else
    assert "Stopped" in said
    assert [path for path in out.iterdir() if path.name != ".reactive"] == []
    if list(out.iterdir()):
        assert "reactive resume" in said
        assert not list(out.glob(".reactive/*/segments/.*"))


def test_with_json_usage_errors_are_json(tmp_path: Path) -> None:
    done = invoke("run", "--json", "song.wav", "--device", "tpu")
    assert done.exit_code == 2
    assert "tpu" in json.loads(done.stdout)["error"]["what"]
    done = invoke("run", "a.wav", "b.wav", "-o", str(tmp_path / "c.mp4"), "--json")
    assert done.exit_code == 2
    assert "-o" in json.loads(done.stdout)["error"]["what"]
    assert "Error" in invoke("run", "a.wav", "b.wav", "-o", str(tmp_path / "c.mp4")).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--help"], ["preset", "list"], ["preset", "list", "--json"]])
def test_a_full_stdout_is_reported_without_a_traceback(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reactive", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_album_continues_after_a_song_that_fails(tmp_path: Path, song: Path, toy_model: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    arguments = [
        "run",
        str(broken),
        str(song),
        "--out-dir",
        str(tmp_path / "clips"),
        "--model",
        str(toy_model),
        "--steps",
        "1",
        "--duration",
        "1",
        "--json",
    ]
    done = invoke(*arguments)
    assert done.exit_code == 1
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["song"] == str(broken)
    assert first["error"]["what"]
    assert second["frames"] == 24
    again = [json.loads(line) for line in invoke(*arguments).stdout.splitlines()]
    assert again[1]["already"]
    found = json.loads(invoke("jobs", "list", str(tmp_path / "clips"), "--json").stdout)["jobs"]
    assert [job["state"] for job in found] == ["done"]
    job = Path(found[0]["job"])
    (tmp_path / "clips" / "song.mp4").unlink()
    (tmp_path / "moved" / ".reactive").mkdir(parents=True)
    job = job.rename(tmp_path / "moved" / ".reactive" / job.name)
    resumed = json.loads(invoke("resume", str(job), "--json").stdout)
    assert resumed["reused"] == resumed["frames"] == 24
    assert (tmp_path / "moved" / "song.mp4").is_file()
    assert "removed" in invoke("jobs", "clean", str(tmp_path / "moved")).output
    assert not job.parent.exists()
    assert invoke("resume", str(job)).exit_code == 1


def test_install_hints_name_the_right_distribution() -> None:
    wrong = re.compile(r"pip install (-U )?['\"]?reactive(\[|['\"]|\s|$)(?!-clip)")
    files = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "pyproject.toml",
        *(ROOT / "reactive").rglob("*.py"),
        *(ROOT / "reactive").rglob("*.md"),
    ]
    assert len(files) > 40
    for file in files:
        assert not wrong.search(file.read_text(encoding="utf-8")), file
    assert wrong.search("pip install reactive")
    assert not wrong.search("pip install reactive-clip")


def test_install_lines_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactive import errors as module

    line = module.install_line("[stems]")
    command = shlex.split(line)
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1].endswith("[stems]")
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()

    class Installed:
        def read_text(self, name: str) -> str:
            return json.dumps({"dir_info": {"editable": True}, "url": checkout.as_uri()})

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed())
    assert shlex.split(module.install_line("[stems]"))[4:] == ["-e", f"{checkout}[stems]"]
    assert shlex.split(module.install_line("pillow-heif"))[4:] == ["pillow-heif"]
    (checkout / "pyproject.toml").unlink()
    assert shlex.split(module.install_line("[stems]"))[4:] == ["reactive-clip[stems]"]
