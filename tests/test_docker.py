"""The Dockerfiles name only what exists: files of the checkout, extras, torch's range, options and ports of the commands."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reactive.cli import main
from reactive.studio.app import DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "Dockerfile.cuda")


def lines(name: str) -> list[tuple[str, str]]:
    """Return a file's instructions and their texts; a line that ends in a backslash goes on."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [words.split()[:-1] for word, words in lines(name) if word == "COPY" and "--from" not in words]
    assert len(copied) >= 3
    for file in (file for files in copied for file in files):
        assert (ROOT / file).exists(), file
        assert any(fnmatch.fnmatch(file.removeprefix("./"), pattern) for pattern in kept), file


@pytest.mark.parametrize("name", FILES)
def test_extras_and_torch_are_those_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / name).read_text()
    (extras,) = re.findall(r'"\.\[([a-z0-9,]+)\]"', text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (torch,) = re.findall(r'"(torch[^"]+)"', text)
    assert torch in project["dependencies"]
    python = re.findall(r"^FROM python:(\d\.\d+)", text, re.MULTILINE)
    assert len(set(python)) == 1
    least = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    assert least is not None
    assert int(python[0].split(".")[1]) >= int(least[1])
    assert {parts[1] for parts in re.finditer(r"https?://([^/\s]+)", text)} <= {"download.pytorch.org"}


@pytest.mark.parametrize("name", FILES)
def test_the_command_is_one_of_the_program_and_its_port_is_open(name: str) -> None:
    found = dict(lines(name))
    entry, command = json.loads(found["ENTRYPOINT"]), json.loads(found["CMD"])
    assert entry == ["reactive"]
    known = main.commands[command[0]]
    flags = {flag for option in known.params for flag in (*option.opts, *option.secondary_opts)}
    assert {word for word in command if word.startswith("--")} <= flags
    assert str(DEFAULT_PORT) in found["EXPOSE"].split()
    assert f"-p 127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}" in (ROOT / name).read_text()
    assert found["USER"] != "root"


def test_a_linter_finds_nothing() -> None:
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not installed (extra [dev])")
    told = subprocess.run([tool, *FILES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
