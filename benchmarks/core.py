"""Compare the core with diffusers' own pipeline, the bare networks and the matrix-multiply peak: same weights, size, steps.

python -m benchmarks core [--model NAME] [--device auto|cpu|cuda] [--dtype auto|float32|float16|bfloat16] [--rounds N]
                          [--no-render] [--no-memory]

On a processor with bfloat16 arithmetic, or with --dtype bfloat16, bfloat16 and float32 are compared.

The full run takes about a quarter of an hour on two cores, most of it for the memory of 15,000 frames.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.first_light import RATE
from benchmarks.material import long_song
from benchmarks.measure import SONG, in_turn, line, matmul_peak, render
from reactive.diffusion.backend.device import DTYPES
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, choose_device, default_batch, default_threads, find_model, load_model
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.scene import SceneInputs, scene_inputs
from reactive.render.plan import make_plan
from reactive.render.workers.lane_count import lane_lengths, lanes_for
from reactive.timeline.timeline import FEEDBACK, Timeline
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder

PROMPTS = ("a sea at night", "a tower in the fog")
LANE_FRAMES = 48
# number of pictures for the comparison of number formats
COMPARED_PICTURES = 24
# repetitions of the bundled song
REPEATS = 10
# seconds of the song whose render is timed: long enough that one-time costs do not matter
RENDERED = 60.0
# frames encoded for the timing, and frames between which memory is compared
ENCODED = 96
MEMORY = (1000, 15_000)
MEMORY_FPS = Fraction(7500, 133)
FPS = Fraction(24)


def _fused_flops(x: Any, second: Any, third: Any, *_: Any, out_shape: Any, **more: Any) -> int:
    from torch.utils.flop_counter import conv_flop_count

    return conv_flop_count(x, third if third is not None and len(third) == 4 else second, out_shape)


@dataclass(frozen=True)
class Nets:
    """A model with one full batch: as requests for the core, and as tensors for the bare networks."""

    model: Model
    core: Core
    requests: list[FrameRequest]
    z: torch.Tensor
    tau: torch.Tensor
    embeddings: torch.Tensor
    gflop: float

    @classmethod
    def load(cls, name: str, device: str = "cpu", dtype: str = "auto") -> Nets:
        """Load a model and prepare a batch at its native size; count the multiplications of a picture."""
        from torch.utils.flop_counter import FlopCounterMode

        model = load_model(name, device=device, dtype=dtype)
        width, height = model.native_size
        batch = default_batch(device, width, height)
        core = Core(model, PromptBank(model, PROMPTS), batch=batch, width=width, height=height)
        path = NoisePath(model.channels, height // model.vae_scale_factor, width // model.vae_scale_factor, 16)
        requests = [
            FrameRequest(0, 1, 0.5, 1.0, tuple(path.at(step, 0.1 * i) for step in range(core.noises_per_picture)))
            for i in range(batch)
        ]
        z = torch.stack([request.noises[0] for request in requests]).to(model.device)
        z = z.contiguous(memory_format=torch.channels_last)
        embeddings = core.bank.mix(np.zeros(batch, int), np.ones(batch, int), np.full(batch, 0.5))
        embeddings = embeddings.to(model.dtype)
        # the counter sees nothing inside a replayed CUDA graph
        plain = replace(model, graphs=None)
        nets = cls(plain, core, requests, z, torch.full((batch,), float(model.schedule.steps)), embeddings, gflop=0.0)
        # PyTorch's counter lacks oneDNN's fused convolutions; those with an addition have the weights as third argument
        fused = {}
        if hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
            fused[torch.ops.mkldnn._convolution_pointwise] = _fused_flops
        with FlopCounterMode(display=False, custom_mapping=fused) as counter:
            nets.bare()
        return replace(nets, model=model, gflop=counter.get_total_flops() / batch / 1e9)

    @property
    def batch(self) -> int:
        """Pictures in a batch."""
        return len(self.requests)

    def imagine(self) -> torch.Tensor:
        """Imagine one batch with the core."""
        return self.core.imagine(self.requests)

    @torch.inference_mode()
    def denoise(self) -> torch.Tensor:
        """Run only the denoiser over one batch."""
        latents = self.z
        for _ in range(self.model.steps):
            latents = self.model.predict_x0(latents, self.tau, self.embeddings)
        return latents

    @torch.inference_mode()
    def decode(self) -> torch.Tensor:
        """Run only the decoder over one batch."""
        return self.model.decode(self.z)

    @torch.inference_mode()
    def bare(self) -> torch.Tensor:
        """Run only denoiser and decoder over one batch."""
        return self.model.decode(self.denoise())

    def from_photo(self) -> torch.Tensor:
        """Imagine one batch from a photograph."""
        source = torch.zeros(3, self.core.height, self.core.width)
        return self.core.imagine([replace(request, strength=0.6, source=source) for request in self.requests])

    @torch.inference_mode()
    def encode(self) -> torch.Tensor:
        """Run only the encoder over one batch."""
        pictures = torch.zeros(self.batch, 3, self.core.height, self.core.width, device=self.model.device)
        return self.model.encode(pictures)


def pipelines(nets: Nets) -> dict[str, object]:
    """Return diffusers' own pipeline with the same model, in contiguous and in channels_last memory format."""
    from diffusers import StableDiffusionPipeline

    made = {}
    for name in ("pipeline", "channels_last"):
        pipe = StableDiffusionPipeline.from_pretrained(
            find_model(nets.model.name), safety_checker=None, local_files_only=True, torch_dtype=nets.model.dtype
        ).to(nets.model.device)
        pipe.set_progress_bar_config(disable=True)
        if name == "channels_last":
            pipe.unet.to(memory_format=torch.channels_last)
            pipe.vae.to(memory_format=torch.channels_last)
        made[name] = pipe
    return made


