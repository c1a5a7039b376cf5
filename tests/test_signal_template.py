"""The averaging matrix, its fast product, the baseline, and what subtraction does.

Numbers in the names refer to the acceptance tests of the specification.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mne_facet.signal.averaging import moving_weights
from mne_facet.signal.baseline import baseline
from mne_facet.signal.epochs import EpochGrid, as_windows
from mne_facet.signal.products import increments, running_product
from mne_facet.signal.template import subtract_significant, subtract_templates
from mne_facet.signal.timing import fit_clock

THIRTY = [partial(moving_weights, window=30)]


@pytest.fixture(autouse=True)
def _numpy(monkeypatch):
    """Loops of NumPy; other modules test the compiled ones, which do the same."""
    monkeypatch.setenv("MNE_USE_NUMBA", "false")


def _grid(starts, period, fade=10, good=None):
    stops = np.r_[starts[1:], starts[-1] + period]
    joined = np.ones((len(starts), 2), bool)
    joined[0, 0] = joined[-1, 1] = False
    good = np.ones(len(starts), bool) if good is None else good
    return EpochGrid(starts, stops, joined, good, np.r_[starts, stops[-1]], fade)


def _artifact(times, period, first, n_epochs, seed=0, sfreq=5000.0):
    """Artifact of harmonics below 1 kHz, 5 mV peak to peak, silent outside."""
    rng = np.random.default_rng(seed)
    order = np.arange(1, int(1000 * period / sfreq) + 1)
    weight = rng.standard_normal(order.size) + 1j * rng.standard_normal(order.size)
    phase = 2 * np.pi * (times - first) / period
    wave = np.zeros(times.size)
    for k, w in zip(order, weight, strict=True):
        wave += (w * np.exp(1j * k * phase)).real
    wave *= 5e-3 / np.ptp(wave)
    wave[(times < first) | (times >= first + n_epochs * period)] = 0
    return wave


@pytest.mark.parametrize("n_epochs", [3, 4, 10, 31, 200])
@pytest.mark.parametrize("window", [2, 7, 30])
def test_moving_weights_11_1(n_epochs, window):
    weights = moving_weights(np.ones(n_epochs, bool), window).toarray()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert (np.diag(weights) == 0).all()
    n_averaged = min(window, n_epochs - 1)
    assert ((weights > 0).sum(axis=1) == n_averaged).all()
    middle = n_epochs // 2
    if n_epochs > 2 * window and window % 2 == 0:
        assert weights[middle] @ np.arange(n_epochs) == pytest.approx(middle)
    np.testing.assert_array_equal(
        np.flatnonzero(weights[0]), np.arange(1, n_averaged + 1)
    )


def test_moving_weights_skip_bad_epochs():
    good = np.ones(50, bool)
    good[[3, 20, 21]] = False
    weights = moving_weights(good, 8).toarray()
    assert (weights[:, ~good] == 0).all()
    np.testing.assert_array_equal(
        np.flatnonzero(weights[20]), [16, 17, 18, 19, 22, 23, 24, 25]
    )


@pytest.mark.parametrize("window", [2, 5, 30])
def test_running_product_equals_the_plain_matrix(window):
    rng = np.random.default_rng(0)
    epochs = rng.standard_normal((120, 50))
    good = rng.random(120) > 0.2
    weights = moving_weights(good, window)
    expected = weights.toarray() @ epochs
    steps = increments(weights, [0, 70])
    windows = as_windows(epochs)
    first, second = (
        running_product(steps, windows, start, stop)
        for start, stop in ((0, 70), (70, 120))
    )
    np.testing.assert_allclose(np.vstack([first, second]), expected, atol=1e-13)


@pytest.mark.parametrize("period", [400.0, 400.617, 33.3])
def test_baseline_holds_drift_and_nothing_of_the_artifact(period):
    first, n_epochs = 50.2, 60
    times = np.arange(int(first + n_epochs * period) + 50)
    artifact = _artifact(times, period, first, n_epochs)
    slope = 1e-6 * times / period
    borders = first + period * np.arange(n_epochs + 1)
    position, value = baseline(artifact, borders, 8)
    inside = (position > borders[1]) & (position < borders[-2])
    limit = 1e-12 if period == 400 else 1e-4
    assert np.ptp(value[inside]) < limit * np.ptp(artifact)
    position, value = baseline(artifact + slope, borders, 8)
    expected = 1e-6 * position / period
    error = (value - expected)[inside]
    assert np.ptp(error) < 1e-6


@pytest.mark.parametrize("cycles", [0.1, 0.3, 0.5])
def test_baseline_of_more_passes_holds_more(cycles):
    period, n_epochs = 400.0, 60
    times = np.arange(int(period) * n_epochs)
    borders = period * np.arange(n_epochs + 1)
    slow = np.sin(2 * np.pi * cycles * times / period)
    once = np.sinc(cycles) ** 2
    for n_passes in (1, 2, 3):
        position, value = baseline(slow, borders, 8, n_passes=n_passes)
        inside = (position > borders[10]) & (position < borders[-10])
        wave = np.sin(2 * np.pi * cycles * (position - 0.5) / period)[inside]
        gain = (value[inside] @ wave) / (wave @ wave)
        assert gain == pytest.approx(1 - (1 - once) ** n_passes, abs=0.02)
    artifact = _artifact(times, period, 0, n_epochs)
    _, value = baseline(artifact, borders, 8, n_passes=3)
    assert np.ptp(value[20:-20]) < 1e-12 * np.ptp(artifact)


@pytest.mark.parametrize("scale", ["robust", None])
@pytest.mark.parametrize("n_epochs", [3, 5, 12, 60])
def test_integer_period_leaves_nothing_11_4(scale, n_epochs):
    rng = np.random.default_rng(0)
    period, first = 400, 1000
    wave = 1e-3 * rng.standard_normal(period)
    wave -= wave.mean()
    x = np.zeros(2 * first + n_epochs * period)
    x[first:-first] = np.tile(wave, n_epochs)
    starts = first + period * np.arange(float(n_epochs))
    clean = subtract_templates(x, [_grid(starts, period)], THIRTY, scale)
    assert np.abs(clean).max() < 1e-12 * np.abs(x).max()


def test_artifact_with_slope_and_offset_leaves_a_constant_11_7():
    period, n_epochs = 400, 60
    wave = np.linspace(0, 5e-3, period) + 1e-3
    x = np.tile(wave, n_epochs)
    starts = period * np.arange(float(n_epochs))
    clean = subtract_templates(x, [_grid(starts, period)], THIRTY)
    assert np.ptp(clean) < 1e-12 * np.ptp(x)
    assert clean.mean() == pytest.approx(wave.mean(), rel=1e-9)


@pytest.mark.parametrize("average", ["mean", "median"])
@pytest.mark.parametrize("scale", ["robust", None])
def test_fractional_period_whatever_the_average_11_5(average, scale):
    period, n_epochs, first = 400.617, 200, 1000.3
    times = np.arange(int(first + n_epochs * period) + 1000)
    artifact = _artifact(times, period, first, n_epochs)
    starts = first + period * np.arange(n_epochs)
    grid = _grid(starts, period)
    clean = subtract_templates(artifact, [grid], THIRTY, scale, average, 10)
    inside = slice(int(first) + 50, int(starts[-1] + period) - 50)
    assert clean[inside].std() < 0.02e-6
    if scale is None and average == "mean":
        clean = subtract_significant(artifact, [grid], THIRTY)
        assert clean[inside].std() < 0.02e-6


@pytest.mark.parametrize("source", ["exact times", "clock of rounded triggers"])
def test_fractional_period_11_5(source):
    period, n_epochs, first = 400.617, 1496, 1000.3
    times = np.arange(int(first + n_epochs * period) + 1000)
    artifact = _artifact(times, period, first, n_epochs)
    starts = first + period * np.arange(n_epochs)
    if source != "exact times":
        starts = fit_clock(np.arange(n_epochs), np.floor(starts + 0.5)).times
    clean = subtract_templates(artifact, [_grid(starts, period)], THIRTY)
    inside = slice(int(first) + 50, int(starts[-1] + period) - 50)
    assert clean[inside].std() < 0.01e-6
    assert np.abs(clean[inside]).max() < 0.2e-6


@pytest.mark.parametrize("window", [4, 10, 30])
def test_leave_one_out_adds_one_in_window_to_white_noise_11_6(window):
    rng = np.random.default_rng(0)
    period, n_epochs = 400, 300
    x = 1e-5 * rng.standard_normal(period * n_epochs)
    starts = period * np.arange(float(n_epochs))
    weights = [partial(moving_weights, window=window)]
    clean = subtract_templates(x, [_grid(starts, period)], weights)
    assert clean.var() / x.var() == pytest.approx(1 + 1 / window, rel=0.01)


def test_planted_sine_keeps_its_amplitude_11_7():
    sfreq, period, n_epochs = 5000.0, 400.617, 700
    times = np.arange(int(n_epochs * period) + 400)
    artifact = _artifact(times, period, 100.3, n_epochs)
    sine = 10e-6 * np.sin(2 * np.pi * 10.0 * times / sfreq)
    starts = 100.3 + period * np.arange(n_epochs)
    clean = subtract_templates(artifact + sine, [_grid(starts, period)], THIRTY)
    assert 0.97 < (clean @ sine) / (sine @ sine) < 1.03
    assert (clean - sine).std() < 0.3 * sine.std()


def test_slow_drift_stays_and_joins_are_smooth():
    period, n_epochs = 1000, 60
    times = np.arange(period * n_epochs)
    artifact = _artifact(times, period, 0, n_epochs)
    drift = 150e-6 * np.sin(2 * np.pi * times / (7.3 * period))
    starts = period * np.arange(float(n_epochs))
    clean = subtract_templates(artifact + drift, [_grid(starts, period)], THIRTY)
    inner = slice(period, -period)
    assert (clean - drift)[inner].std() < 0.02 * drift.std()
    steps = np.abs(np.diff(clean - drift))
    joins = starts[2:-1].astype(int)
    assert steps[joins - 1].max() < 0.1e-6


def test_amplitude_of_the_artifact_is_followed():
    rng = np.random.default_rng(0)
    period, n_epochs = 400, 100
    wave = 1e-3 * rng.standard_normal(period)
    wave -= wave.mean()
    gain = 1 + 0.1 * np.sin(2 * np.pi * np.arange(n_epochs) / 50)
    x = np.outer(gain, wave).ravel()
    x += 1e-6 * rng.standard_normal(x.size)
    starts = period * np.arange(float(n_epochs))
    grid = _grid(starts, period)
    scaled = subtract_templates(x, [grid], THIRTY, "robust")
    plain = subtract_templates(x, [grid], THIRTY, None)
    assert scaled.std() < 0.3 * plain.std()


def test_clipped_epoch_lends_nothing_and_is_corrected_11_13():
    rng = np.random.default_rng(0)
    period, n_epochs = 400, 60
    wave = 1e-3 * rng.standard_normal(period)
    x = np.tile(wave - wave.mean(), n_epochs)
    starts = period * np.arange(float(n_epochs))
    clipped = x.copy()
    clipped[20 * period + 100 : 20 * period + 180] = 6e-3
    clean = subtract_templates(clipped, [_grid(starts, period)], THIRTY, None)
    others = np.r_[0 : 20 * period + 90, 20 * period + 190 : x.size]
    assert np.abs(clean[others]).max() < 1e-12


def test_burst_stays_in_its_own_epoch():
    rng = np.random.default_rng(0)
    period, n_epochs = 4000, 40
    wave = 1e-3 * rng.standard_normal(period)
    x = np.tile(wave - wave.mean(), n_epochs)
    burst = np.zeros(x.size)
    burst[20 * period + 1000 : 20 * period + 1005] = 20e-3
    starts = period * np.arange(float(n_epochs))
    clean = subtract_templates(x + burst, [_grid(starts, period)], THIRTY)
    assert np.abs(clean - burst).max() < 1e-12


def test_epochs_cut_by_the_ends_of_the_data_are_corrected():
    period, n_epochs = 400.617, 60
    times = np.arange(int(n_epochs * period))
    artifact = _artifact(times, period, 0, n_epochs + 1)
    starts = -150.2 + period * np.arange(n_epochs + 1)
    artifact = _artifact(times, period, -150.2, n_epochs + 1)
    grid = _grid(starts, period)
    inside = (grid.periods >= 0) & (grid.periods <= times.size)
    grid = replace(grid, periods=grid.periods[inside])
    clean = subtract_templates(artifact, [grid], THIRTY)
    assert np.abs(clean).max() < 0.5e-6


def test_flat_channel_stays_and_input_is_not_changed():
    starts = 100.0 * np.arange(20)
    flat = np.full(2000, 3e-6)
    np.testing.assert_array_equal(
        subtract_templates(flat, [_grid(starts, 100)], THIRTY), flat
    )
    x = np.random.default_rng(0).standard_normal(2000)
    before = x.copy()
    subtract_templates(x, [_grid(starts, 100)], THIRTY)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_result_scales_with_the_unit(factor):
    rng = np.random.default_rng(0)
    x = np.tile(rng.standard_normal(400), 40) + 0.1 * rng.standard_normal(16000)
    grid = _grid(400.3 * np.arange(39), 400.3)
    expected = subtract_templates(x, [grid], THIRTY)
    scaled = subtract_templates(factor * x, [grid], THIRTY)
    np.testing.assert_allclose(scaled / factor, expected, atol=1e-12)
