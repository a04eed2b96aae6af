"""Which way of computing is quickest here: eager in both memory formats, without oneDNN, torch.compile, OpenVINO.

python -m benchmarks backends [--model NAME] [--rounds N] [--no-compile] [--threads N]

Denoiser and decoder over one full batch, all contestants on the same tensors and in turn. torch.compile needs a C++ compiler,
OpenVINO its wheel (pip install openvino); what is missing here is left out and named. Pictures of each way are compared with
eager's, since a way that draws something else has won nothing.
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


class Bare(torch.nn.Module):
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
    bare = Bare(nets).eval()
    tokens = getattr(nets.embeddings, "tokens", nets.embeddings)
    given = (nets.z, nets.tau, tokens)
    plain = tuple(tensor.contiguous() for tensor in given)
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "eager": lambda: bare(*given),
        "no oneDNN": lambda: _plain_aten(bare, given),
    }
    if not options.no_compile:
        _add(ways, "torch.compile", lambda: _compiled(bare, given))
    _add(ways, "OpenVINO", lambda: _openvino(bare, plain))
    ways["eager, contiguous"] = _contiguous(options.model)
    with torch.inference_mode():
        right = bare(*given)
        for name, way in ways.items():
            line(f"{name} differs by", 127.5 * float((way() - right).abs().max()), "levels of 255 at most", digits=3)
        times = in_turn(ways, rounds=options.rounds, warm_up=1)
    for name, seconds in times.items():
        rate = nets.batch / seconds
        line(name, rate, f"pictures/s, {times['eager'] / seconds:.2f} times eager channels_last")


def _add(
    ways: dict[str, Callable[[], torch.Tensor]], name: str, make: Callable[[], Callable[[], torch.Tensor]]
) -> None:
    """Add a way that may not be there on this machine, with the time it takes to make it ready."""
    began = time.perf_counter()
    try:
        ways[name] = make()
    except Exception as problem:
        print(f"{name}: left out ({type(problem).__name__}: {' '.join(str(problem).split())[:100]})", flush=True)
        return
    line(f"{name} ready", time.perf_counter() - began, "s")


def _plain_aten(bare: Bare, given: tuple[torch.Tensor, ...]) -> torch.Tensor:
    with torch.backends.mkldnn.flags(enabled=False):
        return bare(*given)


def _contiguous(name: str) -> Callable[[], torch.Tensor]:
    nets = Nets.load(name)
    for part in (nets.model.network, nets.model.vae):
        part.to(memory_format=torch.contiguous_format)
    bare, tokens = Bare(nets).eval(), getattr(nets.embeddings, "tokens", nets.embeddings)
    z = nets.z.contiguous()
    return lambda: bare(z, nets.tau, tokens)


@torch.inference_mode()
def _compiled(bare: Bare, given: tuple[torch.Tensor, ...]) -> Callable[[], torch.Tensor]:
    unet, decoder = torch.compile(bare.model.network), torch.compile(bare.model.vae.decoder)
    own = bare.model.network, bare.model.vae.decoder

    def way() -> torch.Tensor:
        object.__setattr__(bare.model, "network", unet)
        bare.model.vae.decoder = decoder
        try:
            return bare(*given)
        finally:
            object.__setattr__(bare.model, "network", own[0])
            bare.model.vae.decoder = own[1]

    way()
    return way


@torch.inference_mode()
def _openvino(bare: Bare, given: tuple[torch.Tensor, ...]) -> Callable[[], torch.Tensor]:
    import openvino

    shapes = [list(tensor.shape) for tensor in given]
    converted = openvino.convert_model(bare, example_input=given, input=shapes)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in given]
    return lambda: torch.from_numpy(compiled(arrays)[0])
