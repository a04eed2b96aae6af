"""Stem separation with toy weights of Demucs' own classes: loaded like published ones, with the exact output of Demucs' own call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from reactive.assist.stems import load_separator, separate, write_stems
from reactive.cli import main
from reactive.errors import ModelError
from reactive.media.sound import open_track

RATE = 8000
SOURCES = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="module")
def toy_demucs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny HTDemucs, saved as on the hub."""
    pytest.importorskip("demucs", reason="the extra [stems] is not installed")
    return saved(tmp_path_factory.mktemp("demucs"))


def saved(folder: Path, **changes: str) -> Path:
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    torch.manual_seed(0)
    given: dict[str, Any] = {
        "sources": list(SOURCES),
        "channels": 4,
        "dconv_comp": 2,
        "depth": 4,
        "nfft": 512,
        "samplerate": RATE,
        "segment": 2,
    }
    model = HTDemucs(**given)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    told = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(given)} | changes
    save_file(state, folder / "abc.safetensors", metadata=told)
    (folder / "toy.yaml").write_text("models: ['abc']\nsegment: 2\n")
    return folder


@pytest.fixture(scope="module")
def short_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "song.wav"
    sound = np.random.default_rng(1).standard_normal((3 * 11025, 2)) * 0.2
    soundfile.write(path, sound, 11025)
    return path


def test_stems_match_the_librarys_own_call(toy_demucs: Path, short_song: Path) -> None:
    import torch
    from demucs.api import Separator as Own

    separator = load_separator(str(toy_demucs))
    assert (separator.sources, separator.sample_rate, separator.channels) == (SOURCES, RATE, 2)
    shares: list[float] = []
    track = open_track(short_song)
    found = separate(track, separator, progress=shares.append)
    assert tuple(found) == SOURCES
    assert all(sound.shape == (3 * RATE, 2) for sound in found.values())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    own = Own.__new__(Own)
    own._model, own._samplerate, own._audio_channels = separator.model, RATE, 2
    own.update_parameter(
        device="cpu",
        shifts=0,
        overlap=0.25,
        split=True,
        segment=None,
        jobs=0,
        progress=False,
        callback=None,
        callback_arg=None,
    )
    from reactive.media.sound import resampled, stereo_blocks

    sound = np.concatenate(list(resampled(stereo_blocks(track), 11025, RATE, 2)))
    with torch.inference_mode():
        _, wanted = own.separate_tensor(torch.from_numpy(sound.T.copy()))
    for name in SOURCES:
        assert np.allclose(found[name], wanted[name].numpy().T, atol=1e-6)


def test_stems_are_written_and_used_by_the_command_line(toy_demucs: Path, short_song: Path, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(short_song.read_bytes())
    run = CliRunner().invoke
    done = run(main, ["stems", str(song), "--model", str(toy_demucs), "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "song.stems"
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{name}.wav" for name in SOURCES)
    assert json.loads(done.stdout)["stems"]["bass"] == str(folder / "bass.wav")
    assert soundfile.info(folder / "drums.wav").samplerate == RATE
    again = run(main, ["stems", str(song), "--model", str(toy_demucs)])
    assert again.exit_code == 1
    assert "--force" in again.output
    heard = run(main, ["analyze", str(song), "--stem", str(folder), "--json", "-"])
    assert heard.exit_code == 0, heard.output
    assert {f"stem.{name}" for name in SOURCES} <= set(json.loads(heard.stdout)["envelopes"])


def test_a_loud_stem_is_scaled_not_clipped(tmp_path: Path) -> None:
    sound = np.linspace(-2, 2, 800, dtype=np.float32).reshape(400, 2)
    written = write_stems({"bass": sound, "drums": sound / 4}, RATE, tmp_path / "out")
    loud, quiet = (soundfile.read(written[name], dtype="float32")[0] for name in ("bass", "drums"))
    assert np.allclose(loud, sound / 2, atol=1e-4)
    assert np.allclose(quiet, sound / 4, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"klass": "os.system"}, {"klass": "demucs.train.main"}, {"structure": '{"_class": "os.system"}'}]
)
def test_weights_of_another_class_are_refused_before_they_are_loaded(
    tmp_path: Path, toy_demucs: Path, changes: dict[str, str]
) -> None:
    folder = saved(tmp_path, **changes)
    with pytest.raises(ModelError, match=r"no model of Demucs|form that is not read"):
        load_separator(str(folder))


def test_a_list_must_not_name_files_of_other_folders(tmp_path: Path, toy_demucs: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    saved(tmp_path)
    (inner / "toy.yaml").write_text("models: ['../abc']\n")
    with pytest.raises(ModelError, match="is no name of a model"):
        load_separator(str(inner))


def test_missing_weights_are_one_line(short_song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))
    run = CliRunner().invoke
    if pytest.importorskip("demucs"):
        done = run(main, ["stems", str(short_song), "-o", str(tmp_path / "out")])
        assert done.exit_code == 1
        assert "reactive models pull htdemucs" in done.output
        done = run(main, ["stems", str(short_song), "-o", str(tmp_path / "out"), "--model", "sd15"])
        assert "is for model, not for stems" in done.output
    monkeypatch.setitem(sys.modules, "demucs.hf", None)
    done = run(main, ["stems", str(short_song), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "[stems]" in done.output
