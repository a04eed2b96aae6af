"""Recording and replay of networks, and copies to the host: the logic that is the same on every device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reactive.diffusion.backend import compile as compiled
from reactive.diffusion.backend.graphs import Graphs, graphs_for
from reactive.diffusion.backend.transfer import stacked, to_host
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.errors import ModelError


class Recorder:
    """Stands in for CUDA: a replay recomputes from fixed memory into fixed memory."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, compute, inputs, pool):
        self.made += 1
        output = compute(inputs).clone()
        return lambda: output.copy_(compute(inputs)), output


def test_a_shape_is_recorded_once_and_replayed_with_new_inputs() -> None:
    recorder = Recorder()
    graphs = Graphs(recorder)

    def compute(named):
        return named["x"] * 2 + named["more"]["y"]

    kept = []
    for number in range(3):
        given = {"x": torch.full((2, 3), float(number)), "more": {"y": torch.ones(2, 3)}}
        result = graphs.run("net", compute, given)
        assert torch.equal(result, compute(given))
        kept.append(result)
    assert recorder.made == 1
    # the next replay must not overwrite a result
    assert [float(result[0, 0]) for result in kept] == [1, 3, 5]
    graphs.run("net", compute, {"x": torch.zeros(4, 3), "more": {"y": torch.ones(4, 3)}})
    graphs.run("other", compute, {"x": torch.zeros(4, 3), "more": {"y": torch.ones(4, 3)}})
    assert recorder.made == 3
    for size in range(5, 15):
        graphs.run("net", compute, {"x": torch.zeros(size), "more": {"y": torch.zeros(size)}})
    assert len(graphs.known) == 4


def test_without_recording_the_network_runs_directly() -> None:
    tried = []

    def refuse(compute, inputs, pool):
        tried.append(inputs)
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs = Graphs(refuse)
    for _ in range(2):
        assert torch.equal(graphs.run("net", lambda named: named["x"] + 1, {"x": torch.zeros(2)}), torch.ones(2))
    assert len(tried) == 1

    def full(compute, inputs, pool):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Graphs(full).run("net", lambda named: named["x"], {"x": torch.zeros(2)})


def test_replay_gives_the_same_bits(toy_model: Path) -> None:
    plain = load_model(str(toy_model), steps=2)
    assert plain.graphs is None
    assert graphs_for("cpu") is None
    recorder = Recorder()
    replayed = replace(plain, graphs=Graphs(recorder))
    generator = torch.Generator().manual_seed(1)
    for round_ in range(2):
        noises = [tuple(torch.randn(4, 8, 8, generator=generator) for _ in range(2)) for _ in range(3)]
        source = torch.linspace(-1, 1, 64).expand(3, 64, 64)
        requests = [FrameRequest(0, 1, 0.3 * i, 0.7, noise, source if i else None) for i, noise in enumerate(noises)]
        pictures = []
        for model in (plain, replayed):
            core = Core(model, PromptBank(model, ("a red sea", "a hill")), batch=3, width=64, height=64)
            pictures.append(core.imagine(requests))
        assert torch.equal(*pictures), round_
    # the network, the encoder and the decoder
    assert recorder.made == 3


def test_copies_to_the_host_are_exact() -> None:
    pictures = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    leaving = to_host(pictures)
    assert leaving.arrived is None
    assert torch.equal(leaving.wait(), pictures)
    assert torch.equal(stacked(list(pictures), torch.device("cpu")), pictures)


def test_on_a_card_replay_gives_the_same_bits_as_direct_calls(cuda: str, toy_model: Path) -> None:
    model = load_model(str(toy_model), device=cuda, steps=2)
    assert model.graphs is not None
    noises = tuple(torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2))
    pictures = []
    for one in (model, replace(model, graphs=None)):
        core = Core(one, PromptBank(one, ("a red sea", "a hill")), batch=2, width=64, height=64)
        pictures.append(to_host(core.imagine([FrameRequest(0, 1, 0.5, 1.0, noises)] * 2)).wait())
    assert torch.equal(*pictures)
    # network and decoder were recorded
    assert [graph is not None for graph in model.graphs.known.values()] == [True, True]


def test_compiled_networks_replace_the_plain_ones(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.compile
    # the compiler itself takes a minute, so its input is traced and run uncompiled
    monkeypatch.setattr(torch, "compile", lambda part, **options: compile_(part, backend="eager", **options))
    plain, made = (load_model(str(toy_model), steps=1, compiled=wanted) for wanted in (False, True))
    assert (plain.compiled, made.compiled) == (False, True)
    assert made.sha256 == plain.sha256
    assert made.network.config.in_channels == 4
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    source = torch.linspace(-1, 1, 64).expand(3, 64, 64)
    pictures = []
    for model in (plain, made):
        core = Core(model, PromptBank(model, ("a red sea", "a hill")), batch=2, width=64, height=64)
        pictures.append(
            core.imagine([FrameRequest(0, 1, 0.5, 1.0, (noise,)), FrameRequest(0, 0, 0.0, 0.5, (noise,), source)])
        )
    assert (pictures[0].int() - pictures[1].int()).abs().max() <= 1


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match=r"--compile.*no C\+\+ compiler"):
        compiled.check_compiler("cpu")


def test_on_cuda_triton_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: "cl.exe" if name == "cl" else None)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"--compile.*no Triton"):
        compiled.check_compiler("cuda")
    compiled.check_compiler("cpu")
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: name)
    compiled.check_compiler("cuda")
