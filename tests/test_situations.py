"""Adverse situations: each has the right exit code, prints at most one line, and leaves no files behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from reactive.cli import main
from reactive.cli.numbers import FloatOption, IntOption
from reactive.cli.texts import Filled
from tests.toy import beat_song, write_song

ROOT = Path(__file__).resolve().parent.parent
# seconds that a command may take, on however busy a machine
LONGEST = 240
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="closes streams by a shell")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def told(stderr: str) -> list[str]:
    """Return the lines of a message, without that of the expected time, which comes before the first frame is made."""
    return [line for line in stderr.strip().splitlines() if not re.match(r"\d+ frames", line)]


def refused(done: Result, code: int, *words: str) -> None:
    assert done.exit_code == code, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit)
    lines = told(done.stderr)
    assert len(lines) == 1, done.stderr
    assert not done.stdout
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(2))


# --- numbers ----------------------------------------------------------------------------------------------------------
def options(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from options(command, (*path, name))
        else:
            yield from (((*path, name), p) for p in command.params if isinstance(p, click.Option))


NO_NUMBERS = ("nan", "inf", "-inf", "1e999", "1" * 400, "1_0", "0x10", "٣", "", " ", "1,5", "--", "1\n2", "1e")


def test_every_number_option_uses_the_strict_type() -> None:
    numbers = [(path, option) for path, option in options() if option.type.name in ("float", "integer")]
    numbers += [(path, option) for path, option in options() if isinstance(option.type, IntOption | FloatOption)]
    assert len(numbers) > 30
    for path, option in numbers:
        assert isinstance(option.type, IntOption | FloatOption), (path, option.name)
        assert option.type.min is not None, (path, option.name)
        assert option.type.max is not None, (path, option.name)
        for text in NO_NUMBERS:
            with pytest.raises(click.BadParameter) as caught:
                option.type.convert(text, option, None)
            assert "Error" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--imagine-rate", "nan"),
        ("--duration", "0"),
        ("--duration", "nan"),
        ("--duration", "inf"),
        ("--start", "nan"),
        ("--start", "-1"),
        ("--seed", "-1"),
        ("--seed", "9" * 30),
        ("--guidance", "nan"),
        ("--bpm", "inf"),
        ("--bpm", "0"),
        ("--offset-ms", "nan"),
        ("--downbeat", "0"),
        ("--meter", "1/0"),
        ("--meter", "nan"),
        ("--fps", "nan"),
        ("--fps", "1/0"),
        ("--fps", "0"),
        ("--macro", "storm=nan"),
        ("--macro", "storm=2"),
        ("--macro", "storm"),
        ("--lora", "x.safetensors:9"),
        ("--size", "nanx2"),
        ("--size", "0x0"),
        ("--also", "0:1"),
        ("--batch", "nan"),
        ("--lanes", "nan"),
        ("--lanes", "0"),
        ("--threads", "-1"),
        ("--steps", "0"),
        ("--segment", "1e9"),
        ("--workers", "nan"),
        ("--crf", "99"),
        ("--size", ""),
        ("--lora", ""),
        ("-o", ""),
        ("--logo", " "),
    ],
)
def test_an_invalid_number_is_a_usage_error_at_once(tmp_path: Path, song: Path, arguments: tuple[str, str]) -> None:
    output = () if arguments[0] == "-o" else ("-o", tmp_path / "v.mp4")
    refused(invoke("run", song, *output, *arguments), 2, arguments[0])
    assert not list(tmp_path.iterdir())


def test_no_option_that_names_something_takes_an_empty_text() -> None:
    named = [(path, option) for path, option in options() if option.type.name in ("text", "path", "file", "directory")]
    assert len(named) > 100
    free = {option.opts[0] for _, option in named if not isinstance(option.type, Filled)}
    assert free == {"--title", "--negative"}
    for path, option in named:
        if isinstance(option.type, Filled):
            for text in ("", " "):
                with pytest.raises(click.BadParameter, match="is empty"):
                    option.type.convert(text, option, None)
            assert option.type.convert("x", option, None) is not None, path


# --- files that are not what they should be ---------------------------------------------------------------------------
def test_a_missing_logo_is_reported_before_rendering(tmp_path: Path, song: Path) -> None:
    refused(invoke("run", song, "-o", tmp_path / "v.mp4", "--logo", tmp_path / "none.png"), 1, "none.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    refused(invoke("run", song, "-o", tmp_path / "v.mp4", "--logo", tmp_path / "broken.png"), 1, "broken.png")
    assert [file.name for file in tmp_path.iterdir()] == ["broken.png"]


def test_a_font_that_is_none_is_told_before_anything_is_made(tmp_path: Path, song: Path, toy_model: Path) -> None:
    preset = tmp_path / "font.toml"
    preset.write_text(
        'version = 2\ntitle = "F"\n[[phase]]\nname = "a"\nprompts = ["a sea"]\n[overlay]\nfont = "none.ttf"\n'
    )
    arguments = ("run", song, "-o", tmp_path / "v.mp4", "--preset", preset, "--title", "Hi", "--model", toy_model)
    refused(invoke(*arguments), 1, "none.ttf")
    (tmp_path / "none.ttf").write_bytes(b"no font at all")
    refused(invoke(*arguments), 1, "none.ttf")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["font.toml", "none.ttf"]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("preset", "show", "aurora"), 'unknown preset "aurora"'),
        (("preset", "check", "aurora"), 'unknown preset "aurora"'),
        (("preset", "new", "mine", "--from", "aurora"), "--from"),
        (("timeline", "SONG", "--preset", "aurora"), "--preset"),
    ],
)
def test_an_error_names_the_wrong_option(song: Path, command: tuple[str, ...], word: str) -> None:
    done = invoke(*(str(song) if part == "SONG" else part for part in command))
    refused(done, 1, word)
    assert ("--preset" in done.stderr) == ("--preset" in command)


@pytest.mark.parametrize("option", ["--preset", "--with"])
def test_a_preview_names_the_wrong_option_before_it_loads_anything(song: Path, option: str) -> None:
    pytest.importorskip("aiohttp")
    done = invoke("preview", song, "--no-open", "--port", 0, option, "aurora")
    assert done.exit_code == 1
    _, error = done.stderr.splitlines()
    assert error.startswith(f'Error: {option}: unknown preset "aurora"')


@pytest.mark.parametrize("name", ["journal", "manifest.json"])
@pytest.mark.slow
def test_a_folder_in_place_of_a_job_file_is_reported(tmp_path: Path, song: Path, toy_model: Path, name: str) -> None:
    (tmp_path / "job" / name).mkdir(parents=True)
    done = invoke("run", song, "-o", tmp_path / "v.mp4", "--job", tmp_path / "job", "--model", toy_model, "--steps", 1)
    refused(done, 1, name)
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.slow
def test_a_deleted_output_folder_is_reported(
    tmp_path: Path, song: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reactive.render import run

    stick, rendering = tmp_path / "stick", run.imagine_missing
    stick.mkdir()

    def pulled(*arguments: object) -> object:
        shutil.rmtree(stick)
        return rendering(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "imagine_missing", pulled)
    refused(invoke("run", song, "-o", stick / "v.mp4", "--model", toy_model, "--steps", 1), 1, "v.mp4")
    assert not list(tmp_path.iterdir())


def test_a_failed_thread_start_is_reported(
    tmp_path: Path, song: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    refused(invoke("run", song, "-o", tmp_path / "v.mp4", "--model", toy_model, "--steps", 1), 1, "threads")
    assert not list(tmp_path.iterdir())


def test_outputs_have_the_permissions_of_the_umask(tmp_path: Path, song: Path) -> None:
    if os.name == "nt":
        pytest.skip("no umask")
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            names = [tmp_path / f"{mask}.{end}" for end in ("json", "csv", "srt", "deforum.txt")]
            exports = [argument for name in names[1:] for argument in ("--export", name)]
            assert invoke("timeline", song, "-o", names[0], *exports).exit_code == 0
        finally:
            os.umask(before)
        assert [name.stat().st_mode & 0o777 for name in names] == [mode] * len(names)


# --- streams and signals ----------------------------------------------------------------------------------------------
def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = f'"{sys.executable}" -m reactive'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-c", line.replace("reactive", program)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
        check=False,
        timeout=LONGEST,
    )


@LINUX
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("reactive preset list >&-", 0),
        ("reactive preset list 2>&- >/dev/null", 0),
        ("reactive preset list <&- >&- 2>&-", 0),
        ("reactive --version >&-", 0),
        ("reactive preset show aurora >&-", 1),
        ("reactive preset show aurora 2>&-", 1),
        ("reactive run >&-", 2),
        ("reactive preset list >/dev/full", 1),
        ("reactive preset list --json >/dev/full", 1),
    ],
)
def test_closed_or_full_output_streams_are_handled(tmp_path: Path, line: str, code: int) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    assert not list(tmp_path.iterdir())


@LINUX
@pytest.mark.slow
def test_a_run_with_a_closed_stderr_makes_its_clip(tmp_path: Path, song: Path, toy_model: Path) -> None:
    done = shell(f'reactive run "{song}" -o v.mp4 --model "{toy_model}" --steps 1 --json 2>&-', tmp_path)
    assert done.returncode == 0, done.stdout
    assert Path(tmp_path, json.loads(done.stdout)["output"]).stat().st_size > 1000


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "word"),
    # kilobytes of a file, of which shells count one or half as one, and of memory
    [("ulimit -f 4", "File too large"), ("ulimit -v 300000", "ulimit")],
)
def test_a_tiny_limit_of_the_system_is_reported(
    tmp_path: Path, song: Path, toy_model: Path, limit: str, word: str
) -> None:
    done = shell(f'{limit}; reactive run "{song}" -o v.mp4 --model "{toy_model}" --steps 1 --fps 12', tmp_path)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert len(told(done.stderr)) == 1, done.stderr
    assert word in done.stderr
    assert not list(tmp_path.glob("v.mp4"))


INTERRUPTED = """
import builtins, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["reactive", *sys.argv[2:]]
wanted, plain, done = {at!r}, builtins.__import__, []
def hook(name, *rest, **more):
    if name == wanted and not done:
        done.append(name)
        os.kill(os.getpid(), signal.SIGINT)
    return plain(name, *rest, **more)
builtins.__import__ = hook
from reactive.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize(
    "at", ["click", "reactive.cli.run", "reactive.cli.timeline", "reactive.preset.library", "torch"]
)
def test_ctrl_c_while_the_program_is_loading(tmp_path: Path, song: Path, at: str) -> None:
    command = ["run", str(song), "-o", "v.mp4"] if at == "torch" else ["preset", "check", "drift"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(at=at), "reactive", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == "Stopped; nothing was left behind.\n"
    assert not done.stdout
    assert not list(tmp_path.iterdir())
