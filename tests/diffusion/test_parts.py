"""Noise, schedules, samplers, camera and lens, each against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reactive.diffusion.motion.camera import PATH, move_between, warp
from reactive.diffusion.motion.lens import overscan, through_lens
from reactive.diffusion.sampling.noise import NoisePath
from reactive.diffusion.sampling.samplers import levels, sample_consistency, sample_ddim
from reactive.diffusion.sampling.schedule import from_alphas_cumprod, from_flow


def test_noise_has_unit_variance_everywhere_on_its_path() -> None:
    path = NoisePath(4, 28, 48, 16)
    deviations = [float(path.at(1, walk).std()) for walk in np.linspace(0, 32, 40)]
    assert 0.96 < min(deviations) < max(deviations) < 1.04


@pytest.mark.parametrize("harmonics", [4, 16, 40])
def test_the_path_is_closed_and_decorrelates_within_one_unit(harmonics: int) -> None:
    path = NoisePath(4, 28, 48, harmonics)
    start = path.at(7, 3.3).flatten()
    assert torch.allclose(path.at(7, 3.3 + 2 * harmonics).flatten(), start, atol=1e-4)
    apart = torch.corrcoef(torch.stack([start, path.at(7, 4.3).flatten()]))[0, 1]
    near = torch.corrcoef(torch.stack([start, path.at(7, 3.31).flatten()]))[0, 1]
    assert abs(float(apart)) < 0.3
    assert float(near) > 0.999


def test_the_path_has_an_even_pace() -> None:
    path = NoisePath(4, 28, 48, 16)
    points = [path.at(2, walk) for walk in np.arange(0, 4, 0.02)]
    paces = [float((b - a).norm()) for a, b in zip(points, points[1:], strict=False)]
    assert max(paces) / min(paces) < 1.1


def test_seeds_and_ticks_are_independent() -> None:
    path = NoisePath(4, 28, 48, 16)
    drawn = torch.stack(
        [path.at(1, 0).flatten(), path.at(2, 0).flatten(), path.fresh(1, 0, 0).flatten(), path.fresh(1, 0, 1).flatten()]
    )
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 0.06
    assert torch.equal(path.at(1, 0).flatten(), drawn[0])


def alphas() -> torch.Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def test_strength_is_continuous_between_the_models_levels() -> None:
    schedule = from_alphas_cumprod(alphas())
    taus = torch.linspace(0, 1000, 20_001)
    alpha, sigma = schedule.alpha_sigma(taus)
    assert float(alpha[0]) == 1
    assert float(sigma[0]) == 0
    assert torch.all(torch.diff(sigma) > 0)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(alpha), atol=1e-6)
    exact = schedule.alpha_sigma(torch.tensor([500.0]))[0]
    assert float(exact) == pytest.approx(float(alphas()[499].sqrt()), abs=1e-6)


def test_a_flow_schedule_mixes_linearly() -> None:
    alpha, sigma = from_flow(1000, 3.0).alpha_sigma(torch.linspace(0, 1000, 101))
    assert torch.allclose(alpha + sigma, torch.ones(101), atol=1e-6)
    assert float(sigma[50]) == pytest.approx(3 * 0.5 / (1 + 2 * 0.5), abs=1e-5)


def linear_model(z: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    return 0.3 * z + 0.1 * torch.tanh(z) + tau.float().view(-1, 1, 1, 1) / 4000


def test_ddim_is_that_of_diffusers() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
    )
    theirs.set_timesteps(5)
    schedule = from_alphas_cumprod(theirs.alphas_cumprod)
    z = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = z.clone()
    for step in theirs.timesteps:
        x0 = linear_model(expected, (step + 1).expand(3))
        expected = theirs.step(x0, step, expected).prev_sample
    taus = levels(torch.full((3,), 1000.0), 5)
    assert taus[:-1, 0].tolist() == [float(step) + 1 for step in theirs.timesteps]
    assert torch.allclose(sample_ddim(linear_model, z, taus, schedule), expected, atol=1e-4)


def test_each_item_has_its_own_level() -> None:
    schedule = from_alphas_cumprod(alphas())
    z = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    starts = torch.tensor([1000.0, 600.0, 250.0])
    together = sample_ddim(linear_model, z, levels(starts, 3), schedule)
    for i in range(3):
        alone = sample_ddim(linear_model, z[i : i + 1], levels(starts[i : i + 1], 3), schedule)
        assert torch.allclose(alone, together[i : i + 1], atol=1e-6)


def test_consistency_jumps_and_adds_noise() -> None:
    schedule = from_alphas_cumprod(alphas())
    generator = torch.Generator().manual_seed(0)
    z, noise = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    taus = levels(torch.tensor([1000.0, 1000.0]), 2)
    once = linear_model(z, taus[0])
    alpha, sigma = (v.view(-1, 1, 1, 1) for v in schedule.alpha_sigma(taus[1]))
    expected = linear_model(alpha * once + sigma * noise, taus[1])
    assert torch.allclose(sample_consistency(linear_model, z, taus, schedule, [noise]), expected, atol=1e-6)


def picture(height: int = 72, width: int = 128) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, (x * 6).sin() * 0.5 + 0.5])[None] * 255


def test_no_move_is_no_change() -> None:
    assert torch.allclose(warp(picture(), np.array([[1.0, 0, 0, 0]])), picture(), atol=1e-2)


def test_shift_moves_the_picture_right_and_down() -> None:
    dot = torch.zeros(1, 1, 72, 128)
    dot[0, 0, 36, 64] = 1
    moved = warp(dot, np.array([[1.0, 0, 0.25, 0.125]]))[0, 0]
    row, column = divmod(int(moved.argmax()), 128)
    assert (row, column) == (36 + 9, 64 + 32)


def test_zoom_enlarges_the_centre_and_rotation_is_counter_clockwise() -> None:
    dot = torch.zeros(1, 1, 65, 129)
    dot[0, 0, 32, 80] = 1
    closer = warp(dot, np.array([[2.0, 0, 0, 0]]), mode="bilinear")[0, 0]
    assert abs(int(closer.argmax()) % 129 - 96) <= 1
    turned = warp(dot, np.array([[1.0, 90.0, 0, 0]]), mode="bilinear")[0, 0]
    row, column = divmod(int(turned.argmax()), 129)
    assert abs(row - 16) <= 1
    assert abs(column - 64) <= 1


def test_moves_add_up() -> None:
    columns = {name: np.cumsum(np.full(50, 0.01)) for name in PATH}
    whole = move_between(columns, 2.0, 9.5)
    first, second = move_between(columns, 2.0, 5.25), move_between(columns, 5.25, 9.5)
    assert whole[0] == pytest.approx(first[0] * second[0])
    assert whole[1:] == pytest.approx(first[1:] + second[1:])


def test_the_lens_hides_the_mirrored_edge() -> None:
    moves = np.array([[1.0, 0, 0, 0], [1.0, 3.0, 0, 0], [1.0, 0, 0.05, 0], [2.0, 3.0, 0.05, 0]])
    factors = overscan(moves, 16 / 9)
    assert factors[0] == 1
    assert np.all(factors[1:3] > 1)
    assert factors[3] == 1
    # a border of another colour outside the picture must not become visible
    inner = torch.full((1, 1, 72, 128), 100.0)
    frame = torch.nn.functional.pad(inner, (0, 0, 0, 0))
    shown = warp(frame, np.array([[factors[1], 3.0, 0, 0]]))
    assert torch.allclose(shown, torch.full_like(shown, 100.0), atol=0.1)


def test_the_lens_depends_only_on_the_frame() -> None:
    pictures = picture().repeat(4, 1, 1, 1).to(torch.uint8)
    rng = np.random.default_rng(0)
    columns = {
        "lens_zoom": 1 + 0.1 * rng.random(10),
        "lens_rotate": rng.random(10),
        "lens_x": 0.01 * rng.random(10),
        "lens_y": np.zeros(10),
        "lens_tilt": np.zeros(10),
        "lens_turn": np.zeros(10),
    }
    together = through_lens(pictures, columns, np.array([1, 5, 2, 7]))
    alone = through_lens(pictures[:1], columns, np.array([2]))
    assert torch.equal(together[2], alone[0])
    assert not torch.equal(together[0], together[1])
