"""Pieces for testing the beat tracker are set aside and not used in training."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import ear_split, following, rhythm
from training.ear.data import Sources


def test_the_held_out_split_is_large_and_of_many_kinds() -> None:
    held = ear_split.named("held-out")
    assert len(held) >= 60
    assert len({piece.kind for piece in held}) >= 6
    every = [(piece.source, piece.name) for piece in ear_split.named()]
    assert len(set(every)) == len(every)


def test_no_drummer_is_in_two_splits() -> None:
    drummers = {
        split: {piece.name.split("_")[0] for piece in ear_split.named(split) if piece.source == "groove"}
        for split in ("held-out", "validation")
    }
    assert drummers["held-out"]
    assert not drummers["held-out"] & drummers["validation"]


def test_training_never_uses_pieces_of_the_split(tmp_path: Path) -> None:
    held = next(piece for piece in ear_split.named("held-out") if piece.source == "pop909")
    (tmp_path / "pop909").mkdir()
    for name in (held.name, "a song of no split.mid"):
        (tmp_path / "pop909" / name).touch()
    files = Sources(tmp_path, tmp_path / "kept").files("pop909")
    assert [path.name for path in files] == ["a song of no split.mid"]
    assert all(
        ("debian", piece.name) in ear_split.not_for_training()
        for piece in ear_split.named()
        if piece.source == "debian"
    )


def test_uses_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "log.md"
    shutil.copy(ear_split.LOG, log)
    before = ear_split.uses(log)
    ear_split.log_use("a trial", 83, [0.9, 0.8, 0.95, 0.7], log)
    assert ear_split.uses(log) == before + 1
    assert "| a trial | 83 | 0.900 |" in log.read_text()


@pytest.mark.parametrize("benchmark", [rhythm, following])
def test_the_held_out_split_needs_a_purpose(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "lacking", lambda *_: [])
    with pytest.raises(SystemExit, match="state the purpose"):
        benchmark.main(["--split", "held-out"])
    monkeypatch.setattr(ear_split, "uses", lambda _: 3)
    with pytest.raises(SystemExit, match="3 times"):
        benchmark.main(["--split", "held-out", "--use", "once more"])
