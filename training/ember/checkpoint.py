"""Checkpoints that training resumes from: weights, moving average, optimiser, step and random state."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from reactive.diffusion.backend.allocator import keep_freed_memory

# steps between two updates of the average, which takes as long as a tenth of a step
AVERAGE_EVERY = 4


class Average:
    """An exponential moving average of a module's parameters (the exported weights)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.updates = 0

    def update(self, module: nn.Module) -> None:
        """Move the average towards the module; it follows faster at first, so that the initial weights lose their influence."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value.detach(), 1 - decay)
            else:
                self.shadow[name].copy_(value)


def save(path: Path, **state: Any) -> None:
    """Write a checkpoint atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint written by `save`, or return None if there is none."""
    if not path.exists():
        return None
    # weights_only is off because the file holds the optimiser and the random generators; it is our own file
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    return state


def random_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of the two generators that training draws from."""
    return {"numpy": rng.bit_generator.state, "torch": torch.get_rng_state()}


def restore_random_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Set both generators to a state that `random_state` returned."""
    rng.bit_generator.state = state["numpy"]
    torch.set_rng_state(state["torch"])


@contextmanager
def quick_forward() -> Iterator[None]:
    """Run a forward pass with the settings that are fastest on two Zen 4 or Sapphire Rapids cores.

    bfloat16 if the processor supports it (measured with the same losses: the autoencoder is 2.2 times as fast, the denoiser
    1.16 times), and attention as plain products, whose backward pass over these short sequences is several times as fast as
    that of the fused kernel (the denoiser's step: 1.35 times).
    """
    able = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=able), sdpa_kernel(SDPBackend.MATH):
        yield


def cosine(step: int, steps: int, *, peak: float, warm_up: int = 200, floor: float = 0.02) -> float:
    """Return the learning rate at `step`: linear warm-up, then half a cosine from `peak` to `floor * peak`."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))


def join() -> tuple[int, int]:
    """Return this process's rank and the number of processes: one, or those that ``torchrun`` started."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.get_rank(), processes


def share_gradients(module: nn.Module) -> None:
    """Replace each process's gradients by the mean over all processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    gradients = [value.grad for value in module.parameters() if value.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


class Run:
    """One module's training: AdamW with a cosine schedule, gradients clipped at 1, resumed from and saved to one file.

    Iterating yields the remaining steps, with the learning rate set; `descend` takes a step's loss, and saves and prints at
    intervals.
    """

    def __init__(
        self,
        path: Path,
        module: nn.Module,
        rng: np.random.Generator,
        *,
        steps: int,
        peak: float,
        decay: float,
        weight_decay: float = 0.01,
        floor: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        save_every: int = 100,
        save_seconds: float = 0.0,
        fresh: int = 0,
    ) -> None:
        """Read the last checkpoint, or start anew.

        `save_seconds`: save by time and not every `save_every` steps. `fresh`: rank of this process; ranks above 0 only read the
        checkpoint, use other random numbers and never write.
        """
        self.save_seconds, self.fresh = save_seconds, fresh
        self.path, self.module, self.rng = path, module, rng
        self.steps, self.peak, self.floor, self.save_every = steps, peak, floor, save_every
        self.average = Average(module, decay**AVERAGE_EVERY)
        self.optimiser = torch.optim.AdamW(
            module.parameters(), lr=peak, betas=betas, weight_decay=weight_decay, fused=True
        )
        self.first = self.step = 0
        self.losses: list[float] = []
        if (state := load(path)) is not None:
            module.load_state_dict(state["model"])
            self.average.shadow, self.average.updates = state["average"], state["updates"]
            # a file written by `restore` starts anew at step 0
            if "optimiser" in state:
                self.optimiser.load_state_dict(state["optimiser"])
                if fresh:
                    rng.bit_generator.state = np.random.default_rng([fresh, state["step"]]).bit_generator.state
                    torch.manual_seed(1000 * state["step"] + fresh)
                else:
                    restore_random_state(rng, state["random"])
            self.first = self.step = state["step"]
        keep_freed_memory()
        self.began = self.saved = time.perf_counter()

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the remaining steps."""
        while self.step < self.steps:
            for group in self.optimiser.param_groups:
                group["lr"] = cosine(
                    self.step, self.steps, peak=self.peak, warm_up=min(200, self.steps // 10), floor=self.floor
                )
            yield self.step

    def descend(self, loss: torch.Tensor) -> bool:
        """Take one step down `loss`; return whether the run was saved."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        share_gradients(self.module)
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.losses.append(loss.item())
        self.step += 1
        if self.fresh:
            return False
        if self.step % AVERAGE_EVERY == 0 or self.step == self.steps:
            self.average.update(self.module)
        if self.step % 50 == 0:
            pace = (self.step - self.first) / (time.perf_counter() - self.began)
            print(
                f"{self.path.stem}: step {self.step} loss {np.mean(self.losses[-50:]):.4f} {pace:.2f} steps/s",
                flush=True,
            )
        now = time.perf_counter()
        due = now - self.saved > self.save_seconds if self.save_seconds else self.step % self.save_every == 0
        if not due and self.step != self.steps:
            return False
        self.saved = now
        save(
            self.path,
            model=self.module.state_dict(),
            average=self.average.shadow,
            updates=self.average.updates,
            optimiser=self.optimiser.state_dict(),
            random=random_state(self.rng),
            step=self.step,
        )
        return True
