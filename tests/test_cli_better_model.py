"""`run` names a better model than ember once, where the card has memory for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import reactive.cli.better_model as hint
import reactive.render.run as render
from reactive.cli import main
from reactive.errors import OutputError
from tests.toy import beat_song, write_song

GIB = 2**30


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`reactive run` on a card of so many bytes, up to where the render begins."""
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    song = write_song(tmp_path / "song.wav", beat_song(2))

    def stop(*_: Any, **__: Any) -> None:
        raise OutputError("stops here", where="test", remedy="none")

    monkeypatch.setattr(render, "make_clip", stop)

    def invoke(memory: int, *more: str) -> str:
        monkeypatch.setattr(hint, "choose_device", lambda _: "cuda" if memory else "cpu")
        monkeypatch.setattr(hint, "device_memory", lambda _: memory)
        result = CliRunner().invoke(main, ["run", str(song), "-o", str(tmp_path / "clip.mp4"), *more])
        assert "stops here" in result.output
        return result.output

    return invoke


def test_the_recommended_model_is_named_once(run: Any) -> None:
    assert "models pull z-image-turbo" in run(16 * GIB)
    assert "models pull" not in run(16 * GIB)
    # another card in the same machine has a recommendation of its own
    assert "then `--model z-image-turbo --quant int8`" in run(12 * GIB)
    assert "then `--model flux2-klein --quant int8`" in run(8 * GIB)
    assert "then `--model lcm`" in run(6 * GIB)


@pytest.mark.parametrize(("memory", "more"), [(0, ()), (4 * GIB, ()), (16 * GIB, ("--model", "ember"))])
def test_nothing_is_said_without_such_a_card_or_with_a_chosen_model(
    run: Any, memory: int, more: tuple[str, ...]
) -> None:
    assert "models pull" not in run(memory, *more)


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(run: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert "models pull z-image-turbo" in run(16 * GIB)
