"""Training of the rhythm network: inputs and targets, and that the program computes the trained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reactive.audio import attention, network
from reactive.audio.levels import EVIDENCE
from reactive.audio.network import FRAME_SECONDS, INPUTS, OUTPUTS
from reactive.audio.spectrum import fold
from tests.audio.songs import band, steady
from training.ear.check import distances
from training.ear.data import SHARES, kinds_in_order, stored, write
from training.ear.examples import POWERS, Examples, example, targets
from training.ear.net import EVENT, Network, export, tolerant_loss
from training.ear.tune import Network as Convolutions
from training.ear.tune import Pool, loaded, loss_of
from training.ear.tune import export as export_convolutions
from training.ear.weigh import Table, fit, of_excerpt, selected_fit

SECONDS = 60.0


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("excerpts")
    beats = steady(120, SECONDS)
    rest, drums = (band(beats, seconds=SECONDS, drums=with_drums) for with_drums in (False, True))
    hits = np.array([(beat, 0.1, 36 if number % 2 == 0 else 38, 90, 9) for number, beat in enumerate(beats)])
    write(folder / "band-00007.npz", ([rest, drums - rest], beats, np.arange(0, len(beats), 4), hits), "band")
    return folder


def test_power_is_stored_to_a_quarter_of_a_decibel() -> None:
    power = 10 ** np.linspace(-10.9, 1.7, 500)
    assert np.abs(10 * np.log10(POWERS[stored(power)] / power)).max() < 0.26
    assert POWERS[stored(np.zeros(1))] == 0


def test_inputs_are_aligned_with_targets(excerpt: Path) -> None:
    with np.load(excerpt / "band-00007.npz") as kept:
        held = {name: kept[name] for name in kept.files}
    steep = []
    for seed in range(30):
        given, wanted = example(held, np.random.default_rng(seed))
        assert given.shape == (attention.WINDOW, INPUTS)
        assert wanted.shape == (attention.WINDOW, len(OUTPUTS))
        assert np.isfinite(given).all()
        rise = np.maximum(np.diff(given[:, :64], axis=0, prepend=given[:1, :64]), 0).mean(axis=1)
        hits = np.flatnonzero(wanted[:, 0] >= 0.75)
        hits = hits[(hits > 3) & (hits < attention.WINDOW - 3)]
        near = np.stack([rise[hits + step] for step in (-1, 0, 1)]).max(axis=0)
        steep.append(near.mean() / max(rise.mean(), 1e-9))
    # noise and rooms may mask a few; the others rise at the beats at any tempo and pitch
    assert np.median(steep) > 2


def test_silent_drums_have_no_targets(excerpt: Path) -> None:
    with np.load(excerpt / "band-00007.npz") as kept:
        held = {name: kept[name] for name in kept.files}
    held["mel"] = held["mel"][:1]
    held["chroma"] = held["chroma"][:1]
    held["kick"] = np.full(1, np.nan)
    wanted = example(held, np.random.default_rng(0))[1]
    assert np.isnan(wanted[:, 2]).all()
    assert not np.isnan(wanted[:, 0]).any()


def test_targets_are_triangles_around_events() -> None:
    wanted = targets(40, {name: np.array([10.25 * FRAME_SECONDS]) for name in OUTPUTS})
    assert wanted[8:13, 0] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_new_excerpts_are_found(excerpt: Path) -> None:
    examples = Examples(excerpt)
    assert examples.look() == 1
    x, y = examples.batch(2, np.random.default_rng(1))
    assert x.shape[:2] == y.shape[:2] == (2, attention.WINDOW)
    short, _ = examples.batch(1, np.random.default_rng(1), 512)
    assert short.shape == (1, 512, INPUTS)


def test_every_hundred_excerpts_have_the_shares_of_kinds() -> None:
    kinds = kinds_in_order(200)
    assert all(kinds[:100].count(kind) == share for kind, share in SHARES.items())
    assert kinds[:100] != kinds[100:]


def test_the_program_computes_the_network_that_was_trained() -> None:
    torch.manual_seed(0)
    trained = Network().eval()
    given = np.random.default_rng(0).random((602, INPUTS), np.float32)
    with torch.no_grad():
        padded = torch.from_numpy(np.pad(given, ((0, 2), (0, 0))))[None]
        wanted = trained(padded)[0].numpy()
    weights = {name: value.astype(np.float32) for name, value in export(trained.state_dict()).items()}
    found = attention.forward(given, weights) + np.log(EVENT)
    # the padding at the end affects a few rows before it
    assert np.abs(found[:580] - wanted[:580]).max() < 2e-2
    assert sum(value.size for value in weights.values()) < 1_000_000


def test_the_program_uses_weights_with_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import save_file

    torch.manual_seed(1)
    save_file(export(Network().state_dict()), tmp_path / "ear.safetensors")
    assert (tmp_path / "ear.safetensors").stat().st_size < 4e6
    spectra = fold([band(steady(120, 70), seconds=70)])
    odds = []
    for networks in [
        ((tmp_path / "ear.safetensors", 1.0),),
        ((network.MODEL, 1.0),),
        ((network.MODEL, 0.25), (tmp_path / "ear.safetensors", 0.75)),
    ]:
        monkeypatch.setattr(network, "NETWORKS", networks)
        heard = network.activations(spectra)
        assert {len(curve) for curve in heard.values()} == {-(-len(spectra.mel) // 2)}
        found = np.stack(list(heard.values()))
        assert np.all((found >= 0) & (found <= 1))
        odds.append(np.log(found.clip(1e-6, 1 - 1e-6)) - np.log1p(-found.clip(1e-6, 1 - 1e-6)))
    sure = (np.abs(odds[0]) < 10) & (np.abs(odds[1]) < 10)
    assert np.abs(odds[2] - (0.75 * odds[0] + 0.25 * odds[1]))[sure].max() < 0.02


def test_convolutional_weights_are_loaded_and_exported_unchanged() -> None:
    trained = Convolutions().eval()
    trained.load_state_dict(loaded(network.MODEL), strict=False)
    given = np.random.default_rng(0).random((900, INPUTS), np.float32)
    with torch.no_grad():
        answers = torch.sigmoid(trained(torch.from_numpy(given.T)[None]))[0].numpy().T
    assert np.abs(answers - network.sigmoid(network.logits(given, network.weights()))).max() < 1e-4
    weights = {name: value.astype(np.float32) for name, value in export_convolutions(trained.state_dict()).items()}
    assert network.dilations(weights)[-1] == 512
    assert np.abs(answers - network.sigmoid(network.logits(given, weights))).max() < 1e-4


def test_pooled_windows_are_varied(excerpt: Path) -> None:
    pool = Pool(excerpt)
    pool.examples.look()
    rng = np.random.default_rng(0)
    x, y = pool.batch(rng)
    assert x.shape[:2] == (8, INPUTS)
    assert y.shape == (8, len(OUTPUTS), x.shape[2])
    assert torch.isfinite(x).all()
    before = len(pool.windows)
    pool.batch(rng)
    assert len(pool.windows) > before


def test_a_missed_event_has_three_times_the_loss_and_unknown_none() -> None:
    wanted = torch.zeros(1, len(OUTPUTS), 40)
    logits = torch.zeros_like(wanted)
    quiet = loss_of(logits, wanted)
    wanted[0, 0, :] = 1
    assert float(loss_of(logits, wanted)[0]) == pytest.approx(3 * float(quiet[0]))
    wanted[0, 1, :] = torch.nan
    assert float(loss_of(logits, wanted)[1]) == 0


@pytest.mark.parametrize("rows", [1, 2047, 2048, 2049, 11_466])
def test_windows_cover_a_song_once(rows: int) -> None:
    kept = np.zeros(rows, int)
    for stretch, keep in attention.windows(rows):
        assert 0 <= stretch.start <= stretch.stop <= rows
        kept[stretch.start + keep.start : stretch.start + keep.stop] += 1
    assert np.all(kept == 1)


def test_a_peak_beside_its_event_has_little_more_loss_than_one_on_it() -> None:
    wanted = torch.from_numpy(targets(60, {name: np.array([20.25, 40.25]) * FRAME_SECONDS for name in OUTPUTS}))[None]

    def cost(shift: int) -> float:
        logits = torch.full((1, 60, len(OUTPUTS)), -6.0)
        logits[:, [20 + shift, 40 + shift]] = 6.0
        return float(tolerant_loss(logits, wanted).sum())

    # the shape of the peak still has a small weight
    assert cost(0) < cost(1) < 3 * cost(0)
    assert cost(4) > 5 * cost(1)
    unknown = wanted.clone()
    unknown[:, :, 2] = torch.nan
    assert torch.isfinite(tolerant_loss(torch.zeros(1, 60, len(OUTPUTS)), unknown)).all()


def test_a_delayed_truth_is_detected() -> None:
    beats = steady(120, 20)
    mel = stored(fold([band(beats, seconds=20)]).mel)[None]
    assert abs(np.median(distances(mel, beats))) < 0.010
    assert np.median(distances(mel, beats - 0.04)) == pytest.approx(0.04, abs=0.010)


def test_fitted_weights_prefer_the_right_reading() -> None:
    rng = np.random.default_rng(3)
    tables = []
    for _ in range(600):
        table = rng.normal(0, 1, (6, 3))
        right = int(rng.integers(6))
        table[right, 0] += 3
        tables.append(Table(table, np.eye(6)[right], np.arange(6) // 2, int(rng.integers(6))))
    fitted = fit(tables, np.zeros(3))
    assert fitted[0] > 4 * np.abs(fitted[1:]).max()
    fits = [selected_fit(table, fitted) for table in tables]
    assert np.mean(fits) > np.mean([table.fits[table.found] for table in tables]) + 0.4


def test_an_excerpt_gives_the_evidence_of_a_song(excerpt: Path) -> None:
    table = of_excerpt(excerpt / "band-00007.npz")
    assert table is not None
    assert table.evidence.shape == (len(table.fits), len(EVIDENCE))
    assert table.fits.max() > 1.5
