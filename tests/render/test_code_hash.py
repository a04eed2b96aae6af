"""The hash of the code changes with code that affects pictures, and only then."""

from __future__ import annotations

import compileall
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reactive.render.store import code_hash as code
from reactive.render.store.cache_keys import hash_path
from reactive.render.store.code_hash import PACKAGE, code_hash, deciding_files, hash_of


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's code, without ember's weights, the page and the song."""
    rooms = shutil.ignore_patterns("__pycache__", "ember", "page", "first-light.*")
    return Path(shutil.copytree(PACKAGE, tmp_path / "elsewhere" / "reactive", ignore=rooms))


def test_a_copy_elsewhere_has_the_same_hash(copy: Path) -> None:
    assert hash_of(copy) == code_hash()


def compiled(package: Path) -> None:
    assert compileall.compile_dir(package, quiet=1)
    assert list(package.rglob("*.pyc"))


def touched(package: Path) -> None:
    for number, file in enumerate(sorted(package.rglob("*"))):
        os.utime(file, (4e9 + number, 4e9 + number))


def with_other_line_ends(package: Path) -> None:
    for file in package.rglob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


def with_other_words_about_it(package: Path) -> None:
    (package / "audio" / "model" / "README.md").write_text("Another card.")
    (package / "diffusion" / "NOTES").write_text("Nothing.")
    (package / "audio" / ".DS_Store").write_bytes(b"\0")


def with_other_code_around_it(package: Path) -> None:
    for name in (
        "live/engine.py",
        "cli/run.py",
        "audio/plot.py",
        "exchange/otio.py",
        "render/store/lease.py",
        "errors.py",
    ):
        with (package / name).open("a") as file:
            file.write("\n# changed\n")


@pytest.mark.parametrize(
    "change", [compiled, touched, with_other_line_ends, with_other_words_about_it, with_other_code_around_it]
)
def test_irrelevant_changes_keep_the_hash(copy: Path, change: Callable[[Path], None]) -> None:
    change(copy)
    assert hash_of(copy) == code_hash()


@pytest.mark.parametrize(
    "name",
    [
        "diffusion/core.py",
        "diffusion/sampling/noise.py",
        "timeline/timeline.py",
        "audio/network.py",
        "preset/schema.py",
        "sources/photo.py",
        "media/video.py",
        "video/segment.py",
        "render/workers/segment_renderer.py",
        "render/overlay.py",
        "score/limit.py",
        "audio/model/rhythm.safetensors",
        "diffusion/models/configs/sd1/unet/config.json",
    ],
)
def test_changes_that_affect_pictures_change_the_hash(copy: Path, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    assert hash_of(copy) != code_hash()


def test_every_listed_module_exists() -> None:
    for name in {*code._ROOTS, *code._ASIDE}:
        assert (PACKAGE / f"{name.replace('.', '/')}.py").is_file(), name


def test_weights_and_vocabularies_of_the_listed_packages_are_included() -> None:
    names = {file.relative_to(PACKAGE).as_posix() for file in deciding_files(PACKAGE)}
    data = {name for name in names if not name.endswith(".py")}
    assert {name.rpartition(".")[2] for name in data} == {"json", "safetensors", "txt"}
    # ember is a model like any other, with its own hash
    assert not any(name.startswith(("ember/", "live/", "cli/")) or "/train/" in name for name in names)


def test_a_models_hash_covers_weights_vocabulary_and_configuration(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "unet" / "config.json").write_text("{}")
    (model / "unet" / "weights.safetensors").write_bytes(b"weights")
    before = hash_path(model)
    (model / "README.md").write_text("A card.")
    (model / "poster.jpg").write_bytes(b"picture")
    (model / ".cache").mkdir()
    (model / ".cache" / "lock.json").write_text("{}")
    (model / "__pycache__").mkdir()
    (model / "__pycache__" / "pipeline.pyc").write_bytes(b"code")
    assert hash_path(model) == before
    (model / "unet" / "weights.safetensors").write_bytes(b"Weights")
    assert hash_path(model) != before


def test_the_kept_hash_is_that_of_the_code(tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(code, "PACKAGE", copy)
    first = code_hash.__wrapped__()
    assert first == hash_of(copy)
    with monkeypatch.context() as patch:
        patch.setattr(code, "hash_of", lambda package: pytest.fail("computed again"))
        assert code_hash.__wrapped__() == first
    file = copy / "diffusion" / "core.py"
    file.write_text(file.read_text().replace("def ", "def  ", 1))
    assert code_hash.__wrapped__() == hash_of(copy) != first
