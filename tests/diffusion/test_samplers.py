"""Samplers and grids, each against diffusers' own scheduler on a uniform batch."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from reactive.diffusion.sampling.samplers import sample_consistency, sample_ddim, sample_dpmpp_2m
from reactive.diffusion.sampling.sampling import Sampling, neighbours, read_sampling, sample
from reactive.errors import ModelError

# diffusers' own schedulers cause numpy's deprecation warnings
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def network(z: torch.Tensor, time: torch.Tensor | float) -> torch.Tensor:
    """A smooth stand-in for a network's raw output, shaped like z, at the index of a level."""
    t = torch.as_tensor(time, dtype=torch.float32).expand(len(z)).view(-1, 1, 1, 1)
    return 0.4 * z + 0.2 * torch.tanh(2 * z) + 0.1 * torch.cos(t / 300)


def clean(sampling: Sampling, z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """Return the clean latents that a model derives from the network's output."""
    output = network(z, sampling.schedule.network_time(tau))
    alpha, sigma = (v.view(-1, 1, 1, 1) for v in sampling.schedule.alpha_sigma(tau))
    if sampling.prediction == "v_prediction":
        return alpha * z - sigma * output
    if sampling.prediction == "flow":
        return z - sigma * output
    return (z - sigma * output) / alpha.clamp_min(1e-3)


def noise(seed: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 4, 6, 6, generator=torch.Generator().manual_seed(seed))


def theirs(scheduler, start: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Run a scheduler of diffusers as in its pipelines."""
    z = start * getattr(scheduler, "init_noise_sigma", 1.0)
    options = {"generator": generator} if generator else {}
    for time in scheduler.timesteps:
        model_input = scheduler.scale_model_input(z, time) if hasattr(scheduler, "scale_model_input") else z
        z = scheduler.step(network(model_input, time), time, z, **options).prev_sample
    return z


def ours(sampling: Sampling, start: torch.Tensor, more: list[torch.Tensor] | None = None) -> torch.Tensor:
    strength = torch.ones(len(start), dtype=torch.float64)
    return sample(sampling, lambda z, tau: clean(sampling, z, tau), strength, None, [start, *(more or [])])


def both(kind: str, steps: int, **options):
    scheduler = getattr(diffusers, kind)(**BETAS, **options)
    scheduler.set_timesteps(steps)
    return scheduler, read_sampling({"_class_name": kind, **scheduler.config}, {}, name="toy", steps=steps)


CASES = [
    (kind, spacing, steps, prediction)
    for kind in ("EulerDiscreteScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
    for spacing in ("trailing", "leading", "linspace")
    for steps, prediction in ((4, "epsilon"), (7, "v_prediction"))
]


@pytest.mark.parametrize(("kind", "spacing", "steps", "prediction"), CASES)
def test_a_sampler_is_that_of_diffusers(kind: str, spacing: str, steps: int, prediction: str) -> None:
    extra = {"clip_sample": False, "set_alpha_to_one": True} if kind == "DDIMScheduler" else {}
    if kind == "DPMSolverMultistepScheduler":
        extra = {"final_sigmas_type": "zero"}
    offset = {"steps_offset": 1} if spacing == "leading" else {}
    scheduler, sampling = both(kind, steps, timestep_spacing=spacing, prediction_type=prediction, **extra, **offset)
    assert sampling.grid[:-1].tolist() == pytest.approx([float(t) + 1 for t in scheduler.timesteps], abs=1e-3)
    if kind == "DDIMScheduler" and (spacing == "linspace" or (spacing == "trailing" and 1000 % steps)):
        # there diffusers steps by T // steps, which is not its next time
        return
    expected = theirs(scheduler, noise(1))
    assert torch.allclose(ours(sampling, noise(1)), expected, atol=2e-4, rtol=2e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize("steps", [1, 3, 6])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_is_that_of_diffusers(steps: int, shift: float) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", **scheduler.config}
    sampling = read_sampling(config, {}, name="toy", steps=steps)
    assert sampling.prediction == "flow"
    assert torch.allclose(ours(sampling, noise(2)), theirs(scheduler, noise(2)), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_lcm_is_that_of_diffusers(steps: int) -> None:
    scheduler, sampling = both("LCMScheduler", steps, clip_sample=False)
    assert sampling.grid[:-1].tolist() == [float(t) + 1 for t in scheduler.timesteps]
    generator = torch.Generator().manual_seed(5)
    expected = theirs(scheduler, noise(3), generator)
    again = torch.Generator().manual_seed(5)
    more = [torch.randn(3, 4, 6, 6, generator=again) for _ in range(steps - 1)]
    assert torch.allclose(ours(sampling, noise(3), more), expected, atol=1e-4)


def test_the_boundary_condition_is_that_of_diffusers() -> None:
    from reactive.diffusion.sampling.samplers import boundary

    scheduler = diffusers.LCMScheduler()
    times = torch.tensor([0.0, 1.0, 3.0, 20.0])
    keep, answer = boundary(times, 10.0)
    for i, time in enumerate(times.tolist()):
        skip, out = scheduler.get_scalings_for_boundary_condition_discrete(time)
        assert float(keep[i]) == pytest.approx(skip, abs=1e-5)
        assert float(answer[i]) == pytest.approx(out, abs=1e-5)
    far = boundary(torch.tensor([999.0]), 10.0)
    assert (float(far[0]), float(far[1])) == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "LCMScheduler"])
def test_items_of_a_batch_are_independent(kind: str) -> None:
    _, sampling = both(kind, 4)
    start, source = noise(4, 5), noise(9, 5)
    more = [noise(20 + i, 5) for i in range(3)]
    strength = torch.tensor([0.0, 0.2, 0.55, 0.9, 1.0], dtype=torch.float64)

    def run(rows: slice) -> torch.Tensor:
        return sample(
            sampling,
            lambda z, tau: clean(sampling, z, tau),
            strength[rows],
            source[rows],
            [start[rows], *(m[rows] for m in more)],
        )

    together = run(slice(None))
    for i in range(5):
        assert torch.allclose(run(slice(i, i + 1)), together[i : i + 1], atol=1e-5), i
    assert torch.equal(together[0], source[0])


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DDIMScheduler", "LCMScheduler"])
def test_strength_1_ignores_the_source_even_where_the_schedule_ends_short_of_noise(kind: str) -> None:
    _, sampling = both(kind, 2)
    one = torch.ones(3, dtype=torch.float64)
    results = [
        sample(sampling, lambda z, tau: clean(sampling, z, tau), one, source, [noise(4), noise(5)])
        for source in (None, noise(8), 5 * noise(9))
    ]
    assert torch.allclose(results[0], results[1], atol=1e-6)
    assert torch.allclose(results[0], results[2], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        ("EulerDiscreteScheduler", {}),
        ("DPMSolverMultistepScheduler", {}),
        ("LCMScheduler", {}),
        ("DDIMScheduler", {"fixed": True}),
        ("LCMScheduler", {"fixed": True}),
    ],
)
def test_latents_change_smoothly_with_strength(kind: str, defaults: dict, steps: int) -> None:
    times = {1: [800], 4: [999, 749, 499, 249]}[steps]
    scheduler = getattr(diffusers, kind)(**BETAS)
    config = {"_class_name": kind, **scheduler.config}
    sampling = read_sampling(config, {"timesteps": times} if defaults else {}, name="toy", steps=steps)
    assert sampling.fixed == bool(defaults)
    count = 401
    strength = torch.linspace(0, 1, count, dtype=torch.float64)
    source = noise(9, 1).expand(count, -1, -1, -1)
    noises = [noise(30 + i, 1).expand(count, -1, -1, -1) for i in range(steps)]
    asked: list[torch.Tensor] = []

    def denoise(z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        asked.append(tau)
        return clean(sampling, z, tau)

    result = sample(sampling, denoise, strength, source, noises)
    change = result.diff(dim=0).flatten(1).norm(dim=1)
    whole = float((result[-1] - result[0]).norm())
    # a step of 1/400 never covers more than 1/20 of the way
    assert float(change.max()) < max(whole, float(change.sum()) / 3) / 20
    assert torch.equal(result[0], source[0])
    if defaults:
        # the network is only evaluated at known times (items that wait pass 0, and their result is not used)
        assert set(torch.cat(asked).tolist()) <= {0.0, *(float(t) + 1 for t in times)}


def test_neighbours_are_the_known_levels_around_a_strength() -> None:
    times = torch.tensor([1000.0, 750.0, 500.0, 250.0, 0.0], dtype=torch.float64)
    low, high, weight = neighbours(torch.tensor([0.0, 0.1, 0.25, 0.6, 1.0]), times)
    assert low.tolist() == [0, 0, 0, 2, 3]
    assert high.tolist() == [1, 1, 1, 3, 4]
    assert weight.tolist() == pytest.approx([0.0, 0.4, 1.0, 0.4, 1.0], abs=1e-6)


def test_other_schedulers_map_to_the_nearest_with_a_message() -> None:
    note = read_sampling({"_class_name": "UniPCMultistepScheduler", **BETAS}, {}, name="toy")
    assert note.sampler == "dpmpp_2m"
    assert "UniPC" in note.notes[0]
    karras = read_sampling({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}, {}, name="toy")
    assert karras.notes == ("use_karras_sigmas is not followed",)
    turbo = read_sampling({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}, {}, name="toy")
    assert (turbo.steps, turbo.guidance) == (4, 1.0)
    plain = read_sampling({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}, {}, name="toy")
    assert (plain.steps, plain.guidance) == (12, 7.0)


@pytest.mark.parametrize(
    ("config", "defaults", "steps", "word"),
    [
        ({"_class_name": "EDMEulerScheduler"}, {}, None, "EDMEulerScheduler"),
        ({"_class_name": "DDIMScheduler"}, {"sampler": "magic"}, None, "magic"),
        ({"_class_name": "DDIMScheduler", "prediction_type": "wish"}, {}, None, "wish"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": "odd"}, {}, None, "odd"),
        ({"_class_name": "DDIMScheduler"}, {"timesteps": [249, 999]}, None, "must fall"),
        ({"_class_name": "DDIMScheduler"}, {"timesteps": ["x"]}, None, "must fall"),
        ({"_class_name": "DDIMScheduler"}, {"timesteps": [999, 499]}, 4, "--steps 2"),
    ],
)
def test_invalid_combinations_are_refused(config: dict, defaults: dict, steps: int | None, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        read_sampling(config, defaults, name="toy", steps=steps)


def test_samplers_agree_with_one_evaluation() -> None:
    _, sampling = both("DDIMScheduler", 1)
    taus = torch.tensor([[1000.0], [0.0]], dtype=torch.float64)
    results = [
        follow(lambda z, tau: clean(sampling, z, tau), noise(1, 1), taus, sampling.schedule)
        for follow in (sample_ddim, sample_dpmpp_2m)
    ]
    jumped = sample_consistency(lambda z, tau: clean(sampling, z, tau), noise(1, 1), taus, sampling.schedule, [])
    # with one evaluation every sampler returns the network's own output
    assert torch.allclose(results[0], results[1], atol=1e-4)
    assert torch.allclose(results[0], jumped, atol=1e-4)
