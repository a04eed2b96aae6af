"""Cost of a frame apart from the networks, measured with networks that do nothing, at 512x512.

python -m benchmarks overhead [--device cpu|cuda] [--frames N] [--no-job]

This cost dominates on a large GPU. The first figures are the main thread's processor time a frame: requests, batches, lens,
camera and palettes. Without a GPU, pictures of 32x32 are used, so that every call is made but computes almost nothing.
`noise` is the cost of a frame's noise at full size. `whole job` writes a clip of 512x512 on this processor: segments encoded
(x264 veryfast), checked for flashes, and joined with the song; its pictures are drawn beforehand, without camera or lens.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import soundfile
import torch
from diffusers.configuration_utils import FrozenDict

from benchmarks.measure import line
from reactive.diffusion.backend.allocator import keep_freed_memory
from reactive.diffusion.core import Core
from reactive.diffusion.frames import independent_frames
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, default_threads, load_model
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.scene import scene_inputs
from reactive.timeline.timeline import CURVES, FEEDBACK, INTEGERS, NO_SOURCE, OPTIONAL, Timeline

SIZE = 512
SMALL = 32
FPS = Fraction(24)
BATCH = 16
SHOT = 96
# number of different pictures that the free decoder returns in turn
DRAWN = 96
WALK_BAR, LANES_BAR, NOISE_BAR, JOB_BAR = 0.35, 0.7, 0.2, 200.0


class Free:
    """A network that costs nothing: it returns latents unchanged and pictures drawn beforehand."""

    def __init__(self, config: dict[str, Any], channels: int, factor: int, drawn: torch.Tensor) -> None:
        # the replaced network's configuration, which estimates of memory and time need
        self.config = FrozenDict({**config, "scaling_factor": 1.0, "shift_factor": 0.0})
        self.channels = channels
        self.side = drawn.shape[-1] // factor
        self.drawn = drawn
        self.shown = 0

    def parameters(self) -> Iterator[torch.Tensor]:
        """Return the weights: none."""
        return iter(())

    def buffers(self) -> Iterator[torch.Tensor]:
        """Return the buffers: none."""
        return iter(())

    def __call__(self, sample: torch.Tensor, **more: Any) -> tuple[torch.Tensor]:
        """Return the latents unchanged."""
        return (sample,)

    def encode(self, pictures: torch.Tensor) -> Any:
        """Return latents of a fixed value."""
        nothing = torch.zeros((), device=pictures.device)
        return SimpleNamespace(latents=nothing.expand(len(pictures), self.channels, self.side, self.side))

    def decode(self, latents: torch.Tensor, **more: Any) -> tuple[torch.Tensor]:
        """Return the next of the drawn pictures."""
        count = len(latents)
        first = self.shown % (len(self.drawn) - count + 1)
        self.shown += count
        return (self.drawn[first : first + count],)


def draw(count: int, device: str, size: int) -> torch.Tensor:
    """Return pictures of a slowly moving texture, float32 [count, 3, size, size] in [-1, 1]."""
    path = NoisePath(3, size // 8, size // 8, 8)
    small = torch.stack([path.at(1, 0.02 * number) for number in range(count)])
    fine = NoisePath(3, size // 2, size // 2, 2).at(2, 0.0)
    large = torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic")
    grain = torch.nn.functional.interpolate(fine[None], size=(size, size), mode="bilinear")
    return (0.5 * large + 0.06 * grain).clamp(-1, 1).to(device)


def free_model(model: Model, size: int) -> Model:
    """Return a model with networks that cost nothing."""
    drawn = draw(DRAWN, model.device.type, size)
    unet, vae = (
        Free(dict(part.config), model.channels, model.vae_scale_factor, drawn) for part in (model.network, model.vae)
    )
    return replace(model, network=cast(Any, unet), vae=cast(Any, vae), graphs=None, native_size=(size, size))


def a_timeline(frames: int, *, feedback: bool, lens: bool) -> Timeline:
    """Return a timeline of shots of 4 s: a walk, or feedback with a camera and palettes."""
    time_of = np.arange(frames) / float(FPS)
    shot = np.arange(frames) // SHOT
    defaults: dict[str, Any] = {"strength": 1, "lens_zoom": 1, "seed": 7, "walk": 0.4 * time_of, **OPTIONAL}
    defaults |= {
        "source": FEEDBACK if feedback else NO_SOURCE,
        "prompt_to": 1,
        "weight": 0.5,
        "shot": shot,
        "speed": 0.4,
    }
    if feedback:
        defaults |= {"strength": 0.6, "seed": 7 + shot, "camera_zoom": 0.1 * time_of, "camera_rotate": 2 * time_of}
    if lens:
        defaults |= {"lens_zoom": 1.05 + 0.04 * np.sin(7 * time_of), "lens_rotate": np.sin(time_of)}
    columns = {
        name: np.array(np.broadcast_to(defaults.get(name, 0), (frames,)), np.int64 if name in INTEGERS else np.float64)
        for name in (*INTEGERS, *CURVES)
    }
    return Timeline(
        song_sha256="",
        samples=frames * 2000,
        sample_rate=48_000,
        fps=FPS,
        title="overhead",
        seed=7,
        harmonics=16,
        feedback_rate=Fraction(12),
        feedback_fresh=0.7,
        prompts=("a sea", "a hill"),
        phases=("one",),
        photos=(),
        cuts=(),
        columns=columns,
        feedback_colour=0.5,
    )


def busy(run: Callable[[], int], rounds: int = 4) -> float:
    """Return this thread's processor time a frame in milliseconds: the least of several rounds after a warm-up."""
    found = []
    for _ in range(rounds + 1):
        began = time.thread_time()
        frames = run()
        found.append(1000 * (time.thread_time() - began) / frames)
    return min(found[1:])


