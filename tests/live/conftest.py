"""A preview in its own thread, with the toy model."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.live.live_session import SoundInput
from reactive.live.material import PreviewOptions
from reactive.live.preview import Address, preview, preview_input
from reactive.live.web.security import Allowance

PRESET = """
version = 2
title = "Live"
walk = "0.4 + 0.6 * decay(kick, 0.2)"
[[phase]]
name = "calm"
bars = [1, 4]
prompts = ["a sea", "a tree"]
[[phase]]
name = "wild"
bars = [1, 4]
mode = "feedback"
strength = "0.5"
prompts = ["fire", "smoke"]
[phase.switch]
every = "1 bar"
how = "cut"
"""


@pytest.fixture(scope="session")
def live_preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset with a walk and a feedback phase."""
    path = tmp_path_factory.mktemp("preset") / "preset.toml"
    path.write_text(PRESET)
    return path


@pytest.fixture(scope="session")
def serving(beat_wav: Path, toy_model: Path, live_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that runs a preview in a thread: a context that yields its address and its folder.

    `source` makes it hear a live input in place of a song.
    """

    @contextlib.contextmanager
    def serve(source: Callable[[], SoundInput] | None = None, **changes: Any) -> Iterator[tuple[Address, Path]]:
        folder = changes.pop("folder", None) or tmp_path_factory.mktemp("preview")
        ready, ending, failed = threading.Event(), threading.Event(), []
        addresses: list[Address] = []
        song = changes.pop("song", beat_wav)
        options: dict[str, Any] = {"preset": str(live_preset), "model": str(toy_model), "steps": 1, "threads": 1}
        options |= {"fps": Fraction(24)} | changes.pop("options", {})

        def tell(address: Address) -> None:
            addresses.append(address)
            ready.set()

        def work() -> None:
            common = {"port": 0, "keys": folder / "keys", "ready": tell, "stop": ending.is_set, **changes}
            try:
                if source is None:
                    preview(song, PreviewOptions.of(**options), takes=folder, **common)
                else:
                    preview_input(source, PreviewOptions.of(**options), **common)
            except BaseException as problem:
                failed.append(problem)
                ready.set()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert ready.wait(600), "the preview did not start"
            if failed:
                raise failed[0]
            yield addresses[0], folder
        finally:
            ending.set()
            thread.join(300)
            assert not thread.is_alive()

    return serve


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate limits that never refill, as if no time passed, so that a slow client is not let in by them."""
    take = Allowance.take
    monkeypatch.setattr(Allowance, "take", lambda own, now=None: take(own, own.updated_at if now is None else now))


@pytest.fixture(scope="module")
def served(serving: Callable[..., Any]) -> Iterator[tuple[Address, Path]]:
    """A preview shared by a module's tests."""
    with serving() as found:
        yield found