def by_pipeline(pipe: object, nets: Nets, count: int) -> torch.Tensor:
    """Imagine `count` pictures as a user of diffusers does."""
    return pipe(  # type: ignore[operator]
        [PROMPTS[0]] * count,
        num_inference_steps=nets.model.steps,
        guidance_scale=nets.model.guidance if nets.model.guidance > 1 else 0.0,
        width=nets.core.width,
        height=nets.core.height,
        output_type="np",
    ).images


def lanes_scene(nets: Nets, count: int) -> tuple[SceneInputs, list[tuple[int, int]]]:
    """Return a timeline of `count` equal feedback shots, one tick a frame, and the shots."""
    timeline = _timeline(SONG)
    frames = count * LANE_FRAMES
    columns = {name: np.resize(column[:LANE_FRAMES], frames) for name, column in timeline.columns.items()}
    columns["shot"] = np.repeat(np.arange(count), LANE_FRAMES)
    columns["source"] = np.full(frames, FEEDBACK)
    columns["strength"] = np.full(frames, 0.6)
    for name in ("prompt_from", "prompt_to"):
        columns[name] = np.zeros(frames, np.int64)
    repeated: Timeline = replace(timeline, columns=columns, feedback_rate=FPS, prompts=PROMPTS)
    shots = [(i * LANE_FRAMES, (i + 1) * LANE_FRAMES) for i in range(count)]
    return scene_inputs(repeated, nets.core, {}), shots


