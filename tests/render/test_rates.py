"""How long a render is expected to take."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactive.render.rates import expected_line, expected_rate, key_of_settings, known_rates, save_rate
from reactive.render.settings import Settings


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path))


def test_measured_rates_decide_the_expected_time() -> None:
    settings = Settings.of(size=(768, 432))
    assert expected_rate(settings)[1] is False
    save_rate(key_of_settings(settings), 40.0)
    assert expected_rate(settings) == (40.0, True)
    save_rate(key_of_settings(settings), 20.0)
    assert expected_rate(settings) == (30.0, True)
    # of another size nothing was measured
    assert expected_rate(Settings.of(size=(384, 216)))[1] is False
    line = expected_line(settings, 9000)
    assert "About 5 minutes" in line
    assert "30 frames/s were measured here before" in line
    assert "About 26 s expected: 6 clips of 100 frames" in expected_line(settings, 100, clips=6)


def test_sizes_that_were_never_made_are_expected_from_those_that_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    small, large = (Settings.of(size=size) for size in ((768, 432), (1536, 864)))
    guessed = expected_rate(large)[0]
    save_rate(key_of_settings(small), 5.0)
    # a quarter of the speed that was guessed for the small size, and so for the large one: larger is never expected sooner
    assert expected_rate(large) == (pytest.approx(guessed / 4), False)
    assert expected_rate(large)[0] < expected_rate(small)[0]
    # of another imagined size nothing is known
    assert expected_rate(Settings.of(size=(1536, 864), imagine_size=(384, 216)))[0] == pytest.approx(guessed)


def test_small_pictures_are_expected_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    large, small = (expected_rate(Settings.of(size=size))[0] for size in ((1536, 864), (768, 432)))
    # a larger picture is imagined at the same size, and costs its enlarging and encoding only
    assert small == pytest.approx(1.66 * large)
    assert expected_rate(Settings.of(size=(384, 216)))[0] == pytest.approx(4 * small)


def test_a_model_that_was_never_timed_gets_no_guess() -> None:
    settings = Settings.of(model="sd-turbo")
    assert expected_rate(settings) is None
    assert "not timed here yet" in expected_line(settings, 100)


def test_a_damaged_file_of_rates_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text("{")
    assert known_rates() == {}
