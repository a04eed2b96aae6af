"""Out of memory: the batch is halved, and if that does not help there is a one-line error."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

from reactive.cli.common import errors
from reactive.diffusion.backend.out_of_memory import free_failed_attempt, in_batches_that_fit, smaller_batch
from reactive.diffusion.calibration import measure_pace
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models import load as models
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.errors import ModelError, OutputError, out_of_memory
from tests.pretended import Card

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.mark.parametrize(
    ("problem", "lacks"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError(FULL), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("required rank 4 tensor to use channels_last format (memory format)"), False),
        (RuntimeError("Expected all tensors to be on the same device"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(problem: BaseException, lacks: bool) -> None:
    assert out_of_memory(problem) == lacks


def test_out_of_memory_is_recognised_during_capture() -> None:
    def capture() -> None:
        try:
            raise torch.OutOfMemoryError(FULL)
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError, match="during capture") as caught:
        capture()
    assert out_of_memory(caught.value)


def test_batches_are_halved_until_they_fit(toy_model: Path) -> None:
    tried = []

    def work(batch: int) -> str:
        tried.append(batch)
        if batch > 3:
            raise torch.OutOfMemoryError(FULL)
        return f"done with {batch}"

    model = load_model(str(toy_model))
    assert in_batches_that_fit(work, 12, model) == "done with 3"
    assert tried == [12, 6, 3]
    with pytest.raises(OutputError, match="not enough memory to imagine it"):
        smaller_batch(torch.OutOfMemoryError(FULL), 1, model)
    other = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        smaller_batch(other, 8, model)


def test_a_failed_batch_frees_its_tensors() -> None:
    kept = []

    def fail() -> None:
        held = torch.zeros(1000)
        kept.append(weakref.ref(held))
        raise torch.OutOfMemoryError(FULL)

    try:
        fail()
    except RuntimeError as problem:
        assert kept[0]() is not None
        free_failed_attempt(problem)
        assert kept[0]() is None


def batch_of(model, count: int) -> list[FrameRequest]:
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    return [FrameRequest(0, 1, 0.1 * number, 1.0, (noise,)) for number in range(count)]


def test_graphs_of_a_failed_batch_free_their_memory(card: Card, toy_model: Path) -> None:
    model = load_model(str(toy_model), device="cuda", steps=1)
    bank = PromptBank(model, ("a red sea", "a hill"))

    def imagine(batch: int) -> int:
        Core(model, bank, batch=batch, width=64, height=64).imagine(batch_of(model, batch))
        gc.collect()
        return card.used

    loaded = card.used
    small = imagine(2) - loaded
    free_failed_attempt(MemoryError(), model)
    assert card.used == loaded
    large = imagine(8) - loaded
    assert large > 3 * small
    free_failed_attempt(MemoryError(), model)
    # memory suffices for the small batch, but not beside the remains of the large one
    card.limit = loaded + 2 * small
    tried = []

    def work(batch: int) -> int:
        tried.append(batch)
        return imagine(batch)

    used = in_batches_that_fit(work, 8, model)
    assert tried[0] == 8
    assert tried[-1] in (1, 2)
    assert used <= card.limit


def test_a_failed_batch_keeps_no_graph_of_its_shape(toy_model: Path) -> None:
    from reactive.diffusion.backend.graphs import Graphs

    pools = iter("ab")
    seen = []

    def record(compute, inputs, pool):
        seen.append(pool)
        output = compute(inputs)
        if len(output) > 2:
            raise torch.OutOfMemoryError(FULL)
        return lambda: None, output

    graphs = Graphs(record, lambda: next(pools))
    graphs.run("net", lambda named: named["x"] + 1, {"x": torch.zeros(2)})
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run("net", lambda named: named["x"] + 1, {"x": torch.zeros(4)})
    assert len(graphs.known) == 1
    graphs.forget()
    assert not graphs.known
    graphs.run("net", lambda named: named["x"] + 1, {"x": torch.zeros(1)})
    assert seen == ["a", "a", "b"]


def test_while_loading_it_is_one_line(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args, **options):
        raise torch.OutOfMemoryError(FULL)

    with monkeypatch.context() as patch:
        patch.setattr(models, "place_part", full)
        with pytest.raises(ModelError, match="not enough memory to load it") as caught:
            load_model(str(toy_model))
    assert str(toy_model) in str(caught.value)
    model = load_model(str(toy_model))
    monkeypatch.setattr(type(model.text_encoder.whole()), "forward", full)
    with pytest.raises(ModelError, match="not enough memory to embed its prompts"):
        PromptBank(model, ("a sea",))


def test_measuring_the_pace_falls_back_to_single_pictures(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Core.imagine
    model = load_model(str(toy_model), steps=1)
    usual = measure_pace(model, width=64, height=64)

    def greedy(self, requests):
        if self.batch > 1:
            raise torch.OutOfMemoryError(FULL)
        return original(self, requests)

    monkeypatch.setattr(Core, "imagine", greedy)
    measured = measure_pace(model, width=64, height=64)
    assert measured.pace == pytest.approx(usual.pace, rel=0.02)
    assert measured.pictures == usual.pictures


def test_the_command_line_reports_uncaught_out_of_memory_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), errors():
        raise torch.OutOfMemoryError(FULL)
    said = capsys.readouterr().err.strip()
    assert said.startswith("Error: there is not enough memory")
    assert "\n" not in said
    with pytest.raises(RuntimeError, match="another"), errors():
        raise RuntimeError("another")