def _timeline(song: Path) -> Timeline:
    """Return loop-destroy's timeline of a song."""
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track
    from reactive.preset.library import get_preset
    from reactive.timeline.timeline import build_timeline

    track = open_track(song)
    return build_timeline(analyze(track), get_preset("loop-destroy"), samples=track.samples, fps=FPS, seed=1)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks core", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--device", default="auto", help="default: auto, the best available")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--no-render", action="store_true", help="skip the renders of the bundled song")
    parser.add_argument("--no-memory", action="store_true", help="skip the render of 15,000 frames")
    options = parser.parse_args(arguments)
    torch.set_num_threads(default_threads())
    device = choose_device(options.device)
    nets = Nets.load(options.model, device, options.dtype)
    pipes = pipelines(nets)
    batch = nets.batch
    one = {f"{name} 1": (lambda pipe=pipe: by_pipeline(pipe, nets, 1)) for name, pipe in pipes.items()}
    many = {f"{name} {batch}": (lambda pipe=pipe: by_pipeline(pipe, nets, batch)) for name, pipe in pipes.items()}
    parts = {
        "bare": nets.bare,
        "core": nets.imagine,
        "photo": nets.from_photo,
        "denoiser": nets.denoise,
        "decoder": nets.decode,
        "encoder": nets.encode,
    }
    times = in_turn({**one, **many, **parts}, rounds=options.rounds)
    peak = matmul_peak(device, nets.model.dtype)
    rate = {name: (1 if name in one else batch) / seconds for name, seconds in times.items()}
    exact = str(nets.model.dtype).removeprefix("torch.")
    line("matrix multiply", peak, f"GFLOP/s {exact} on {device}, {torch.get_num_threads()} CPU threads")
    width, height = nets.core.width, nets.core.height
    bars = (1.8, 1.25) if device == "cpu" else (3, 1.5)
    print(f"pictures a second at {width}x{height}, {nets.model.steps} step(s), {nets.gflop:.2f} GFLOP each")
    for name in (*one, *many, "bare", "core", "photo", "denoiser", "decoder", "encoder"):
        line(name, rate[name], f"pictures/s, {1000 / rate[name]:.1f} ms")
    line("core / pipeline 1", rate["core"] / rate["pipeline 1"], f"times (bar {bars[0]})", digits=2)
    line(f"core / pipeline {batch}", rate["core"] / rate[f"pipeline {batch}"], f"times (bar {bars[1]})", digits=2)
    line("core / bare", 100 * rate["core"] / rate["bare"], "% (bar 95)")
    line("bare / peak", 100 * rate["bare"] * nets.gflop / peak, "% of the matrix-multiply peak (bar 60)")
    if device == "cpu" and nets.model.dtype == torch.bfloat16:
        _compare_float32(nets, options.model, options.rounds)
    _lanes(nets, options.rounds, rate)
    _occupancy(nets)
    if not options.no_render:
        _renders(nets, rate["core"], device)
    if not options.no_memory:
        _memory(options.model, device)


def _compare_float32(nets: Nets, name: str, rounds: int) -> None:
    """Compare bfloat16 with float32 on this processor: speed of matrices, core and its parts; PSNR between the pictures."""
    exact = Nets.load(name, dtype="float32")
    both = {"float32": exact, "bfloat16": nets}
    calls = {
        f"{part} {numbers}": call
        for numbers, each in both.items()
        for part, call in {"core": each.imagine, "denoiser": each.denoise, "decoder": each.decode}.items()
    }
    times = in_turn(calls, rounds=rounds)
    for numbers, each in both.items():
        peak = matmul_peak(dtype=each.model.dtype)
        line(f"matrix multiply {numbers}", peak, "GFLOP/s")
        line(f"core {numbers}", nets.batch / times[f"core {numbers}"], "pictures/s")
    for part, bar in (("core", " (bar 1.8 with AMX)"), ("denoiser", ""), ("decoder", "")):
        line(f"{part} bf16 / f32", times[f"{part} float32"] / times[f"{part} bfloat16"], f"times{bar}", digits=2)
    found = []
    path = NoisePath(
        nets.model.channels,
        nets.core.height // nets.model.vae_scale_factor,
        nets.core.width // nets.model.vae_scale_factor,
        16,
    )
    for first in range(0, COMPARED_PICTURES, nets.batch):
        requests = [
            replace(request, noises=tuple(path.at(step, 0.5 * (first + i)) for step in range(len(request.noises))))
            for i, request in enumerate(nets.requests)
        ]
        pictures = [each.core.imagine(requests).float() for each in both.values()]
        found.append((pictures[0] - pictures[1]).square().flatten(1).mean(1))
    line("bf16 from f32", float((10 * torch.log10(255**2 / torch.cat(found))).mean()), "dB PSNR on average (bar 40)")


