"""Worker threads give the same result in any number, raise their errors, and leave the caller's thread count unchanged."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reactive.diffusion.backend.parallel import MIN_PART, BatchSplitter, part_count


@given(st.integers(1, 64), st.integers(1, 64))
def test_parts_are_equal_and_large_enough(batch: int, threads: int) -> None:
    parts = part_count(batch, threads)
    assert batch % parts == 0
    assert parts <= threads
    assert parts == 1 or batch // parts >= MIN_PART


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_order_and_values_are_kept(parts: int) -> None:
    before = torch.get_num_threads()
    sizes: list[int] = []

    def call(part: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(part))
        return torch.tensor(part)[:, None] * torch.ones(1, 3), torch.tensor(part) > 2

    made, large = BatchSplitter(parts, before).run(call, list(range(8)))
    assert torch.equal(made, torch.arange(8.0)[:, None].expand(8, 3))
    assert torch.equal(large, torch.arange(8) > 2)
    assert sizes == [8 // parts] * parts
    assert torch.get_num_threads() == before


def test_errors_of_a_thread_are_raised_and_the_thread_count_is_restored() -> None:
    before = torch.get_num_threads()

    def call(part: list[int]) -> tuple[torch.Tensor]:
        if 3 in part:
            raise MemoryError("full")
        return (torch.zeros(len(part)),)

    with pytest.raises(MemoryError):
        BatchSplitter(2, before).run(call, [0, 1, 2, 3])
    assert torch.get_num_threads() == before
