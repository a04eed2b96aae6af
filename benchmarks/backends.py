"""Compare the speed of backends: eager in both memory formats, without oneDNN, torch.compile, OpenVINO.

python -m benchmarks backends [--model NAME] [--rounds N] [--no-compile] [--threads N]

Denoiser and decoder run over one full batch; all backends get the same tensors and take turns. torch.compile needs a C++
compiler, OpenVINO its wheel (pip install openvino); backends missing here are listed and skipped. The pictures of each are
compared with eager's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.core import Nets
from benchmarks.measure import in_turn, line
from reactive.diffusion.models.load import default_threads


class DenoiseDecode(torch.nn.Module):
    """Denoiser and decoder of a model as one module: latents, times and embeddings to pictures."""

    def __init__(self, nets: Nets) -> None:
        super().__init__()
        self.model = nets.model
        self.unet, self.vae = nets.model.network, nets.model.vae

    def forward(self, z: torch.Tensor, tau: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return pictures [n, 3, height, width] for latents [n, c, h, w], train times [n] and tokens [n, tokens, width]."""
        for _ in range(self.model.steps):
            z = self.model.predict_x0(z, tau, tokens)
        return self.model.decode(z)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks backends", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--threads", type=int, default=default_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    nets = Nets.load(options.model)
    module = DenoiseDecode(nets).eval()
    tokens = getattr(nets.embeddings, "tokens", nets.embeddings)
    inputs = (nets.z, nets.tau, tokens)
    contiguous = tuple(tensor.contiguous() for tensor in inputs)
    backends: dict[str, Callable[[], torch.Tensor]] = {
        "eager": lambda: module(*inputs),
        "no oneDNN": lambda: _plain_aten(module, inputs),
    }
    if not options.no_compile:
        _add(backends, "torch.compile", lambda: _compiled(module, inputs))
    _add(backends, "OpenVINO", lambda: _openvino(module, contiguous))
    backends["eager, contiguous"] = _contiguous(options.model)
    with torch.inference_mode():
        reference = module(*inputs)
        for name, run in backends.items():
            difference = 127.5 * float((run() - reference).abs().max())
            line(f"{name} differs by", difference, "levels of 255 at most", digits=3)
        times = in_turn(backends, rounds=options.rounds, warm_up=1)
    for name, seconds in times.items():
        rate = nets.batch / seconds
        line(name, rate, f"pictures/s, {times['eager'] / seconds:.2f} times eager channels_last")


def _add(
    backends: dict[str, Callable[[], torch.Tensor]], name: str, make: Callable[[], Callable[[], torch.Tensor]]
) -> None:
    """Add a backend and print how long its setup takes; skip it if this machine lacks it."""
    began = time.perf_counter()
    try:
        backends[name] = make()
    except Exception as problem:
        print(f"{name}: left out ({type(problem).__name__}: {' '.join(str(problem).split())[:100]})", flush=True)
        return
    line(f"{name} ready", time.perf_counter() - began, "s")


def _plain_aten(module: DenoiseDecode, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    with torch.backends.mkldnn.flags(enabled=False):
        return module(*inputs)


def _contiguous(name: str) -> Callable[[], torch.Tensor]:
    nets = Nets.load(name)
    for part in (nets.model.network, nets.model.vae):
        part.to(memory_format=torch.contiguous_format)
    module, tokens = DenoiseDecode(nets).eval(), getattr(nets.embeddings, "tokens", nets.embeddings)
    z = nets.z.contiguous()
    return lambda: module(z, nets.tau, tokens)


@torch.inference_mode()
def _compiled(module: DenoiseDecode, inputs: tuple[torch.Tensor, ...]) -> Callable[[], torch.Tensor]:
    model = module.model
    network, decoder = torch.compile(model.network), torch.compile(model.vae.decoder)
    original = model.network, model.vae.decoder

    def run() -> torch.Tensor:
        object.__setattr__(model, "network", network)
        model.vae.decoder = decoder
        try:
            return module(*inputs)
        finally:
            object.__setattr__(model, "network", original[0])
            model.vae.decoder = original[1]

    run()
    return run


@torch.inference_mode()
def _openvino(module: DenoiseDecode, inputs: tuple[torch.Tensor, ...]) -> Callable[[], torch.Tensor]:
    import openvino

    shapes = [list(tensor.shape) for tensor in inputs]
    converted = openvino.convert_model(module, example_input=inputs, input=shapes)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in inputs]
    return lambda: torch.from_numpy(compiled(arrays)[0])