def main_thread(device: str, frames: int) -> None:
    """Print the main thread's time a frame."""
    size = SMALL if device == "cpu" else SIZE
    model = load_model("ember", device=device, dtype="float32")
    bank = PromptBank(model, ("a sea", "a hill"))
    core = Core(free_model(model, size), bank, batch=BATCH, width=size, height=size)
    where = f"with pictures of {size}x{size} on {device}"

    def walk(lens: bool) -> Callable[[], int]:
        scene = scene_inputs(a_timeline(frames, feedback=False, lens=lens), core, {}, pace=1.0)
        every = np.arange(frames)
        return lambda: sum(len(numbers) for numbers, _ in independent_frames(core, scene, every))

    line("walk", busy(walk(False)), f"ms a frame of the main thread {where} (bar {WALK_BAR})", digits=3)
    line("walk with lens", busy(walk(True)), f"ms a frame (bar {WALK_BAR})", digits=3)
    fed_back = a_timeline(frames, feedback=True, lens=False)
    for name, firmness, bar in (("lanes", 0.0, ""), ("lanes with palette", 0.5, f" (bar {LANES_BAR})")):
        scene = scene_inputs(replace(fed_back, feedback_colour=firmness), core, {}, pace=1.0)
        shots = [(first, min(first + SHOT, frames)) for first in range(0, frames, SHOT)]

        def lanes(scene: Any = scene, shots: Any = shots) -> int:
            return sum(len(numbers) for numbers, _ in feedback_frames(core, scene, shots))

        line(name, busy(lanes), f"ms a frame, {min(len(shots), BATCH)} side by side{bar}", digits=3)


def noise(device: str) -> None:
    """Print the main thread's time for a frame's noise at the sizes of SD and SDXL."""
    for name, side in (("noise 512x512", 64), ("noise 1024x1024", 128)):
        path = NoisePath(4, side, side, 16, device=device)

        def walked(path: NoisePath = path) -> int:
            for number in range(64):
                path.at(7, 0.01 * number)
            return 64

        line(name, busy(walked), f"ms a frame on {device} (bar {NOISE_BAR} on a GPU)", digits=3)


def whole_job(frames: int) -> None:
    """Print the frames a second of a whole job on this processor, and its processor time a frame."""
    import reactive.render.run as run
    from reactive import Settings, make_clip
    from reactive.render.settings import ModelSpec
    from reactive.timeline.file import save_timeline

    model = free_model(load_model("ember", dtype="float32"), SIZE)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        song = folder / "song.wav"
        samples = frames * 2000
        soundfile.write(song, 0.1 * np.sin(np.arange(samples) / 20).astype(np.float32), 48_000, subtype="PCM_16")
        track = run.open_track(song)
        timeline = replace(
            a_timeline(frames, feedback=False, lens=False), song_sha256=track.sha256, samples=track.samples
        )
        save_timeline(timeline, folder / "timeline.json")
        # the free networks replace the loaded model
        original = ModelSpec.load
        ModelSpec.load = lambda self: model  # type: ignore[method-assign]
        settings = Settings.of(
            timeline=folder / "timeline.json",
            device="cpu",
            size=(SIZE, SIZE),
            imagine_size=(SIZE, SIZE),
            pace=1.0,
            segment=SHOT,
            threads=default_threads(),
        )
        marks: list[float] = []

        def loaded(stage: str, done: int, total: int) -> None:
            if (stage, done) == ("loading", 1):
                marks.append(time.process_time())

        try:
            clip = make_clip(song, folder / "clip.mp4", settings, progress=loaded)
            marks.append(time.process_time())
        finally:
            ModelSpec.load = original  # type: ignore[method-assign]
    cores = marks[-1] - marks[0]
    rate = clip.frames / clip.render_s
    text = f"frames/s, encoded, checked and joined, {settings.compute.threads} threads (bar {JOB_BAR:.0f} on two cores)"
    line("whole job", rate, text)
    line("  processor", 1000 * cores / clip.frames, "ms of one core a frame, most of it for x264", digits=2)
    line("  at best", settings.compute.threads * clip.frames / cores, "frames/s if nothing else runs on these cores")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, default=1536)
    parser.add_argument("--no-job", action="store_true", help="skip the clip")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_num_threads(1)
    print(f"networks that cost nothing, {SIZE}x{SIZE}, batches of {BATCH}")
    main_thread(options.device, options.frames)
    noise(options.device)
    if not options.no_job:
        torch.set_num_threads(default_threads())
        whole_job(options.frames)
