"""The tests are the same on every machine: examples, order and threads are fixed, and no test measures seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).resolve().parent


def test_the_default_profile_draws_the_same_examples() -> None:
    fixed = settings.get_profile("fixed")
    assert fixed.derandomize
    assert fixed.deadline is None
    assert fixed.database is None
    for name in ("random", "long"):
        assert not settings.get_profile(name).derandomize
    assert settings.get_profile("long").max_examples == 10 * fixed.max_examples


@pytest.mark.parametrize("word", ["process_time(", "perf_counter(", "deadline=1", "derandomize=True)"])
def test_no_test_measures_seconds_or_fixes_its_own_examples(word: str) -> None:
    for file in TESTS.rglob("*.py"):
        if file != Path(__file__):
            assert word not in file.read_text(encoding="utf-8"), file


def test_the_order_stays_where_a_plugin_would_change_it(tmp_path: Path) -> None:
    pytest.importorskip("pytest_randomly", reason="pytest-randomly is not installed")
    names = [f"test_{letter}" for letter in "abcdefghijklmnop"]
    (tmp_path / "test_many.py").write_text("\n".join(f"def {name}(): pass" for name in names))

    def order(*options: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-c", str(TESTS.parent / "pyproject.toml")]
        said = subprocess.run(
            [*command, f"--rootdir={tmp_path}", *options, str(tmp_path)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return [line.rpartition("::")[2] for line in said.splitlines() if "::" in line]

    assert order() == names
    shuffled = order("-p", "randomly", "-p", "no:cacheprovider")
    assert sorted(shuffled) == names
