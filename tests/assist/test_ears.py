"""Other beat trackers, tested with fakes of their libraries: their beats become the song's grid; failures are one line."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from reactive.assist.ears import RATE, hear_beats
from reactive.cli import main
from reactive.errors import GridError, ModelError, ReactiveError
from reactive.media.sound import open_track
from tests.toy import write_song

SECONDS = 12.0
BEATS = np.arange(0.25, SECONDS, 0.5)


@pytest.fixture
def song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    return write_song(tmp_path / "song.wav", rng.normal(0, 0.1, int(SECONDS * 22_050)).astype(np.float32), 22_050)


class Recorded:
    """The arguments that the fakes received."""

    given: dict[str, Any]


@pytest.fixture
def beat_this(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    """Install a fake package of Beat This!: its class takes a checkpoint's path and then sound with its rate."""

    class Audio2Beats:
        def __init__(
            self, checkpoint_path: str = "final0", device: str = "cpu", float16: bool = False, dbn: bool = False
        ) -> None:
            Recorded.given = {"checkpoint": checkpoint_path, "device": device, "dbn": dbn}

        def __call__(self, signal: np.ndarray, sr: int) -> tuple[np.ndarray, np.ndarray]:
            Recorded.given |= {"rate": sr, "samples": len(signal), "axes": signal.ndim}
            return BEATS, BEATS[1::4]

    package, inference = types.ModuleType("beat_this"), types.ModuleType("beat_this.inference")
    inference.Audio2Beats = Audio2Beats  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "beat_this", package)
    monkeypatch.setitem(sys.modules, "beat_this.inference", inference)
    return Recorded


def checkpoint(folder: Path) -> Path:
    path = folder / "toy.ckpt"
    torch.save({"hyper_parameters": {"transformer_dim": 8}, "state_dict": {"model.a": torch.zeros(2)}}, path)
    return path


def test_beat_this_gets_the_full_song_at_its_rate(song: Path, tmp_path: Path, beat_this: type[Recorded]) -> None:
    beats, ones = hear_beats(open_track(song), f"beat-this={checkpoint(tmp_path)}")
    assert beats == pytest.approx(BEATS)
    assert ones == pytest.approx(BEATS[1::4])
    assert beat_this.given["rate"] == RATE
    assert beat_this.given["axes"] == 1
    assert beat_this.given["samples"] == pytest.approx(SECONDS * RATE, abs=RATE // 100)
    assert beat_this.given["checkpoint"] == str(tmp_path / "toy.ckpt")
    assert beat_this.given["dbn"] is False


def test_weights_downloaded_by_beat_this_are_found(
    song: Path, tmp_path: Path, beat_this: type[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(ModelError, match="no weights of Beat This!"):
        hear_beats(open_track(song), "beat-this")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    checkpoint(tmp_path).rename(tmp_path / "hub" / "checkpoints" / "beat_this-final0.ckpt")
    assert len(hear_beats(open_track(song), "beat-this")[0]) == len(BEATS)


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (Path("harm-was-done"),))


def test_a_checkpoint_with_code_is_refused(
    song: Path, tmp_path: Path, beat_this: type[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful()}, tmp_path / "bad.ckpt")
    beat_this.given = {}
    with pytest.raises(ModelError, match="can't be loaded"):
        hear_beats(open_track(song), "beat-this=bad.ckpt")
    assert beat_this.given == {}
    assert not (tmp_path / "harm-was-done").exists()


def test_madmom_gets_its_own_parameters(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Signal:
        def __init__(self, data: np.ndarray, sample_rate: int, num_channels: int) -> None:
            self.data, self.form = data, (sample_rate, num_channels)

    class RNNDownBeatProcessor:
        def __call__(self, signal: Signal) -> tuple[int, int]:
            assert len(signal.data) == pytest.approx(SECONDS * RATE, abs=RATE // 100)
            return signal.form

    class DBNDownBeatTrackingProcessor:
        def __init__(self, beats_per_bar: list[int], fps: int) -> None:
            assert (beats_per_bar, fps) == ([3, 4], 100)

        def __call__(self, heard: tuple[int, int]) -> np.ndarray:
            assert heard == (RATE, 1)
            return np.stack([BEATS, np.resize([1, 2, 3], len(BEATS))], axis=1)

    modules = {
        name: types.ModuleType(name)
        for name in ("madmom", "madmom.audio", "madmom.audio.signal", "madmom.features", "madmom.features.downbeats")
    }
    vars(modules["madmom.audio.signal"])["Signal"] = Signal
    vars(modules["madmom.features.downbeats"]).update(
        RNNDownBeatProcessor=RNNDownBeatProcessor, DBNDownBeatTrackingProcessor=DBNDownBeatTrackingProcessor
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    beats, ones = hear_beats(open_track(song), "madmom")
    assert beats == pytest.approx(BEATS)
    assert ones == pytest.approx(BEATS[::3])


@pytest.mark.parametrize(
    ("ear", "told", "kind"),
    [
        ("drummer", "there is no ear", ModelError),
        ("madmom=x", "takes no checkpoint", ModelError),
        ("deaf", "hears no beat", GridError),
        ("broken", "failed \\(out of rhythm\\)", ModelError),
    ],
)
def test_a_failure_of_a_beat_tracker_is_one_line(
    song: Path, ear: str, told: str, kind: type[ReactiveError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sound: np.ndarray) -> Any:
        raise RuntimeError("out of\nrhythm")

    from reactive.assist import ears

    monkeypatch.setitem(ears.EARS, "deaf", lambda file: lambda sound: (np.array([np.nan, 3.0]), np.zeros(0)))
    monkeypatch.setitem(ears.EARS, "broken", lambda file: fail)
    with pytest.raises(kind, match=told):
        hear_beats(open_track(song), ear)


def test_a_missing_package_is_named(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "beat_this", None)
    monkeypatch.setitem(sys.modules, "madmom", None)
    for ear, remedy in (("beat-this", r"pip install.*\[beats\]"), ("madmom", "madmom can't be loaded")):
        with pytest.raises(ModelError, match=remedy):
            hear_beats(open_track(song), ear)


def test_the_grid_of_a_beat_tracker_is_used_and_cached(song: Path, tmp_path: Path, beat_this: type[Recorded]) -> None:
    ear = f"beat-this={checkpoint(tmp_path)}"
    told = CliRunner().invoke(main, ["analyze", str(song), "--ear", ear, "--json", "-"])
    assert told.exit_code == 0, told.output
    later = CliRunner().invoke(main, ["analyze", str(song), "--json", "-"])
    for result in (told, later):
        heard = json.loads(result.stdout)
        assert heard["beats"] == pytest.approx(BEATS, abs=1e-3)
        assert heard["downbeats"] == pytest.approx(BEATS[1::4], abs=1e-3)
        assert heard["grid_corrected"]
    both = CliRunner().invoke(main, ["analyze", str(song), "--ear", ear, "--beats", str(song)])
    assert both.exit_code != 0
    assert "at once" in both.output


def test_run_takes_an_ear_only_for_one_song(song: Path, beat_this: type[Recorded]) -> None:
    several = CliRunner().invoke(main, ["run", str(song), str(song), "--ear", "beat-this"])
    assert several.exit_code != 0
    assert "one song at a time" in several.output
    # the error is about the weights, so the song was read
    alone = CliRunner().invoke(main, ["run", str(song), "--ear", "beat-this=missing.ckpt"])
    assert alone.exit_code != 0
    assert "no weights of Beat This!" in alone.output
