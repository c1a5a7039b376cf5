"""Sub-sample alignment against waveforms whose shift is known exactly."""

import numpy as np
import pytest

from mne_facet.signal import align


def _waveform(times, seed=0, n_harmonics=60, length=400):
    """Band-limited waveform, to 0.3 of the sampling rate, at any times."""
    rng = np.random.default_rng(seed)
    harmonics = np.arange(1, n_harmonics + 1) * 0.3 * length / n_harmonics / length
    phases = rng.uniform(0, 2 * np.pi, n_harmonics)
    return np.cos(2 * np.pi * np.multiply.outer(times, harmonics) + phases).sum(-1)


def _epochs(shifts, length=400):
    samples = np.arange(-align.MARGIN, length + align.MARGIN)
    return np.array([_waveform(samples - shift) for shift in shifts])


def test_shift_powers_are_the_taylor_series_of_a_delay():
    omega, shift = 1.3, 0.37
    powers = align.shift_powers([shift], 20)[0]
    series = sum(c * (1j * omega) ** p for p, c in enumerate(powers))
    assert series == pytest.approx(np.exp(-1j * omega * shift), abs=1e-14)


def test_derivatives_shift_a_waveform_to_a_millionth():
    shifts = [0.0, 0.5, -0.31]
    template, *later = _epochs(shifts)
    stack = align.derivatives(*align.spectrum(template), template.size)
    body = slice(align.MARGIN, -align.MARGIN)
    for shift, expected in zip(shifts[1:], later, strict=True):
        made = (align.shift_powers([shift])[0] @ stack)[body]
        error = np.abs(made - expected[body])
        assert error.max() < 0.03 * np.ptp(expected)
        assert error[20:-20].max() < 2e-4 * np.ptp(expected)


def test_mean_of_shifted_copies_gives_back_the_waveform():
    shifts = np.linspace(-0.5, 0.5, 31)
    epochs = _epochs(shifts)
    power = align.shift_powers(shifts, 12).mean(axis=0)
    coefs, omega = align.deblurred_spectrum(epochs.mean(0), power)
    sharp = align.derivatives(coefs, omega, epochs.shape[1], order=1)[0]
    expected = _epochs([0])[0]
    middle = slice(100, -100)
    blurred = np.abs(epochs.mean(0) - expected)[middle].max()
    difference = (sharp - expected)[middle]
    assert np.abs(difference - difference.mean()).max() < 0.005 * blurred


def test_estimated_shifts_are_exact_without_noise_and_ignore_drift():
    shifts = np.array([-0.45, -0.1, 0.0, 0.2, 0.49])
    epochs = _epochs(shifts)
    drift = np.multiply.outer(np.arange(5), np.linspace(0, 300, epochs.shape[1]))
    gain = np.array([1.0, 0.7, 1.3, 1.0, 2.0])
    stack = align.derivatives(*align.spectrum(_epochs([0])[0]), epochs.shape[1])
    found, amplitude = align.estimate_shifts(epochs * gain[:, None] + drift, stack)
    np.testing.assert_allclose(found, shifts, atol=1e-3)
    np.testing.assert_allclose(amplitude, gain, rtol=1e-3)


def test_shift_error_follows_the_cramer_rao_bound():
    rng = np.random.default_rng(1)
    template = _epochs([0])[0]
    noise = 0.05 * template.std()
    epochs = template + noise * rng.standard_normal((200, template.size))
    stack = align.derivatives(*align.spectrum(template), template.size)
    found, _ = align.estimate_shifts(epochs, stack)
    bound = noise / np.sqrt(
        (np.diff(template[align.MARGIN : -align.MARGIN]) ** 2).sum()
    )
    assert found.std() == pytest.approx(bound, rel=0.25)


@pytest.mark.parametrize("lag", [-3, -1, 0, 2])
def test_best_lag_is_found_and_zero_for_aligned_input(lag):
    rng = np.random.default_rng(2)
    template = rng.standard_normal(100)
    x = np.zeros(500)
    x[200 + lag : 300 + lag] = template
    lags, peak = align.best_lags(x, np.array([200]), template, 3)
    assert lags[0] == lag
    assert peak[0] == pytest.approx(1)


def test_best_lag_of_a_flat_epoch_has_no_correlation():
    _lags, peak = align.best_lags(np.zeros(500), np.array([200]), np.arange(100.0), 3)
    assert peak[0] == 0


@pytest.mark.parametrize("use_numba", ["true", "false"])
def test_gather_repeats_the_ends(use_numba, monkeypatch):
    monkeypatch.setenv("MNE_USE_NUMBA", use_numba)
    epochs = align.gather(np.arange(5.0), np.array([-2, 1, 3]), 4)
    np.testing.assert_array_equal(epochs, [[0, 0, 0, 1], [1, 2, 3, 4], [3, 4, 4, 4]])
    outside = align.gather(np.arange(5.0), np.array([-9, 9]), 2)
    np.testing.assert_array_equal(outside, [[0, 0], [4, 4]])
    short = align.gather(np.arange(3.0), np.array([-1]), 5)
    np.testing.assert_array_equal(short, [[0, 0, 1, 2, 2]])


def test_measured_onsets_of_a_drifting_clock():
    rng = np.random.default_rng(3)
    period, first = 400.617, 200.3
    onsets = first + period * np.arange(40)
    times = np.arange(int(onsets[-1] + 2 * period))
    phase = (times - first) % period
    x = _waveform(phase, length=period)
    x[times < first] = 0
    x += 1e-3 * x.std() * rng.standard_normal(x.size)
    measured = align.measure_onsets([x], np.round(onsets), 400)
    assert np.nanstd(measured - onsets) < 0.02
