"""The pretended card refuses what a real card refuses; otherwise the tests that use it would prove nothing."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from reactive.diffusion.backend.transfer import to_host
from tests.pretended import Card


def here(*shape: int) -> torch.Tensor:
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape).to("cuda")


def test_values_are_computed_and_devices_reported(card: Card) -> None:
    made = torch.ones(2, 3, device="cuda") * 2 + torch.zeros_like(here(2, 3))
    assert made.device == torch.device("cuda", 0)
    assert made.is_cuda
    assert made.cpu().device.type == "cpu"
    assert made.cpu().tolist() == [[2.0] * 3] * 2
    assert torch.equal(here(4).to(torch.float16).cpu(), torch.arange(1, 5).half())
    part = made[:, 0]
    part += 5
    assert float(made[1, 0]) == 7
    assert card.waits >= 3


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x + y,
        lambda x, y: torch.cat([x, y]),
        lambda x, y: torch.lerp(x, y, 0.5),
        lambda x, y: x @ y.T,
        lambda x, y: nn.functional.linear(x, y),
        lambda x, y: torch.where(y > 1, x, 0.0),
        lambda x, y: y.add_(x),
        lambda x, y: torch.einsum("ab,cb->ac", x, y),
    ],
)
def test_devices_do_not_mix(card: Card, mix) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        mix(here(2, 3), torch.ones(2, 3))
    mix(here(2, 3), torch.ones(2, 3, device="cuda"))


def test_single_numbers_and_indices_of_the_host_are_accepted(card: Card) -> None:
    assert (here(2) * torch.tensor(2.0)).cpu().tolist() == [2, 4]
    x = here(3)
    assert x[torch.tensor([2, 0])].cpu().tolist() == [3, 1]
    x[torch.tensor([1])] = 9.0
    assert x.cpu().tolist() == [1, 9, 3]
    with pytest.raises(RuntimeError, match="same device"):
        torch.index_select(x, 0, torch.tensor([1]))
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()


def test_a_copy_to_pinned_memory_arrives_when_its_event_is_waited_for(card: Card) -> None:
    leaving = to_host(here(3))
    leaving.tensor.fill_(-1)
    assert leaving.wait().tolist() == [1, 2, 3]


def recorded(module: nn.Module, x: torch.Tensor, mode: str = "thread_local"):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode=mode):
        result = module(x)
    return graph, result


def test_a_replay_reads_the_recorded_memory(card: Card) -> None:
    layer, x = nn.Linear(3, 2).to("cuda").requires_grad_(False), here(4, 3)
    graph, result = recorded(layer, x)
    x.copy_(torch.ones(4, 3))
    graph.replay()
    assert torch.equal(result.cpu(), layer(x).cpu())
    with torch.no_grad():
        layer.weight.mul_(2)
    graph.replay()
    assert torch.equal(result.cpu(), layer(x).cpu())
    # the weights move: their old memory is freed
    layer.to(torch.float16)
    with pytest.raises(RuntimeError, match="given back"):
        graph.replay()


def test_a_wait_in_a_recorded_graph_is_an_error(card: Card) -> None:
    for waiting in (
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x + torch.ones(3).to("cuda"),
        lambda x: x[x > 1],
    ):
        with pytest.raises(RuntimeError, match="capturing"):
            recorded(waiting, here(3))


def test_other_threads_may_wait_during_recording_only_in_thread_local_mode(card: Card) -> None:
    def elsewhere(x: torch.Tensor) -> torch.Tensor:
        failed = []

        def wait() -> None:
            try:
                leaving.wait()
            except RuntimeError as problem:
                failed.append(problem)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return x * 2

    leaving = to_host(here(3))
    recorded(elsewhere, here(3))
    with pytest.raises(RuntimeError, match="capturing"):
        recorded(elsewhere, here(3), "global")


def test_memory_is_counted_and_limited(card: Card) -> None:
    before = card.used
    x = here(1000)
    assert card.used == before + 4000
    view = x[:10]
    del x
    assert card.used == before + 4000
    del view
    assert card.used == before
    card.limit = card.used + 3000
    with pytest.raises(torch.OutOfMemoryError):
        here(1000)
    here(500)
