"""A wheel and an editable install are complete, and work from another working directory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = str(Path(importlib.util.find_spec("click").origin).parent.parent)
# the package's import path comes before the libraries are added, so the package must import without them
SCRIPT = (
    "import reactive, sys; sys.path.append(sys.argv[1]); "
    "from reactive.preset.library import names, shipped_folder; print(reactive.__file__, shipped_folder(), *names(), sep='\\n')"
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="hatchling builds the wheel; not installed"
)


def pip(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_everything(wheel: Path) -> None:
    assert wheel.name.startswith("reactive_clip-")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        metadata = archive.read(next(name for name in held if name.endswith("METADATA"))).decode()
    assert "reactive/shipped_presets/loop-destroy/preset.toml" in held
    assert "reactive/data/first-light.ogg" in held
    assert {"reactive/py.typed", "reactive/__init__.pyi"} <= held
    assert "reactive/ember/model/model_index.json" in held
    assert "License-Expression: Apache-2.0 AND CC-BY-SA-4.0" in metadata
    licences = {name.split("licenses/", 1)[1] for name in held if "licenses/" in name}
    assert licences == {"LICENSE", "reactive/ember/model/LICENSE", "reactive/audio/model/LICENSE"}
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in held)


def test_presets_are_found_in_a_wheel_from_a_foreign_directory(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    script = f"import sys; sys.path.insert(0, {str(unpacked)!r}); {SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, SITE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    module, folder, *names = done.stdout.splitlines()
    assert module.startswith(str(unpacked))
    assert folder.endswith("shipped_presets")
    assert "loop-destroy" in names


def test_presets_are_found_in_an_editable_install_from_a_foreign_directory(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # the new environment uses this one's build backend
    pip("--python", str(python), "install", "-q", "--no-deps", "--no-build-isolation", "-e", str(ROOT), PYTHONPATH=SITE)
    done = subprocess.run([str(python), "-c", SCRIPT, SITE], cwd=tmp_path, capture_output=True, text=True, check=True)
    module, folder, *names = done.stdout.splitlines()
    assert Path(module) == ROOT / "reactive" / "__init__.py"
    assert Path(folder) == ROOT / "presets"
    assert "loop-destroy" in names
