"""Fixtures that many tests share. Everything is seeded; nothing touches the network."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Settings, caches and installed files of the person who runs the tests are neither read nor changed.
for _name in [name for name in os.environ if name.startswith(("REACTIVE_", "RAY_"))]:
    del os.environ[_name]
_own = tempfile.TemporaryDirectory(prefix="reactive-tests-")
os.environ["REACTIVE_CACHE"] = str(Path(_own.name) / "cache")
os.environ["REACTIVE_DATA"] = str(Path(_own.name) / "data")
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
# The output must not depend on the terminal.
os.environ["COLUMNS"] = "120"
for _name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)
# A picture's last bits depend on the number of threads, so this number is fixed.
THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)
# They also depend on the processor's number formats: models run in float32 unless a test says otherwise.
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"

# Hypothesis takes the same examples each time; `--hypothesis-profile random` takes others, `long` ten times as many.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.differing_executors]}
settings.register_profile("fixed", derandomize=True, database=None, **_common)
settings.register_profile("random", derandomize=False, database=None, print_blob=True, **_common)
settings.register_profile("long", derandomize=False, max_examples=1000, print_blob=True, **_common)
settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """Hide this machine's GPUs, also from commands that a test starts, unless GPU tests are selected."""
    if "gpu" not in (config.option.markexpr or ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["HIP_VISIBLE_DEVICES"] = "-1"
        os.environ["ONEAPI_DEVICE_SELECTOR"] = "*:cpu"


@pytest.fixture(autouse=True)
def _own_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test with the same number of threads, and on a CPU."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(THREADS)
        if "gpu" not in (request.config.option.markexpr or ""):
            # no environment variable hides Apple's GPU
            monkeypatch.setattr(sys.modules["torch"].backends.mps, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def _no_measured_rates() -> None:
    """Forget the speeds that earlier tests measured: what is said before a render depends on them."""
    (Path(os.environ["REACTIVE_CACHE"]) / "rates.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of toy width with random weights; its pace of the walk is not measured, since that depends on the machine."""
    from tests.toy import save_toy_model

    folder = save_toy_model(tmp_path_factory.mktemp("toy-model"))
    (folder / "reactive.json").write_text('{"walk": 1.0}')
    return folder


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
    """A pretended CUDA card whose counters a test can read."""
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


# folders and files whose tests need neither model nor clip; slow tests among them, and files of many, are left out
SLOW_FILES = ("test_clip.py", "test_clock.py", "test_footage.py", "test_video.py")
FAST = (
    "exchange",
    "media",
    "preset",
    "sources",
    "timeline",
    "test_files.py",
    "test_layers.py",
    "test_cluster_file.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests: ``pytest -m fast`` takes less than a minute on two cores."""
    here = Path(__file__).parent
    for item in items:
        room = item.path.relative_to(here).parts[0]
        if (
            room in FAST
            and item.get_closest_marker("slow") is None
            and item.path.name not in SLOW_FILES
            and "fuzz" not in item.path.name
        ):
            item.add_marker("fast")
