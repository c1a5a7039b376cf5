"""Optimal basis sets: planted shapes go, EEG stays."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, convolve, sosfiltfilt
from scipy.signal.windows import tukey

from mne_facet.signal.epochs import EpochGrid
from mne_facet.signal.obs import (
    count_components,
    design_highpass,
    high_passed,
    largest_by_chance,
    subtract_components,
)

MINI = Path(__file__).parents[2] / "shared/data/oracle/mini1k"
SFREQ = 1000.0
TAPS = design_highpass(70.0, SFREQ)


def _grid(n_epochs, length, first=400.0, good=None):
    starts = first + length * np.arange(n_epochs)
    joined = np.ones((n_epochs, 2), bool)
    joined[0, 0] = joined[-1, 1] = False
    good = np.ones(n_epochs, bool) if good is None else good
    periods = np.r_[starts, starts[-1] + length]
    return EpochGrid(starts, starts + length, joined, good, periods, 4)


def _eeg(n_times, seed=0):
    """10 uV of slow activity with an alpha rhythm, 1 uV of white noise."""
    rng = np.random.default_rng(seed)
    slow = sosfiltfilt(
        butter(2, [1, 20], "band", fs=SFREQ, output="sos"), _white(rng, n_times)
    )
    alpha = 14e-6 * np.sin(2 * np.pi * 10 * np.arange(n_times) / SFREQ)
    return 1e-5 * slow / slow.std() + alpha + 1e-6 * _white(rng, n_times)


def _white(rng, *shape):
    return rng.standard_normal(shape)


def _shapes(n_shapes, length, seed=1):
    """Waveforms around 220 Hz that begin and end in silence."""
    rng = np.random.default_rng(seed)
    band = butter(2, [160, 300], "band", fs=SFREQ, output="sos")
    return sosfiltfilt(band, _white(rng, n_shapes, length), axis=1) * tukey(length, 0.5)


def _plant(x, grid, shapes, amplitude=50e-6, seed=2):
    """Add shapes of random amplitude to the epochs of a copy."""
    rng = np.random.default_rng(seed)
    x, length = x.copy(), shapes.shape[1]
    scale = amplitude / shapes.std() * 0.7 ** np.arange(len(shapes))
    for start in grid.starts.astype(int):
        x[start : start + length] += (scale * _white(rng, len(shapes))) @ shapes
    return x


@pytest.mark.parametrize(("n_epochs", "length"), [(600, 70), (60, 700)])
@pytest.mark.parametrize("n_components", ["auto", 3])
def test_planted_shapes_are_found_and_removed(n_epochs, length, n_components):
    grid = _grid(n_epochs, length)
    eeg = _eeg(800 + n_epochs * length)
    x = _plant(eeg, grid, _shapes(3, length))
    clean, _ = subtract_components(x, [grid], TAPS, n_components)
    error = clean - eeg
    assert (x - eeg).std() > 20e-6
    assert error.std() < 0.5e-6
    scan = slice(400, 400 + n_epochs * length)
    rhythm = np.exp(2j * np.pi * 10 * np.arange(x.size) / SFREQ)[scan]
    gain = np.abs(np.vdot(rhythm, clean[scan])) / np.abs(np.vdot(rhythm, eeg[scan]))
    assert 0.99 < gain < 1.01


@pytest.mark.parametrize("length", [70, 700])
@pytest.mark.parametrize("seed", range(3))
def test_eeg_without_artifact_is_not_touched(length, seed):
    grid = _grid(42_000 // length, length)
    for x in (_eeg(42_800, seed), np.random.default_rng(seed).standard_normal(42_800)):
        clean, note = subtract_components(x, [grid], TAPS)
        assert note == "0 component(s)"
        np.testing.assert_array_equal(clean, x)


@pytest.mark.parametrize("length", [70, 700])
def test_what_a_fixed_number_costs(length):
    grid = _grid(42_000 // length, length)
    x = _eeg(42_800)
    clean, _ = subtract_components(x, [grid], TAPS, 2)
    assert ((x - clean) ** 2).sum() < 0.01 * (x**2).sum()


def test_outside_the_epochs_nothing_changes():
    grid = _grid(60, 300, first=1000.5)
    x = _plant(_eeg(20_000), grid, _shapes(2, 300))
    clean, _ = subtract_components(x, [grid], TAPS)
    changed = np.flatnonzero(clean != x)
    assert (changed[0], changed[-1]) == (1001, 19_000)


def test_scale_and_offset_do_not_matter():
    grid = _grid(100, 200)
    x = _plant(_eeg(21_000), grid, _shapes(2, 200))
    expected, note = subtract_components(x, [grid], TAPS)
    for factor in (-1.0, 1e-6, 1e6):
        clean, same = subtract_components(factor * x, [grid], TAPS)
        assert same == note
        np.testing.assert_allclose(clean / factor, expected, atol=1e-9)
    raised, _ = subtract_components(x + 0.1, [grid], TAPS)
    np.testing.assert_allclose(raised - 0.1, expected, atol=1e-9)


def test_flat_channels_stay():
    x = np.full(20_000, 0.123)
    clean, note = subtract_components(x, [_grid(60, 300)], TAPS, 3)
    assert note is None
    np.testing.assert_array_equal(clean, x)


@pytest.mark.parametrize("n_epochs", range(2, 12))
def test_few_epochs(n_epochs):
    grid = _grid(n_epochs, 500)
    x = _plant(_eeg(7000), grid, _shapes(1, 500), 500e-6)
    for n_components in ("auto", 4):
        clean, note = subtract_components(x, [grid], TAPS, n_components)
        assert np.isfinite(clean).all()
        assert int(note[0]) <= n_epochs // 5
        if int(note[0]):
            assert (clean - _eeg(7000)).std() < 3e-6


def test_epochs_that_are_not_good_are_no_part_of_the_basis():
    good = np.ones(80, bool)
    good[[3, 40, 41]] = False
    grid = _grid(80, 300, good=good)
    artifact, foreign = _shapes(2, 300)
    eeg = _eeg(25_000)
    x = _plant(eeg, grid, artifact[np.newaxis])
    for k in np.flatnonzero(~good):
        start = int(grid.starts[k])
        x[start : start + 300] += 1e-3 * foreign
    clean, note = subtract_components(x, [grid], TAPS)
    assert note == "1 component(s)"
    start = int(grid.starts[40])
    error = (clean - eeg)[start : start + 600].reshape(2, 300)
    # of what is foreign only the part along the basis goes, the artifact all
    unit = artifact / np.linalg.norm(artifact)
    expected = 1e-3 * (foreign - foreign @ unit * unit)
    np.testing.assert_allclose(error[:, 10:-10], [expected[10:-10]] * 2, atol=5e-5)


def test_loud_epochs_do_not_rule_the_basis():
    grid = _grid(80, 300)
    artifact, burst = _shapes(2, 300)
    eeg = _eeg(25_000)
    x = _plant(eeg, grid, artifact[np.newaxis])
    x[400 + 40 * 300 : 400 + 41 * 300] += 5e-3 * burst
    clean, _ = subtract_components(x, [grid], TAPS, 1)
    error = np.delete(clean - eeg, np.r_[12_300:12_800])
    assert error.std() < 3e-6


def test_clipped_channels_stay_finite():
    grid = _grid(60, 300)
    x = _plant(_eeg(20_000), grid, _shapes(2, 300), 200e-6)
    x = np.clip(x, -1e-4, 1e-4)
    clean, _ = subtract_components(x, [grid], TAPS)
    assert np.isfinite(clean).all()
    assert clean.std() < x.std()


def test_epochs_cut_off_by_the_ends_of_the_data():
    eeg = _eeg(20_000)
    grid = _grid(60, 300)
    x = _plant(eeg, grid, _shapes(2, 300))
    cut = slice(550, 18_250)
    part = replace(grid, starts=grid.starts - 550, stops=grid.stops - 550)
    clean, note = subtract_components(x[cut], [part], TAPS)
    assert note == "2 component(s)"
    assert (clean - eeg[cut])[150:-150].std() < 1e-6
    assert (clean - eeg[cut]).std() < 0.2 * (x - eeg)[cut].std()


def test_runs_and_long_parts_have_bases_of_their_own():
    # 600 epochs of 3400 samples make two sections
    sfreq, length = 5000.0, 3400
    taps = design_highpass(70.0, sfreq)
    rng = np.random.default_rng(0)
    grid = _grid(600, length)
    shapes = np.repeat(_white(rng, 4, length // 10), 10, axis=1)
    eeg = 1e-6 * _white(rng, 800 + 600 * length)
    x = eeg.copy()
    for k, start in enumerate(grid.starts.astype(int)):
        own = shapes[:2] if k < 300 else shapes[2:]
        x[start : start + length] += 20e-6 * _white(rng, 2) @ own
    clean, note = subtract_components(x, [grid], taps, 2)
    assert note == "2 component(s)"
    assert (
        sosfiltfilt(butter(2, 200, "high", fs=sfreq, output="sos"), clean - eeg).std()
        < 1e-6
    )


@pytest.mark.parametrize("ratio", [0.05, 1.0, 40.0])
def test_edge_of_chance_is_that_of_marchenko_and_pastur(ratio):
    edge = largest_by_chance(np.full(30, 2.0), ratio)
    np.testing.assert_allclose(edge, 2 * (1 + np.sqrt(ratio)) ** 2, rtol=1e-6)


@pytest.mark.parametrize("shape", [(500, 60), (60, 500)])
@pytest.mark.parametrize("n_planted", [0, 1, 4])
def test_number_of_components(shape, n_planted):
    rng = np.random.default_rng(n_planted)
    n_epochs, length = shape
    waves = np.linalg.qr(_white(rng, length, 6))[0].T
    strong = 3 * (np.sqrt(n_epochs) + np.sqrt(length))
    scores = np.linalg.qr(_white(rng, n_epochs, 6))[0] * strong
    epochs = _white(rng, *shape) + scores[:, :n_planted] @ waves[:n_planted]
    _, values, basis = np.linalg.svd(epochs, full_matrices=False)
    found = count_components(epochs, np.ones(n_epochs), values[:8] ** 2, basis[:8])
    assert found == n_planted


def test_highpass():
    x = _eeg(5000)
    whole = np.convolve(np.pad(x, TAPS.size // 2, mode="edge"), TAPS, "valid")
    part, tolerance = high_passed(x + 1.0, 700, 3100, TAPS), 1e-6 * np.std(x)
    np.testing.assert_allclose(part, whole[700:3100], rtol=0, atol=tolerance)
    part = high_passed(x, 0, 5000, TAPS)
    np.testing.assert_allclose(part, whole, rtol=0, atol=tolerance)
    response = np.abs(np.fft.rfft(TAPS, 10_000))
    assert response[0] < 1e-12
    assert response[: 10 * 55].max() < 3e-3
    np.testing.assert_allclose(response[10 * 85 :], 1, atol=3e-3)


@pytest.mark.skipif(not MINI.exists(), reason="not part of the project")
@pytest.mark.parametrize("level", ["slice", "vol"])
@pytest.mark.parametrize("channel", [0, 1])
def test_what_fastr_removes(level, channel):
    run = f"fastr_{level}_L1"
    derived = json.loads((MINI / f"{run}_obs4.json").read_text())["derived"]
    theirs, average = (
        np.load(MINI / f"{run}_obs4.npz"),
        np.load(MINI / f"{run}_aas.npz"),
    )
    x = average["clean_uV"][channel].astype(float)
    removed = x - theirs["clean_uV"][channel]
    first = int(theirs["clean_start_sample0"]) + derived["pre_peak"]
    starts = theirs["trig_aligned_sample0"] - first
    grid = _grid(len(starts), 1.0)
    stops = np.r_[starts[1:], starts[-1] + derived["art_length"]]
    grid = replace(grid, starts=starts, stops=stops)
    taps = convolve(theirs["hpf_weights"], theirs["hpf_weights"])  # forth and back
    clean, _ = subtract_components(x, [grid], taps, 4)
    assert np.corrcoef(x - clean, removed)[0, 1] > 0.985
    assert clean.std() < 1.07 * theirs["clean_uV"][channel].std()
