"""Few-step models: detection by metadata and file name, and the times of N steps against diffusers' own schedulers."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch

from reactive.diffusion.models.catalogue import ENTRIES, find_entry
from reactive.diffusion.models.few_step import few_step_of, names_in, predicted_by_name
from reactive.diffusion.models.lora import lora_defaults
from reactive.diffusion.models.single_file import CONFIGS
from reactive.diffusion.sampling.sampling import Sampling, read_sampling
from reactive.errors import ModelError
from tests.diffusion.test_samplers import noise, ours, theirs

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def sampling_of(file: str, family: str, steps: int | None = None, **said: str) -> Sampling:
    """Return the sampling of a single file with this name."""
    from reactive.diffusion.models.catalogue import read_json

    found = few_step_of(names_in({}, file), family)
    assert found is not None
    shipped = read_json(CONFIGS / family / "scheduler" / "scheduler_config.json", file)
    return read_sampling(
        {**shipped, **found.scheduler}, found.defaults, name=file, steps=steps, overrides=said, recognized_as=found.name
    )


def times(sampling: Sampling) -> list[int]:
    return [round(tau) - 1 for tau in sampling.grid[:-1].tolist()]


@pytest.mark.parametrize(
    ("file", "family", "steps", "sampler", "prediction", "expected"),
    [
        ("sd_turbo", "sd2", None, "euler", "epsilon", [999]),
        ("sd_turbo", "sd2", 2, "euler", "epsilon", [999, 499]),
        ("sd_turbo", "sd2", 3, "euler", "epsilon", [999, 749, 249]),
        ("sd_turbo", "sd2", 4, "euler", "epsilon", [999, 749, 499, 249]),
        ("sd_xl_turbo_1.0_fp16", "sdxl", None, "euler", "epsilon", [999]),
        ("dreamshaperXL_v21TurboDPMSDE", "sdxl", None, "euler", "epsilon", [999, 749, 499, 249]),
        ("sdxl_lightning_4step", "sdxl", None, "euler", "epsilon", [999, 749, 499, 249]),
        ("sdxl_lightning_1step_x0", "sdxl", None, "euler", "sample", [999]),
        ("realvisxlV40_v40LightningBakedvae", "sdxl", None, "euler", "epsilon", [999, 749, 499, 249]),
        ("Hyper-SDXL-1step-unet", "sdxl", None, "lcm", "epsilon", [800]),
        ("Hyper-SD15-2steps-merged", "sd1", None, "ddim", "epsilon", [999, 499]),
        ("realisticVisionV60B1_v51HyperVAE", "sd1", 4, "ddim", "epsilon", [999, 749, 499, 249]),
        ("dmd2_sdxl_4step", "sdxl", None, "lcm", "epsilon", [999, 749, 499, 249]),
        ("dmd2_sdxl_1step", "sdxl", None, "lcm", "epsilon", [399]),
        ("dreamshaper_8LCM", "sd1", None, "lcm", "epsilon", [999, 759, 499, 259]),
    ],
)
def test_a_name_determines_sampler_and_times(
    file: str, family: str, steps: int | None, sampler: str, prediction: str, expected: list[int]
) -> None:
    found = sampling_of(file, family, steps)
    assert (found.sampler, found.prediction, times(found), found.guidance) == (sampler, prediction, expected, 1.0)
    assert found.notes[0].startswith(f"{file} is taken for ")
    assert "--sampler" in found.notes[0]


@pytest.mark.parametrize(
    "file",
    [
        "v1-5-pruned-emaonly",
        "hyperrealism_v3",
        "HyperRealism_XL",
        "lightning_over_the_sea",
        "turbine",
        "sd_xl_base_1.0",
    ],
)
def test_an_ordinary_name_changes_nothing(file: str) -> None:
    assert few_step_of(names_in({}, file), "sd1") is None


def test_metadata_overrides_the_name_and_a_subject_is_not_a_distillation() -> None:
    told = few_step_of(names_in({"modelspec.title": "SDXL-Lightning 8-step"}, "my_turbo"), "sdxl")
    assert told is not None
    assert (told.name, told.by) == ("SDXL-Lightning of 8 steps", "by its metadata")
    assert few_step_of([("by its name", "lightning_storms_xl")], "", lora=True) is None
    assert predicted_by_name("noobaiXL_vPred10", "sdxl") == "v_prediction"
    assert predicted_by_name("v2-1_512-ema-pruned", "sd2") == "epsilon"
    assert predicted_by_name("v2-1_768-ema-pruned", "sd2") == "v_prediction"


SCHEDULERS = {
    "sd_turbo": ("sd2", diffusers.EulerDiscreteScheduler, {"timestep_spacing": "trailing"}, (1, 2, 4)),
    "sdxl_lightning_4step": ("sdxl", diffusers.EulerDiscreteScheduler, {"timestep_spacing": "trailing"}, (4,)),
    "Hyper-SD15-4steps": ("sd1", diffusers.DDIMScheduler, {"timestep_spacing": "trailing", "clip_sample": False}, (4,)),
    "Hyper-SD15-8steps": ("sd1", diffusers.DDIMScheduler, {"timestep_spacing": "trailing", "clip_sample": False}, (8,)),
}


@pytest.mark.parametrize("file", sorted(SCHEDULERS))
def test_a_family_is_sampled_as_on_its_model_card(file: str) -> None:
    """The scheduler named on the model card, run by diffusers on the same noise, gives the same latents."""
    family, kind, options, counts = SCHEDULERS[file]
    for steps in counts:
        scheduler = kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options)
        scheduler.set_timesteps(steps)
        sampling = sampling_of(file, family, steps)
        assert times(sampling) == [int(time) for time in scheduler.timesteps]
        expected = theirs(scheduler, noise(1))
        assert torch.allclose(ours(sampling, noise(1)), expected, atol=3e-4, rtol=3e-4)
        assert expected.std() > 0.1


@pytest.mark.parametrize(("file", "asked"), [("dmd2_sdxl_4step", [999, 749, 499, 249]), ("lcm_xl", None)])
def test_consistency_models_use_the_times_of_diffusers(file: str, asked: list[int] | None) -> None:
    scheduler = diffusers.LCMScheduler()
    scheduler.set_timesteps(timesteps=asked) if asked else scheduler.set_timesteps(4)
    assert times(sampling_of(file, "sdxl")) == [int(time) for time in scheduler.timesteps]


def test_the_users_options_take_precedence() -> None:
    found = sampling_of(
        "sdxl_lightning_4step", "sdxl", 6, spacing="leading", sampler="dpmpp_2m", prediction="v_prediction"
    )
    assert (found.sampler, found.spacing, found.prediction, found.fixed) == (
        "dpmpp_2m",
        "leading",
        "v_prediction",
        False,
    )
    assert found.steps == 6
    with pytest.raises(ModelError, match="--spacing trailing"):
        sampling_of("sdxl_lightning_4step", "sdxl", 6)
    with pytest.raises(ModelError, match="no flow-matching model"):
        sampling_of("sd_turbo", "sd2", prediction="flow")


def test_names_and_catalogue_agree() -> None:
    """A model fetched by its short name and the same file under its own name get the same settings."""
    checked = 0
    for entry in ENTRIES:
        if entry.file and entry.kind == "lora":
            few = few_step_of([("by its name", Path(entry.file).stem)], "", lora=True)
            if few is not None:
                assert lora_defaults(few) == dict(entry.defaults), entry.name
                checked += 1
    assert checked == 2
    turbo, entry = few_step_of(names_in({}, "sd_turbo"), "sd2"), find_entry("sd-turbo")
    assert turbo is not None
    assert entry is not None
    assert dict(turbo.defaults) == {**entry.defaults, "native": (entry.native, entry.native)}


def test_options_list_the_available_samplers() -> None:
    from reactive.cli.run import run
    from reactive.diffusion.sampling.sampling import PREDICTIONS, SAMPLERS, SPACINGS

    offered = {option.name: set(option.type.choices) for option in run.params if hasattr(option.type, "choices")}
    assert offered["sampler"] == set(SAMPLERS)
    assert offered["spacing"] == set(SPACINGS)
    assert offered["prediction"] == set(PREDICTIONS)
