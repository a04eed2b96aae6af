"""Workers of a Ray cluster make exactly the clip that one process makes, whatever happens to them."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from reactive import Settings, make_clip
from reactive.cli import main
from reactive.errors import OutputError
from reactive.render import run
from reactive.render.store.job import read_manifest
from reactive.render.workers import ray as executor
from tests.render.cluster import listening, renderers
from tests.render.test_durable import PRESET, packets
from tests.toy import beat_song, write_song

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
ON_LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(6))


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Settings:
    preset = tmp_path_factory.mktemp("preset") / "preset.toml"
    preset.write_text(PRESET)
    return Settings.of(preset=str(preset), model=str(toy_model), steps=1, device="cpu", threads=1, batch=4, segment=12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, song: Path, chosen: Settings):
    """The clip made by this process."""
    return make_clip(song, tmp_path_factory.mktemp("whole") / "clip.mp4", chosen)


@pytest.fixture(scope="module")
def joined() -> Iterator[None]:
    """A cluster on this machine, started like `reactive run --ray` does."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra [ray] is not installed")
    from reactive.render.workers.cluster import LOCAL, cluster

    with cluster(LOCAL, room=2):
        yield


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_worker_changes_nothing(
    tmp_path: Path, song: Path, chosen: Settings, whole, joined, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    # on a busy machine the second worker may start late
    monkeypatch.setattr(executor, "_TOGETHER", 600.0)
    killed: list[int] = []
    shown: list[list[float]] = []
    steps: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage != "rendering":
            return
        steps.append(done)
        if done >= total // 3 and not killed and ON_LINUX:
            killed.append(renderers(os.getpid())[0])
            os.kill(killed[0], signal.SIGKILL)

    out = tmp_path / "clip.mp4"
    clip = make_clip(song, out, chosen.changed(ray="local", workers=2), progress=kill, rates=shown.append)
    assert packets(clip.output) == packets(whole.output)
    assert killed or not ON_LINUX
    assert steps == sorted(steps)
    assert steps[-1] == whole.frames
    assert len(shown[-1]) == 2
    # the place of rendering is not part of the request
    assert make_clip(song, out, chosen).already
    assert not {"ray", "workers"} & read_manifest(clip.job)["settings"].keys()
    # and no unnecessary messages are printed
    assert capfd.readouterr().out == ""
    assert not list((clip.job / "trails").iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_that_differs_is_refused(
    tmp_path: Path, song: Path, chosen: Settings, joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = run.environment
    monkeypatch.setattr(run, "environment", lambda device, threads: here(device, threads) | {"torch": "1.0"})
    with pytest.raises(OutputError, match=r"differs: torch .*, not 1\.0"):
        make_clip(song, tmp_path / "clip.mp4", chosen.changed(ray="local", workers=1))


@pytest.mark.slow
@pytest.mark.skipif(not ON_LINUX, reason="looks into /proc")
def test_a_local_cluster_accepts_only_local_connections_with_its_token(joined) -> None:
    import ray

    found = listening(os.getpid())
    assert found
    assert found <= LOOPBACK
    stranger = (
        "import ray, sys\ntry:\n    ray.init(address=sys.argv[1], log_to_driver=False)\n"
        "except Exception as problem:\n    sys.exit(type(problem).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", stranger, ray.get_runtime_context().gcs_address],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_AUTH_TOKEN": "0" * 64},
        timeout=600,
    )
    assert "Authentication" in done.stderr
    assert done.returncode == 1


def test_without_ray_the_error_names_what_to_install(
    tmp_path: Path, song: Path, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OutputError, match=r"pip install.*\[ray\]"):
        make_clip(song, tmp_path / "clip.mp4", chosen.changed(ray="local"))


def test_a_song_after_ray_is_not_taken_for_an_address(song: Path) -> None:
    done = CliRunner().invoke(main, ["run", "--ray", str(song)])
    assert done.exit_code == 2
    assert "behind the songs" in done.output
