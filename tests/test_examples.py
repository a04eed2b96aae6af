"""Each example runs, on a short song with a model of toy width."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import av
import numpy as np
import pytest

from tests.toy import beat_song, write_song

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = ("own_frames", "own_signals", "picture_filter")
MISSING = [name for name in ("nbformat", "nbclient", "ipykernel") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", beat_song(4))


def test_every_script_is_tested_and_documented() -> None:
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    assert found == {*SCRIPTS, "first_clip", "make_notebook"}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in ("first_clip.ipynb", "first_clip.py", *(f"{script}.py" for script in SCRIPTS)):
        assert f"({name})" in page


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_a_clip(name: str, song: Path, toy_model: Path, tmp_path: Path) -> None:
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    out = main(
        str(song), str(tmp_path / "clip.mp4"), model=str(toy_model), duration=0.5, size=(64, 64), imagine_size=(64, 64)
    )
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.audio
    assert len(frames) == 12
    assert len({frame.tobytes() for frame in frames}) > 6
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_afterglow_fades_and_never_darkens() -> None:
    afterglow = runpy.run_path(str(EXAMPLES / "picture_filter.py"))["Afterglow"](keep=0.5)
    bright, dark = np.full((3, 4, 4), 200, np.uint8), np.full((3, 4, 4), 40, np.uint8)
    assert [int(afterglow(frame).max()) for frame in (bright, dark, dark, dark)] == [200, 100, 50, 40]


@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: not installed (extra dev)")
def test_the_notebook_matches_its_script_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    make = runpy.run_path(str(EXAMPLES / "make_notebook.py"))
    made = make["notebook"]((EXAMPLES / "first_clip.py").read_text(encoding="utf-8"))
    kept = (EXAMPLES / "first_clip.ipynb").read_text(encoding="utf-8")
    assert kept == nbformat.writes(made) + "\n", "python examples/make_notebook.py makes it anew"
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(made, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "first-clip.mp4").stat().st_size > 10_000
