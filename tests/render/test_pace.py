"""The pace of a walk is measured once and then cached."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reactive.diffusion import calibration
from reactive.diffusion.calibration import PROMPTS, PaceMeasurement, change_of, known_pace, measure_pace, outliers
from reactive.diffusion.core import Core
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, load_model
from reactive.render import pace
from reactive.render.pace import job_pace
from reactive.render.store.job import Job

SIZE = {"width": 64, "height": 64}


@pytest.fixture
def model(toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "cache"))
    # the shared toy states its pace itself
    silent = shutil.copytree(toy_model, tmp_path / "silent", ignore=shutil.ignore_patterns("reactive.json"))
    return load_model(str(silent), steps=1)


def test_a_model_that_changes_half_as_much_is_walked_twice_as_fast(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SLOWEST", 1e-9)
    monkeypatch.setattr(calibration, "FASTEST", 1e9)
    found = measure_pace(model, seconds=math.inf, **SIZE)
    core = Core(model, PromptBank(model, PROMPTS), batch=4, **SIZE)
    change = change_of(core, len(PROMPTS))
    assert found.pace == pytest.approx(calibration.REFERENCE / np.median(change), rel=0.06)
    monkeypatch.setattr(calibration, "REFERENCE", 2 * calibration.REFERENCE)
    assert measure_pace(model, seconds=math.inf, **SIZE).pace == pytest.approx(2 * found.pace, rel=0.06)


def test_a_slow_model_is_measured_with_fewer_pictures(model: Model) -> None:
    assert measure_pace(model, seconds=math.inf, **SIZE).pictures == 32
    hurried = measure_pace(model, seconds=0, **SIZE)
    assert hurried.pictures == 2
    assert 0.25 <= hurried.pace <= 4


def test_prompts_that_deviate_by_more_than_a_quarter_are_named() -> None:
    change = np.array([10.0, 11.0, 9.0, 13.0, np.nan, 5.0])
    assert outliers(change, ["a", "b", "c", "d", "e", "f"]) == (("d", 1.3), ("f", 0.5))


def test_a_job_resumes_with_its_initial_pace(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(*args: object, **options: object) -> PaceMeasurement:
        measured.append(args)
        return PaceMeasurement(1.7 + len(measured), (("a red sea", 1.5),), 32)

    monkeypatch.setattr(pace, "measure_pace", measure)
    shape = {"imagined": (64, 64)}
    with Job(tmp_path / "job") as job:
        (job.folder / "trails" / "worth").touch()
        first, notes = job_pace(job, model, 0.0, **shape)
        assert first == 2.7
        assert "2.7" in notes[0]
        assert '"a red sea" (1.50)' in notes[0]
        assert known_pace(model, **SIZE) == 2.7
    # another machine with an empty cache
    monkeypatch.setenv("REACTIVE_CACHE", str(tmp_path / "another"))
    with Job(tmp_path / "job") as job:
        assert job_pace(job, model, 0.0, **shape) == (2.7, ())
        assert len(measured) == 1
        # a recipe takes precedence, and other weights are another model
        assert job_pace(job, model, 0.9, **shape) == (0.9, ())
        assert job_pace(job, replace(model, sha256="another"), 0.0, **shape)[0] == 3.7
    assert len(measured) == 2


def test_a_pace_stated_by_the_folder_is_not_measured(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "measure_pace", lambda *args, **options: pytest.fail("measured"))
    with Job(tmp_path / "job") as job:
        said = replace(model, walk_pace={"64x64/1": 1.3})
        assert job_pace(job, said, 0.0, imagined=(64, 64)) == (1.3, ())