def _lanes(nets: Nets, rounds: int, rate: dict[str, float]) -> None:
    scene, shots = lanes_scene(nets, nets.batch)
    ticks = nets.batch * LANE_FRAMES
    times = in_turn(
        {
            "lanes": lambda: sum(len(frames) for frames, _ in feedback_frames(nets.core, scene, shots)),
            "serial": lambda: sum(len(frames) for frames, _ in feedback_frames(nets.core, scene, shots[:1])),
        },
        rounds=max(1, rounds // 4),
        warm_up=1,
    )
    lanes, serial = ticks / times["lanes"], LANE_FRAMES / times["serial"]
    line(f"{nets.batch} lanes", lanes, "pictures/s")
    line("lanes / photo", 100 * lanes / rate["photo"], "% of a batch from a photograph (bar 90)")
    line("lanes / walk", 100 * lanes / rate["core"], "% of a batch of walk frames (bar 65)")
    line("serial feedback", serial, "pictures/s, one shot alone")


class Idle(Core):
    """A core without networks that counts how full its batches are: the grouping of lanes depends on the plan alone."""

    def __init__(self, nets: Nets, lanes: int) -> None:
        # a small size, because frames between two ticks are still resampled
        super().__init__(nets.model, nets.core.bank, batch=lanes, width=64, height=64)
        self.batches = 0

    def imagine(self, requests: list[FrameRequest]) -> torch.Tensor:
        """Return grey pictures."""
        self.batches += 1
        self.pictures += len(requests)
        shape = (len(requests), 3, self.height, self.width)
        return torch.full(shape, 128, dtype=torch.uint8, device=self.model.device)


def _occupancy(nets: Nets) -> None:
    """Print how full loop-destroy's feedback batches are, for the bundled song and for one ten times as long."""
    import soundfile

    with tempfile.TemporaryDirectory() as temporary:
        long = Path(temporary) / "long.wav"
        samples, sample_rate = soundfile.read(SONG)
        soundfile.write(long, np.tile(samples, (REPEATS, 1)), sample_rate)
        for song in (SONG, long):
            timeline = _timeline(song)
            shots = make_plan(timeline, first=0, last=timeline.frames).shots
            core = Idle(nets, lanes_for(lane_lengths(timeline), batch=nets.batch, device=nets.model.device.type))
            for _ in feedback_frames(core, scene_inputs(timeline, core, {}, pace=1.0), list(shots)):
                pass
            full = core.pictures / max(1, core.batches * core.batch)
            seconds = float(timeline.frames / timeline.fps)
            line(
                "lane occupancy",
                100 * full,
                f"% of {core.batch} on loop-destroy, {len(shots)} shots in {seconds:.0f} s (bar 70)",
            )


def _renders(nets: Nets, core: float, device: str) -> None:
    import soundfile

    with tempfile.TemporaryDirectory() as temporary:
        song = Path(temporary) / "song.wav"
        soundfile.write(song, long_song(RENDERED), RATE, subtype="PCM_16")
        for size in ("768x432", "1280x720"):
            done = render(Path(temporary), "--model", nets.model.name, "--device", device, "--size", size, song=song)
            rate, pictures = float(done["frames_per_s"]), done["pictures"] / done["render_s"]
            line(f"run {size}", rate, f"frames/s, {rate / core:.0%} of the core (bars: 24, 80 %)")
            line("  of them imagined", pictures, f"pictures/s, {pictures / core:.0%} of the core")
            alone = encoding(nets, size)
            line("  encoder", 1000 * alone, f"ms a frame alone, {alone * rate:.0%} of the job's time")


def encoding(nets: Nets, size: str) -> float:
    """Return the seconds that encoding takes a frame, including scaling, with nothing else running."""
    width, height = map(int, size.split("x"))
    factor = nets.model.vae_scale_factor
    walk = NoisePath(nets.model.channels, nets.core.height // factor, nets.core.width // factor, 16)
    pictures: list[np.ndarray] = []
    for first in range(0, ENCODED, nets.batch):
        requests = [
            replace(request, noises=tuple(walk.at(step, 0.02 * (first + i)) for step in range(len(request.noises))))
            for i, request in enumerate(nets.requests)
        ]
        pictures += list(nets.core.imagine(requests).permute(0, 2, 3, 1).contiguous().cpu().numpy())
    codec = video_codec("h264", speed="veryfast", crf=18)

    def encode() -> None:
        with tempfile.TemporaryDirectory() as temporary:
            piece = Path(temporary) / "piece.mkv"
            with SegmentEncoder(piece, size=(width, height), fps=FPS, codec=codec) as encoder:
                for picture in pictures:
                    encoder.write(picture)

    return in_turn({"encode": encode}, rounds=3, warm_up=1)["encode"] / len(pictures)


def _memory(model: str, device: str) -> None:
    import soundfile

    early, late = MEMORY
    with tempfile.TemporaryDirectory() as temporary:
        song = Path(temporary) / "song.wav"
        soundfile.write(song, long_song(float(late / MEMORY_FPS)), RATE, subtype="PCM_16")
        done = render(
            Path(temporary), "--model", model, "--device", device, "--fps", str(MEMORY_FPS), song=song, marks=MEMORY
        )
    at = done["peak_mb_at"]
    for mark in MEMORY:
        line("peak memory", at[mark], f"MB at frame {mark:,}", digits=0)
    line("growth", at[late] - at[early], "MB (bar 50)")
