"""Fixtures that many tests share. Everything is seeded; nothing touches the network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# one thread pool of a fixed size: the bits of a picture depend on it
# what is heard in tests is kept apart from the user's own
os.environ["REACTIVE_CACHE"] = tempfile.mkdtemp(prefix="reactive-cache-")
os.environ["REACTIVE_DATA"] = tempfile.mkdtemp(prefix="reactive-data-")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
# what the person who runs the tests has installed is neither seen nor touched
_data = tempfile.TemporaryDirectory(prefix="reactive-tests-")
os.environ["REACTIVE_DATA"] = _data.name


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of toy width with random weights."""
    from tests.toy import save_toy_model

    return save_toy_model(tmp_path_factory.mktemp("toy-model"))


@pytest.fixture(scope="session")
def beat_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stereo song of 16 s with a kick on every beat at 120 beats a minute."""
    from tests.toy import beat_song, write_song

    return write_song(tmp_path_factory.mktemp("songs") / "beat.wav", beat_song())


@pytest.fixture(scope="session")
def beat_analysis(beat_wav: Path):
    """The analysis of `beat_wav`."""
    from reactive import analyze, open_track

    return analyze(open_track(beat_wav))


@pytest.fixture(scope="session")
def beat_timeline(beat_analysis):
    """The timeline of `beat_wav` with the preset loop-destroy at 24 frames/s."""
    from fractions import Fraction

    from reactive import build_timeline, get_preset

    return build_timeline(beat_analysis, get_preset("loop-destroy"), samples=16 * 44_100, fps=Fraction(24), seed=3)


@pytest.fixture
def card() -> Iterator[Any]:
    """A pretended CUDA card, whose books a test can read."""
    from tests.pretended import pretended_card

    with pretended_card() as pretended:
        yield pretended


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device of a card: a pretended one everywhere, and a real one where there is one (`pytest -m gpu`)."""
    import torch

    from tests.pretended import pretended_card

    if request.param == "pretended":
        with pretended_card():
            yield "cuda"
    elif not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    else:
        yield "cuda"
